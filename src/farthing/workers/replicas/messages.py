"""Child processes that answer JSON lines, one pipe for commands and one for answers: the parent's end.

Neither pipe is stdout or stderr, so libraries may print what they like; no pickle travels. A child is pinned to its
cores and told its thread count before it imports anything. It ends with its parent: the kernel is asked to see to
that, and a closed command pipe says the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from farthing import errors
from farthing.errors import CandidateCrashed, CandidateOutOfMemory, CandidateTimeout, FarthingError, MeasureError
from farthing.machine.clock import MonotonicClock
from farthing.machine.offline import child_environment
from farthing.ports import Clock
from farthing.store.documents import full_disk

__all__ = ["Child", "ask", "end"]

POLL_S = 0.1
"""How often memory and silence are looked at; a poll takes some 20 µs of the parent's time for each child."""
LEAVE_S = 2.0
"""Time for a child to leave by itself once its pipe is closed."""
TAIL_BYTES = 8192
TAIL_LINES = 4
_CANDIDATE = "farthing.workers.replicas.child"
"""The program that loads and runs candidates; others cannot be left out."""
PAGE_MIB = (os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096) / 2**20
_WHICH = "--engines and --variants say which to try"
_LEAVE_OUT = f"free memory, or leave it out: {_WHICH}"
_OUT_OF_MEMORY = f"the system ends processes so when memory runs out; {_LEAVE_OUT}"


class Child:
    """A child process, ``python -m farthing.workers.replicas.child`` unless another program is named.

    Start it on a thread that outlives it: Linux ends a child when the *thread* that started it ends.

    Args:
        label: For error messages.
        cpus: Cores it may use, none for those of this process.
        threads: Threads of every library in it.
        log: Where its stdout and stderr go; the tail is quoted in errors.
        program: The module that it runs.

    Raises:
        MeasureError: when the cores are not this process's to give, or the log cannot be written.
        StoreError: when the disk is full.
    """

    def __init__(
        self,
        label: str,
        *,
        cpus: Sequence[int],
        threads: int,
        log: Path,
        program: str = _CANDIDATE,
    ) -> None:
        self.label, self.log, self.busy = label, log, False
        self._program = program
        self._number = 0
        self._buffer = b""
        self._ended = False
        read_commands, write_commands = os.pipe()
        read_answers, write_answers = os.pipe()
        self._commands, self._answers = write_commands, read_answers
        try:
            self.process = self._start(cpus, threads, read_commands, write_answers)
        except BaseException as e:
            self._close_pipes()
            if isinstance(e, OSError):
                raise full_disk(e, log) or MeasureError(f"{label} cannot be started: {e.strerror or e} ({log})") from e
            raise
        finally:
            os.close(read_commands)
            os.close(write_answers)

    def _start(self, cpus: Sequence[int], threads: int, commands: int, answers: int) -> subprocess.Popen[bytes]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        # -P: a file in the working folder must not stand in for a library.
        program = [sys.executable, "-P", "-m", self._program, str(commands), str(answers), str(os.getpid())]
        with self.log.open("wb") as sink, _on_cores(self.label, cpus):
            return subprocess.Popen(
                program,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                pass_fds=(commands, answers),
                env=child_environment(threads),
                process_group=0,
            )

    def say(self, message: Mapping[str, Any]) -> None:
        """Send one command.

        Raises:
            CandidateCrashed: when the child is gone.
        """
        self._number += 1
        line = json.dumps({**message, "number": self._number}).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._commands, line) :]
        except OSError as e:
            raise self.crashed() from e
        self.busy = True

    def fileno(self) -> int:
        """Descriptor of the answers, for a selector."""
        return self._answers

    def lines(self) -> Iterator[dict[str, Any]]:
        """Whatever has come since: beats, and the answer to the last command; answers to older ones are dropped.

        Raises:
            CandidateCrashed: when the child has closed its end.
        """
        piece = os.read(self._answers, 1 << 20)
        if not piece:
            raise self.crashed()
        *whole, self._buffer = (self._buffer + piece).split(b"\n")
        for line in whole:
            message: dict[str, Any] = json.loads(line)
            if message.pop("number") == self._number:
                self.busy = self.busy and "beat" in message
                yield message

    def memory_mib(self) -> float:
        """Resident memory now, 0 when the process has ended."""
        try:
            return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE_MIB
        except (OSError, IndexError):
            return _memory_elsewhere_mib(self.process.pid)

    def crashed(self) -> CandidateCrashed:
        """What to raise about a child that has ended by itself."""
        try:
            status = self.process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self.process.wait()
        self.kill()
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        said = self.tail()
        hint = _OUT_OF_MEMORY if status == -signal.SIGKILL else self.hint()
        return CandidateCrashed(
            f"{self.label} died ({how})" + (f": {said}" if said else "; it said nothing"), hint=hint
        )

    def hint(self) -> str | None:
        """Where its output is; without any, how to go on without a candidate."""
        if self.tail():
            return f"its output is in {self.log}"
        return f"leave it out: {_WHICH}" if self._program == _CANDIDATE else None

    def tail(self) -> str:
        """The last lines of its output; empty when there is none."""
        try:
            with self.log.open("rb") as f:
                f.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
                text = f.read().decode("utf-8", "replace")
        except OSError as e:
            return f"its output cannot be read ({e.strerror})"
        return " | ".join(line.strip() for line in text.strip().splitlines()[-TAIL_LINES:])

    def alive(self) -> bool:
        """Whether the process is running."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End the process and everything it started, and wait for its end; once is enough."""
        if not self._ended:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self._ended = True

    def dismiss(self) -> None:
        """Tell it to leave by closing its pipes; one that is busy is ended at once."""
        self._close_pipes()
        if self.busy:
            self.kill()

    def _close_pipes(self) -> None:
        for fd in (self._commands, self._answers):
            if fd >= 0:
                os.close(fd)
        self._commands = self._answers = -1


