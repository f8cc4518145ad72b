from __future__ import annotations

import contextlib
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.errors import TraceError
from farthing.load.traces import CsvArrivals
from farthing.nouns import Trace
from farthing.plugins import find


def read(folder: Path, text: str) -> Trace:
    path = folder / "arrivals.csv"
    path.write_text(text)
    return CsvArrivals().trace(path)


def test_it_comes_in_by_the_plug_in_door() -> None:
    assert isinstance(find("arrivals", "csv"), CsvArrivals)


def test_nab_load_balancer(assets: Path) -> None:
    trace = CsvArrivals().trace(assets / "traces" / "nab_elb_request_count_8c0756.csv")
    assert trace.step_s == 300
    assert trace.counts.size == 4040
    assert trace.counts.sum() == 249_327
    assert "8 of 4,040 steps missing, taken as 0" in trace.name
    assert trace.start == datetime(2014, 4, 10, 0, 4)  # noqa: DTZ001 - the file has no zone


def test_nab_taxi(assets: Path) -> None:
    trace = CsvArrivals().trace(assets / "traces" / "nab_nyc_taxi.csv")
    assert (trace.step_s, trace.counts.size, trace.counts[0]) == (1800, 10_320, 10_844)
    assert trace.hours == 215 * 24


@pytest.mark.parametrize(("name", "n"), [("code", 8819), ("conv", 19366)])
def test_azure_llm_requests(assets: Path, name: str, n: int) -> None:
    trace = CsvArrivals().trace(assets / "traces" / f"AzureLLMInferenceTrace_{name}.csv")
    assert trace.step_s == 60
    assert trace.counts.sum() == n
    assert 0.9 < trace.hours < 1


def test_bare_counts_are_minutes(tmp_path: Path) -> None:
    for text in ("requests\n5\n0\n7\n", "5\n0\n7\n"):
        trace = read(tmp_path, text)
        assert trace.step_s == 60
        assert list(trace.counts) == [5, 0, 7]


def test_epoch_seconds_and_milliseconds(tmp_path: Path) -> None:
    seconds = read(tmp_path, "timestamp,count\n1700000000,1\n1700000060,2\n")
    millis = read(tmp_path, "timestamp,count\n1700000000000,1\n1700000060000,2\n")
    assert seconds.step_s == millis.step_s == 60
    assert seconds.start == millis.start


def test_without_a_header_two_columns_are_time_and_count(tmp_path: Path) -> None:
    assert list(read(tmp_path, "2026-01-01T00:00,3\n2026-01-01T00:01,4\n").counts) == [3, 4]


def test_a_log_of_requests_with_latencies_counts_rows(tmp_path: Path) -> None:
    trace = read(tmp_path, "time,latency_ms\n2026-01-01 00:00:00.5,30\n2026-01-01 00:00:01,20\n2026-01-01 00:00:03,9\n")
    assert trace.step_s == 1
    assert list(trace.counts) == [2, 0, 1]


@given(st.lists(st.floats(0, 1e5), min_size=2, max_size=200))
def test_no_request_is_lost(tmp_path_factory: pytest.TempPathFactory, at: list[float]) -> None:
    at = sorted(round(x, 3) for x in at)
    if at[0] == at[-1]:
        return
    trace = read(tmp_path_factory.mktemp("t"), "ts\n" + "".join(f"{1.7e9 + x:.3f}\n" for x in at))
    assert trace.counts.sum() == len(at)
    assert trace.step_s <= 60


@given(st.lists(st.integers(0, 10**6), min_size=20, max_size=300), st.integers(1, 3600))
def test_counts_round_trip(tmp_path_factory: pytest.TempPathFactory, counts: list[int], step: int) -> None:
    if not any(counts):
        return
    text = "timestamp,value\n" + "".join(f"{1_700_000_000 + k * step},{c}\n" for k, c in enumerate(counts))
    trace = read(tmp_path_factory.mktemp("t"), text)
    assert trace.step_s == step
    assert np.array_equal(trace.counts, counts)


DAY = "timestamp,value\n2026-01-01 00:00,1\n2026-01-01 00:01,{}\n2026-01-01 00:02,3\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("timestamp,value\n", "is empty"),
        (DAY.format("-2"), r"line 3: the count is '-2'; it must be a number ≥ 0"),
        (DAY.format("many"), r"line 3: the count is 'many'"),
        (DAY.format("nan"), r"line 3: the count is 'nan'"),
        (DAY.format("1,2"), r"line 3: 3 values for 2 columns"),
        ("timestamp,value\n2026-01-01 00:00,0\n2026-01-01 00:01,0\n", "no requests in 2 steps"),
        ("timestamp,value\n2026-01-01 00:00,1\nlater,2\n", r"line 3: 'later' is no time as in line 2"),
        ("timestamp,value\n2026-01-01 00:00,1\n2026-01-01T00:01Z,2\n", r"line 3: '2026-01-01T00:01Z' is no time"),
        ("timestamp,value\n2026-01-01,1\n2026-01-02,2\n", r"steps of 86,400 s; the limit is 3,600 s"),
        ("timestamp,value\n2026-01-01 00:00,1\n2026-01-01 00:00,2\n", "second count for the same step"),
        ("timestamp,value\n2026-01-01 00:00,1\n", "has one step"),
        ("ts\n2026-01-01 00:00\n", "1 requests at one moment"),
        ("name,colour\na,b\n", "is empty|no column holds a time"),
        ("x,y\n1,b\n", "no column holds a time"),
    ],
)
def test_bad_traces_name_line_and_value(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(TraceError, match=says):
        read(tmp_path, text)


def test_a_long_gap_is_refused_and_named(tmp_path: Path) -> None:
    rows = [f"2026-01-01 {h:02}:00,5" for h in range(24) if h not in (7, 8, 9)]
    with pytest.raises(TraceError, match=r"lacks 3 of 24 steps of 3600 s \(12%\); .* line 9 \(2026-01-01 10:00\)"):
        read(tmp_path, "timestamp,value\n" + "\n".join(rows))


def test_an_irregular_step_is_refused(tmp_path: Path) -> None:
    times = ["00:00", "00:01", "00:02", "00:03:30", "00:04:30", "00:05:30"]
    with pytest.raises(TraceError, match="not a whole number of 60 s steps"):
        read(tmp_path, "timestamp,value\n" + "\n".join(f"2026-01-01 {t},5" for t in times))


def test_jitter_within_a_tenth_of_a_step_is_put_on_the_grid(tmp_path: Path) -> None:
    times = ["00:00:00", "00:01:02", "00:01:59", "00:03:00"]
    assert read(tmp_path, "timestamp,value\n" + "\n".join(f"2026-01-01 {t},5" for t in times)).counts.size == 4


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"cannot read the trace .*none\.csv"):
        CsvArrivals().trace(tmp_path / "none.csv")


cells = st.sampled_from(
    ["2026-01-01", "2026-01-01 00:01", "1700000000", "1e300", "-5", "3", "x", "", "timestamp", "value", "\0", '"']
)


@given(st.lists(st.lists(cells, min_size=1, max_size=3), max_size=6))
def test_nothing_but_a_trace_or_its_error(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    text = "\n".join(",".join(row) for row in rows)
    with contextlib.suppress(TraceError):
        assert read(tmp_path_factory.mktemp("t"), text).counts.sum() > 0


def test_times_that_cannot_be_meant(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="the limit is 20 years"):
        read(tmp_path, "ts\n1000000000\n1700000000\n")
