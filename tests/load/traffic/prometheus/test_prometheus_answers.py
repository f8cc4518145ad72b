"""Answers of Prometheus: which kind their numbers are by stated rules, sums over series, restarts, gaps, refusals."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_logs import BEGIN, answer

from farthing.errors import TraceError
from farthing.load.traffic import PrometheusArrivals, TraceAsked, arrivals_of, read_requests, read_trace
from farthing.nouns import Trace

TOTAL = {"__name__": "http_requests_total", "job": "intents"}
GROWING = [9_000_000 + 120 * k + k * k for k in range(30)]
RATES = [2.0 + 0.5 * (k % 3) for k in range(30)]


def read(folder: Path, text: str, **asked: object) -> Trace:
    path = folder / "range.json"
    path.write_text(text)
    return read_trace(path, TraceAsked(**asked))  # type: ignore[arg-type]


def test_a_total_is_counted_by_its_growth(tmp_path: Path) -> None:
    trace = read(tmp_path, answer((TOTAL, GROWING)))
    assert isinstance(arrivals_of(tmp_path / "range.json"), PrometheusArrivals)
    assert list(trace.counts) == list(np.diff(GROWING))
    assert (trace.step_s, trace.start, trace.name, trace.guessed) == (60, BEGIN, "range.json", True)
    assert trace.read_as == (
        "an answer of Prometheus: a total that grows, its differences by step of 60 s (http_requests_total)"
    )
    assert read_requests(tmp_path / "range.json") is None


@pytest.mark.parametrize(
    "name", ["vllm:request_success_total", "http_request_duration_seconds_count", "requests_count"]
)
def test_names_of_totals(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, answer(({"__name__": name}, GROWING))).counts.sum() == GROWING[-1] - GROWING[0]


@pytest.mark.parametrize("values", [GROWING, [5] * 30, [100, 110, *range(3, 31)]])
def test_other_names_of_requests_that_never_fall(tmp_path: Path, values: list[int]) -> None:
    text = answer(({"__name__": "nv_inference_request_success"}, values))
    if max(values) == min(values):
        with pytest.raises(TraceError, match="no requests in 29 steps"):
            read(tmp_path, text)
    else:
        trace = read(tmp_path, text)
        assert trace.read_as.startswith("an answer of Prometheus: a total that grows")


def test_several_series_are_added_up_each_with_its_restarts(tmp_path: Path) -> None:
    one = [100 + 10 * k for k in range(15)] + [4 + 10 * k for k in range(15)]
    two = [None] * 10 + [7_000 + 3 * k for k in range(20)]
    trace = read(tmp_path, answer(({**TOTAL, "pod": "a"}, one), ({**TOTAL, "pod": "b"}, two)))
    expected = np.full(29, 10.0)
    expected[14] = 4
    expected[10:] += 3
    assert list(trace.counts) == list(expected)
    assert "2 series added up; started again 1 ×" in trace.read_as


def test_one_series_by_its_labels(tmp_path: Path) -> None:
    text = answer(({**TOTAL, "pod": "a"}, GROWING), ({**TOTAL, "pod": "b"}, range(30)))
    assert list(read(tmp_path, text, only='pod="b"').counts) == [1] * 29
    with pytest.raises(
        TraceError, match=r"none of its 2 series has 'pod=\"c\"' in it; the first is http_requests_total\{"
    ):
        read(tmp_path, text, only='pod="c"')


@pytest.mark.parametrize(("name", "per_s"), [("requests_per_second", 1), ("intents_rpm", 60), ("request_rate", 1)])
def test_rates_by_name(tmp_path: Path, name: str, per_s: float) -> None:
    trace = read(tmp_path, answer(({"__name__": name}, RATES)))
    assert trace.counts == pytest.approx(np.array(RATES) * 60 / per_s)


def test_what_the_query_left_without_a_name_is_asked_back(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"the query left no metric's name, and the values fall") as e:
        read(tmp_path, answer(({}, RATES)))
    assert e.value.hint == "say which: --trace-kind rates or --trace-kind counts"
    rates = read(tmp_path, answer(({}, RATES)), kind="rates")
    assert rates.counts == pytest.approx(np.array(RATES) * 60)
    assert not rates.guessed
    assert read(tmp_path, answer(({}, RATES)), kind="rates", per="min").counts == pytest.approx(RATES)
    assert read(tmp_path, answer(({}, RATES)), kind="counts").counts == pytest.approx(RATES)
    assert read(tmp_path, answer(({"job": "a"}, GROWING))).counts.sum() == GROWING[-1] - GROWING[0]


def test_counts_where_a_total_was_meant(tmp_path: Path) -> None:
    falling = [50, 40, 60, 30, 70, 20, 80, 10, 90, 5, 95, 4]
    with pytest.raises(
        TraceError, match=r"http_requests_total\{job=\"intents\"\} is called a total, and falls in 6 of 11"
    ):
        read(tmp_path, answer((TOTAL, falling)))
    assert read(tmp_path, answer((TOTAL, falling)), kind="counts").counts.sum() == sum(falling)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("http_requests_in_flight", "is no plain number of requests: its name says “flight”"),
        ("http_requests_throttled_total", "its name says “throttled”"),
        ("process_cpu_seconds_total", "its name does not speak of requests"),
        ("http_request_duration_seconds_bucket", "is a histogram's bucket"),
        ("http_request_duration_seconds_sum", "is a histogram's sum"),
        ("nv_inference_request_success", "its values fall, so that it is no total"),
        ("tokens_total", "its name does not speak of requests"),
    ],
)
def test_other_metrics_are_refused_by_name(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(TraceError, match=says):
        read(tmp_path, answer(({"__name__": name}, RATES)))


def test_two_metrics_are_not_added_up(tmp_path: Path) -> None:
    text = answer((TOTAL, GROWING), ({"__name__": "grpc_requests_total"}, GROWING))
    with pytest.raises(TraceError, match="series of 2 metrics: grpc_requests_total, http_requests_total") as e:
        read(tmp_path, text)
    assert e.value.hint == "ask for one of them, or --trace-only http_requests_total"
    assert read(tmp_path, text, only="http_requests_total").counts.sum() == GROWING[-1] - GROWING[0]


def test_growth_over_missing_samples_is_shared(tmp_path: Path) -> None:
    values: list[float | str | None] = [10.0 * k for k in range(60)]
    values[20] = None
    values[40] = "NaN"
    trace = read(tmp_path, answer((TOTAL, values)))
    assert list(trace.counts) == [10.0] * 59
    assert "2 of 59 steps missing, growth over them shared" in trace.read_as


def test_rates_lie_between_their_neighbours_for_a_while(tmp_path: Path) -> None:
    name = {"__name__": "requests_per_second"}
    always = [1.0] * 60
    away: list[float | None] = [6.0] * 60
    away[10:15] = [None] * 5
    away[20:26] = [None] * 6
    away[30:40] = [None] * 10
    trace = read(tmp_path, answer(({**name, "pod": "a"}, always), ({**name, "pod": "b"}, away)))
    expected = np.full(60, 7 * 60.0)
    expected[20:26] = expected[30:40] = 60
    assert trace.counts == pytest.approx(expected)


def test_times_a_little_off_the_grid(tmp_path: Path) -> None:
    document = json.loads(answer((TOTAL, [10.0 * k * k for k in range(30)])))
    for k, pair in enumerate(document["data"]["result"][0]["values"]):
        pair[0] += (-2.0, 0.0, 3.0, 0.0, 0.0)[k % 5] if k else 0.0
    trace = read(tmp_path, json.dumps(document))
    assert list(trace.counts) == [10.0 * (2 * k + 1) for k in range(29)]


def test_many_missing_steps_are_refused(tmp_path: Path) -> None:
    values = [None if 10 <= k < 16 else 10.0 * k for k in range(60)]
    with pytest.raises(TraceError, match=r"lacks 6 of 60 steps of 60 s \(10%\); the limit is 5%"):
        read(tmp_path, answer((TOTAL, values)))


def test_uneven_and_long_steps(tmp_path: Path) -> None:
    text = answer((TOTAL, GROWING), step_s=86_400)
    with pytest.raises(TraceError, match="steps of 86,400 s"):
        read(tmp_path, text)
    document = json.loads(answer((TOTAL, GROWING)))
    document["data"]["result"][0]["values"][5][0] += 31
    with pytest.raises(TraceError, match="no whole number of 60 s steps apart"):
        read(tmp_path, json.dumps(document))
    document["data"]["result"][0]["values"] = document["data"]["result"][0]["values"][:1]
    with pytest.raises(TraceError, match="has one step"):
        read(tmp_path, json.dumps(document))


def test_times_that_fall_are_refused(tmp_path: Path) -> None:
    document = json.loads(answer((TOTAL, GROWING)))
    document["data"]["result"][0]["values"][5][0] -= 3600
    with pytest.raises(TraceError, match=r"not sorted: in http_requests_total\{job=\"intents\"\} sample 6"):
        read(tmp_path, json.dumps(document))


@pytest.mark.parametrize("at", [-5.0, 1e300, float("nan"), float("inf")])
def test_times_that_are_none(tmp_path: Path, at: float) -> None:
    document = json.loads(answer((TOTAL, GROWING)))
    document["data"]["result"][0]["values"][5][0] = at
    with pytest.raises(TraceError, match="has times that are no seconds since 1970"):
        read(tmp_path, json.dumps(document))


@pytest.mark.parametrize(("value", "says"), [("+Inf", "holds inf"), ("-3", "holds -3"), ("many", "no pairs of a time")])
def test_values_that_are_no_requests(tmp_path: Path, value: str, says: str) -> None:
    with pytest.raises(TraceError, match=says):
        read(tmp_path, answer((TOTAL, [1, 2, value, 4])))


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (
            {"status": "error", "errorType": "bad_data", "error": "parse error"},
            "an error of Prometheus: bad_data: parse",
        ),
        ({"status": "success", "data": {"resultType": "vector", "result": []}}, "type 'vector', which has one moment"),
        ({"status": "success", "data": {"resultType": "matrix", "result": []}}, "no series: the query matched nothing"),
        ({"status": "success", "data": {"resultType": "matrix", "result": 7}}, "no series: the query matched nothing"),
        ({"status": "success", "data": {"resultType": "matrix", "result": [7]}}, "has values that are no pairs"),
        (
            {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "histograms": []}]}},
            "holds histograms",
        ),
        (
            {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "NaN"]]}]}},
            "all of its samples are NaN",
        ),
    ],
)
def test_answers_that_hold_no_trace(tmp_path: Path, document: dict[str, object], says: str) -> None:
    with pytest.raises(TraceError, match=says) as e:
        read(tmp_path, json.dumps(document))
    assert e.value.hint


def test_an_answer_that_is_cut_off(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="is no whole JSON"):
        read(tmp_path, answer((TOTAL, GROWING))[:-40])
    (tmp_path / "x").write_text("[1]")
    with pytest.raises(TraceError, match="holds list, not an answer"):
        PrometheusArrivals().trace(tmp_path / "x")


def test_what_does_not_apply(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot hold timestamps"):
        read(tmp_path, answer((TOTAL, GROWING)), kind="timestamps")
    with pytest.raises(TraceError, match="--trace-unit says nothing of it"):
        read(tmp_path, answer((TOTAL, GROWING)), unit="ms")


@given(st.lists(st.integers(0, 50), min_size=20, max_size=60), st.integers(0, 18), st.integers(1, 3600))
def test_a_total_and_its_restarts_lose_nothing(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], restart: int, step_s: int
) -> None:
    """A process that starts again at the beginning of a step has counted that step's requests when it is next seen."""
    if not any(counts):
        return
    total = np.cumsum([1000, *counts])
    total[restart + 1 :] -= total[restart]
    trace = read(tmp_path_factory.mktemp("t"), answer((TOTAL, [int(v) for v in total]), step_s=step_s))
    assert list(trace.counts) == counts
    assert trace.start == BEGIN
    assert trace.hours == pytest.approx(len(counts) * step_s / 3600)
    assert timedelta(seconds=trace.step_s) == timedelta(seconds=step_s)
