"""Writes the ledger while serving: a fixed record a request on the loop thread, everything else on one of its own.

``answered`` and ``failed`` pack a few numbers into a slab that was allocated before. Twice a second the writer's
thread takes the slabs, attributes the replica's cost to the requests of the interval, and appends them to a journal
of the ledger (``store/ledger_journal.py``); a child process makes Parquet of journals that are full. Nothing here
stops the server: what cannot be written is tried again while the memory for it lasts, then dropped and counted, and
the count is written as soon as something can be.
"""

from __future__ import annotations

import logging
import os
import secrets
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from farthing.ports import Clock
from farthing.serve.pricing import Pricing, pricing
from farthing.serve.telemetry.ledger_costs import Costs
from farthing.serve.telemetry.ledger_files import LedgerFiles
from farthing.serve.telemetry.ledger_routes import NO_ROUTES, RouteNames, RouteRows
from farthing.serve.telemetry.per_model import PerModel
from farthing.store.documents import disk_errors
from farthing.store.ledger_journal import block, json_block
from farthing.store.ledger_rows import (
    PROTOCOLS,
    REQUEST_RECORD,
    DecisionRow,
    Kind,
    ReplicaRow,
    plain,
    requests_block,
)
from farthing.wire.requests import Answer, LiveModel, Problem, Request

if TYPE_CHECKING:
    from farthing.wire.decisions import Routed

__all__ = ["LedgerState", "LedgerWriter"]

_LOG = logging.getLogger("farthing.serve.ledger")
_HOT = struct.Struct("<dddQIIIHB")
_HOT_RECORD = np.dtype(
    [
        ("at_s", "<f8"),
        ("queue_s", "<f8"),
        ("service_s", "<f8"),
        ("input_bytes", "<u8"),
        ("rows", "<u4"),
        ("batch_rows", "<u4"),
        ("model", "<u4"),
        ("status", "<u2"),
        ("protocol", "u1"),
    ]
)
_HOT_BYTES = _HOT.size
_SLAB_ROWS = 8192
_LONGEST_ID = 128
_FLUSH_S = 0.5
_MOST_EVENTS = 4096
_OTHER = PROTOCOLS.index("other")
_PROTOCOL = {name: index for index, name in enumerate(PROTOCOLS)}
_NOTHING = Answer(outputs=(), queue_s=0.0, service_s=0.0, batch_rows=0)


