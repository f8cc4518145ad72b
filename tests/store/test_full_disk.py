"""What happens on a disk that is really full: a farthing error that names the file, and nothing lost that was there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_disk import SmallDisk, is_full
from test_journal import measurement
from test_ledger import ids
from test_ledger import journal as ledger_journal

from farthing.errors import StoreError
from farthing.store.documents import write_array, write_text, write_yaml
from farthing.store.folder_lock import only_run_in
from farthing.store.journal import Journal
from farthing.store.ledger import compact_ledger, mend_ledger
from farthing.store.measurements import read_measurements, write_measurements
from farthing.store.tenant_salt import tenant_salt
from farthing.workers.replicas.builder import build
from farthing.workers.replicas.schedule import Schedule

LONG = "x" * 20_000


def test_the_journal_keeps_what_it_had_and_takes_up_again(small_disk: SmallDisk) -> None:
    path = small_disk.path / "work" / "journal.jsonl"

    def run() -> None:
        with Journal(path, {}) as journal:
            journal.once("a", str, lambda: LONG)
            small_disk.fill(leave=8192)
            journal.once("b", str, lambda: LONG)  # cut short in its middle

    with pytest.raises(StoreError, match=r"no space left on the disk for .*journal\.jsonl") as seen:
        run()
    assert "what was written before is whole and kept" in str(seen.value)
    assert "free some space" in str(seen.value)
    assert path.read_bytes().endswith(b"\n")
    small_disk.free()
    with Journal(path, {}) as journal:
        assert (journal.resumed, journal.damaged) == (1, 0)
        assert journal.once("b", str, lambda: LONG) == LONG


def test_a_journal_that_cannot_begin_says_so(small_disk: SmallDisk) -> None:
    small_disk.fill()
    assert is_full(small_disk.path)
    with pytest.raises(StoreError, match="no space left"), Journal(small_disk.path / "j.jsonl", {"about": LONG}):
        pass


def test_a_journal_with_a_cut_line_is_not_lost_when_it_cannot_be_mended(small_disk: SmallDisk) -> None:
    path = small_disk.path / "j.jsonl"
    with Journal(path, {}) as journal:
        journal.once("a", str, lambda: LONG)
    path.write_bytes(path.read_bytes() + b'{"key": "b", "va')
    small_disk.fill()
    with pytest.raises(StoreError, match="no space left"):
        Journal(path, {})
    small_disk.free()
    with Journal(path, {}) as journal:
        assert journal.get("a", str) == LONG


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("plan.yaml", lambda path: write_yaml(path, "farthing/plan/1", {"a": LONG})),
        ("report.html", lambda path: write_text(path, LONG)),
        ("measurements.parquet", lambda path: write_measurements(path, [measurement()] * 50)),
        ("answers.npy", lambda path: write_array(path, np.zeros(5000))),
    ],
)
def test_results_are_whole_or_as_they_were(small_disk: SmallDisk, name: str, write: Any) -> None:
    path = small_disk.path / name
    write(path)
    before = path.read_bytes()
    small_disk.fill()
    with pytest.raises(StoreError, match=f"no space left on the disk for .*{name}"):
        write(path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in small_disk.path.iterdir()) == sorted(["filler", name])
    if name.endswith(".parquet"):
        assert list(read_measurements(path)) == [measurement()] * 50


def test_a_run_can_still_be_refused_and_begun(small_disk: SmallDisk) -> None:
    small_disk.fill()
    with only_run_in(small_disk.path), pytest.raises(StoreError, match="another run"), only_run_in(small_disk.path):
        pass


def test_compaction_leaves_the_journal(small_disk: SmallDisk) -> None:
    path = ledger_journal(small_disk.path, blocks=30).path
    small_disk.fill()
    with pytest.raises(StoreError, match=r"no space left on the disk for .*requests-w-000001.parquet"):
        compact_ledger(small_disk.path)
    assert path.exists()
    assert ids(small_disk.path) == list(range(300))
    assert sorted(p.suffix for p in small_disk.path.iterdir()) == ["", ".journal"]
    small_disk.free()
    assert len(compact_ledger(small_disk.path)) == 1
    assert ids(small_disk.path) == list(range(300))


def test_damage_stays_where_it_is_when_it_cannot_be_set_aside(small_disk: SmallDisk) -> None:
    ledger_journal(small_disk.path, blocks=30)
    (made,) = compact_ledger(small_disk.path)
    whole = made.read_bytes()
    made.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    damaged = made.read_bytes()
    small_disk.fill()
    with pytest.raises(StoreError, match="no space left"):
        mend_ledger(small_disk.path)
    assert made.read_bytes() == damaged


BUILDER = """
def write_much(request):
    try:
        with open(request["path"], "wb") as f:
            f.write(bytes(100_000))
    except OSError as e:
        raise RuntimeError("the library failed") from e
    return {}
"""


def test_a_full_disk_in_a_child_is_no_fault_of_what_is_built(small_disk: SmallDisk, tmp_path: Path) -> None:
    small_disk.fill()
    (tmp_path / "builder.py").write_text(BUILDER)
    step = f"{tmp_path / 'builder.py'}:write_much"
    with pytest.raises(StoreError, match="no space left on the disk"):
        build(
            step, {"path": str(small_disk.path / "m.onnx")}, label="fp32", timeout_s=60, memory_limit_mib=4096,
            run_dir=tmp_path,
        )  # fmt: skip


def test_a_schedule_that_does_not_fit_is_an_error_of_the_system(small_disk: SmallDisk) -> None:
    small_disk.fill(leave=4096)
    with pytest.raises(OSError, match="No space left"):
        Schedule.create(small_disk.path / "schedule", np.arange(5000.0), 10)


def test_a_salt_is_whole_or_absent(small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(small_disk.path))
    (small_disk.path / "farthing").mkdir()
    small_disk.fill()
    with pytest.raises(StoreError, match="cannot keep the salt"):
        tenant_salt()
    small_disk.free()
    assert tenant_salt() == tenant_salt()
