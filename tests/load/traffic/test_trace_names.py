"""What names of columns say of a trace: rates of any period, and what is no plain number of requests that arrive."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from farthing.errors import TraceError
from farthing.load.traffic import CsvArrivals, TraceAsked
from farthing.load.traffic.column_names import is_time, named
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
        ("Average requests per minute", 60), ("requests last hour", 3600), ("last hour requests", 3600), ("last 5m requests", 300), ("15 min requests", 900),
         ("holiday requests day", 86_400), ("requests_last_15m", 900), ("Requests5Min", 300),
        ("requests_5m_sum", 300), ("http requests (5m)", 300), ("intents requests_30min", 1800),
        ('"sum(count_over_time({app=""api"", level!=""gpu""}[1m]))"', 60),
        ("increase(yolov8s_requests_total[5m])", 300), ("rate(unet3d_requests_total[5m])", 1),
        ("AWS/S3 requests/s", 1), ("requests every 20 seconds", 20),
    ],
)  # fmt: skip
def test_rates_of_any_period(tmp_path: Path, name: str, per_s: float) -> None:
    quoted = f'"{name}"' if '"' in name and name[0] != '"' else name
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
        "processing_requests", "tenant acme requests", "region_eu_requests", "pod intents requests", "jobs_processing_count",
        "requests being processed", "http_processing_requests", "requests_499", "requests_web_404",
        "404 requests", "http_443_requests", "requests status 299", "requests of the pod", "requests a pod",
        "container b requests", "web_requests_pod", "instance count of requests", "http.requests{status:200}",
        'requests{job=""x"",pod_name=""y""}', "requests/online", "rps/instance count",
        "rps/model (requests)",
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
        "nv_inference_request_success", "Request(s)", "backend_request_count", "n", "num_requests", "requests/count",
        "aiplatform.googleapis.com/prediction/online/prediction_count", "Requests over time", "RequestsOverTime",
        "real-time requests", "RealTimeRequests", "requests/sum", "serving/requests/online/request_count",
        "sum:trace.http.request.hits{service:gpu-intents}.as_count()", 'requests{job=""http://pod:80/id""}',
    ],
)  # fmt: skip
def test_counts_as_tools_name_them(tmp_path: Path, name: str) -> None:
    assert list(read(tmp_path, f'"{name}"' if '"' in name else name).counts) == VALUES


@pytest.mark.parametrize(
    "name",
    [
        "yolov8s_requests", "yolov8m_requests", "YOLOv8s requests", "requests_yolov8s", "yolo_11_m_requests",
        "efficientnetv2_s_requests", "unet3d_requests", "unet_3d_requests", "image_3d_requests", "llama3_8b_requests",
        "second_model_requests", "day_model_requests", "requests_week_48", "hour_forecaster_requests", "vit_h_14_requests",
        "vit_base_patch16_224_requests", "requests_vit_224", "nginx_443_requests", "resnet_512_count",
        "instance_segmentation_requests", "machine_translation_requests", "container_detection_requests", "requests_efficientnetv2_s", "holiday_requests_week_48",
        "weekend_model_requests",
        "document_processing_requests", "image_processing_requests", "payment_processing_count", "natural_language_processing_requests",
    ],
)  # fmt: skip
@pytest.mark.parametrize("step_s", [60, 600])
def test_models_are_called_as_they_like(tmp_path: Path, name: str, step_s: int) -> None:
    assert list(read(tmp_path, name, step_s).counts) == VALUES


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


@pytest.mark.parametrize(
    "name", ["requests_yolo_11m", "requests_yolo_11_m", "requests of intents 24h", "5m_requests", "3d requests"]
)
def test_a_period_or_a_models_size_is_asked_back(tmp_path: Path, name: str) -> None:
    with pytest.raises(TraceError, match=r"its name says “(11m|11 m|24h|5m|3d)”, a period or a model's size"):
        read(tmp_path, name)


def test_times_at_even_steps_are_of_no_part(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"“request_processing_time” holds numbers of an unknown kind\n\nhint"):
        read(tmp_path, "request_processing_time")


def test_a_gauge_beside_requests_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("time,requests,concurrent_requests\n2026-01-01T00:00,10,5\n2026-01-01T00:01,20,7\n")
    assert list(CsvArrivals().trace(path).counts) == [10, 20]


def test_a_gauge_at_uneven_steps_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("time,active_requests\n" + "".join(f"2026-01-01T00:00:{k:02},5\n" for k in (0, 3, 4, 11, 29, 30)))
    with pytest.raises(TraceError, match="no plain number of requests: its name says “active”"):
        CsvArrivals().trace(path)


UNEVEN = (0, 3, 4, 11, 29, 30)


def logged(folder: Path, header: str, cells: str, at: tuple[int, ...] = UNEVEN) -> Path:
    path = folder / "t.csv"
    path.write_text(f"time,{header}\n" + "".join(f"2026-01-01T00:00:{k:02},{cells}\n" for k in at))
    return path


@pytest.mark.parametrize(
    "header",
    [
        "request_processing_time,target_processing_time,response_processing_time", "request_processing_time",
        "latency_ms,retry_count", "retry_count", "prompt_tokens,num_cached_tokens", "num_cached_tokens", "cache_hit",
        "request_timeout_ms", "total_processing_time", "request_queue_time_ms", "latency_ms,concurrent_requests",
        "target_status_code,received_bytes,active_requests", "response_size,open_requests", "retries", "rejected_code",
    ],
)  # fmt: skip
def test_what_a_log_tells_of_each_request(tmp_path: Path, header: str) -> None:
    trace = CsvArrivals().trace(logged(tmp_path, header, ",".join(["3"] * (header.count(",") + 1))))
    assert (trace.counts.sum(), trace.counts.size) == (len(UNEVEN), UNEVEN[-1] + 1)


@pytest.mark.parametrize(
    "header",
    ["active_requests", "active_requests,queued_requests", "request_queue_size", "requests_4xx", "pod_requests"],
)
def test_gauges_at_uneven_steps_say_the_way_out(tmp_path: Path, header: str) -> None:
    path = logged(tmp_path, header, ",".join(["3"] * (header.count(",") + 1)))
    with pytest.raises(TraceError, match="no plain number of requests") as e:
        CsvArrivals().trace(path)
    assert "--trace-kind timestamps" in str(e.value.hint)
    assert CsvArrivals().trace(path, TraceAsked(kind="timestamps")).counts.sum() == len(UNEVEN)


@pytest.mark.parametrize("header", ["timestamp,latency_ms", "timestamp,worker,latency_ms,bytes"])
def test_clients_that_ask_again_when_answered_write_a_log(tmp_path: Path, header: str) -> None:
    """Ten of them, each answered in about 105 ms, stamps in whole seconds: 90 to 100 rows a second."""
    rng = np.random.default_rng(11)
    took_s = rng.normal(0.105, 0.004, (10, 400))
    at = np.floor(np.cumsum(took_s, axis=1))
    known = [(at[w, k], w, took_s[w, k] * 1000) for w in range(10) for k in range(400) if at[w, k] < 40]
    rows = [(t, f"w{w},{ms:.0f},512" if "worker" in header else f"{ms:.0f}") for t, w, ms in known]
    path = log_of(tmp_path, rows, header)
    assert CsvArrivals().trace(path).counts.sum() == len(rows)
    loads = log_of(tmp_path, [(t, f"{ms:.0f}") for t, _, ms in known], "timestamp,load")
    with pytest.raises(TraceError, match="rows stand at each moment"):
        CsvArrivals().trace(loads)


def test_latencies_of_several_pods_are_no_log(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"in each of 2 series \(“pod”\)"):
        CsvArrivals().trace(log_of(tmp_path, long(), "timestamp,pod,latency_ms"))


def test_long_prompts_beside_the_times_take_no_memory(tmp_path: Path) -> None:
    """Among 3,000 prompts one of 120,000 letters: as an array of equal cells 1.4 GB."""
    rng = np.random.default_rng(3)
    at = np.floor(np.cumsum(rng.exponential(2.0, 3000)))
    rows = [(t, f"prompt {k} {'x' * (120_000 if k == 70 else 5)},{k % 90}") for k, t in enumerate(at)]
    path = log_of(tmp_path, rows, "timestamp,prompt,latency_ms")
    tracemalloc.start()
    trace = CsvArrivals().trace(path)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert trace.counts.sum() == 3000
    assert peak_bytes < 50e6


HOURS = range(96)


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("time_of_day", "{:02}:00"), ("slot", "{:02}:00"), ("hour of day", "{} o'clock"), ("Uhrzeit", "{} Uhr"),
        ("slot", "{}:00:00"), ("bin", "{} h"),
    ],
)  # fmt: skip
def test_rates_with_the_time_of_day_beside_them(tmp_path: Path, header: str, cell: str) -> None:
    rows = [(3600.0 * k, f"{cell.format(k % 24)},{40 + k}") for k in HOURS]
    trace = CsvArrivals().trace(log_of(tmp_path, rows, f"timestamp,{header},rps"))
    assert (trace.counts.size, trace.counts[0]) == (len(HOURS), 40 * 3600)


def test_rates_that_the_user_named_are_one_series(tmp_path: Path) -> None:
    rows = [(3600.0 * k, f"{('night', 'day', 'evening')[k % 3]},{40 + k}") for k in HOURS]
    path = log_of(tmp_path, rows, "timestamp,shift,rps")
    with pytest.raises(TraceError, match="in each of 3 series") as e:
        CsvArrivals().trace(path)
    assert "--trace-kind rates" in str(e.value.hint)
    assert CsvArrivals().trace(path, TraceAsked(kind="rates")).counts[0] == 40 * 3600


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("@timestamp per minute", True),
        ("@timestamp per 30 seconds", True),
        ("time per request", False),
        ("Time", True),
        ("timeStamp", True),
        ("TimeStamp (ms)", True),
        ("Time stamp", True),
    ],
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


def test_a_log_of_jmeter_is_a_row_a_request(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    at_ms = 1_792_483_200_000 + np.cumsum(np.random.default_rng(5).exponential(700, 500))
    rows = [f"{t:.0f},{k % 9},home,200,true,{k % 10},{k % 50}" for k, t in enumerate(at_ms)]
    path.write_text("\n".join(["timeStamp,elapsed,label,responseCode,success,allThreads,Latency", *rows]) + "\n")
    assert CsvArrivals().trace(path).counts.sum() == 500
