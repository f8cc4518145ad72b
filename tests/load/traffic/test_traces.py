from __future__ import annotations

import contextlib
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.errors import TraceError
from farthing.load.traffic import CsvArrivals, TraceAsked
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


def at_minutes(values: list[object], header: str) -> str:
    rows = [f"2026-10-20T08:{k:02}:00Z,{v}" for k, v in enumerate(values)]
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    ("unit", "size"), [("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9)]
)
def test_the_unit_of_epochs_is_told_by_their_size(tmp_path: Path, unit: str, size: int) -> None:
    at = [1_792_483_200 + k * 7 % 40 + k * 11 for k in range(200)]
    trace = read(tmp_path, "ts\n" + "".join(f"{t * size}\n" for t in sorted(at)))
    assert f"times in {unit} since 1970" in trace.read_as
    assert trace.counts.sum() == 200
    assert 2100 < trace.hours * 3600 < 2300
    assert trace.start is not None
    assert trace.start.isoformat() == "2026-10-20T08:00:00+00:00"


@pytest.mark.parametrize("name", ["elapsed_ms", "t_us", "offset (ns)", "minute", "timeS"])
def test_offsets_take_their_unit_from_the_name(tmp_path: Path, name: str) -> None:
    seconds = {"elapsed_ms": 1e-3, "t_us": 1e-6, "offset (ns)": 1e-9, "minute": 60, "timeS": 1}[name]
    rows = "".join(f"{k * 10_000},5\n" for k in range(4)) if seconds < 1 else "".join(f"{k},5\n" for k in range(4))
    trace = read(tmp_path, f"{name},requests\n{rows}")
    assert trace.step_s == pytest.approx(seconds * (10_000 if seconds < 1 else 1))
    assert trace.start is None


@pytest.mark.parametrize("first", ["0", "12.5", "45950.33", "1e11", "170000000000"])
def test_numbers_that_are_no_epoch_need_their_unit(tmp_path: Path, first: str) -> None:
    with pytest.raises(TraceError, match="no time since 1970 in any unit") as e:
        read(tmp_path, f"timestamp,count\n{first},1\n{float(first) + 60},2\n")
    assert "--trace-unit ms" in str(e.value.hint)
    path = tmp_path / "arrivals.csv"
    assert CsvArrivals().trace(path, TraceAsked(unit="s")).step_s == 60


@pytest.mark.parametrize("name", ["timestamp_ms", "ts (us)"])
def test_a_name_that_contradicts_the_size_is_asked_back(tmp_path: Path, name: str) -> None:
    with pytest.raises(TraceError, match="is a time in seconds since 1970"):
        read(tmp_path, f"{name},count\n1700000000,1\n1700000060,2\n")


def test_times_in_two_units_are_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="line 4: 1700000120000 is no time in seconds since 1970"):
        read(tmp_path, "ts,count\n1700000000,1\n1700000060,2\n1700000120000,3\n")


def test_offsets_from_utc_across_a_change_of_clocks(tmp_path: Path) -> None:
    trace = read(tmp_path, "time,count\n2026-10-25T02:59:00+02:00,1\n2026-10-25T02:00:00+01:00,2\n")
    assert trace.step_s == 60


RATES = [200.5, 201.25, 199.75, 203.0, 202.5]


@pytest.mark.parametrize(
    ("name", "per_s"),
    [
        ("rps", 1), ("req/s", 1), ("Requests per second", 1), ("qps", 1), ("requests_per_sec", 1), ("mean_rps", 1),
        ("rpm", 60), ("requests/min", 60), ("requests per minute", 60), ("rph", 3600), ("requests_per_hour", 3600),
    ],
)  # fmt: skip
def test_rates_are_counted_by_their_period(tmp_path: Path, name: str, per_s: float) -> None:
    trace = read(tmp_path, at_minutes(RATES, f"Time,{name}"))
    assert trace.counts == pytest.approx(np.array(RATES) * 60 / per_s)
    assert trace.read_as.startswith(("rates a ", "rates an "))


