"""A real file system of one MiB that a test may fill."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SIZE_BYTES = 2**20


class SmallDisk:
    """Mounted at ``path``; takes ``fill`` and gives ``free``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, leave: int = 0) -> None:
        """Take all that is left but some bytes (rounded down to pages)."""
        with self._filler.open("ab", buffering=0) as f:
            with contextlib.suppress(OSError):
                while True:
                    f.write(bytes(4096))
            f.truncate(max(0, f.tell() - leave))

    def free(self) -> None:
        """Give it back."""
        self._filler.unlink()


@contextlib.contextmanager
def small_disk_at(path: Path) -> Iterator[SmallDisk]:
    """Mount it; skipped, with the reason, where that cannot be done."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    path.mkdir()
    options = f"size={SIZE_BYTES},mode=0777"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def is_full(path: Path) -> bool:
    """Whether the disk takes no further byte."""
    probe = path / "probe"
    try:
        probe.write_bytes(bytes(4096))
    except OSError as e:
        return e.errno == errno.ENOSPC
    finally:
        probe.unlink(missing_ok=True)
    return False
