"""The comparison of people's folders with transformers finds what differs, and lists what it does not try."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from pixel_folders import CONFIGS as PIXELS
from pixel_folders import write_config
from token_folders import CONFIGS as TOKENS
from token_folders import write_tokenizer

import field_cases
from field import as_transformers

pytest.importorskip("transformers")


class Untried(Exception):
    """As the module that asks models in batches has it."""


@pytest.fixture
def cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three folders and a stray file; models are asked in batches by a stand-in."""
    names = ("deep/a/images", "deep/texts", "refused")
    for name in names:
        (tmp_path / name).mkdir(parents=True)
    write_config(tmp_path / names[0], PIXELS["MobileViT"])
    write_tokenizer(tmp_path / names[1], TOKENS["BERT, both left"])
    write_config(tmp_path / names[2], {"image_processor_type": "ViTImageProcessor", "size": 16, "resample": 9})
    for name in ("good.onnx", "odd.onnx", "other.onnx", "bad.onnx"):
        (tmp_path / name).touch()
    (tmp_path / "prices.csv").touch()
    (tmp_path / "tokenizer_config.json").write_text("{}")

    def differences(model: Path) -> list[str]:
        if model.name == "other.onnx":
            raise Untried("no inputs")
        if model.name == "bad.onnx":
            raise OSError("gone")
        return ["row 3 is another's"] if model.name == "odd.onnx" else []

    stand_in = types.SimpleNamespace(differences=differences, Untried=Untried)
    monkeypatch.setitem(sys.modules, "field.batched", stand_in)
    return tmp_path


def lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, Any]]]:
    status = field_cases.main(folder)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return status, {row["figure"].removeprefix("field-cases/"): row for row in rows}


def test_everything_below_a_folder_is_tried_or_listed(cases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, rows = lines(cases, capsys)
    assert status == 1
    assert rows["pixels/deep/a/images/preprocessor_config.json"]["met"]
    assert rows["tokens/deep/texts/tokenizer.json"]["met"]
    assert rows["batched/good.onnx"]["met"]
    assert rows["batched/odd.onnx"]["said"] == ["row 3 is another's"]
    assert rows["batched/bad.onnx"]["said"] == ["OSError: gone"]
    assert (rows["tried"]["value"], rows["differing"]["value"]) == (5, 2)
    (refused,) = rows["refused"]["said"]
    assert "resample is 9" in refused
    assert {skip.partition(":")[0] for skip in rows["skipped"]["said"]} == {
        "batched/other.onnx", "prices.csv", "tokenizer_config.json",
    }  # fmt: skip


def test_other_pixels_and_tokens_are_differences(
    cases: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, cut = as_transformers.image_settings, as_transformers.text_settings
    monkeypatch.setattr(as_transformers, "image_settings", lambda home: {**read(home), "bgr": False})
    monkeypatch.setattr(as_transformers, "text_settings", lambda *at: {**cut(*at), "padding_side": "right"})
    _, rows = lines(cases, capsys)
    pixels = rows["pixels/deep/a/images/preprocessor_config.json"]
    assert not pixels["met"]
    assert "numbers differ, by at most" in pixels["said"][0]
    tokens = rows["tokens/deep/texts/tokenizer.json"]
    assert {said.partition(":")[0] for said in tokens["said"]} == {"one batch, input_ids", "one batch, attention_mask"}


def test_without_the_module_that_asks_in_batches_models_are_skipped(
    cases: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "field.batched", None)
    status, rows = lines(cases, capsys)
    assert status == 0
    assert sum(skip.startswith("batched/") for skip in rows["skipped"]["said"]) == 4
