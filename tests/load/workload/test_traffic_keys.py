"""How a trace is read can be said in a workload, as flags or within ``traffic``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from farthing.errors import InputError, TraceError
from farthing.load.workload.workload import load_workload, workload_of


def with_traffic(project: Path, traffic: dict[str, Any]) -> Path:
    path = project / "workload.yaml"
    document = {**yaml.safe_load(path.read_text()), "traffic": traffic}
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


@pytest.fixture
def totals(project: Path) -> Path:
    rows = "".join(f"{1_792_483_200_000 + 60_000 * k},{5_000_000 + 900 * k},{k % 7}\n" for k in range(40))
    (project / "totals.csv").write_text(f"stamp,value,other\n{rows}")
    return project


@pytest.mark.parametrize("prefix", ["", "trace_"])
def test_within_traffic_the_first_word_may_be_left_out(totals: Path, prefix: str) -> None:
    said = {"kind": "counter", "column": "value", "time_column": "stamp", "unit": "ms"}
    w = load_workload(with_traffic(totals, {"trace": "totals.csv", **{f"{prefix}{k}": v for k, v in said.items()}}))
    assert w.trace is not None
    assert list(w.trace.counts) == [900.0] * 39
    assert not w.trace.guessed
    assert "times in milliseconds since 1970" in w.trace.read_as


def test_flags_say_it_too_and_a_new_trace_forgets_what_was_said(totals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(totals)
    path = str(with_traffic(totals, {"trace": "totals.csv", "column": "value"}))
    with pytest.raises(TraceError, match="only grows"):
        workload_of(path, {})
    found = workload_of(path, {"trace_kind": "rates", "trace_per": "min"})
    assert found.trace is not None
    assert found.trace.counts[0] == 5_000_000
    assert workload_of(path, {"trace": "requests-by-minute.csv"}).trace is not None


def test_a_kind_without_a_trace_is_refused(project: Path) -> None:
    with pytest.raises(InputError, match=r"traffic\.trace_kind says how a trace is read, and there is none"):
        load_workload(with_traffic(project, {"per_month": "5M", "kind": "counts"}))
    with pytest.raises(InputError, match="'hourly', which is unknown"):
        load_workload(with_traffic(project, {"trace": "requests-by-minute.csv", "kind": "hourly"}))


def test_a_volume_beside_a_trace_is_said(project: Path) -> None:
    w = load_workload(with_traffic(project, {"trace": "requests-by-minute.csv", "per_month": "14B"}))
    assert w.trace is not None
    assert w.trace.read_as.endswith("to be the stated requests a month")
    assert w.trace.requests_per_month() == pytest.approx(14e9)


def test_a_tokenizer_for_images_is_a_mistake(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    with pytest.raises(InputError, match=r"inputs\.tokenizer is .* and the data are images"):
        workload_of("workload.yaml", {"tokenizer": "tokenizer.json"})


@pytest.mark.parametrize(
    ("flags", "meant"),
    [
        ({"model": "clasifier.onnx"}, "classifier.onnx"), ({"trace": "request-by-minute.csv"}, "requests-by-minute.csv"),
        ({"images": "holdou"}, "holdout"), ({"calibration": "trian"}, "train"), ({"metric": "accurracy"}, "accuracy"),
        ({"metric": "metrics.py:scor"}, "score"), ({"metric": "metric.py:score"}, "metrics.py"),
        ({"model": "nets.py:laod"}, "load"), ({"model": "net.py:load"}, "nets.py"),
    ],
)  # fmt: skip
def test_typos_are_answered_with_what_was_meant(
    project: Path, monkeypatch: pytest.MonkeyPatch, flags: dict[str, str], meant: str
) -> None:
    monkeypatch.chdir(project)
    (project / "metrics.py").write_text("def score(outputs, labels): ...\n")
    (project / "nets.py").write_text("def load(): ...\n")
    with pytest.raises(InputError) as e:
        workload_of("workload.yaml", flags)
    assert "did you mean" in str(e.value.hint)
    assert meant in str(e.value.hint)


def test_a_workload_file_of_another_name(project: Path) -> None:
    with pytest.raises(InputError) as e:
        load_workload(project / "worklaod.yaml")
    assert e.value.hint == f"did you mean {project / 'workload.yaml'}?"
