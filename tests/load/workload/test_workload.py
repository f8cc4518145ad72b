from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_inputs import write_images, write_onnx

from farthing.codec import from_plain, to_plain
from farthing.errors import DataError, FarthingError, InputError, ModelError, SchemaError, TraceError, TrustError
from farthing.load.fields import FLAGS
from farthing.load.schema import stamp
from farthing.load.workload.resolved import load_resolved_workload
from farthing.load.workload.splits import make_splits
from farthing.load.workload.workload import load_workload, workload_from_flags, workload_of
from farthing.nouns import LatencyBound, Workload

FLAT = {
    "offer": "aws/m7i.large",
    "bill": "$10,000",
    "p99": "50ms",
}


def changed(project: Path, **sections: Any) -> Path:
    """The golden workload with some sections replaced; None takes one out."""
    path = project / "workload.yaml"
    document = {**yaml.safe_load(path.read_text()), **sections}
    path.write_text(yaml.safe_dump({k: v for k, v in document.items() if v is not None}, sort_keys=False))
    return path


def test_the_golden_workload(project: Path) -> None:
    w = load_workload(project / "workload.yaml")
    assert (w.name, w.priced_as, w.search_n, w.confirm_n) == ("golden", "aws/m7i.large", 20, 40)
    assert (w.holdout.n, w.calibration and w.calibration.n, w.holdout.classes) == (90, 30, ("cat", "dog", "owl"))
    assert (w.pipeline.resize, w.pipeline.crop, w.pipeline.mean) == (32, 28, (0.485, 0.456, 0.406))
    assert (w.objective.latency, w.objective.max_drop_frac) == (LatencyBound(ms=50), 0.01)
    assert (w.objective.confidence, w.objective.min_saving_frac, w.objective.metric) == (0.95, 0.3, "accuracy")
    assert (w.bill.replicas, w.bill.usd_per_month, w.bill.term) == (136, None, "on_demand")
    assert w.trace is not None
    assert (w.trace.step_s, w.trace.counts.size) == (60, 1440)
    splits = make_splits(w.holdout, w.calibration, w.search_n, w.confirm_n, seed=0)
    assert (len(splits.search), len(splits.confirm), len(splits.calibrate)) == (20, 40, 30)


def test_a_workload_survives_the_codec(project: Path) -> None:
    w = load_workload(project / "workload.yaml")
    again = from_plain(Workload, to_plain(w))
    assert to_plain(again) == to_plain(w)
    resolved = project / "workload.json"
    resolved.write_text(yaml.safe_dump({"schema": stamp("workload-resolved"), **to_plain(w)}))
    resolved = resolved.rename(project / "w.yaml")
    assert to_plain(load_resolved_workload(resolved)) == to_plain(w)
    resolved.write_text("schema: farthing/workload-resolved/1\nname: x\nstolen: 1\n")
    with pytest.raises(SchemaError, match="is no resolved workload: "):
        load_resolved_workload(resolved)


