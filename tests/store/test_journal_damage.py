"""One flipped byte of a run's journal costs at most the steps that it touches; they are set aside and said."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.errors import StoreError
from farthing.store.journal import Journal
from farthing.store.measurements import read_measurements, write_measurements

N = 30
ABOUT = {"seed": 1, "content": {"model.onnx": "ab"}}


def write(path: Path, about: dict | None = None) -> bytes:
    with Journal(path, about or ABOUT) as journal:
        for k in range(N):
            journal.once(f"step {k}", dict, lambda k=k: {"key": "schema", "value": k * 1.5, "é": [k]})
    return path.read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("journal") / "j.jsonl")


def steps(journal: Journal) -> list[int]:
    found = [k for k in range(N) if f"step {k}" in journal]
    for k in found:
        assert journal.get(f"step {k}", dict) == {"key": "schema", "value": k * 1.5, "é": [k]}
    return found


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**9), by=st.integers(1, 255))
def test_a_flipped_byte_costs_at_most_two_steps(tmp_path, whole, place, by):
    folder = tmp_path / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    at = place % len(whole)
    damaged = whole[:at] + bytes([whole[at] ^ by]) + whole[at + 1 :]
    (folder / "j.jsonl").write_bytes(damaged)
    with Journal(folder / "j.jsonl", ABOUT) as journal:
        found = steps(journal)
        assert len(found) >= N - 2  # a new end of line in a line's middle, at worst
        if len(found) < N:
            cut = at >= len(whole) - 1 or damaged.rstrip(b"\n") != damaged[:-1]
            assert journal.damaged or cut
            assert not journal.damaged or journal.damaged_path.read_bytes()
    with Journal(folder / "j.jsonl", ABOUT) as again:
        assert steps(again) == found
        assert again.damaged == 0


def test_damaged_steps_are_done_anew_and_their_bytes_kept(tmp_path, whole):
    path = tmp_path / "j.jsonl"
    damaged = whole.replace(b'"value": 15.0', b'"value": 16.0')
    path.write_bytes(damaged)
    with Journal(path, ABOUT) as journal:
        assert (journal.resumed, journal.damaged) == (N - 1, 1)
        assert journal.once("step 10", float, lambda: 7.0) == 7.0
    assert b'"value": 16.0' in journal.damaged_path.read_bytes()


def test_a_damaged_first_line_costs_no_step(tmp_path, whole):
    path = tmp_path / "j.jsonl"
    path.write_bytes(b"\0\0\0\0" + whole[4:])
    with Journal(path, ABOUT) as journal:
        assert steps(journal) == list(range(N))


def test_steps_of_another_run_are_never_taken_for_ones_of_this(tmp_path, whole):
    """Even under this run's first line: each step's checksum says what it is about."""
    path = tmp_path / "j.jsonl"
    other = write(tmp_path / "other.jsonl", {"seed": 2})
    path.write_bytes(whole.split(b"\n")[0] + b"\n" + b"\n".join(other.split(b"\n")[1:]))
    with Journal(path, ABOUT) as journal:
        assert journal.resumed == 0
        assert journal.damaged == N


def test_what_no_longer_holds_is_done_anew(tmp_path):
    path = tmp_path / "j.jsonl"
    with Journal(path, {}) as journal:
        journal.once("a", float, lambda: 1.0)
        journal.once("b", float, lambda: 1.0)
    with Journal(path, {}) as journal:
        assert journal.once("a", float, lambda: 2.0, still=lambda value: value == 1.0) == 1.0
        assert journal.once("b", float, lambda: 2.0, still=lambda value: value == 2.0) == 2.0
        assert (journal.reused, journal.done) == (1, 1)
    with Journal(path, {}) as journal:
        assert journal.get("b", float) == 2.0


def test_damaged_measurements_are_refused_with_the_way_out(tmp_path):
    from test_journal import measurement

    path = write_measurements(tmp_path / "m.parquet", [measurement()] * 3)
    whole = path.read_bytes()
    for at in range(4, len(whole) - 8, 13):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with contextlib.suppress(StoreError):
            assert list(read_measurements(path)) == [measurement()] * 3, at
    with pytest.raises(StoreError, match=r"cannot read measurements from .*m\.parquet: it is damaged"):
        read_measurements(path)
