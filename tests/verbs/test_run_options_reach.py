"""What a run is told reaches what is measured, in every command that measures a workload."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import farthing as ft
from farthing.errors import FarthingError, StalePriceError
from farthing.load.workload.splits import make_splits
from farthing.measure import campaign
from farthing.measure.workbench import Workbench
from farthing.nouns import Workload
from farthing.runs import first_look as looking

MEASURE = ft.MeasureSettings(engines=("onnxruntime",), variants=("fp32",), block_s=0.02)


@pytest.fixture
def asked(small_model: Path) -> Workload:
    flags = {"model": str(small_model / "model.onnx"), "labels": str(small_model / "holdout.npz")}
    return ft.workload_from_flags({**flags, "bill": 10_000, "offer": "aws/m7i.large", "p99": "50ms"})


@pytest.fixture
def benches(monkeypatch: pytest.MonkeyPatch) -> list[Workbench]:
    """The workbenches of runs that end where measuring would begin, after one step."""
    found: list[Workbench] = []

    def stop(bench: Workbench, *_: Any) -> None:
        found.append(bench)
        bench.journal.once("a", float, lambda: 1.0)
        raise FarthingError("enough was seen")

    monkeypatch.setattr(campaign, "run", stop)
    monkeypatch.setattr(campaign, "measure_baseline", stop)
    monkeypatch.setattr(looking, "glimpse", stop)
    return found


def run(verb: Callable[..., Any], asked: Workload, options: ft.RunOptions, **more: Any) -> None:
    with pytest.raises(FarthingError, match="enough was seen"):
        verb(asked, options=options, **more)


@pytest.mark.parametrize("verb", [ft.optimize, ft.profile, ft.first_look])
def test_folder_seed_and_settings(
    verb: Callable[..., Any], asked: Workload, benches: list[Workbench], tmp_path: Path
) -> None:
    heard: list[str] = []
    options = ft.RunOptions(output_dir=tmp_path / "here", seed=7, measure=MEASURE)
    run(verb, asked, options, on_progress=lambda stage, *_: heard.append(stage))
    (bench,) = benches
    assert (bench.out, bench.seed, bench.settings) == (tmp_path / "here", 7, MEASURE)
    assert bench.trust  # loading the workload was the gate
    assert bench.splits == make_splits(asked.holdout, None, None, None, seed=7)
    assert "machine" in heard
    about = json.loads((tmp_path / "here" / "work" / "journal.jsonl").read_text().splitlines()[0])["what"]["settings"]
    assert list(about)[:3] == ["seed", "engines", "variants"]
    assert (about["seed"], about["block_s"]) == (7, 0.02)
    assert not {"trust", "profiles"} & set(about)


def test_a_fresh_run_takes_up_nothing(asked: Workload, benches: list[Workbench], tmp_path: Path) -> None:
    for fresh in (False, False, True):
        run(ft.optimize, asked, ft.RunOptions(output_dir=tmp_path, measure=MEASURE, fresh=fresh))
    assert [bench.journal.reused for bench in benches] == [0, 1, 0]


def test_day_and_age_of_the_prices(asked: Workload, benches: list[Workbench], tmp_path: Path) -> None:
    later = date(2028, 1, 1)
    with pytest.raises(StalePriceError):
        ft.optimize(asked, options=ft.RunOptions(output_dir=tmp_path / "out", as_of=later))
    assert not (tmp_path / "out").exists()
    run(ft.optimize, asked, ft.RunOptions(output_dir=tmp_path / "out", as_of=later, max_price_age_days=2000))
    assert len(benches) == 1
