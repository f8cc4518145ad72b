"""What was understood stands before any work: model, classes, samples, metric, inputs, what is paid, what is promised."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from example_plan import met_plan

from farthing.cli import main as cli
from farthing.errors import InputError
from farthing.nouns import BaselineSpec, Bill, Dataset, ModelRef, PipelineSpec, Workload
from farthing.render.plan.sentences import replica_rates
from farthing.render.plan.understood import understood


def workload(**more: object) -> Workload:
    fields: dict[str, object] = {
        "name": "w",
        "model": ModelRef(kind="optimum", path=str(Path.cwd() / "intents"), onnx_path="/x/model.onnx"),
        "pipeline": PipelineSpec(kind="text", tokenizer=str(Path.cwd() / "intents/tokenizer.json"), max_length=64),
        "holdout": Dataset(
            kind="text", items=("a",) * 800, n=800, labels=(0.0,) * 799 + (4.0,),
            classes=("a", "b", "c", "d", "e"), source="holdout.csv",
        ),
        "baseline": BaselineSpec(engine="onnxruntime"),
        "bill": Bill(offer="aws/c6i.2xlarge", replicas=12),
        "objective": met_plan().objective,
        "utilisation_frac": 0.4,
    }  # fmt: skip
    return Workload(**{**fields, **more})  # type: ignore[arg-type]


def said(**more: object) -> dict[str, str]:
    return dict(understood(workload(**more)))


def test_a_text_folder() -> None:
    assert said() == {
        "model": "intents: model folder (model.onnx)",
        "data": "holdout.csv: 800 texts · 5 classes (a, b, c, d and 1 more) · judged by accuracy",
        "inputs": "texts through intents/tokenizer.json, cut at 64 tokens",
        "today": "FP32 in onnxruntime, one request at a time · 12 × aws/c6i.2xlarge all month · busy to 40 % on average, "
        "day-night",
        "promise": "p99 ≤ 50 ms, accuracy drop ≤ 1 point at 95 % confidence, saving ≥ 30 %",
    }


def test_images_and_arrays() -> None:
    photo = PipelineSpec(kind="image", resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    assert said(pipeline=photo)["inputs"] == (
        "short side to 256 pixels, centre of 224 × 224 pixels cut out, bilinear, RGB, NCHW, × 0.003922, "
        "mean 0.485 0.456 0.406, std 0.229 0.224 0.225"
    )
    arrays = Dataset(kind="tensor", items=("/d/x.npz", "x", "mask"), n=9, labels=(0.0,) * 9, source="/d/x.npz")
    lines = said(pipeline=PipelineSpec(kind="tensor"), holdout=arrays)
    assert lines["inputs"] == "the arrays x, mask as they are"
    assert lines["data"] == "/d/x.npz: 9 samples · labels 0 to 0 · judged by accuracy"


IMAGE = PipelineSpec(kind="image", resize=224)
SETTINGS = {
    "bgr": ({"bgr": True}, ", BGR, "),
    "grey": ({"channels": 1}, ", grey, "),
    "squash": ({"squash": True}, "squashed to 224 × 224 pixels, "),
    "resize_width": ({"squash": True, "resize_width": 320}, "squashed to 224 pixels in height × 320 in width, "),
    "longest": ({"longest": 1333}, "short side to 224 pixels, long side to 1333 at most, "),
    "crop": ({"crop": 200}, "centre of 200 × 200 pixels cut out, "),
    "crop_width": ({"crop": 200, "crop_width": 180}, "centre of 200 pixels in height × 180 in width cut out, "),
    "offset": ({"scale": 1 / 127.5, "offset": -1.0}, ", × 0.007843 − 1, mean "),
    "offset above 0": ({"offset": 0.5}, ", × 0.003922 + 0.5, mean "),
    "std_twice": ({"std_twice": True}, ", std 1 (divided by twice)"),
    "exif_rotation": ({"exif_rotation": True}, "turned upright by EXIF, short side"),
    "layout": ({"layout": "NHWC"}, ", NHWC, "),
    "interpolation": ({"interpolation": "bicubic"}, ", bicubic, "),
}
SIDES = {
    "truncation_side": ({"truncation_side": "left"}, ", cut on the left at 128 tokens"),
    "padding_side": ({"padding_side": "left"}, ", cut at 128 tokens, padded on the left"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_done_to_an_image_is_said(name: str) -> None:
    settings, words = SETTINGS[name]
    plain = said(pipeline=IMAGE)["inputs"]
    assert words in said(pipeline=replace(IMAGE, **settings))["inputs"]
    assert words not in plain


@pytest.mark.parametrize("name", SIDES)
def test_which_side_of_a_text_is_cut_or_filled_up_is_said_where_it_is_the_left(name: str) -> None:
    settings, words = SIDES[name]
    usual = PipelineSpec(kind="text", tokenizer="/t/tokenizer.json")
    assert said(pipeline=replace(usual, **settings))["inputs"].endswith(words)
    assert "left" not in said(pipeline=replace(usual, **{name: "right"}))["inputs"]


def test_no_labels_is_said() -> None:
    bare = replace(workload().holdout, labels=None)
    assert said(holdout=bare)["data"].endswith("no labels: answers are compared with the baseline's own")


def test_names_cannot_control_the_terminal() -> None:
    shown = said(holdout=replace(workload().holdout, classes=("\x1b[2J", "b"), source="a\nb"))
    assert "\x1b" not in "".join(shown.values())
    assert "\n" not in "".join(shown.values())


def test_it_is_the_first_thing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the machine is looked at, before a price is looked up."""
    monkeypatch.setattr("farthing.load.workload.workload.workload_of", lambda *_, **__: workload())

    def stop(*_: object, on_progress: object, **__: object) -> None:
        raise InputError("now work would start")

    monkeypatch.setitem(sys.modules, "farthing.verbs.profile", SimpleNamespace(profile=stop))
    done = CliRunner().invoke(cli.cli, ["profile", "x.onnx"])
    assert isinstance(done.exception, InputError)
    assert done.stderr.splitlines()[0].strip() == "model       intents: model folder (model.onnx)"
    assert "5 classes" in done.stderr
    assert done.stdout == ""


def test_what_one_replica_serves_is_said_in_one_place() -> None:
    plan = met_plan()
    assert replica_rates(plan) == (
        "1,838 requests/s flat out · planned at 1,654, within p99 ≤ 50 ms and with headroom · 1,645 in its busiest hour"
    )
    assert replica_rates(replace(plan, chosen=None)) == ""
