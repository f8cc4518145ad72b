"""What farthing says about bad input and bad luck, word by word: the thing, the value, the limit, what to do."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import golden_files
import pytest
from example_plan import PLANS
from small_inputs import write_images, write_onnx
from started_replica import start, write_dataset

from farthing.cli import main as cli
from farthing.core.plan.verdicts import decide
from farthing.engines.openvino import OpenVino
from farthing.errors import FarthingError, MeasureError
from farthing.load.prices import find_offer, load_offers
from farthing.load.traffic import CsvArrivals
from farthing.load.workload.splits import make_splits
from farthing.load.workload.workload import workload_from_flags
from farthing.nouns import LatencyBound, Workload
from farthing.runs.options import RunOptions
from farthing.runs.settings import settings_of
from farthing.store.documents import disk_errors
from farthing.verbs.optimize import optimize

Compare = Callable[[str, Exception, Path], None]
TODAY = date(2026, 11, 24)


def workload(folder: Path, **changes: str) -> Workload:
    flags = {"model": str(folder / "model.onnx"), "labels": str(folder / "holdout"), "bill": "10000"}
    return workload_from_flags({**flags, "offer": "aws/m7i.large", **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_onnx(tmp_path / "model.onnx")
    write_images(tmp_path / "holdout", ["cat", "dog", "owl"] * 20)
    return tmp_path


def test_missing_model(folder: Path, golden_error: Compare) -> None:
    with pytest.raises(FarthingError) as e:
        workload(folder, model=str(folder / "modle.onnx"))
    golden_error("model-missing", e.value, folder)


def test_corrupt_model(folder: Path, golden_error: Compare) -> None:
    whole = (folder / "model.onnx").read_bytes()
    (folder / "half.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FarthingError) as e:
        workload(folder, model=str(folder / "half.onnx"))
    golden_error("model-corrupt", e.value, folder)


def test_pickle(folder: Path, golden_error: Compare) -> None:
    (folder / "model.pt").write_bytes(b"\x80\x04.")
    with pytest.raises(FarthingError) as e:
        workload(folder, model=str(folder / "model.pt"))
    golden_error("model-is-a-pickle", e.value, folder)


def test_empty_trace(tmp_path: Path, golden_error: Compare) -> None:
    (tmp_path / "arrivals.csv").write_text("")
    with pytest.raises(FarthingError) as e:
        CsvArrivals().trace(tmp_path / "arrivals.csv")
    golden_error("trace-empty", e.value, tmp_path)


def test_unknown_offer(tmp_path: Path, golden_error: Compare) -> None:
    with pytest.raises(FarthingError) as e:
        find_offer(load_offers(), "aws/m7i.lrge", as_of=TODAY)
    golden_error("offer-unknown", e.value, tmp_path)


def test_stale_price(tmp_path: Path, golden_error: Compare) -> None:
    with pytest.raises(FarthingError) as e:
        find_offer(load_offers(), "aws/m7i.large", as_of=date(2027, 9, 1), max_age_days=180)
    golden_error("price-stale", e.value, tmp_path)


def test_impossible_objective() -> None:
    plan = PLANS["not_met"]()
    verdict = decide(replace(plan.objective, latency=LatencyBound(ms=2.0)), None, plan.nearest, None)
    said = "\n".join([f"{verdict.outcome}:", *verdict.reasons, "", f"hint: {verdict.hint}", ""])
    golden_files.compare(golden_files.GOLDEN / "errors" / "objective-impossible.txt", said)


def test_holdout_too_small(folder: Path, golden_error: Compare) -> None:
    write_images(folder / "few", ["cat", "dog"] * 8)
    with pytest.raises(FarthingError) as e:
        make_splits(workload(folder, labels=str(folder / "few")).holdout, None, None, None, seed=0)
    golden_error("holdout-too-small", e.value, folder)


def test_engine_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch, golden_error: Compare) -> None:
    monkeypatch.setattr(OpenVino, "missing", lambda self: 'pip install "farthing[openvino]"')
    options = RunOptions(output_dir=folder / "out", as_of=TODAY)
    with pytest.raises(FarthingError) as e:
        optimize(workload(folder, baseline_engine="openvino"), options=options)
    golden_error("engine-not-installed", e.value, folder)
    assert not (folder / "out").exists()
    with pytest.raises(FarthingError, match="openvino was asked for and is not installed"):
        settings_of(engines="onnxruntime,openvino")


@pytest.mark.parametrize(
    ("name", "options", "limits"),
    [
        ("candidate-crashes", {"fault": "segfault"}, {}),
        ("candidate-eats-memory", {"fault": "memory"}, {"memory_limit_mib": 400}),
        ("candidate-raises", {"fault": "exception"}, {}),
    ],
)
def test_candidate(
    name: str, options: dict[str, str], limits: dict[str, float], tmp_path: Path, golden_error: Compare
) -> None:
    with (
        start(write_dataset(tmp_path), tmp_path, options=options, **limits) as replica,
        pytest.raises(MeasureError) as e,
    ):
        replica.answers(list(range(8)), 1)
    e.value.message = re.sub(r"used \d+ MiB", "used … MiB", e.value.message)
    golden_error(name, e.value, tmp_path)


def test_candidate_that_hangs(tmp_path: Path, golden_error: Compare) -> None:
    with pytest.raises(MeasureError) as e:
        start(write_dataset(tmp_path), tmp_path, options={"load_fault": "hang"}, start_timeout_s=2)
    e.value.hint = re.sub(r"[^/]*\.log", "….log", str(e.value.hint))
    golden_error("candidate-hangs", e.value, tmp_path)


def test_full_disk(tmp_path: Path, golden_error: Compare) -> None:
    with pytest.raises(FarthingError) as e, disk_errors(tmp_path / "work" / "journal.jsonl"):
        raise OSError(errno.ENOSPC, "No space left on device")
    golden_error("disk-full", e.value, tmp_path)


@pytest.mark.parametrize("command", [["optimize", "model.onnx"], ["route", "calibrate"], ["serve", "route"]])
def test_ctrl_c(command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def pressed(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.cli, "main", pressed)
    monkeypatch.setattr("sys.argv", ["farthing", *command])
    with pytest.raises(SystemExit) as e:
        cli.main()
    assert e.value.code == 130
    golden_files.compare(golden_files.GOLDEN / "errors" / f"ctrl-c-{command[0]}.txt", capsys.readouterr().err)
