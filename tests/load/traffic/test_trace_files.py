"""Which reader takes a file, tables in other dresses than CSV, and hours that local clocks skip in them."""

from __future__ import annotations

import contextlib
import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_logs import CLOUDFRONT_FIELDS, access, answer, cloudfront, load_balancer, written

from farthing.errors import TraceError
from farthing.load.traffic import CsvArrivals, TraceAsked, arrivals_of, read_requests, read_trace
from farthing.load.workload.workload import load_workload
from farthing.nouns import ArrivalBlock
from farthing.plugins import find, names
from farthing.ports import Arrivals

COUNTS = [5, 9, 4, 7, 6, 8]
FILES = {
    "access-log": [access(7 * k) for k in range(90)],
    "azure-functions-2019": [",".join(["HashOwner,HashApp,HashFunction,Trigger", *map(str, range(1, 1441))])],
    "azure-functions-2021": ["app,func,end_timestamp,duration", "a,b,1.5,0.5"],
    "azure-llm": ["TIMESTAMP,ContextTokens,GeneratedTokens", "2023-11-16 18:17:03.9799600,4808,10"],
    "burst-gpt": ["Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type", "5,GPT-4,1,2,3,API log"],
    "cloudfront": [f"#Fields: {CLOUDFRONT_FIELDS}", cloudfront(1)],
    "csv": ["timestamp,requests", "2026-01-01T00:00,1"],
    "jsonl": ['{"timestamp": "2026-01-01T00:00", "requests": 1}'],
    "load-balancer": [load_balancer(k) for k in range(3)],
    "prometheus": [answer(({"__name__": "http_requests_total"}, [1, 2, 3]))],
}


@pytest.mark.parametrize("ending", ["", ".csv", ".gz"])
@pytest.mark.parametrize("name", FILES)
def test_content_decides_and_not_the_name(tmp_path: Path, name: str, ending: str) -> None:
    path = written(tmp_path / f"file{ending}", FILES[name])
    assert arrivals_of(path).name == name


def test_each_kind_comes_in_by_the_plug_in_door() -> None:
    assert set(names("arrivals")) == {*FILES, "parquet"}
    for name in names("arrivals"):
        assert isinstance(find("arrivals", name), Arrivals)
        assert find("arrivals", name).name == name


def test_no_two_readers_hold_one_file(tmp_path: Path) -> None:
    for name, lines in FILES.items():
        head = "".join(f"{line}\n" for line in lines).encode()
        holding = [other for other in names("arrivals") if find("arrivals", other).holds(head)]
        assert set(holding) - {"csv"} == {name} - {"csv"}


PIECES = (
    b"", b"\0", b"\n", b",", b'"', b"[", b"]", b"{", b"}", b"\t", b"\xff", b"NaN", b"-1", b"1e400", b"9" * 25, b"null", b"true",
    b"2026-02-30", b"9999-12-31T23:59:59Z", b"0001-01-01", b"#Fields:", b"24:00:00", b"+9900", b"1_0",
)  # fmt: skip
edits = st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 30), st.sampled_from(PIECES)), max_size=4)


@settings(max_examples=400)
@given(st.sampled_from(sorted(FILES)), edits, st.booleans())
def test_nothing_but_a_trace_or_its_error(
    tmp_path_factory: pytest.TempPathFactory, name: str, edits: list[tuple[int, int, bytes]], zipped: bool
) -> None:
    """Whatever becomes of a file, none of its readers fails in a way that nobody explains."""
    text = "".join(f"{line}\n" for line in FILES[name]).encode()
    for at, n, piece in edits:
        text = text[: at % (len(text) + 1)] + piece + text[at % (len(text) + 1) + n :]
    path = tmp_path_factory.mktemp("t") / "file"
    path.write_bytes(gzip.compress(text) if zipped else text)
    for read in (read_trace, find("arrivals", name).trace):
        with contextlib.suppress(TraceError):
            assert read(path).counts.sum() > 0
    with contextlib.suppress(TraceError):
        assert all(block.at_s.size for block in read_requests(path) or ())


def by_minute(begin: str = "2026-10-20T08:00:00+00:00") -> list[tuple[str, int]]:
    first = datetime.fromisoformat(begin)
    return [((first + timedelta(minutes=k)).isoformat(), n) for k, n in enumerate(COUNTS)]


