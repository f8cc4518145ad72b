"""One run at a time in a folder; a lock ends with its process, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from farthing.errors import StoreError
from farthing.store.folder_lock import NAME, only_run_in

HOLD = """
import sys, pathlib
from farthing.store.folder_lock import only_run_in
with only_run_in(pathlib.Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "in\n"
    return child


def test_a_second_run_is_refused_with_the_process_and_what_to_do(tmp_path):
    child = holder(tmp_path / "out")
    try:
        with pytest.raises(StoreError) as seen, only_run_in(tmp_path / "out"):
            pass
        assert f"another run is at work in {tmp_path / 'out'}: process {child.pid}, since 20" in str(seen.value)
        assert f"kill {child.pid}" in str(seen.value)
    finally:
        child.communicate("")
    with only_run_in(tmp_path / "out"):
        pass


def test_a_killed_run_blocks_nobody(tmp_path):
    child = holder(tmp_path)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert (tmp_path / NAME).exists()
    with only_run_in(tmp_path):
        assert str(os.getpid()) in (tmp_path / NAME).read_text()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_nothing_was_written_to_goes_again(tmp_path):
    with pytest.raises(ZeroDivisionError), only_run_in(tmp_path / "a"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_there_is_never_more_than_one_at_a_time(tmp_path):
    """Many take it in turn while its file comes and goes."""
    inside, most, done = 0, 0, 0
    lock = threading.Lock()

    def take() -> None:
        nonlocal inside, most, done
        while True:
            try:
                with only_run_in(tmp_path / "out"):
                    with lock:
                        inside += 1
                        most = max(most, inside)
                    (tmp_path / "out" / "kept").touch()
                    with lock:
                        inside, done = inside - 1, done + 1
            except StoreError:
                continue
            return

    threads = [threading.Thread(target=take) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, done) == (1, 16)
