"""The journals of one writer: opened when there is something to write, handed on when they are full or old."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from farthing.codec import from_plain
from farthing.ports import Clock
from farthing.store.ledger_damage import FOLDER, Damage
from farthing.store.ledger_journal import JournalFile, json_block
from farthing.store.ledger_rows import Kind

__all__ = ["LedgerFiles"]

_LOG = logging.getLogger("farthing.serve.ledger")
_FULL_BYTES = 128 * 2**20
_OLD_S = 3600.0
_LAST_COMPACTION_S = 60.0


class LedgerFiles:
    """Where rows go. All methods but ``learn`` are called from the writer's thread, or after it has ended.

    Args:
        folder: Of the ledger.
        writer: Unique name.
        about: For the first block of each journal.
        clock: Monotonic time.
        full_bytes: A journal of so many bytes is made Parquet of.
        old_s: So is one of that age.

    Attributes:
        trouble: What the last compaction complained of, None when nothing.
        damage: What compactions found that is not what was written; the folder ``damaged`` has it.
    """

    def __init__(
        self,
        folder: Path,
        writer: str,
        about: Mapping[str, Any],
        clock: Clock,
        *,
        full_bytes: int = _FULL_BYTES,
        old_s: float = _OLD_S,
    ) -> None:
        self._folder, self._writer, self._about, self._clock = folder, writer, about, clock
        self._full_bytes, self._old_s = full_bytes, old_s
        self._open: dict[Kind, tuple[JournalFile, float]] = {}
        self._numbers: dict[Kind, int] = {}
        self._names: list[bytes] = []
        self._named = 0
        self._compaction: subprocess.Popen[str] | None = None
        self._due = False
        self._counts: dict[str, int] = {}
        self._checked = False
        self.trouble: str | None = None
        self.damage: list[Damage] = []

    def learn(self, said: Mapping[str, Any]) -> None:
        """A name that request rows will refer to by number; every journal of requests repeats all of them.

        Names of a kind (the one key of ``said``) count from 1; the number is written beside, so that a damaged name
        moves no other one.
        """
        (key,) = said
        number = self._counts[key] = self._counts.get(key, 0) + 1
        self._names.append(json_block({**said, "number": number}))

    def append(self, kind: Kind, blocks: Sequence[bytes]) -> None:
        """Write blocks to the journal of that kind.

        Raises:
            OSError: when the disk does not take them; nothing of them is written.
        """
        journal = self._journal(kind)
        names = self._names[self._named :] if kind == "requests" else []
        journal.append([*names, *blocks])
        if kind == "requests":
            self._named += len(names)

    def _journal(self, kind: Kind) -> JournalFile:
        if kind not in self._open:
            number = self._numbers[kind] = self._numbers.get(kind, 0) + 1
            journal = JournalFile(self._folder, kind, self._writer, number, self._about)
            self._open[kind] = (journal, self._clock.monotonic_s())
            if kind == "requests":
                self._named = 0
        return self._open[kind][0]

    def turn(self) -> None:
        """Hand on journals that are full or old; see how a compaction ended."""
        now_s = self._clock.monotonic_s()
        done = [
            kind
            for kind, (journal, since_s) in self._open.items()
            if journal.size_bytes >= self._full_bytes or now_s - since_s >= self._old_s
        ]
        for kind in done:
            self._hand_on(kind)
        if self._compaction is not None and self._compaction.poll() is not None:
            self._ended(self._compaction)
        if self._due:
            self.compact()

    def _hand_on(self, kind: Kind) -> None:
        self._open.pop(kind)[0].close()
        self._due = True

    def abandon(self) -> None:
        """After a write that failed: go on in new files (the old one may be at a limit of its size)."""
        for kind in [kind for kind, (journal, _) in self._open.items() if journal.has_rows]:
            self._hand_on(kind)

    def compact(self) -> None:
        """Start a child that makes Parquet of all journals whose writers are gone; at most one at a time.

        The first one also looks at all Parquet files that there are.
        """
        if self._compaction is not None:
            return
        self._due = False
        command = [sys.executable, "-P", "-m", "farthing.store.ledger", str(self._folder)]
        command += [] if self._checked else ["--check"]
        self._checked = True
        try:
            self._compaction = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        except OSError as e:
            self.trouble = f"the ledger is not compacted: {e}"
            return
        with contextlib.suppress(OSError):  # it may have ended already
            os.setpriority(os.PRIO_PROCESS, self._compaction.pid, 19)

    def _ended(self, child: subprocess.Popen[str]) -> None:
        found, said = child.communicate()
        self._compaction = None
        for line in found.splitlines():
            self.damage.append(from_plain(Damage, json.loads(line)))
            _LOG.error("the ledger is damaged: %s; it is in %s", self.damage[-1].words(), self._folder / FOLDER)
        last = said.strip().rpartition("\n")[2] or f"exit status {child.returncode}"
        trouble = f"the ledger is not compacted: {last}" if child.returncode else None
        if trouble and trouble != self.trouble:
            _LOG.error("%s", trouble)
        self.trouble = trouble

    def close(self) -> None:
        """Hand on all journals and wait until they are Parquet; one that cannot be stays a journal and is read too."""
        for kind in list(self._open):
            self._hand_on(kind)
        for _ in range(2):  # one that was under way may have missed what was closed just now
            under_way = self._compaction is not None
            self.compact()
            if self._compaction is not None:
                self._wait(self._compaction)
            if not under_way:
                return

    def _wait(self, child: subprocess.Popen[str]) -> None:
        try:
            child.wait(_LAST_COMPACTION_S)
        except subprocess.TimeoutExpired:
            child.kill()
        self._ended(child)
