"""What names of columns say of a trace: rates of any period, and what is no plain number of requests that arrive."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from farthing.errors import TraceError
from farthing.load.traces import CsvArrivals, TraceAsked
from farthing.load.traces.names import is_time, named
from farthing.nouns import Trace

VALUES = [600, 640, 610, 605, 590, 620]


def at_steps(folder: Path, name: str, step_s: int = 60) -> Path:
    path = folder / "t.csv"
    rows = [f"{1_792_483_200 + step_s * k},{v}" for k, v in enumerate(VALUES)]
    path.write_text("\n".join([f"timestamp,{name}", *rows]) + "\n")
    return path


def read(folder: Path, name: str, step_s: int = 60) -> Trace:
    return CsvArrivals().trace(at_steps(folder, name, step_s))


@pytest.mark.parametrize(
    ("name", "per_s"),
    [
        ("RequestsPerSecond", 1), ("ReqPerMin", 60), ("HTTPRequestsPerHour", 3600), ("requests_per_5min", 300),
        ("requests per 10s", 10), ("Requests per 15 min", 900), ("reqPer5Min", 300), ("requests_per_day", 86_400),
        ("requests / 30 s", 30), ("Requests/Sec", 1), ("nginx.net.request_per_s", 1), ("Request count [1/s]", 1),
        ("{req}/s", 1), ("intents_rps", 1), ("hits/s", 1), ("images/s", 1), ("Anfragen/s", 1), ("per_second", 1),
        ("requests_per_second_5m", 1), ("rate(http_requests_total[5m])", 1), ("increase(http_requests_total[5m])", 300),
        ('sum(rate(http_requests_total{job=""x""}[1m]))', 1), ("requests_5m", 300), ("hourly_requests", 3600),
        ("Average requests per minute", 60), ("AWS/S3 requests/s", 1), ("requests every 20 seconds", 20),
    ],
)  # fmt: skip
def test_rates_of_any_period(tmp_path: Path, name: str, per_s: float) -> None:
    quoted = f'"{name}"' if '"' in name else name
    trace = read(tmp_path, quoted)
    assert trace.counts == pytest.approx(np.array(VALUES) * 60 / per_s)


@pytest.mark.parametrize(
    "name",
    [
        "RequestCountPerTarget", "InvocationsPerInstance", "rps/instance", "req/s/pod", "requests per user",
        "requests_per_minute_per_host", "requests by pod", "requests per month", "req/m", "/predict requests",
        "kreq/s", "krps", "kreqs", "kreq_count", "Mreq/s", "requests (1000s)", "requests x1000", "requests (k)",
        "concurrent_requests", "ConcurrentRequests", "requests_in_flight", "inflight requests", "active_requests",
        "queued_requests", "pending_requests", "num_requests_running", "num_requests_waiting", "upstream_rq_active",
        "current requests", "open_requests", "requests_deferred", "throttled_requests", "rejected_requests",
        "RequestsDropped", "blocked requests", "retried requests", "cache_hits", "requests_4xx", "requests_404",
        "HTTPCode_Target_2XX_Count", "requests_pod_1", "pod1 requests", "instance_requests", "requests replica 2",
        "web host requests", "server2 requests", "requests/sec/server", "req_s",
        "rolling requests", "backend-1 rps", 'http_requests_total{instance=""10.0.0.1:9090""}', "http.requests{pod:intents-1}",
        "avg_requests", "Requests (Avg)", "requests per second per target", "requests today",
    ],
)  # fmt: skip
def test_what_is_not_all_that_arrive_is_asked_back(tmp_path: Path, name: str) -> None:
    quoted = f'"{name}"' if '"' in name else name
    path = at_steps(tmp_path, quoted)
    with pytest.raises(TraceError, match=r"all that arrive at the whole service are wanted|unknown kind") as e:
        CsvArrivals().trace(path)
    assert "--trace-kind counts" in str(e.value.hint)
    assert CsvArrivals().trace(path, TraceAsked(kind="counts")).counts.sum() == sum(VALUES)


@pytest.mark.parametrize(
    "name",
    [
        "connection_count", "ActiveConnectionCount", "pod_count", "num_replicas", "HealthyHostCount", "request_time",
        "sessions per second", "tokens/s", "requests %", "requests_pct", "bytes_count", "p95 requests", "packets/s",
    ],
)  # fmt: skip
def test_other_things_say_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(TraceError, match="unknown kind"):
        read(tmp_path, name)


@pytest.mark.parametrize(
    "name",
    [
        "RequestCount", "AWS/ApplicationELB RequestCount", "loadbalancing.googleapis.com/https/request_count",
        "sum:trace.http.request.hits{service:intents}.as_count()", "TotalRequests", "Requests (Sum)", "Invocations",
        "Http Server Requests", "http.server.requests", "OpenAI requests", "Count of records", "Value #A", "k6_requests",
        "nv_inference_request_success", "Request(s)", "backend_request_count", "n", "num_requests",
    ],
)  # fmt: skip
def test_counts_as_tools_name_them(tmp_path: Path, name: str) -> None:
    assert list(read(tmp_path, name).counts) == VALUES


@pytest.mark.parametrize("name", ["http_requests_total", 'http_requests_total{job="x"}', "cumulative requests"])
def test_totals_that_grow(name: str) -> None:
    found = named(name)
    assert found is not None
    assert found.kind == "counter"


def test_the_refusal_says_which_word(tmp_path: Path) -> None:
    with pytest.raises(TraceError) as e:
        read(tmp_path, "throttled_requests")
    assert (
        ": rows stand 60 s apart, and “throttled_requests” holds numbers of an unknown kind; its name says “throttled”, "
        "and all that arrive at the whole service are wanted"
    ) in str(e.value)


def test_a_gauge_beside_requests_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("time,requests,concurrent_requests\n2026-01-01T00:00,10,5\n2026-01-01T00:01,20,7\n")
    assert list(CsvArrivals().trace(path).counts) == [10, 20]


def test_a_gauge_at_uneven_steps_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("time,active_requests\n" + "".join(f"2026-01-01T00:00:{k:02},5\n" for k in (0, 3, 4, 11, 29, 30)))
    with pytest.raises(TraceError, match="no plain number of requests: its name says “active”"):
        CsvArrivals().trace(path)


@pytest.mark.parametrize(
    ("name", "time"),
    [("@timestamp per minute", True), ("@timestamp per 30 seconds", True), ("time per request", False), ("Time", True)],
)
def test_names_of_times(name: str, time: bool) -> None:
    assert is_time(name) is time


def log_of(folder: Path, rows: list[tuple[float, str]], header: str = "timestamp,load") -> Path:
    path = folder / "t.csv"
    path.write_text("\n".join([header, *(f"{1_792_483_200 + t:.0f},{rest}" for t, rest in sorted(rows))]) + "\n")
    return path


def long(missing: int = 0, apart_s: float = 0.0, series: int = 2) -> list[tuple[float, str]]:
    rows = [(60 * k + apart_s * p, f"pod-{p},{40 + k}") for k in range(40) for p in range(series)]
    return [row for k, row in enumerate(rows) if not missing or k % missing]


@pytest.mark.parametrize(
    "rows",
    [long(), long(series=3), long(missing=9), long(missing=3), long(apart_s=2.0), long(apart_s=7.0, missing=11)],
    ids=["two", "three", "some missing", "a third missing", "seconds apart", "apart and missing"],
)
def test_several_series_below_each_other_are_no_log(tmp_path: Path, rows: list[tuple[float, str]]) -> None:
    with pytest.raises(TraceError, match=r"“load” holds numbers of an unknown kind"):
        CsvArrivals().trace(log_of(tmp_path, rows, "timestamp,pod,load"))


@pytest.mark.parametrize("missing", [0, 11])
def test_several_series_that_no_column_names(tmp_path: Path, missing: int) -> None:
    rows = [(t, rest.split(",")[1]) for t, rest in long(missing)]
    with pytest.raises(TraceError, match="2 rows stand at each moment, 60 s apart, as of 2 series") as e:
        CsvArrivals().trace(log_of(tmp_path, rows))
    assert str(e.value.hint).startswith("add the series up, one row a step")


def test_several_series_that_come_and_go(tmp_path: Path) -> None:
    rows = [(60.0 * k, f"{40 + p}") for k in range(60) for p in range(2 + k // 20)]
    with pytest.raises(TraceError, match="3 rows stand at each moment"):
        CsvArrivals().trace(log_of(tmp_path, rows))


@pytest.mark.parametrize("apart_s", [30.0, 20.0, 0.0])
def test_rates_of_series_that_take_turns(tmp_path: Path, apart_s: float) -> None:
    path = log_of(tmp_path, long(apart_s=apart_s), "timestamp,pod,rps")
    with pytest.raises(TraceError, match=r"60 s apart in each of 2 series \(“pod”\)"):
        CsvArrivals().trace(path)


def test_rates_with_a_day_beside_them(tmp_path: Path) -> None:
    rows = [(3600.0 * k, f"{('Mon', 'Tue', 'Wed')[k // 24 % 3]},{40 + k}") for k in range(144)]
    trace = CsvArrivals().trace(log_of(tmp_path, rows, "timestamp,weekday,rps"))
    assert (trace.step_s, trace.counts[0]) == (3600, 40 * 3600)


@pytest.mark.parametrize(("per_s", "round_s"), [(0.5, 1), (5.0, 1), (30.0, 1), (0.2, 60), (2.0, 60), (20.0, 0)])
def test_a_log_stays_a_log(tmp_path: Path, per_s: float, round_s: int) -> None:
    """Poisson arrivals of two hosts with latencies, times rounded to seconds or minutes, are a row a request."""
    rng = np.random.default_rng(7)
    at = np.cumsum(rng.exponential(1 / per_s, 900))
    at = np.floor(at / round_s) * round_s if round_s else at
    hosts, took = rng.integers(0, 2, at.size), rng.integers(5, 90, at.size)
    path = tmp_path / "t.csv"
    lines = [f"{1_792_483_200 + t:.3f},host-{h},{ms}" for t, h, ms in zip(at, hosts, took)]
    assert all(a <= b for a, b in pairwise(at))
    path.write_text("\n".join(["timestamp,host,latency_ms", *lines]) + "\n")
    assert CsvArrivals().trace(path).counts.sum() == 900
