"""Ties the life of a child process to its parent's."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

__all__ = ["end_with_parent"]

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Have the kernel end this process with its parent, and leave when that has ended already.

    Linux ends a child when the *thread* that started it ends. Elsewhere nothing is asked of the kernel; a closed
    socket or pipe then has to say the same.

    Args:
        parent: Process id of the parent as it knew itself.

    Raises:
        SystemExit: when the parent is another by now.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(1)
