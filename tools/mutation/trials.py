"""One run of a room's tests in a forked child, ended at a limit of its processor time.

cosmic-ray starts an interpreter for each mutant; importing numpy, SciPy, Numba and pytest anew takes as long as most
rooms' tests. Here they are imported once, farthing never, and each mutant is a fork of that.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import hypothesis  # noqa: F401 (imported once, for all forks)
import numba
import numpy  # noqa: F401 (as above; numpy before SciPy)
import pytest
import scipy.optimize
import scipy.special
import scipy.stats  # noqa: F401

OPTIONS = (
    "-x",
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "_hypothesis_pytestplugin",
    "-m",
    "not slow",
    "--hypothesis-seed=0",
)
"""Of pytest; plug-ins that no core test needs take longer to import than most rooms' tests to run."""
WALL_PER_CPU = 10
"""A child may wait this many times its processor's limit: for the processor when others use it, or for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What the tests said.

    Attributes:
        outcome: ``passed``, ``failed`` or ``timeout``; a child that dies otherwise has failed.
        cpu_s: processor time used.
    """

    outcome: str
    cpu_s: float


def run(tree: Path, tests: Sequence[str], cpu_limit_s: float) -> Trial:
    """Run ``tests`` in a copy of the repository, stopping at the first failure.

    Numba's machine code is kept per run in a folder that is removed afterwards: its cache looks at the function's own
    file only, so a changed constant elsewhere would go unnoticed.
    """
    cache = tempfile.mkdtemp(prefix="farthing-mutant-")
    before = os.times()
    child = os.fork()
    if child == 0:
        _become_the_tests(tree, tests, cache, cpu_limit_s)
    try:
        outcome = _awaited(child, time.monotonic() + cpu_limit_s * WALL_PER_CPU)
    finally:
        _end(child)
        shutil.rmtree(cache, ignore_errors=True)
    after = os.times()
    used_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Trial(outcome=outcome, cpu_s=used_s)


def _become_the_tests(tree: Path, tests: Sequence[str], cache: str, cpu_limit_s: float) -> None:
    status = 70
    try:
        os.setsid()
        limit_s = int(cpu_limit_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s + 1))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        os.chdir(tree)
        os.environ["NUMBA_CACHE_DIR"] = cache
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        numba.config.CACHE_DIR = cache
        sys.path.insert(0, str(tree / "src"))
        status = int(pytest.main([*OPTIONS, *tests]))
    finally:
        os._exit(status)


def _awaited(child: int, until: float) -> str:
    pause_s = 0.002
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if os.WIFSIGNALED(status):
                return "timeout" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) else "failed"
            return "passed" if os.WEXITSTATUS(status) == 0 else "failed"
        time.sleep(pause_s)
        pause_s = min(0.1, pause_s * 1.5)
    return "timeout"


def _end(child: int) -> None:
    """End the child's whole session; one that is gone is left alone."""
    try:
        os.killpg(child, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
    try:
        os.waitpid(child, 0)
    except ChildProcessError:
        return
