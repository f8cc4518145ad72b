"""Recorded series as metrics: totals replayed as they are, replicas' values as a load that is kept, gaps, what is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from autoscalers import START_S, container, cpu, deployment, external, hpa, recorded, scaled_object, trigger, written

from farthing.core.simulation.replay.autoscaler import Autoscaler
from farthing.errors import InputError, TraceError
from farthing.load.scaling.asked import SeriesAsked, with_said_requests
from farthing.load.scaling.hpa_manifest import hpa_of
from farthing.load.scaling.recorded import recording_of
from farthing.load.scaling.scaled_object import scaled_object_of

PODS = {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "10"}}}


def web(folder: Path, *metrics: Any, **spec: Any) -> Autoscaler:
    return hpa_of(written(folder, hpa(metrics or None, **spec)))


def keda(folder: Path, *triggers: Any) -> Autoscaler:
    return scaled_object_of(written(folder, scaled_object(triggers or None)))


def test_a_total_is_replayed_as_it_is(tmp_path: Path) -> None:
    path = recorded(tmp_path, ({}, [10, 20, 30]))
    found = recording_of(web(tmp_path), SeriesAsked(files=[str(path)]))
    (metric,) = found.metrics
    assert (found.start_s, found.length_s, found.replicas) == (START_S, 45, None)
    assert (metric.loop, list(metric.load), metric.step_s) == ("open", [10, 20, 30], 15)
    assert "does not depend on replicas" in metric.read_as
    assert [metric.at(s) for s in (0, 14.9, 15, 44)] == [10, 10, 20, 30]


def test_series_of_an_external_metric_are_added_up_as_the_controller_does(tmp_path: Path) -> None:
    path = recorded(tmp_path, ({"zone": "a"}, [10, None, 30]), ({"zone": "b"}, [1, 2, 3]))
    (metric,) = recording_of(web(tmp_path), SeriesAsked(files=[str(path)])).metrics
    assert list(metric.load) == [11, 2, 33]
    assert "2 series added up" in metric.read_as


def test_a_series_a_pod_tells_the_load_and_the_replicas(tmp_path: Path) -> None:
    path = recorded(tmp_path, ({"pod": "a"}, [10, 20, 30]), ({"pod": "b"}, [None, 20, 30]))
    found = recording_of(web(tmp_path, PODS), SeriesAsked(files=[str(path)]))
    assert (found.metrics[0].loop, list(found.metrics[0].load), found.replicas) == ("closed", [10, 40, 60], 1)


def test_an_average_needs_the_replicas_of_its_time(tmp_path: Path) -> None:
    path, scaler = recorded(tmp_path, ({}, [10, 20, 30])), web(tmp_path, PODS)
    with pytest.raises(InputError, match="depends on how many there were") as e:
        recording_of(scaler, SeriesAsked(files=[str(path)]))
    assert "--replicas-series FILE, --recorded-replicas N, or --total rps" in str(e.value)
    found = recording_of(scaler, SeriesAsked(files=[str(path)], replicas=4))
    assert (list(found.metrics[0].load), found.replicas) == ([40, 80, 120], 4)
    counts = recorded(tmp_path, ({"deployment": "web"}, [2, 3]), name="replicas.json", step_s=30)
    found = recording_of(scaler, SeriesAsked(files=[str(path)], replicas_file=counts))
    assert (list(found.metrics[0].load), found.replicas) == ([20, 40, 90], 2)
    assert "the load is kept" in found.metrics[0].read_as
    found = recording_of(scaler, SeriesAsked(files=[str(path)], totals=["rps"]))
    assert (list(found.metrics[0].load), found.metrics[0].loop) == ([10, 20, 30], "closed")


def test_the_query_says_whether_it_is_an_average(tmp_path: Path) -> None:
    path = recorded(tmp_path, ({}, [10, 20]))
    with pytest.raises(InputError, match="is what one replica had"):
        recording_of(keda(tmp_path, trigger("avg(rate(x[1m]))")), SeriesAsked(files=[str(path)]))
    scaler = keda(tmp_path, trigger("avg(rate(x[1m]))"))
    (metric,) = recording_of(scaler, SeriesAsked(files=[str(path)], replicas=3)).metrics
    assert (metric.loop, list(metric.load)) == ("closed", [30, 60])
    (metric,) = recording_of(scaler, SeriesAsked(files=[str(path)], totals=["prometheus"])).metrics
    assert (metric.loop, list(metric.load)) == ("open", [10, 20])
    scaler = keda(tmp_path)
    (metric,) = recording_of(scaler, SeriesAsked(files=[str(path)], per_replica=["0"], replicas=2)).metrics
    assert (metric.loop, list(metric.load)) == ("closed", [20, 40])


def test_several_series_of_a_query_that_keda_would_fail_on(tmp_path: Path) -> None:
    path = recorded(tmp_path, ({"pod": "a"}, [10, 20]), ({"pod": "b"}, [1, 2]))
    with pytest.raises(InputError, match="2 series, and KEDA fails on a query that returns several"):
        recording_of(keda(tmp_path, trigger("rate(x[1m])")), SeriesAsked(files=[str(path)]))
    for scaler, totals in ((keda(tmp_path, trigger("rate(x[1m])")), ["prometheus"]), (keda(tmp_path), [])):
        (metric,) = recording_of(scaler, SeriesAsked(files=[str(path)], totals=totals)).metrics
        assert list(metric.load) == [11, 22]


def test_which_file_is_which(tmp_path: Path) -> None:
    scaler = web(tmp_path, external("a"), external("b"))
    a, b = (str(recorded(tmp_path, ({}, [k, k, k]), name=f"{k}.json")) for k in (1, 2))
    found = recording_of(scaler, SeriesAsked(files=[f"b={b}", f"0={a}"]))
    assert [metric.load[0] for metric in found.metrics] == [1, 2]
    for files, said in (
        ([a, b], "does not say which metric it holds"),
        ([f"a={a}"], "no recorded series of b"),
        ([f"a={a}", f"a={b}"], "a has two files"),
        ([f"c={a}", f"b={b}"], "does not say which metric"),
        ([], "no recorded series of a, b"),
    ):
        with pytest.raises(InputError, match=said):
            recording_of(scaler, SeriesAsked(files=files))
    with pytest.raises(InputError, match="--total names c"):
        recording_of(scaler, SeriesAsked(files=[f"a={a}", f"b={b}"], totals=["c"]))


def test_a_file_whose_name_has_an_equals_sign(tmp_path: Path) -> None:
    path = recorded(tmp_path, ({}, [1, 2]), name="x=y.json")
    assert recording_of(web(tmp_path), SeriesAsked(files=[str(path)])).length_s == 30


def test_gaps_have_no_number(tmp_path: Path) -> None:
    path = recorded(tmp_path, ({}, [10, "NaN", None, 40, 41, "+Inf"]))  # type: ignore[list-item]
    (metric,) = recording_of(web(tmp_path), SeriesAsked(files=[str(path)])).metrics
    assert [metric.at(s) for s in (0, 15, 30, 45, 60)] == [10, None, None, 40, 41]
    path = recorded(tmp_path, ({}, [10, 10, 10, None, None, 40, 40]))
    (metric,) = recording_of(web(tmp_path), SeriesAsked(files=[str(path)])).metrics
    assert metric.gap_s(105) == 30


def test_utilisation_in_percent_or_against_a_request(tmp_path: Path) -> None:
    pods = [({"pod": "a"}, [0.25, 0.5]), ({"pod": "b"}, [0.25, 0.5])]
    cores = recorded(tmp_path, *pods)
    scaler = web(tmp_path, cpu())
    with pytest.raises(InputError, match="hardly percent of a request") as e:
        recording_of(scaler, SeriesAsked(files=[str(cores)]))
    assert "--request cpu=500m" in str(e.value)
    for text in ("500m", "cpu=500m", "0=0.5"):
        (metric,) = recording_of(scaler, SeriesAsked(files=[str(cores)], requests=[text])).metrics
        assert list(metric.load) == [100, 200]  # percent of one pod's request, of both pods together
    beside = hpa_of(written(tmp_path, hpa([cpu()]), deployment(container(cpu="250m"))))
    (metric,) = recording_of(beside, SeriesAsked(files=[str(cores)])).metrics
    assert list(metric.load) == [200, 400]
    (metric,) = recording_of(scaler, SeriesAsked(files=[str(cores)], requests=["percent"])).metrics
    assert list(metric.load) == [0.5, 1.0]
    percents = recorded(tmp_path, ({}, [60, 75]), name="percent.json")
    (metric,) = recording_of(scaler, SeriesAsked(files=[str(percents)], replicas=3)).metrics
    assert list(metric.load) == [180, 225]
    with pytest.raises(InputError, match="300 times its request"):
        recording_of(beside, SeriesAsked(files=[str(percents)], replicas=3))
    for text, said in (("cpu=lots", "no quantity"), ("ram=1", "names ram"), ("cpu=0", "no quantity > 0")):
        with pytest.raises(InputError, match=said):
            recording_of(scaler, SeriesAsked(files=[str(cores)], requests=[text]))
    with pytest.raises(InputError, match="target of requests is no utilisation"):
        recording_of(web(tmp_path), SeriesAsked(files=[str(cores)], requests=["requests=1"]))


def test_a_request_that_is_said_counts_where_the_manifest_lacks_it(tmp_path: Path) -> None:
    lacking = hpa_of(written(tmp_path, hpa([cpu()]), deployment(container())))
    assert lacking.followed[0].lacking == ("server",)
    assert with_said_requests(lacking, ["500m"]).followed[0].lacking == ()
    assert with_said_requests(lacking, []) == lacking


def test_the_time_in_common(tmp_path: Path) -> None:
    scaler = web(tmp_path, external("a"), external("b"))
    a = recorded(tmp_path, ({}, list(range(10))), name="a.json")
    b = recorded(tmp_path, ({}, [None] * 4 + list(range(4, 20))), name="b.json")
    found = recording_of(scaler, SeriesAsked(files=[f"a={a}", f"b={b}"]))
    assert (found.start_s, found.length_s) == (START_S + 60, 90)
    assert [metric.at(0.0) for metric in found.metrics] == [4, 4]
    hole = recorded(tmp_path, ({}, [1, 2, *[None] * 20, 3]), name="hole.json")
    inner = recorded(tmp_path, ({}, [*[None] * 5, 1, 2, 3]), name="inner.json")
    with pytest.raises(TraceError, match="no number in the time that all series cover"):
        recording_of(scaler, SeriesAsked(files=[f"a={hole}", f"b={inner}"]))
    late = recorded(tmp_path, ({}, [None] * 30 + [1, 2]), name="late.json")
    with pytest.raises(InputError, match="no time in common"):
        recording_of(scaler, SeriesAsked(files=[f"a={a}", f"b={late}"]))


@pytest.mark.parametrize(
    ("series", "said"),
    [([], "no numbers: the query matched nothing"), ([({}, ["NaN"] * 3)], "no numbers"), ([({}, [1])], "one moment")],
)
def test_nothing_to_replay(tmp_path: Path, series: list[Any], said: str) -> None:
    with pytest.raises(TraceError, match=said):
        recording_of(web(tmp_path), SeriesAsked(files=[str(recorded(tmp_path, *series))]))


def test_samples_at_times_of_their_own(tmp_path: Path) -> None:
    def raw(*offsets: float) -> str:
        result = [
            {"metric": {"pod": str(k)}, "values": [[START_S + 15 * n + at_s + 0.3 * (n % 3), "1"] for n in range(9)]}
            for k, at_s in enumerate(offsets)
        ]
        path = tmp_path / "raw.json"
        path.write_text(json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}))
        return str(path)

    found = recording_of(web(tmp_path, PODS), SeriesAsked(files=[raw(0)]))
    assert found.metrics[0].step_s == pytest.approx(15.3 * 1.1)
    assert found.metrics[0].gap_s(found.length_s) == 0
    with pytest.raises(TraceError, match="times of their own"):
        recording_of(web(tmp_path, PODS), SeriesAsked(files=[raw(0, 4)]))


def test_negative_values_are_kept(tmp_path: Path) -> None:
    path = recorded(tmp_path, ({}, [-5, 20, 30]))
    (metric,) = recording_of(web(tmp_path), SeriesAsked(files=[str(path)])).metrics
    assert np.array_equal(metric.load, [-5, 20, 30])


def test_what_cannot_both_be_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="say the same"):
        SeriesAsked(replicas=3, replicas_file=tmp_path)
    with pytest.raises(InputError, match="both --total and --per-replica"):
        SeriesAsked(totals=["a"], per_replica=["a"])
    two = recorded(tmp_path, ({"a": "1"}, [1, 2]), ({"a": "2"}, [1, 2]), name="two.json")
    with pytest.raises(TraceError, match="2 series, not one of replicas"):
        recording_of(web(tmp_path), SeriesAsked(files=[str(recorded(tmp_path, ({}, [1, 2])))], replicas_file=two))
