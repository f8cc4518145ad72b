"""The ledger survives kills, full disks and company, and answers questions without opening doors."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from farthing.errors import InputError, SchemaError, StoreError
from farthing.store.ledger import compact_ledger, query_ledger, read_ledger
from farthing.store.ledger_journal import JournalFile, block, claimed, json_block, read_journal
from farthing.store.ledger_rows import (
    NO_COST,
    REQUEST_RECORD,
    DecisionRow,
    ReplicaRow,
    arrow_schema,
    plain,
    read_requests_block,
    requests_block,
)

ABOUT = {"replica": "r1", "deployment": "shop"}
HELPERS = Path(__file__).parents[1] / "helpers"


def records(n: int, first: int = 0) -> np.ndarray:
    rows = np.zeros(n, REQUEST_RECORD)
    rows["time_ns"] = np.arange(first, first + n) * 10**9
    rows["queue_s"], rows["service_s"], rows["route_score"] = 0.001, 0.004, np.nan
    rows["rows"] = rows["batch_rows"] = rows["model"] = 1
    rows["status"], rows["cost_allocation_nusd"], rows["cost_usage_nusd"] = 200, 7, NO_COST
    return rows


def rows_block(n: int, first: int = 0) -> bytes:
    ids = [str(i) for i in range(first, first + n)]
    return block(b"R", requests_block(records(n, first), ids, [""] * n))


def journal(folder: Path, writer: str = "w", number: int = 1, blocks: int = 3, close: bool = True) -> JournalFile:
    made = JournalFile(folder, "requests", writer, number, ABOUT)
    made.append([json_block({"model": ["resnet", "1", "aws/m7i.large@us-east-1:on_demand"]})])
    for i in range(blocks):
        made.append([rows_block(10, 10 * i)])
    if close:
        made.close()
    return made


def ids(folder: Path) -> list[int]:
    return sorted(int(x) for x in read_ledger(folder, "requests").column("request_id").to_pylist())


def test_blocks_round_trip():
    texts = ["a", "", "ü"]
    back, names, tenants = read_requests_block(requests_block(records(3), texts, ["", "", ""]))
    assert back.tobytes() == records(3).tobytes()
    assert names == ["a", None, "ü"]
    assert tenants == [None] * 3


def test_journals_are_read_and_then_compacted_without_a_difference(tmp_path):
    journal(tmp_path)
    before = read_ledger(tmp_path, "requests")
    (made,) = compact_ledger(tmp_path)
    assert before.equals(read_ledger(tmp_path, "requests"))
    assert before.num_rows == 30
    assert [p.name for p in tmp_path.iterdir()] == [made.name]
    metadata = pq.read_schema(made).metadata
    assert (metadata[b"schema"], metadata[b"kind"]) == (b"farthing/ledger/1", b"requests")
    assert compact_ledger(tmp_path) == ()


def test_a_journal_in_use_is_read_but_left_alone(tmp_path):
    open_one = journal(tmp_path, close=False)
    assert compact_ledger(tmp_path) == ()
    assert ids(tmp_path) == list(range(30))
    open_one.append([rows_block(1, 30)])
    assert ids(tmp_path) == list(range(31))
    open_one.close()
    assert len(compact_ledger(tmp_path)) == 1


def test_a_journal_cut_at_any_byte_keeps_all_blocks_before(tmp_path):
    path = journal(tmp_path, blocks=2).path
    whole = path.read_bytes()
    first_block = whole.index(rows_block(10)) + len(rows_block(10))
    for length in [*range(len(whole) - 40, len(whole)), first_block, first_block + 5]:
        path.write_bytes(whole[:length])
        assert sum(t.num_rows for t in read_journal(path)) == 10
    path.write_bytes(whole[:first_block] + bytes(50))
    assert sum(t.num_rows for t in read_journal(path)) == 10
    compact_ledger(tmp_path)
    assert ids(tmp_path) == list(range(10))


def test_a_journal_and_its_parquet_file_count_once(tmp_path):
    path = journal(tmp_path).path
    whole = path.read_bytes()
    compact_ledger(tmp_path)
    path.write_bytes(whole)  # killed between the two steps
    assert ids(tmp_path) == list(range(30))
    compact_ledger(tmp_path)
    assert ids(tmp_path) == list(range(30))
    assert not path.exists()


def test_reading_while_others_compact_sees_each_row_once(tmp_path):
    for number in range(1, 25):
        journal(tmp_path, number=number)
    seen, stop = [], threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.append(read_ledger(tmp_path, "requests").num_rows)

    reader = threading.Thread(target=read)
    reader.start()
    compactors = [threading.Thread(target=compact_ledger, args=(tmp_path,)) for _ in range(2)]
    for thread in compactors:
        thread.start()
    for thread in compactors:
        thread.join()
    stop.set()
    reader.join()
    assert set(seen) == {24 * 30}
    assert len(list(tmp_path.glob("*.parquet"))) == 24


def test_a_claim_is_one_at_a_time(tmp_path):
    path = journal(tmp_path).path
    with claimed(path) as mine:
        assert mine
        with claimed(path) as other:
            assert not other
    with claimed(tmp_path / "gone.journal") as mine:
        assert not mine


def process(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(HELPERS / "ledger_process.py"), str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(HELPERS)})


def lines_for(child: subprocess.Popen[str], seconds: float) -> list[list[float]]:
    lines: list[list[float]] = []
    assert child.stdout is not None
    while not lines or lines[-1][1] - lines[0][1] < seconds:
        lines.append([float(x) for x in child.stdout.readline().split()])
    return lines


def test_a_kill_loses_at_most_the_last_second_even_with_two_writers(tmp_path):
    children = [process(tmp_path, "2000") for _ in range(2)]
    said = [lines_for(child, 2.2) for child in children]
    for child in children:
        child.send_signal(signal.SIGKILL)
    killed_s = time.monotonic()
    for lines, child in zip(said, children, strict=True):
        assert child.stdout is not None
        lines += [[float(x) for x in line.split()] for line in child.stdout if line.count(" ") == 4]
        child.wait()
    found = query_ledger(tmp_path, "SELECT replica, request_id FROM requests").to_pylist()
    kept = {}
    for row in found:
        kept.setdefault(row["replica"].split("-")[1], []).append(int(row["request_id"]))
    for lines, child in zip(said, children, strict=True):
        mine = sorted(kept[str(child.pid)])
        assert mine == list(range(len(mine)))  # nothing twice, no hole
        a_second_before = [int(n) for n, at_s, *_ in lines if at_s < killed_s - 1.0]
        assert len(mine) >= a_second_before[-1] > 0
    n = len(found)
    assert compact_ledger(tmp_path)
    assert read_ledger(tmp_path, "requests").num_rows == n
    assert list(tmp_path.glob("*.journal")) == []
    starts = read_ledger(tmp_path, "replicas").to_pylist()
    assert [row["stop"] for row in starts] == [None, None]


def test_a_limit_of_the_disk_is_counted_and_nothing_written_is_lost(tmp_path):
    child = process(tmp_path, "1500", str(250_000))
    lines = lines_for(child, 4.0)
    child.kill()
    child.wait()
    assert lines[-1][3] > 0  # the disk refused
    assert lines[-1][2] > lines[-1][0] / 3  # and it went on in new files
    rows = ids(tmp_path)
    assert rows == list(range(len(rows)))
    assert len(rows) >= lines[-1][2]


def test_questions_in_sql(tmp_path):
    journal(tmp_path)
    compact_ledger(tmp_path)
    journal(tmp_path, writer="other")
    answer = query_ledger(
        tmp_path,
        "SELECT model, count(*) AS n, sum(cost_allocation_nusd)::BIGINT AS nusd, sum(cost_usage_nusd) AS used "
        "FROM requests WHERE status = $1 GROUP BY model",
        [200],
    )
    assert answer.to_pylist() == [{"model": "resnet", "n": 60, "nusd": 420, "used": None}]
    hours = query_ledger(tmp_path, "SELECT date_trunc('hour', time) AS hour, count(*) AS n FROM requests GROUP BY 1")
    assert hours.column("n").to_pylist() == [60]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/out.csv'",
        "ATTACH '/tmp/other.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SELECT * FROM secret_rows",
        "SELECT getenv('HOME')",
        "no SQL at all",
    ],
)
def test_a_query_reaches_nothing_else(tmp_path, sql):
    secret_rows = pa.table({"a": [1]})
    assert secret_rows.num_rows == 1
    journal(tmp_path)
    with pytest.raises(InputError):
        query_ledger(tmp_path, sql)


def test_decisions_are_read_back(tmp_path):
    made = JournalFile(tmp_path, "decisions", "w", 1, ABOUT)
    row = DecisionRow(what="load", when_ns=10**18 + 1000, evidence={"model": "ü"}, replica="r1")
    made.append([json_block(plain(row))])
    made.close()
    (back,) = read_ledger(tmp_path, "decisions").to_pylist()
    assert (back["what"], back["evidence"], back["replica"]) == ("load", '{"model": "ü"}', "r1")
    assert back["when"].year == 2001


def test_an_empty_ledger_answers_and_a_missing_one_does_not(tmp_path):
    assert query_ledger(tmp_path, "SELECT count(*) AS n FROM requests").to_pylist() == [{"n": 0}]
    with pytest.raises(StoreError, match="there is no ledger"):
        read_ledger(tmp_path / "none", "requests")


def test_what_a_newer_farthing_wrote_is_refused_with_both_versions(tmp_path):
    made = JournalFile(tmp_path, "requests", "w", 1, {**ABOUT, "schema": "farthing/ledger/2"})
    made.close()
    with pytest.raises(SchemaError, match="farthing/ledger/2, this farthing reads farthing/ledger/1"):
        read_ledger(tmp_path, "requests")
    made.path.unlink()
    schema = arrow_schema("requests").with_metadata({"schema": "farthing/ledger/2"})
    pq.write_table(schema.empty_table(), tmp_path / "requests-w-000001.parquet")
    with pytest.raises(SchemaError, match="farthing/ledger/2"):
        read_ledger(tmp_path, "requests")


def test_files_that_cannot_be_read_are_named_and_keep_nobody_from_the_others(tmp_path, caplog):
    journal(tmp_path)
    for name in ("requests-x-1.journal", "requests-x-1.parquet"):
        (tmp_path / name).write_bytes(b"hello")
        assert ids(tmp_path) == list(range(30))
        assert f"{name}: 1 part damaged, an unknown number of rows lost" in caplog.text
        (tmp_path / name).unlink()
    (tmp_path / "notes-x.journal").write_bytes(b"hello")
    with pytest.raises(StoreError, match="is no file of a ledger"):
        compact_ledger(tmp_path)


PAGE = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["requests", "replicas", "decisions"])
def test_the_page_lists_all_columns_in_order(kind):
    table = PAGE.partition(f"## Columns of `{kind}`")[2].partition("\n\n#")[0].partition("\n\nRequests")[0]
    listed = [name for row in re.findall(r"^\| (`.+?) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)]
    assert listed == arrow_schema(kind).names


@pytest.mark.parametrize("sql", re.findall(r"```sql\n(.*?)```", PAGE, re.S))
def test_the_pages_queries_run(tmp_path, sql):
    journal(tmp_path)
    made = JournalFile(tmp_path, "replicas", "w", 1, ABOUT)
    offer = "aws/m7i.large@us-east-1:on_demand"
    row = ReplicaRow(replica="r1", start_ns=0, stop_ns=3600 * 10**9, offer=offer, usd_per_hour=0.1)
    made.append([json_block(plain(row))])
    made.close()
    (answer,) = query_ledger(tmp_path, sql).to_pylist()
    if "paid" in answer:
        assert answer == {"replica": "r1", "paid": pytest.approx(0.1), "attributed": pytest.approx(210e-9)}


def test_the_first_version_stays_readable(tmp_path):
    """Written once (one writer's Parquet files, another's journals) and never anew."""
    golden = Path(__file__).parents[1] / "golden" / "v1" / "ledger"
    rows = query_ledger(golden, "SELECT * FROM requests ORDER BY replica, status, model DESC").to_pylist()
    assert len(rows) == 6
    for first, free, refused in (rows[:3], rows[3:]):
        assert (first["request_id"], first["tenant"], first["deployment"], first["rows"]) == ("é1", "ab12", "shop", 2)
        assert (first["cost_allocation_nusd"], first["cost_usage_nusd"]) == (93_333, 28)
        assert (free["model"], free["offer"], free["cost_allocation_nusd"]) == ("free", None, None)
        assert (refused["status"], refused["protocol"], refused["service_s"]) == (503, "grpc", None)
    assert {row["time"].isoformat() for row in rows} == {"2027-01-15T08:00:00+00:00"}
    replicas = read_ledger(golden, "replicas")
    assert replicas.num_rows == 6
    assert set(read_ledger(golden, "decisions").column("what").to_pylist()) == {"swap"}