@pytest.mark.parametrize("name", ["requests", "value", "count", "Value #A"])
def test_fractions_are_not_counted(tmp_path: Path, name: str) -> None:
    text = at_minutes(RATES, f"Time,{name}")
    with pytest.raises(TraceError, match="no whole number of requests") as e:
        read(tmp_path, text)
    assert e.value.hint == "say which: --trace-kind rates or --trace-kind counts"
    path = tmp_path / "arrivals.csv"
    assert CsvArrivals().trace(path, TraceAsked(kind="counts")).counts.sum() == sum(RATES)
    assert CsvArrivals().trace(path, TraceAsked(kind="rates", per="s")).counts.sum() == 60 * sum(RATES)


@pytest.mark.parametrize("name", ["p99_rps", "max requests", "latency", "sessions", "tokens"])
def test_an_even_step_with_unknown_numbers_is_asked_back(tmp_path: Path, name: str) -> None:
    with pytest.raises(TraceError, match="rows stand 60 s apart") as e:
        read(tmp_path, at_minutes([5, 9, 4, 7], f"Time,{name}"))
    assert "--trace-kind counts or --trace-kind rates" in str(e.value.hint)


def test_a_rate_without_a_period_is_asked_back(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="rates of an unknown period"):
        read(tmp_path, at_minutes(RATES, "Time,rate"))


TOTAL = [9_000_000 + 12_000 * k + k * k for k in range(20)]


@pytest.mark.parametrize("name", ["http_requests_total", "requests_total", "Requests Total"])
def test_a_total_is_counted_by_its_differences(tmp_path: Path, name: str) -> None:
    trace = read(tmp_path, at_minutes(TOTAL, f"timestamp,{name}"))
    assert list(trace.counts) == list(np.diff(TOTAL))


@pytest.mark.parametrize("name", ["value", "count", "requests", "total"])
def test_counts_that_only_grow_are_asked_back(tmp_path: Path, name: str) -> None:
    with pytest.raises(TraceError, match="only grows") as e:
        read(tmp_path, at_minutes(TOTAL, f"timestamp,{name}"))
    assert e.value.hint == "say which: --trace-kind counter or --trace-kind counts"


def test_a_total_that_starts_again(tmp_path: Path) -> None:
    values = [100 + 10 * k for k in range(30)] + [4 + 10 * k for k in range(29)]
    trace = read(tmp_path, at_minutes(values, "timestamp,http_requests_total"))
    assert trace.counts[29] == 4
    assert trace.counts.sum() == 29 * 10 + 4 + 28 * 10
    assert "started again 1 ×" in trace.read_as
    with pytest.raises(TraceError, match="is called a total, and falls"):
        read(tmp_path, at_minutes([5, 3, 6, 2, 7, 1], "timestamp,http_requests_total"))


def test_missing_steps_of_rates_and_totals_are_no_silence(tmp_path: Path) -> None:
    kept = [k for k in range(40) if k != 20]
    rates = "Time,rps\n" + "".join(f"{1_792_483_200 + 60 * k},{100 + k}\n" for k in kept)
    trace = read(tmp_path, rates)
    assert trace.counts[20] == 120 * 60
    assert "taken between their neighbours" in trace.name
    total = "Time,requests_total\n" + "".join(f"{1_792_483_200 + 60 * k},{100 * k}\n" for k in kept)
    assert list(read(tmp_path, total).counts) == [100.0] * 39


def test_several_columns_are_asked_back_and_named(tmp_path: Path) -> None:
    text = "time,requests,hits\n2026-01-01T00:00,1,5\n2026-01-01T00:01,2,7\n"
    with pytest.raises(TraceError, match="may all hold the requests") as e:
        read(tmp_path, text)
    assert e.value.hint == "say which: --trace-column requests or --trace-column hits"
    path = tmp_path / "arrivals.csv"
    assert list(CsvArrivals().trace(path, TraceAsked(column="hits")).counts) == [5, 7]
    with pytest.raises(TraceError, match=r"has no column 'hit'") as e:
        CsvArrivals().trace(path, TraceAsked(column="hit"))
    assert e.value.hint == "did you mean hits?"


def test_errors_beside_requests_are_left_out(tmp_path: Path) -> None:
    text = "time,requests,errors\n2026-01-01T00:00,10,5\n2026-01-01T00:01,20,7\n"
    assert list(read(tmp_path, text).counts) == [10, 20]


