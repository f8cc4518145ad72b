"""One flipped byte costs at most the part that it is in, is counted and said, and nothing is ever deleted for it."""

from __future__ import annotations

import json
import shutil
import zlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.store import ledger
from farthing.store.checked_parquet import state_of
from farthing.store.crc32_mending import damaged_byte
from farthing.store.ledger import compact_ledger, ledger_damage, mend_ledger, query_ledger, read_ledger
from farthing.store.ledger_blocks import block, json_block
from farthing.store.ledger_journal import JournalFile
from farthing.store.ledger_rows import NO_COST, REQUEST_RECORD, DecisionRow, plain, requests_block

BLOCKS, ROWS = 61, 7
"""As the audit had it: 61 blocks; one flipped byte once took all of them."""
N = BLOCKS * ROWS
ROW = {
    "replica": "w", "tier": None, "route_score": 0.0, "route_decision": None, "tenant": None, "protocol": "http",
    "input_bytes": 0, "rows": 1, "batch_rows": 1, "queue_s": 0.0, "service_s": 0.0, "status": 200, "offer": None,
    "cost_allocation_nusd": 7, "cost_usage_nusd": None, "audit": False,
}  # fmt: skip
ABOUT = {"replica": "w", "deployment": "shop"}


def rows_block(n: int, first: int) -> bytes:
    rows = np.zeros(n, REQUEST_RECORD)
    rows["time_ns"] = np.arange(first, first + n) * 10**9
    rows["rows"] = rows["batch_rows"] = 1
    rows["model"] = 1 + np.arange(first, first + n) % 2
    rows["status"], rows["cost_allocation_nusd"], rows["cost_usage_nusd"] = 200, 7, NO_COST
    names = [str(k) for k in range(first, first + n)]
    return block(b"R", requests_block(rows, names, [""] * n))


def written(folder: Path) -> Path:
    made = JournalFile(folder, "requests", "w", 1, ABOUT)
    for number, name in enumerate(("even", "odd"), 1):
        made.append([json_block({"model": [name, "1", None], "number": number})])
    for k in range(BLOCKS):
        made.append([rows_block(ROWS, k * ROWS)])
    made.close()
    return made.path


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return written(tmp_path_factory.mktemp("journal")).read_bytes()


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory, journal: bytes) -> bytes:
    """Several row groups, as many journals' blocks would give."""
    folder = tmp_path_factory.mktemp("parquet")
    path = folder / "requests-w-000001.journal"
    path.write_bytes(journal)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("farthing.store.ledger_journal._ROWS_PER_TABLE", 70)
        (made,) = compact_ledger(folder)
    return made.read_bytes()


def flipped(content: bytes, at: int, by: int) -> bytes:
    return content[:at] + bytes([content[at] ^ by]) + content[at + 1 :]


def kept(folder: Path) -> tuple[list[int], int | None]:
    """Ids that are read, right in every column, and how many rows are said to be lost (None: unknown)."""
    table = read_ledger(folder, "requests")
    for row in table.to_pylist():
        k = int(row["request_id"])
        assert row.pop("model") in (("even", "odd")[k % 2], None)
        assert row.pop("version") in ("1", None)
        assert row.pop("deployment") in ("shop", None)
        assert row == {**ROW, "request_id": str(k), "time": datetime.fromtimestamp(k, UTC)}
    said = json.loads((table.schema.metadata or {}).get(b"damage", b'{"rows": 0, "parts": 0, "unnamed_rows": 0}'))
    if None in table.column("model").to_pylist():
        assert said["unnamed_rows"] > 0
    found = sorted(int(x) for x in table.column("request_id").to_pylist())
    assert len(set(found)) == len(found)
    if len(found) < N:
        assert said["parts"] > 0
        assert ledger_damage(folder)
    return found, said["rows"]


def bytes_in(folder: Path) -> set[bytes]:
    return {path.read_bytes() for path in folder.rglob("*") if path.suffix in (".journal", ".parquet")}


places = st.integers(0, 10**9)
changes = st.integers(1, 255)
sampled = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@sampled
@given(place=places, by=changes)
def test_a_flipped_byte_of_a_journal_costs_at_most_its_block(tmp_path, journal, place, by):
    folder = fresh(tmp_path)
    path = folder / "requests-w-000001.journal"
    path.write_bytes(flipped(journal, place % len(journal), by))
    damaged = path.read_bytes()
    before, lost = kept(folder)
    assert len(before) >= N - ROWS
    assert lost is None or len(before) + lost == N
    compact_ledger(folder)
    assert kept(folder) == (before, lost)
    assert not path.exists()
    assert len(before) == N or damaged in bytes_in(folder)  # set aside as it was


@sampled
@given(place=places, by=changes)
def test_a_flipped_byte_of_a_parquet_file_costs_at_most_its_row_group(tmp_path, parquet, place, by):
    folder = fresh(tmp_path)
    path = folder / "requests-w-000001.parquet"
    path.write_bytes(flipped(parquet, place % len(parquet), by))
    damaged = path.read_bytes()
    before, lost = kept(folder)
    assert len(before) >= N - 70
    assert len(before) + (lost or 0) == N
    if state_of(path) == "damaged":
        mend_ledger(folder)
        assert damaged in bytes_in(folder)
        assert kept(folder) == (before, lost)
        assert all(state_of(p) == "whole" for p in folder.glob("*.parquet"))
    assert mend_ledger(folder) == ()