def test_json_lines_are_read_as_tables(tmp_path: Path) -> None:
    rows = [json.dumps({"time": at, "requests": n, "pods": ["a"], "healthy": True}) for at, n in by_minute()]
    trace = read_trace(written(tmp_path / "t.jsonl", [*rows, ""]))
    assert list(trace.counts) == COUNTS
    assert trace.start == datetime(2026, 10, 20, 8, tzinfo=UTC)
    assert "column “requests”" in trace.read_as


def test_json_lines_of_requests_keep_their_instants(tmp_path: Path) -> None:
    rows = [json.dumps({"ts": 1_792_483_200.25 + k * k / 8, "latency_ms": None if k % 2 else 3}) for k in range(40)]
    path = written(tmp_path / "t", rows)
    (block,) = read_requests(path) or ()
    assert block.at_s == pytest.approx(np.arange(40) ** 2 / 8)
    assert block.resolution_s == 0
    assert read_trace(path).counts.sum() == 40


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"time": ', "line 2: no valid JSON"),
        ("[1, 2]", "line 2: list, not an object"),
        ('{"a": []}', "empty|has no values|'' "),
    ],
)
def test_json_lines_that_are_none(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(TraceError, match=says):
        read_trace(written(tmp_path / "t", [json.dumps({"time": "2026-01-01T00:00Z", "requests": 1}), line]))
    with pytest.raises(TraceError, match="has no values"):
        read_trace(written(tmp_path / "t", ['{"a": []}']))


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_parquet_is_read_as_a_table(tmp_path: Path, zone: str | None) -> None:
    at = [datetime.fromisoformat(stamp) for stamp, _ in by_minute()]
    columns = {
        "time": pa.array([moment.replace(tzinfo=None) for moment in at], pa.timestamp("ns")).cast(
            pa.timestamp("ns", zone)
        ),
        "requests": pa.array(COUNTS, pa.int32()),
        "pods": pa.array([["a"]] * len(COUNTS)),
    }
    path = tmp_path / "t.bin"
    pq.write_table(pa.table(columns), path)
    trace = read_trace(path)
    assert list(trace.counts) == COUNTS
    assert trace.start == (at[0] if zone else at[0].replace(tzinfo=None))


def test_parquet_that_is_cut_off_or_empty(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"time": ["2026-01-01T00:00"], "requests": [1]}), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TraceError, match="no readable Parquet file"):
        read_trace(path)
    pq.write_table(pa.table({"time": pa.array([], pa.string())}), path)
    with pytest.raises(TraceError, match="is empty"):
        read_trace(path)


def test_a_csv_may_be_compressed_and_cut_off(tmp_path: Path) -> None:
    text = "time,requests\n" + "".join(
        f"2026-01-{d:02}T{h:02}:00,{d * h % 17}\n" for d in range(1, 29) for h in range(24)
    )
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert read_trace(path).counts.size == 28 * 24
    path.write_bytes(gzip.compress(text.encode())[:-300])
    with pytest.raises(TraceError, match="is cut off or damaged: its compressed data do not end"):
        read_trace(path)


def test_tables_of_requests_say_how_finely_they_know_times(tmp_path: Path) -> None:
    def resolution_s(stamps: list[str]) -> float:
        (block,) = read_requests(written(tmp_path / "t.csv", ["time", *stamps])) or ()
        return block.resolution_s

    assert resolution_s(["2026-01-01T00:00:00.5", "2026-01-01T00:00:01", "2026-01-01T00:00:09"]) == 0
    assert resolution_s(["2026-01-01T00:00:03", "2026-01-01T00:00:04", "2026-01-01T00:00:09"]) == 1
    assert resolution_s(["2026-01-01T00:00", "2026-01-01T00:00", "2026-01-01T00:07", "2026-01-01T00:09"]) == 60
    assert read_requests(written(tmp_path / "t.csv", FILES["csv"] + ["2026-01-01T00:01,3"])) is None


def test_only_says_nothing_of_tables(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="is a table; --trace-only says nothing of it"):
        CsvArrivals().trace(written(tmp_path / "t.csv", FILES["csv"]), TraceAsked(only="x"))


def local(
    first: datetime, steps: int, step: timedelta, skip_from: datetime | None, header: str = "time,requests"
) -> list[str]:
    """Rows at local times; from one moment on an hour later, as clocks show it that go forward."""
    at = [first + k * step for k in range(steps)]
    moved = [t + timedelta(hours=1) if skip_from and t >= skip_from else t for t in at]
    return [header, *(f"{t:%Y-%m-%dT%H:%M:%S},{k % 7}" for k, t in enumerate(moved))]