def test_a_log_of_requests_may_be_even_when_the_user_says_so(tmp_path: Path) -> None:
    text = "time,latency_ms\n" + "".join(f"2026-01-01T00:00:{k:02},{k}\n" for k in range(10))
    with pytest.raises(TraceError, match="rows stand 1 s apart"):
        read(tmp_path, text)
    found = CsvArrivals().trace(tmp_path / "arrivals.csv", TraceAsked(kind="timestamps"))
    assert found.counts.sum() == 10
    assert not found.guessed


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            'time,count\n2026-01-01T00:00,"1,5"\n2026-01-01T00:01,"2,5"\n',
            "no column holds numbers|unknown|count is '1,5'",
        ),
        ("time;count\n2026-01-01T00:00;1,5\n2026-01-01T00:01;2\n2026-01-01T00:02;2\n", "count is '1,5'"),
        ("time,count\n2026-01-01T00:00,1\n2026-01-01T00:01,1_000\n", "count is '1_000'"),
        ("time,count\nyesterday,1\n2026-01-01T00:01,2\n", r"line 2: 'yesterday' in the column “time” is no time"),
        ("when,requests\n20/10/2026 08:00,1\n20/10/2026 08:01,2\n", "no column holds a time"),
        ("latency_ms\n5\n7\n", "its name does not say"),
        ('Time,rps\n2026-01-01T00:00,"200 req/s"\n2026-01-01T00:01,"1.2K req/s"\n', "the rate is '200 req/s'"),
        ("Time,load\n2026-01-01T00:00,200 req/s\n2026-01-01T00:01,201 req/s\n", "rows stand 60 s apart"),
        ("Time,requests (k)\n2026-01-01T00:00,200\n2026-01-01T00:01,190\n", "numbers of an unknown kind"),
        ("Time,GET,POST\n2026-01-01T00:00,200,3\n2026-01-01T00:01,190,4\n", "“GET”, “POST” hold numbers"),
    ],
)
def test_what_is_unclear_is_never_read(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(TraceError, match=says):
        read(tmp_path, text)


@pytest.mark.parametrize("thousands", ["1.234", "12.000"])
def test_points_between_thousands_of_counts(tmp_path: Path, thousands: str) -> None:
    text = f"time;requests\n2026-01-01T00:00;950\n2026-01-01T00:01;{thousands}\n2026-01-01T00:02;870\n"
    with pytest.raises(TraceError, match=f"line 3: the count is '{thousands}', which may be .* or {thousands[:-4]}"):
        read(tmp_path, text)
    assert list(read(tmp_path, text.replace("950", "950.000").replace("870", "0.000").replace("1.234", "1.000")).counts)


def test_semicolons_and_a_separator_line(tmp_path: Path) -> None:
    rows = "2026-01-01T00:00{0}1\n2026-01-01T00:01{0}2\n"
    for text in ("time;count\n" + rows.format(";"), "sep=,\ntime,count\n" + rows.format(",")):
        assert list(read(tmp_path, text).counts) == [1, 2]


@pytest.mark.parametrize("name", ["elb_requestcount", "grafana_rps", "prometheus_total", "value_counter"])
def test_one_day_in_four_shapes_is_one_volume(assets: Path, name: str) -> None:
    path = assets / "field" / "52-rate-column" / f"{name}.csv"
    asked = TraceAsked(kind="counter") if name == "value_counter" else None
    assert CsvArrivals().trace(path, asked).requests_per_month() == pytest.approx(525.6e6, rel=1e-3)


def test_times_that_end_in_utc(tmp_path: Path) -> None:
    trace = read(tmp_path, "time,count\n2026-10-20 08:00:00 UTC,1\n2026-10-20 08:01:00 UTC,2\n")
    assert trace.start is not None
    assert trace.start.isoformat() == "2026-10-20T08:00:00+00:00"


@pytest.mark.parametrize("header", ["elapsed_ns,requests", "offset,requests"])
def test_offsets_as_many_as_seconds_since_1970(tmp_path: Path, header: str) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\n1500000000,3\n2500000000,4\n")
    asked = TraceAsked(unit=None if "ns" in header else "ns")
    trace = CsvArrivals().trace(tmp_path / "t.csv", asked)
    assert (trace.step_s, trace.start) == (1.0, None)


def test_a_unit_that_was_asked_for_and_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("time,requests\n1700000000,3\n1700000060,4\n")
    with pytest.raises(TraceError, match="is a time in seconds since 1970, and milliseconds were asked for"):
        CsvArrivals().trace(tmp_path / "t.csv", TraceAsked(unit="ms"))
