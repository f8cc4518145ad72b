"""Access logs of NGINX and Apache: what is a line, when it was, what is put right and said, what is refused."""

from __future__ import annotations

import gzip
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from made_up_logs import AGENT, BEGIN, access, written

from farthing.errors import TraceError
from farthing.load.traffic import AccessLogArrivals, TraceAsked, arrivals_of, read_requests, read_trace
from farthing.load.traffic.logs import in_order

ODD = "2026/11/24 08:00:01 [error] 7#7: *1 upstream timed out"


def steady(n: int = 200, every_s: float = 7.0) -> list[str]:
    return [access(every_s * k) for k in range(n)]


def test_a_combined_log_is_counted_by_minute(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path / "requests", steady()))
    assert (trace.step_s, trace.counts.sum(), trace.counts.size) == (60, 200, 24)
    assert trace.start == BEGIN
    assert trace.name == "requests"
    assert trace.read_as == ("an access log of NGINX or Apache (200 requests), times with their zone, in whole seconds")


@pytest.mark.parametrize(
    "suffix",
    ["", AGENT, f"{AGENT} 0.005 0.004 pipe=.", '"-" "curl" rt=0.123 uct="0.000" urt="0.1" "10.0.0.2"', "| 12 345"],
    ids=["common", "combined", "times", "named fields", "others"],
)
@pytest.mark.parametrize("prefix", ["", "www.example.org:443 ", "[::1]:80 "])
def test_fields_of_ones_own(tmp_path: Path, prefix: str, suffix: str) -> None:
    path = written(tmp_path / "x.log", [prefix + access(7 * k, suffix=suffix) for k in range(100)])
    assert isinstance(arrivals_of(path), AccessLogArrivals)
    assert read_trace(path).counts.sum() == 100


def test_a_host_between_time_and_request(tmp_path: Path) -> None:
    lines = [access(k).replace("] ", "] api.example.org ") for k in range(100)]
    assert read_trace(written(tmp_path / "x.log", lines)).counts.sum() == 100


def test_it_may_be_compressed_and_joined(tmp_path: Path) -> None:
    lines = steady()
    parts = [gzip.compress("".join(f"{x}\n" for x in half).encode()) for half in (lines[:90], lines[90:])]
    path = tmp_path / "access.log"
    path.write_bytes(b"".join(parts))
    assert read_trace(path).counts.sum() == 200


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_that_is_cut_off(tmp_path: Path, share: float) -> None:
    rng = np.random.default_rng(1)
    lines = [access(7 * k, f"/{rng.integers(1 << 60)}") for k in range(5000)]
    whole = written(tmp_path / "a.gz", lines).read_bytes()
    path = tmp_path / "access.log.gz"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(TraceError, match=r"access\.log\.gz is cut off or damaged after line [1-4],\d{3}") as e:
        read_trace(path)
    assert "gzip -dc" in str(e.value.hint)
    path.write_bytes(whole[:200] + bytes(200) + whole[400:])
    with pytest.raises(TraceError, match="cut off or damaged"):
        read_trace(path)


def test_a_last_line_that_is_cut_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("\n".join([*steady(20), access(140)[:40]]))
    assert "1 other lines left out, the first in line 21" in read_trace(path).read_as


def test_other_lines_in_between(tmp_path: Path) -> None:
    lines = steady()
    for at in (3, 80, 81, 150):
        lines.insert(at, ODD)
    trace = read_trace(written(tmp_path / "x.log", ["", *lines, ""]))
    assert trace.counts.sum() == 200
    assert "4 other lines left out, the first in line 5 ('2026/11/24 08:00:01 [error]" in trace.read_as
    with pytest.raises(TraceError, match=r"line 60: .* is no line of an access log .*; nor are 20 others of 80") as e:
        read_trace(written(tmp_path / "y.log", steady(59) + [ODD] * 21))
    assert "the limit is 5 %" in str(e.value.hint)


@pytest.mark.parametrize("stamp", ["31/Feb/2026:08:00:00", "24/Nov/2026:25:00:00", "24/Nvo/2026:08:00:00"])
def test_a_time_that_there_is_not(tmp_path: Path, stamp: str) -> None:
    line = f'1.2.3.4 - - [{stamp} +0000] "GET / HTTP/1.1" 200 1'
    trace = read_trace(written(tmp_path / "x.log", [*steady(150), line, *steady()[150:]]))
    assert trace.counts.sum() == 200
    assert f"the first in line 151 ('1.2.3.4 - - [{stamp}" in trace.read_as


