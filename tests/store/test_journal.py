"""The journal keeps finished steps through kills, and never mixes two runs."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from pathlib import Path

import pytest

from farthing.errors import StoreError
from farthing.models.digests import digest, size_mib
from farthing.nouns import Artefact, Candidate, Estimate, Measurement
from farthing.store.artefacts import check_artefact
from farthing.store.documents import disk_errors, write_yaml
from farthing.store.journal import Journal
from farthing.store.measurements import read_measurements, write_measurements


def estimate(value: float = 1.0) -> Estimate:
    return Estimate(value=value, lo=value - 0.5, hi=float("inf"), n=9, method="test")


def measurement() -> Measurement:
    return Measurement(
        candidate=Candidate(engine="e", variant="v", precision="int8", max_batch=4, instances=2),
        scenario="Offline",
        batch=4,
        n=100,
        metrics={"throughput_rps": estimate(5.0)},
        seed=3,
        hardware="abc",
        taken_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        quantiles_ms=(1.0, 2.0),
        blocks=(4.0, 6.0),
    )


def test_a_step_is_computed_once_and_survives_reopening(tmp_path: Path) -> None:
    calls = []

    def compute() -> Estimate:
        calls.append(1)
        return estimate()

    for _ in range(2):
        with Journal(tmp_path / "j.jsonl", {"seed": 1}) as journal:
            assert journal.once("a", Estimate, compute) == estimate()
            assert journal.once("a", Estimate, compute) == estimate()
    assert len(calls) == 1


def test_a_line_cut_short_by_a_kill_is_measured_again_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, {}) as journal:
        journal.once("a", float, lambda: 1.0)
        journal.once("b", float, lambda: 2.0)
    path.write_text(path.read_text()[:-8])
    with Journal(path, {}) as journal:
        assert "a" in journal
        assert "b" not in journal
        assert journal.once("b", float, lambda: 3.0) == 3.0
    with Journal(path, {}) as journal:
        assert journal.resumed == 2


def test_another_run_starts_its_own_and_keeps_the_old(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, {"seed": 1}) as journal:
        journal.once("a", float, lambda: 1.0)
    with Journal(path, {"seed": 2}) as journal:
        assert "a" not in journal
    assert '"key": "a"' in (tmp_path / "j.1.jsonl").read_text()


def test_what_a_step_raises_is_not_kept(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.jsonl", {}) as journal:
        with pytest.raises(ZeroDivisionError):
            journal.once("a", float, lambda: 1 / 0)
        assert "a" not in journal


def test_a_full_disk_names_the_file_and_the_way_out(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match=r"no space left on the disk for .*plan.yaml") as seen,
        disk_errors(tmp_path / "plan.yaml"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "resumes" in str(seen.value)


def test_documents_are_whole_or_absent(tmp_path: Path) -> None:
    class Unwritable:
        pass

    with pytest.raises(Exception, match="cannot represent"):
        write_yaml(tmp_path / "plan.yaml", "farthing/plan/1", {"x": Unwritable()})
    assert list(tmp_path.iterdir()) == []
    write_yaml(tmp_path / "plan.yaml", "farthing/plan/1", {"x": 1})
    assert (tmp_path / "plan.yaml").read_text().startswith("schema: farthing/plan/1\n")


def test_measurements_round_trip_through_parquet(tmp_path: Path) -> None:
    path = write_measurements(tmp_path / "m.parquet", [measurement(), measurement()])
    assert list(read_measurements(path)) == [measurement(), measurement()]


def test_a_foreign_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.parquet").write_bytes(b"nothing")
    with pytest.raises(StoreError, match="cannot read measurements"):
        read_measurements(tmp_path / "m.parquet")


def test_a_changed_artefact_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.bin").write_bytes(b"12")
    artefact = Artefact(
        variant="fp32",
        precision="fp32",
        path="model",
        sha256=digest(tmp_path / "model"),
        size_mib=size_mib(tmp_path / "model"),
        engines=("e",),
    )
    assert check_artefact(artefact, tmp_path) == (tmp_path / "model").resolve()
    (tmp_path / "model" / "a.bin").write_bytes(b"13")
    with pytest.raises(StoreError, match="was changed"):
        check_artefact(artefact, tmp_path)
    (tmp_path / "model" / "a.bin").unlink()
    (tmp_path / "model").rmdir()
    with pytest.raises(StoreError, match="is missing"):
        check_artefact(artefact, tmp_path)