def test_flags_and_file_give_the_same(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    from_file = load_workload("workload.yaml")
    flags = {
        "name": "golden", "model": "classifier.onnx", "priced-as": "aws/m7i.large", "images": "holdout", "resize": 32,
        "crop": "28", "mean": "0.485,0.456,0.406", "std": [0.229, 0.224, 0.225], "calibration": "train",
        "engine": "onnxruntime", "precision": "fp32", "batch": 1, "trace": "requests-by-minute.csv",
        "offer": "aws/m7i.large", "region": "us-east-1", "term": "on_demand", "replicas": "136", "p99": "50ms",
        "max-drop": "1pt", "confidence": "95%", "min-saving": "30%", "search": 20, "confirm": 40, "budget": None,
    }  # fmt: skip
    assert to_plain(workload_from_flags(flags)) == to_plain(from_file)
    nested = {k: v for k, v in yaml.safe_load(Path("workload.yaml").read_text()).items() if k != "schema"}
    assert to_plain(workload_from_flags(nested)) == to_plain(from_file)


@pytest.mark.parametrize(
    ("key", "percentile", "name"),
    [("p50", 0.5, "p50"), ("p90", 0.9, "p90"), ("p95", 0.95, "p95"), ("p99", 0.99, "p99"), ("p999", 0.999, "p99.9")],
)
def test_every_level_is_a_flag_and_a_key(project: Path, key: str, percentile: float, name: str) -> None:
    w = workload_of(str(project / "workload.yaml"), {key: "70ms"})
    assert w.objective.latency == LatencyBound(ms=70, percentile=percentile)
    assert w.objective.latency is not None
    assert (w.objective.latency.name, w.objective.latency.flag, w.objective.level) == (name, f"--{key}", percentile)
    from_file = load_workload(changed(project, objective={key: "70ms"}))
    assert from_file.objective.latency == w.objective.latency


@pytest.mark.parametrize("key", ["p9999", "p99.99", "p99.9", "p75", "p100"])
def test_a_level_that_no_run_can_hold_is_refused_before_any_work(project: Path, key: str) -> None:
    with pytest.raises(InputError, match=f"{key} in .* is no latency level that can be promised") as caught:
        load_workload(changed(project, objective={key: "70ms"}))
    assert caught.value.hint is not None
    assert "p99, p999 (p99.9)" in caught.value.hint
    with pytest.raises(ValueError, match="too few requests"):
        LatencyBound(ms=70, percentile=0.9999)


def test_the_short_form_needs_no_yaml(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    w = workload_of("classifier.onnx", {**FLAT, "labels": "holdout/", "baseline_batch": 4})
    assert (w.name, w.bill.usd_per_month, w.holdout.n, w.calibration) == ("classifier", 10_000, 90, None)
    assert (w.baseline.engine, w.baseline.max_batch) == ("onnxruntime", 4)
    assert (w.trace, w.shape, w.requests_per_month) == (None, "day-night", None)


def test_flags_win_over_the_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.parent)
    write_images(project.parent / "other", ["cat", "dog"] * 4)
    flags = {"p95": "0.2s", "bill": 500, "data": "other", "shape": "flat", "per_month": "1M", "max_drop": "3pt"}
    w = workload_of(str(project / "workload.yaml"), flags)
    assert (w.objective.latency, w.objective.max_drop_frac) == (LatencyBound(ms=200, percentile=0.95), 0.03)
    assert (w.bill.usd_per_month, w.bill.replicas, w.bill.region) == (500, None, "us-east-1")
    assert (w.holdout.n, w.trace, w.shape, w.requests_per_month) == (8, None, "flat", 1e6)
    assert w.calibration is not None


def test_a_trace_is_scaled_to_the_monthly_volume(project: Path) -> None:
    w = load_workload(changed(project, traffic={"trace": "requests-by-minute.csv", "per_month": "14B"}))
    assert w.trace is not None
    assert w.trace.requests_per_month() == pytest.approx(14e9)


def test_a_utilisation_stands_for_a_volume(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    w = load_workload(changed(project, traffic={"utilisation": "40%", "shape": "flat"}))
    assert (w.trace, w.requests_per_month, w.utilisation_frac, w.shape) == (None, None, 0.4, "flat")
    monkeypatch.chdir(project)
    for flags, volume, used in (({"utilisation": "0.3"}, None, 0.3), ({"per_month": "1M"}, 1e6, None)):
        file = changed(project, traffic={"per_month": "5M"} if used else {"utilisation": "50%"})
        found = workload_of(str(file), flags)
        assert (found.requests_per_month, found.utilisation_frac) == (volume, used)
    assert workload_of(str(project / "workload.yaml"), {"utilisation": "100%"}).trace is None


@pytest.mark.parametrize(
    ("traffic", "said"),
    [
        ({"utilisation": "40%", "per_month": "5M"}, "gives per_month and the utilisation 40%"),
        ({"utilisation": "40%", "trace": "requests-by-minute.csv"}, "gives trace and the utilisation 40%"),
        ({"utilisation": "0%"}, r"it must lie in \(0 %, 100 %\]"),
        ({"utilisation": "140%"}, r"traffic\.utilisation is '140%'"),
        ({"utilisation": 40}, "without a unit it must lie in"),
    ],
)
def test_utilisations_that_say_nothing(project: Path, traffic: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_workload(changed(project, traffic=traffic))


def test_without_labels_answers_are_held_against_the_baselines(project: Path) -> None:
    write_images(project / "flat", ["."] * 60)
    assert load_workload(changed(project, inputs={"images": "flat"})).objective.metric == "agreement"
    with pytest.raises(DataError, match=r"objective\.metric is accuracy, but .*flat has no labels"):
        load_workload(changed(project, objective={"metric": "accuracy"}))


def test_unknown_key(project: Path, golden_error: Callable[[str, Exception, Path], None]) -> None:
    with pytest.raises(InputError) as e:
        load_workload(changed(project, objective={"max_dorp": "1pt"}))
    golden_error("unknown-key", e.value, project)


def test_unsorted_trace(project: Path, golden_error: Callable[[str, Exception, Path], None]) -> None:
    trace = project / "requests-by-minute.csv"
    rows = trace.read_text().splitlines()
    trace.write_text("\n".join([rows[0], rows[1], rows[3], rows[2], *rows[4:]]))
    with pytest.raises(TraceError) as e:
        load_workload(project / "workload.yaml")
    golden_error("trace-not-sorted", e.value, project)


@pytest.mark.parametrize(
    ("sections", "kind", "says"),
    [
        ({"model": None}, InputError, "no model is given"),
        ({"model": "nope.onnx"}, ModelError, "there is no model"),
        ({"modle": "x"}, InputError, "unknown key 'modle' in workload.yaml"),
        ({"inputs": None}, InputError, "no data is given"),
        ({"inputs": {"images": "holdout", "texts": "t.csv"}}, InputError, "inputs gives images and texts"),
        ({"inputs": {"images": "nope"}}, DataError, "there is no data at"),
        ({"inputs": {"images": "holdout", "mean": [127], "std": [128]}}, InputError, r"inputs.mean is \[127.0\]"),
        ({"inputs": {"images": "holdout", "mean": [0.5, 0.5]}}, InputError, "inputs.mean has 2 values for 3 channels"),
        ({"inputs": {"images": "holdout", "std": [0]}}, InputError, "inputs: std must be > 0"),
        ({"inputs": {"images": "holdout", "crop": 0}}, InputError, "inputs.crop is 0; it must be > 0"),
        ({"inputs": {"images": "holdout", "crop": 2.5}}, InputError, "must be a whole number"),
        ({"inputs": {"images": "holdout", "interpolation": "bicubik"}}, InputError, "did you mean bicubic"),
        ({"inputs": {"images": "holdout", "squash": "yes please"}}, InputError, "must be true or false"),
        ({"baseline": {"engine": "pytorch"}}, InputError, "is an ONNX model, which PyTorch cannot run"),
        ({"baseline": {"engine": "onyx"}}, InputError, "baseline.engine is 'onyx'"),
        ({"baseline": {"precision": "fp8"}}, InputError, "baseline.precision is 'fp8'"),
        ({"traffic": {"trace": "nope.csv"}}, TraceError, "cannot read the trace"),
        ({"traffic": {"trace": "requests-by-minute.csv", "shape": "flat"}}, InputError, "a trace and the shape flat"),
        ({"traffic": {"shape": "weekly"}}, InputError, "traffic.shape is 'weekly'"),
        ({"bill": {"replicas": 3}}, InputError, "bill.offer is missing"),
        ({"bill": {"offer": "a/b"}}, InputError, "neither usd_per_month nor replicas"),
        ({"bill": {"offer": "a/b", "replicas": 2, "usd_per_month": 5}}, InputError, "both usd_per_month and replicas"),
        ({"bill": {"offer": "a/b", "usd_per_month": "$0"}}, InputError, "no amount of US dollars"),
        ({"bill": {"offer": "a/b", "usd_per_month": 5, "term": "spto"}}, InputError, "did you mean spot"),
        ({"objective": {"p99": "5"}}, InputError, "objective.p99 is '5' without a unit"),
        ({"objective": {"p99": "5ms", "p95": "3ms"}}, InputError, "objective gives p95 and p99"),
        ({"objective": {"max_drop": "100%"}}, InputError, "objective: max_drop_frac must lie in"),
        ({"objective": {"confidence": "40%"}}, InputError, r"objective: confidence must lie in \(0.5, 1\)"),
        ({"objective": {"metric": "acuracy"}}, InputError, "objective.metric is 'acuracy'"),
        ({"objective": "fast"}, InputError, "objective of workload.yaml is 'fast'; it must hold keys"),
        ({"splits": {"search": -3}}, InputError, "splits.search is -3"),
        ({"calibration": "requests-by-minute.csv"}, DataError, "no column of a usual name"),
        ({"p99": "5ms"}, InputError, "workload.yaml gives objective.p99 twice: '50ms' and '5ms'"),
    ],
)
def test_bad_input_names_thing_and_value(project: Path, sections: dict[str, Any], kind: type, says: str) -> None:
    with pytest.raises(kind, match=says) as e:
        load_workload(changed(project, **sections))
    assert "Traceback" not in str(e.value)


def test_labels_that_the_model_does_not_know(project: Path) -> None:
    write_onnx(project / "classifier.onnx", classes=2)
    with pytest.raises(DataError, match=r"has label owl .class 2., but the model has 2 classes"):
        load_workload(project / "workload.yaml")


def test_import_paths_in_a_file_need_trust(project: Path) -> None:
    (project / "net.py").write_text("raise SystemExit('ran')")
    path = changed(project, model="net.py:load", example_shape=[3, 28, 28], baseline={"engine": "pytorch"})
    with pytest.raises(TrustError, match=r"the model .*net\.py:load is Python code"):
        load_workload(path)
    w = load_workload(path, trust=True)
    assert (w.model.kind, w.model.path, w.model.example_shape) == ("torch", f"{project / 'net.py'}:load", (3, 28, 28))
    assert w.baseline.engine == "pytorch"


def test_own_metrics_need_trust(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "score.py").write_text("def mine(outputs, labels):\n    return 1.0\n")
    path = changed(project, objective={"metric": "score.py:mine", "p99": "1s"})
    with pytest.raises(TrustError, match=r"the metric score.py:mine in workload\.yaml"):
        load_workload(path)
    w = load_workload(path, trust=True)
    assert (w.objective.metric, w.custom_metric) == ("mine", f"{project / 'score.py'}:mine")
    monkeypatch.chdir(project)
    typed = workload_of("workload.yaml", {"metric": "score.py:mine"})
    assert typed.custom_metric == w.custom_metric


def test_every_flag_is_known_and_has_one_spelling() -> None:
    assert "max_drop" in FLAGS
    assert "calibration_images" in FLAGS
    assert "images" in FLAGS
    assert len(set(FLAGS)) == len(FLAGS)


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([k for k in FLAGS if k not in ("name", "priced_as", "region")]), plain)
def test_no_value_of_any_flag_escapes_as_another_error(inside: Path, key: str, value: Any) -> None:
    base = {"model": "classifier.onnx", "data": "holdout", **FLAT}
    with contextlib.suppress(FarthingError):  # a clear refusal is fine, any other exception is not
        workload_from_flags({**base, key: value})