def test_an_offset_that_there_is_not(tmp_path: Path) -> None:
    lines = [*steady(), access(1400).replace("+0000", "+9900")]
    assert "1 other lines left out, the first in line 201" in read_trace(written(tmp_path / "x.log", lines)).read_as


@pytest.mark.parametrize(("others", "known"), [(9, True), (10, True), (11, False)])
def test_half_of_the_first_lines_make_an_access_log(others: int, known: bool) -> None:
    lines = [*steady(10), *[ODD] * others, access(70)[:30]]
    assert AccessLogArrivals().holds("\n".join(lines).encode()) is known


def test_hours_west_of_greenwich(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path / "x.log", [access(7 * k, offset=" -0530") for k in range(100)]))
    assert trace.start == BEGIN + timedelta(minutes=30)  # the helper writes whole hours
    assert trace.start is not None
    assert trace.start.isoformat() == "2026-11-24T03:00:00-05:30"


@pytest.mark.parametrize(("span_s", "step_s"), [(599, 1), (600, 60)])
def test_short_logs_are_counted_by_second(tmp_path: Path, span_s: int, step_s: int) -> None:
    trace = read_trace(written(tmp_path / "x.log", [access(k) for k in (0, 5, span_s)]))
    assert (trace.step_s, trace.counts.size) == (step_s, span_s // step_s + 1)
    assert trace.counts.sum() == 3


@pytest.mark.parametrize("n", [99, 100])
def test_few_requests_show_no_parts(tmp_path: Path, n: int) -> None:
    path = written(tmp_path / "x.log", [access(k + (86_400 if k > 50 else 0)) for k in range(n)])
    if n < 100:
        assert "nothing for 24 h from 2026-11-24 08:00:50+00:00 on" in read_trace(path).read_as
    else:
        with pytest.raises(TraceError, match="lies in two parts"):
            read_trace(path)


def test_only_the_requests_of_one_path(tmp_path: Path) -> None:
    lines = [access(k, "/healthz" if k % 4 else "/v2/models/m/infer") for k in range(400)]
    path = written(tmp_path / "x.log", lines)
    trace = read_trace(path, TraceAsked(only="POST /v2/models/"))
    assert trace.counts.sum() == 100
    assert "300 other requests left out" in trace.read_as
    with pytest.raises(TraceError, match=r"none of its 400 requests has 'GET /v2' in it; the first is 'POST /v2/mod"):
        read_trace(path, TraceAsked(only="GET /v2"))


def test_requests_that_ended_late_are_sorted_in(tmp_path: Path) -> None:
    lines = steady()
    lines.insert(120, access(80 * 7.0 + 1))
    path = written(tmp_path / "x.log", lines)
    trace = read_trace(path)
    assert trace.counts.sum() == 201
    assert "1 requests up to 4.53 min late, sorted in" in trace.read_as
    blocks = list(read_requests(path) or ())
    at_s = np.concatenate([block.at_s for block in blocks])
    assert np.array_equal(at_s, np.sort(np.append(np.arange(200) * 7.0, 561.0)))
    assert {block.resolution_s for block in blocks} == {1.0}


def test_a_clock_set_back_is_refused_by_line(tmp_path: Path) -> None:
    lines = [access(10 * k) for k in range(300)] + [access(10 * k - 3600) for k in range(300, 600)]
    with pytest.raises(
        TraceError, match=r"not sorted: line 301 \(2026-11-24 07:50:00\+00:00\) is 59.8 min earlier"
    ) as e:
        read_trace(written(tmp_path / "x.log", lines))
    assert "a clock that was set back" in str(e.value.hint)


def test_a_clock_set_forward_is_refused(tmp_path: Path) -> None:
    lines = [access(10 * k + (40 * 86_400 if k > 300 else 0)) for k in range(600)]
    path = written(tmp_path / "x.log", lines)
    with pytest.raises(
        TraceError, match=r"in two parts: nothing for 40 days of its 40.1 days, from 2026-11-24 08:50:00"
    ):
        read_trace(path)
    trace = read_trace(path, TraceAsked(kind="timestamps"))
    assert "nothing for 40 days from 2026-11-24 08:50:00+00:00 on" in trace.read_as
    unset = access(0).replace("24/Nov/2026", "01/Jan/1970")
    with pytest.raises(TraceError, match="the limit is 20 years"):
        read_trace(written(tmp_path / "y.log", [unset, *steady()]))


def test_a_pause_is_named(tmp_path: Path) -> None:
    lines = [access(10 * k + (5400 if k > 300 else 0)) for k in range(1000)]
    assert (
        "nothing for 90.2 min from 2026-11-24 08:50:00+00:00 on" in read_trace(written(tmp_path / "x", lines)).read_as
    )


def test_offsets_across_changes_of_clocks_are_one_time(tmp_path: Path) -> None:
    begin = (datetime(2026, 10, 25, 0, 0, tzinfo=UTC) - BEGIN).total_seconds()
    lines = [access(begin + 30 * k, offset=" +0200" if k < 120 else " +0100") for k in range(240)]
    trace = read_trace(written(tmp_path / "x.log", lines))
    assert list(trace.counts) == [2] * 120
    assert trace.start == datetime.fromisoformat("2026-10-25T02:00:00+02:00")
    assert trace.start is not None
    assert trace.start.utcoffset() == timedelta(hours=2)


def test_hours_that_local_clocks_skip_and_repeat(tmp_path: Path) -> None:
    begin = (datetime(2026, 3, 29, 0, 0, tzinfo=UTC) - BEGIN).total_seconds()
    spring = [access(begin + 30 * k + (3600 if k >= 240 else 0), offset="") for k in range(480)]
    path = written(tmp_path / "spring.log", spring)
    with pytest.raises(TraceError, match=r"line 241: the hour from 02:00 on Sunday 2026-03-29 is missing") as e:
        read_trace(path)
    assert "2026-03-29T03:00:00+02:00" in str(e.value.hint)
    assert "times as they stand" in read_trace(path, TraceAsked(kind="timestamps")).read_as
    begin = (datetime(2026, 10, 25, 0, 0, tzinfo=UTC) - BEGIN).total_seconds()
    autumn = [access(begin + 30 * k - (3600 if k >= 360 else 0), offset="") for k in range(480)]
    with pytest.raises(TraceError, match=r"not sorted: line 361 \(2026-10-25 02:00:00\)"):
        read_trace(written(tmp_path / "autumn.log", autumn))


def test_times_with_and_without_an_offset(tmp_path: Path) -> None:
    lines = [*steady(100), *(access(700 + 7 * k, offset="") for k in range(100))]
    with pytest.raises(TraceError, match=r"line 101: only some times have an offset"):
        read_trace(written(tmp_path / "x.log", lines))


def test_fractions_of_a_second_are_kept(tmp_path: Path) -> None:
    lines = [access(k // 2).replace(" +0000]", f".{25 + 50 * (k % 2):02} +0000]") for k in range(20)]
    path = written(tmp_path / "x.log", lines)
    (block,) = read_requests(path) or ()
    assert block.at_s == pytest.approx(np.arange(20) / 2)
    assert block.resolution_s == 0
    assert "whole seconds" not in read_trace(path).read_as


def test_nothing_that_came(tmp_path: Path) -> None:
    path = written(tmp_path / "x.log", [])
    with pytest.raises(TraceError, match="is empty: an access log of NGINX or Apache without requests"):
        AccessLogArrivals().trace(path)
    with pytest.raises(TraceError, match="3 requests at one moment"):
        read_trace(written(path, [access(5)] * 3))
    with pytest.raises(TraceError, match="cannot read the trace"):
        read_trace(tmp_path / "none.log")


def test_what_does_not_apply_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "x.log", steady())
    with pytest.raises(TraceError, match="is an access log of NGINX or Apache, and cannot hold rates"):
        read_trace(path, TraceAsked(kind="rates"))
    with pytest.raises(TraceError, match="--trace-time-column says nothing of it"):
        read_trace(path, TraceAsked(time_column="time"))


def test_memory_grows_with_lateness_and_not_with_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """40,000 requests of five days in blocks of 1,024: as rows of the whole file 5 MB."""
    monkeypatch.setattr(in_order, "BLOCK_ROWS", 1024)
    path = written(tmp_path / "x.log", [access(11.0 * k, suffix="") for k in range(40_000)])
    tracemalloc.start()
    n = sum(block.at_s.size for block in read_requests(path) or ())
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 40_000
    assert peak_bytes < 1.5e6