@sampled
@given(length=places)
def test_a_journal_cut_anywhere_keeps_all_blocks_before_and_is_no_damage(tmp_path, journal, length):
    folder = fresh(tmp_path)
    cut = journal[: length % len(journal)]
    (folder / "requests-w-000001.journal").write_bytes(cut)
    whole = [k for k in range(BLOCKS) if rows_block(ROWS, k * ROWS) in cut]
    assert read_ledger(folder, "requests").num_rows == ROWS * len(whole)
    assert ledger_damage(folder) == ()


def test_two_damaged_bytes_of_a_footer_lose_the_file_and_say_so(tmp_path, parquet):
    """More than one cannot be mended, and nothing is guessed."""
    path = tmp_path / "requests-w-000001.parquet"
    at = len(parquet) - 2000
    path.write_bytes(flipped(flipped(parquet, at, 1), at + 300, 1))
    assert kept(tmp_path) == ([], None)
    mend_ledger(tmp_path)
    assert not path.exists()
    assert kept(tmp_path) == ([], None)
    assert [p.suffix for p in sorted((tmp_path / "damaged").iterdir())] == [".parquet", ".json"]


@settings(max_examples=200, deadline=None)
@given(message=st.binary(min_size=1, max_size=500), place=places, by=changes)
def test_the_damaged_byte_of_a_message_is_found(message, place, by):
    at = place % len(message)
    assert damaged_byte(flipped(message, at, by), zlib.crc32(message)) == (at, by)


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder / "ledger", ignore_errors=True)
    (folder / "ledger").mkdir()
    return folder / "ledger"


def test_the_audits_flip_loses_one_block_of_61_and_says_so(tmp_path, journal, caplog):
    first = journal.index(rows_block(ROWS, 0))
    path = tmp_path / "requests-w-000001.journal"
    path.write_bytes(flipped(journal, first + 60, 0x10))
    assert len(compact_ledger(tmp_path)) == 1
    assert read_ledger(tmp_path, "requests").num_rows == N - ROWS
    assert "requests-w-000001.journal: 1 part damaged, 7 rows lost" in caplog.text
    (aside,) = (tmp_path / "damaged").glob("*.journal")
    assert aside.read_bytes() == flipped(journal, first + 60, 0x10)
    answer = query_ledger(tmp_path, "SELECT count(*) AS n FROM requests")
    assert json.loads(answer.schema.metadata[b"damage"])["rows"] == ROWS


def test_a_damaged_name_moves_no_other_name(tmp_path, journal):
    at = journal.index(b'"even"')
    (tmp_path / "requests-w-000001.journal").write_bytes(flipped(journal, at + 1, 1))
    table = read_ledger(tmp_path, "requests")
    assert set(table.column("model").to_pylist()) == {None, "odd"}
    (lost,) = ledger_damage(tmp_path)
    assert (lost.rows, lost.unnamed_rows) == (0, (N + 1) // 2)


def test_names_of_older_journals_are_not_guessed_behind_damage(tmp_path):
    made = JournalFile(tmp_path, "requests", "w", 1, ABOUT)
    names = [json_block({"model": [name, "1", None]}) for name in ("even", "odd")]
    made.append([*names, rows_block(4, 0)])
    made.close()
    whole = made.path.read_bytes()
    assert set(read_ledger(tmp_path, "requests").column("model").to_pylist()) == {"even", "odd"}
    made.path.write_bytes(flipped(whole, whole.index(b'"even"'), 1))
    assert set(read_ledger(tmp_path, "requests").column("model").to_pylist()) == {None}


def test_a_journal_stays_when_its_rows_do_not_read_back(tmp_path, monkeypatch):
    path = written(tmp_path)
    real = ledger.write_parquet

    def lossy(f, tables, schema):
        return real(f, list(tables)[:-1], schema)

    monkeypatch.setattr("farthing.store.ledger_journal._ROWS_PER_TABLE", 70)
    monkeypatch.setattr(ledger, "write_parquet", lossy)
    with pytest.raises(ledger.StoreError, match="reads back differently"):
        compact_ledger(tmp_path)
    assert path.exists()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert read_ledger(tmp_path, "requests").num_rows == N


def test_a_parquet_file_damaged_before_its_journal_went_is_made_again(tmp_path):
    path = written(tmp_path)
    whole = path.read_bytes()
    (made,) = compact_ledger(tmp_path)
    made.write_bytes(flipped(made.read_bytes(), 100, 1))
    path.write_bytes(whole)  # killed between the two steps
    assert read_ledger(tmp_path, "requests").num_rows == N
    compact_ledger(tmp_path)
    assert (read_ledger(tmp_path, "requests").num_rows, state_of(made), path.exists()) == (N, "whole", False)


def test_damage_to_rare_rows_is_counted_too(tmp_path):
    made = JournalFile(tmp_path, "decisions", "w", 1, ABOUT)
    for k in range(5):
        made.append([json_block(plain(DecisionRow(what=f"load {k}", when_ns=k, evidence={})))])
    made.close()
    whole = made.path.read_bytes()
    made.path.write_bytes(flipped(whole, whole.index(b"load 2"), 1))
    compact_ledger(tmp_path)
    assert read_ledger(tmp_path, "decisions").column("what").to_pylist() == ["load 0", "load 1", "load 3", "load 4"]
    (lost,) = ledger_damage(tmp_path)
    assert lost.rows == 1