SPRING, TWO = datetime(2026, 3, 29), datetime(2026, 3, 29, 2)  # noqa: DTZ001


@pytest.mark.parametrize(
    "step", [timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1)]
)
def test_the_hour_that_clocks_skip_is_asked_back(tmp_path: Path, step: timedelta) -> None:
    rows = local(SPRING - timedelta(days=2), round(timedelta(days=4) / step), step, TWO)
    path = written(tmp_path / "t.csv", rows)
    with pytest.raises(TraceError, match="the hour from 02:00 on Sunday 2026-03-29 is missing") as e:
        read_trace(path)
    assert "if nothing came in that hour: --trace-kind counts" in str(e.value.hint)
    assert read_trace(path, TraceAsked(kind="counts")).hours == pytest.approx(97, abs=1)


@pytest.mark.parametrize(
    "skipped",
    [
        datetime(2026, 3, 28, 2),  # noqa: DTZ001 - a Saturday
        datetime(2026, 3, 29, 11),  # noqa: DTZ001 - no clock is changed at eleven
        datetime(2026, 6, 28, 2),  # noqa: DTZ001 - nor in June
    ],
)
def test_other_gaps_of_an_hour_are_gaps(tmp_path: Path, skipped: datetime) -> None:
    rows = local(skipped - timedelta(days=2), 4 * 1440, timedelta(minutes=1), skipped)
    assert "60 of 5,820 steps missing" in read_trace(written(tmp_path / "t.csv", rows)).name


def test_times_with_an_offset_have_no_such_hour(tmp_path: Path) -> None:
    rows = local(SPRING, 2 * 1440, timedelta(minutes=1), TWO)
    zoned = [rows[0], *(row.replace(",", "+00:00,") for row in rows[1:])]
    assert "60 of 2,940 steps missing" in read_trace(written(tmp_path / "t.csv", zoned)).name


def test_a_log_as_table_that_lacks_the_hour(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    after_s = np.cumsum(rng.exponential(9.0, 1500))
    at = [SPRING + timedelta(seconds=round(s) + (3600 if s >= 7200 else 0)) for s in after_s]
    path = written(
        tmp_path / "t.csv", ["time,latency_ms", *(f"{t:%Y-%m-%d %H:%M:%S},{k % 50}" for k, t in enumerate(at))]
    )
    with pytest.raises(TraceError, match="the hour from 02:00 on Sunday 2026-03-29 is missing"):
        read_trace(path)


def test_the_hour_that_clocks_repeat(tmp_path: Path) -> None:
    hours = [f"2026-10-{d:02}T{h:02}:00,5" for d in (24, 25, 26) for h in range(24)]
    hours.insert(hours.index("2026-10-25T02:00,5"), "2026-10-25T02:00,5")
    with pytest.raises(TraceError, match="a second count for the same step") as e:
        read_trace(written(tmp_path / "t.csv", ["time,requests", *hours]))
    assert "a local clock set back in autumn needs times in UTC" in str(e.value.hint)


def test_a_workload_takes_any_of_them(project: Path) -> None:
    written(project / "access.log", FILES["access-log"])
    text = (project / "workload.yaml").read_text()
    assert "requests-by-minute.csv" in text
    (project / "workload.yaml").write_text(text.replace("requests-by-minute.csv", "access.log"))
    found = load_workload(
        project / "workload.yaml", overrides={"trace": str(project / "access.log"), "trace_only": "/v2"}
    )
    assert found.trace is not None
    assert found.trace.read_as.startswith("an access log of NGINX or Apache (90 requests)")


@pytest.mark.parametrize(
    "wrong",
    [
        {"at_s": np.array([2.0, 1.0])}, {"at_s": np.array([])}, {"at_s": np.array([-1.0])}, {"at_s": np.array([np.inf])},
        {"at_s": np.array([1.0]), "resolution_s": -1.0}, {"at_s": np.array([1.0]), "input_tokens": np.array([1, 2])},
    ],
)  # fmt: skip
def test_blocks_that_are_none(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="ArrivalBlock"):
        ArrivalBlock(**wrong)  # type: ignore[arg-type]