@contextlib.contextmanager
def _on_cores(label: str, cpus: Sequence[int]) -> Iterator[None]:
    """Run this thread on some cores, so that a process started meanwhile inherits them before its first import."""
    if not cpus or not hasattr(os, "sched_setaffinity"):
        yield
        return
    mine = os.sched_getaffinity(0)
    if not mine.issuperset(cpus):
        raise MeasureError(
            f"{label} wants the cores {sorted(cpus)}, but this process may use {sorted(mine)} only",
            hint="the affinity of this process (taskset) or its container leaves the others out",
        )
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


def _memory_elsewhere_mib(pid: int) -> float:
    import psutil

    try:
        return float(psutil.Process(pid).memory_info().rss / 2**20)
    except psutil.Error:
        return 0.0


def ask(
    children: Sequence[Child],
    messages: Sequence[Mapping[str, Any]],
    *,
    silence_s: float,
    memory_limit_mib: float,
    clock: Clock | None = None,
) -> list[dict[str, Any]]:
    """Send each child its command and wait for all answers; a fault in one ends them all.

    Args:
        children: Not busy.
        messages: One for each.
        silence_s: A child that neither answers nor shows a sign of life for so long is ended.
        memory_limit_mib: Of all of them together, resident.
        clock: Time, None for the real one.

    Raises:
        CandidateCrashed: when a child died.
        CandidateTimeout: when one was silent.
        CandidateOutOfMemory: when they went over the limit.
        FarthingError: what a child's own work raised; the children live on.
    """
    try:
        for child, message in zip(children, messages, strict=True):
            child.say(message)
        answers = _answers(children, silence_s, memory_limit_mib, clock or MonotonicClock())
    except MeasureError:
        for child in children:
            child.kill()
        raise
    for child, answer in zip(children, answers, strict=True):
        if "error" in answer:
            raise _error(child.label, answer)
    return answers


def _answers(
    children: Sequence[Child], silence_s: float, memory_limit_mib: float, clock: Clock
) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    looked = clock.monotonic_s()
    heard = dict.fromkeys(range(len(children)), looked)
    with selectors.DefaultSelector() as selector:
        for k, child in enumerate(children):
            selector.register(child, selectors.EVENT_READ, k)
        while len(found) < len(children):
            events = selector.select(POLL_S)
            now = clock.monotonic_s()
            for key, _ in events:
                heard[key.data] = now
                found.update((key.data, line) for line in children[key.data].lines() if "beat" not in line)
                if key.data in found:
                    selector.unregister(children[key.data])
            if now - looked >= POLL_S or not events:
                looked = now
                _check_memory(children, memory_limit_mib)
                _check_silence([children[k] for k in heard if k not in found and now - heard[k] > silence_s], silence_s)
    return [found[k] for k in range(len(children))]


def _check_memory(children: Sequence[Child], limit_mib: float) -> None:
    used_mib = sum(child.memory_mib() for child in children)
    if used_mib > limit_mib:
        raise CandidateOutOfMemory(
            f"{children[0].label} used {used_mib:,.0f} MiB and was ended; the limit is {limit_mib:,.0f} MiB",
            hint=_LEAVE_OUT,
        )


def _check_silence(silent: Sequence[Child], silence_s: float) -> None:
    if silent:
        raise CandidateTimeout(
            f"{silent[0].label} did not answer within {silence_s:g} s and was ended",
            hint=silent[0].hint(),
        )


def end(children: Sequence[Child]) -> None:
    """Let children leave, all at the same time; those that stay are killed."""
    for child in children:
        child.dismiss()
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(LEAVE_S)
        child.kill()


def _error(label: str, answer: Mapping[str, Any]) -> FarthingError:
    """The child's exception again: of the same kind where it is one of ours."""
    message, _, hint = str(answer["message"]).partition("\n\nhint: ")
    if answer["error"] == "MemoryError":
        return CandidateOutOfMemory(
            f"{label} could not get the memory it asked for: {message or 'MemoryError'}", hint=_LEAVE_OUT
        )
    kind = getattr(errors, answer["error"], None) if answer["error"] in errors.__all__ else None
    if kind is None:
        return MeasureError(f"{label}: {answer['error']}: {message}")
    found: FarthingError = kind(f"{label}: {message}", hint=hint or None)
    return found