class _Slab:
    """Room for rows, packed; ids, tenants and what routes did by row where there are any."""

    __slots__ = ("ids", "n", "packed", "routes", "tenants")

    def __init__(self) -> None:
        self.packed = bytearray(_SLAB_ROWS * _HOT_BYTES)
        self.n = 0
        self.ids: dict[int, str] = {}
        self.tenants: dict[int, str] = {}
        self.routes: dict[int, Routed] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A model that has rows: its number in journals (from 1) and its price."""

    number: int
    name: str
    version: str
    price: Pricing


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerState:
    """How the writing goes, for metrics and people.

    Attributes:
        written_rows: Request rows on disk.
        waiting_rows: In memory.
        dropped_rows: Lost because the memory for them was full or the disk stayed full to the end.
        failed_writes: Attempts that the disk refused.
        damaged_parts: Blocks and row groups that were found not to be what was written, of this and earlier writers.
        damaged_rows: Rows in them as far as they can be counted.
        trouble: Why nothing can be written now, None when all is well.
    """

    written_rows: int
    waiting_rows: int
    dropped_rows: int
    failed_writes: int
    trouble: str | None
    damaged_parts: int = 0
    damaged_rows: int = 0


class LedgerWriter:
    """An :class:`~farthing.wire.requests.Observer` that keeps the ledger.

    Args:
        folder: Of the ledger; several servers may share it. Made when it does not exist.
        clock: Monotonic time.
        deployment: Name of what is served, for the rows.
        reason: Why this replica starts.
        most_rows: Request rows kept in memory when the disk does not take them.
        flush_s: Time between two writes, ≤ 1.
        unix_ns: The calendar clock.

    Attributes:
        replica: Name of this replica in the rows, unique for each start.

    Raises:
        StoreError: when the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        deployment: str = "",
        reason: str = "started",
        most_rows: int = 131_072,
        flush_s: float = _FLUSH_S,
        unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        if not 0 < flush_s <= 1:
            raise ValueError(f"flush_s must lie in (0, 1], is {flush_s}")
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._clock, self._unix_ns, self._now_s = clock, unix_ns, clock.monotonic_s
        self._most_rows, self._flush_s = most_rows, flush_s
        self._started_ns = unix_ns()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._started_ns / 1e9))
        self.replica = f"{stamp}-{os.getpid()}-{secrets.token_hex(3)}"
        self._files = LedgerFiles(folder, self.replica, {"replica": self.replica, "deployment": deployment}, clock)
        self._reason = reason
        self._routes = RouteNames(self._files.learn)
        self._models = PerModel(self._meet)
        self._seen = self._models.seen
        self._names: list[_Known] = []
        self._costs = Costs(clock.monotonic_s())
        self._lock = threading.Lock()
        self._slab, self._spare = _Slab(), [_Slab()]
        self._full: list[_Slab] = []
        self._events: list[tuple[Kind, bytes]] = []
        self._rows_in_memory = self._dropped = self._dropped_told = self._failed_writes = self._written = 0
        self._damage_told = 0
        self._pending: list[tuple[int, bytes]] = []
        self._trouble: str | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # Observer, on the loop thread

    def answered(self, request: Request, answer: Answer, status: int = 200) -> None:
        """Keep one request."""
        model = request.model
        known = self._seen(model) or self._models[model]
        with self._lock:
            if self._rows_in_memory >= self._most_rows:
                self._dropped += 1
                return
            slab = self._slab
            n = slab.n
            _HOT.pack_into(
                slab.packed,
                n * _HOT_BYTES,
                self._now_s(),
                answer.queue_s,
                answer.service_s,
                request.size_bytes,
                request.rows,
                answer.batch_rows,
                known.number,
                status,
                _PROTOCOL.get(request.protocol, _OTHER),
            )
            if request.id:
                slab.ids[n] = request.id[:_LONGEST_ID]
            if request.tenant:
                slab.tenants[n] = request.tenant
            if answer.route is not None:
                slab.routes[n] = answer.route
            slab.n = n = n + 1
            self._rows_in_memory += 1
            if n == _SLAB_ROWS:
                self._full.append(slab)
                self._slab = self._spare.pop() if self._spare else _Slab()

    def failed(self, model: LiveModel | None, protocol: str, problem: Problem, request: Request | None) -> None:
        """Keep one that was not answered; without a model there is no row (metrics count it)."""
        if model is None:
            return
        if request is None:
            request = Request(model=model, rows=0, protocol=protocol)
        self.answered(request, _NOTHING, problem.status)

    def _meet(self, model: LiveModel) -> _Known:
        spec = model.spec
        known = _Known(number=len(self._names) + 1, name=spec.name, version=spec.version, price=pricing(spec))
        offers = {k.price.key for k in self._names}
        self._names.append(known)
        self._files.learn({"model": [spec.name, spec.version, known.price.key]})
        if known.price.key not in offers:
            self._replica_row(known.price, None, self._reason)
        return known

    def decided(self, what: str, evidence: Mapping[str, Any]) -> None:
        """Keep a decision row: something that explains the rows around it (load, swap, a worker's death).

        Args:
            what: A word or two.
            evidence: Plain values; no payloads and no user keys.
        """
        row = DecisionRow(what=what, when_ns=self._unix_ns(), evidence=dict(evidence), replica=self.replica)
        self._event("decisions", row)

    def _replica_row(self, price: Pricing, stop_ns: int | None, reason: str) -> None:
        named = price.key is not None and price.offer is not None
        row = ReplicaRow(
            replica=self.replica,
            start_ns=self._started_ns,
            stop_ns=stop_ns,
            offer=price.key,
            term=price.offer.term if named and price.offer is not None else None,
            usd_per_hour=price.usd_per_hour if named else None,
            reason=reason,
        )
        self._event("replicas", row)

    def _event(self, kind: Kind, row: ReplicaRow | DecisionRow) -> None:
        said = json_block(plain(row))
        with self._lock:
            if len(self._events) < _MOST_EVENTS:
                self._events.append((kind, said))
            else:
                self._dropped += 1

    # the life of the writer

    def start(self) -> None:
        """Begin to write; journals of writers that were killed are compacted in a child process."""
        self._files.compact()
        self._thread = threading.Thread(target=self._run, name="farthing-ledger", daemon=True)
        self._thread.start()

    def close(self, reason: str = "stopped") -> None:
        """Write what is in memory, the replica's end, and make Parquet of the journals; blocks for seconds at most."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        met = {known.price.key: known.price for known in self._names}
        for price in met.values():
            self._replica_row(price, self._unix_ns(), reason)
        self._flush()
        if self._rows_in_memory:
            self._dropped += self._rows_in_memory
            _LOG.error("%d rows of the ledger are lost: %s", self._rows_in_memory, self._trouble)
            self._rows_in_memory = 0
        self._files.close()

    @property
    def state(self) -> LedgerState:
        """How it goes."""
        return LedgerState(
            written_rows=self._written,
            waiting_rows=self._rows_in_memory,
            dropped_rows=self._dropped,
            failed_writes=self._failed_writes,
            damaged_parts=sum(damage.parts for damage in self._files.damage),
            damaged_rows=sum(damage.rows or 0 for damage in self._files.damage),
            trouble=self._trouble or self._files.trouble,
        )

    def _run(self) -> None:
        while not self._stop.wait(self._flush_s):
            self._flush()

    def _flush(self) -> None:
        """One round: take, attribute, write."""
        now_s, unix_ns = self._now_s(), self._unix_ns()
        with self._lock:
            slabs, self._full = self._full, []
            if self._slab.n:
                slabs.append(self._slab)
                self._slab = self._spare.pop() if self._spare else _Slab()
        if slabs:
            self._pending += self._blocks(slabs, now_s, unix_ns)
        try:
            self._write()
        except OSError as e:
            self._failed_writes += 1
            trouble = f"the ledger cannot be written: {e.strerror or e}"
            if self._trouble is None:
                _LOG.error("%s; %d rows wait in memory", trouble, self._rows_in_memory)
            self._trouble = trouble
            self._files.abandon()
        else:
            if self._trouble is not None:
                _LOG.warning("the ledger is written again; %d rows were dropped", self._dropped)
            self._trouble = None

    def _write(self) -> None:
        while self._pending:
            rows, said = self._pending[0]
            self._files.append("requests", [said])
            del self._pending[0]
            self._written += rows
            with self._lock:
                self._rows_in_memory -= rows
        if self._dropped > self._dropped_told:
            dropped = self._dropped
            self.decided(
                "ledger_dropped", {"rows": dropped - self._dropped_told, "why": self._trouble or "memory full"}
            )
            self._dropped_told = dropped
        for damage in self._files.damage[self._damage_told :]:
            self.decided("ledger_damaged", asdict(damage))
            self._damage_told += 1
        while self._events:
            kind, said = self._events[0]
            self._files.append(kind, [said])
            del self._events[0]
        self._files.turn()

    def _blocks(self, slabs: list[_Slab], now_s: float, unix_ns: int) -> list[tuple[int, bytes]]:
        hot = np.concatenate([np.frombuffer(s.packed, _HOT_RECORD, s.n) for s in slabs])
        routed: dict[int, Routed] = {}
        start = 0
        for slab in slabs:
            routed |= {start + n: route for n, route in slab.routes.items()}
            start += slab.n
        records = self._records(hot, routed, now_s, unix_ns)
        made, start = [], 0
        for slab in slabs:
            part = records[start : start + slab.n]
            ids, tenants = (_texts(found, slab.n) for found in (slab.ids, slab.tenants))
            made.append((slab.n, block(b"R", requests_block(part, ids, tenants))))
            start += slab.n
            slab.n, slab.ids, slab.tenants, slab.routes = 0, {}, {}, {}
            if len(self._spare) < 2:
                self._spare.append(slab)
        return made

    def _records(self, hot: NDArray[Any], routed: Mapping[int, Routed], now_s: float, unix_ns: int) -> NDArray[Any]:
        records = np.zeros(len(hot), REQUEST_RECORD)
        for name in ("queue_s", "service_s", "input_bytes", "rows", "batch_rows", "model", "status", "protocol"):
            records[name] = hot[name]
        records["time_ns"] = unix_ns + ((hot["at_s"] - now_s) * 1e9).astype(np.int64)
        records["route_score"] = np.nan
        prices = [known.price for known in self._names]
        self._routes.fill(records, routed)
        self._costs.fill(records, prices, hot["at_s"], RouteRows(routed) if routed else NO_ROUTES)
        return records


def _texts(found: Mapping[int, str], n: int) -> list[str]:
    """One a row, empty where there is none; no list at all when there is none in any."""
    return [found.get(i, "") for i in range(n)] if found else []
