"""Rows of the ledger: how they lie in a journal, and the columns that they become.

Journals are written by the server, which loads neither pyarrow nor DuckDB: request rows are fixed records in NumPy's
layout with the few texts beside them, rows of the rare kinds are JSON. Columns are made when a journal is compacted
or read.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "KINDS",
    "NO_COST",
    "PROTOCOLS",
    "REQUEST_RECORD",
    "SCHEMA",
    "DecisionRow",
    "Kind",
    "Names",
    "ReplicaRow",
    "arrow_schema",
    "plain",
    "plain_table",
    "read_requests_block",
    "request_table",
    "requests_block",
    "rows_in_block",
]

Kind = Literal["requests", "replicas", "decisions"]
KINDS: tuple[Kind, ...] = ("requests", "replicas", "decisions")
SCHEMA = "farthing/ledger/1"
PROTOCOLS = ("http", "grpc", "sagemaker", "other")
NO_COST = -1
"""In a record: the price is unknown."""
AUDIT = 1

REQUEST_RECORD = np.dtype(
    [
        ("time_ns", "<i8"),
        ("queue_s", "<f8"),
        ("service_s", "<f8"),
        ("route_score", "<f8"),
        ("input_bytes", "<u8"),
        ("cost_allocation_nusd", "<i8"),
        ("cost_usage_nusd", "<i8"),
        ("rows", "<u4"),
        ("batch_rows", "<u4"),
        ("model", "<u4"),
        ("route", "<u4"),
        ("status", "<u2"),
        ("protocol", "u1"),
        ("flags", "u1"),
    ]
)
"""One request. ``model`` and ``route`` count the journal's names from 1 (0 is none); NaN and ``NO_COST`` are null."""

_LENGTHS = struct.Struct("<III")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaRow:
    """One replica began or ended; both rows bear the same ``replica``.

    Attributes:
        replica: Its name, unique for each start of a server.
        start_ns: Unix time in nanoseconds.
        stop_ns: None while it runs.
        offer: Key of the offer it is priced as, None when unknown.
        term: Of the offer.
        usd_per_hour: Of the offer, None when unknown.
        reason: Why it began or ended.
    """

    replica: str
    start_ns: int
    stop_ns: int | None = None
    offer: str | None = None
    term: str | None = None
    usd_per_hour: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """Something was decided or happened that explains the rows around it.

    Attributes:
        what: One word or two: ``load``, ``swap``, ``ledger_dropped``.
        when_ns: Unix time in nanoseconds.
        evidence: What it rests on; plain values.
        replica: Where.
    """

    what: str
    when_ns: int
    evidence: Mapping[str, Any]
    replica: str = ""


@dataclass(slots=True, kw_only=True)
class Names:
    """Texts that many rows of one journal share.

    Attributes:
        models: Name, version and offer's key of each model, by its number from 1.
        routes: Tier and decision of each route, likewise.
    """

    models: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    routes: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    def learn(self, said: Mapping[str, Any], certain: bool = True) -> None:
        """Take in a JSON block of a journal of requests.

        Args:
            said: It; its ``number`` says whose name it is. Older journals leave it out: their names count from 1.
            certain: Whether no name can be missing before this one. One without a number is not believed then.
        """
        for key, known in (("model", self.models), ("route", self.routes)):
            if key in said and ("number" in said or certain):
                known[said.get("number", len(known) + 1)] = tuple(said[key])

    def unknown_in(self, records: NDArray[Any]) -> int:
        """Records that name what is not known."""
        strange = [
            (records[column] > 0) & ~np.isin(records[column], list(known))
            for column, known in (("model", self.models), ("route", self.routes))
        ]
        return int((strange[0] | strange[1]).sum())


def requests_block(records: NDArray[Any], ids: Sequence[str], tenants: Sequence[str]) -> bytes:
    """Records with the texts beside them: one id and one tenant each, empty for none; or no list for none in any."""
    texts = (_joined(ids), _joined(tenants))
    return b"".join((_LENGTHS.pack(len(records), *map(len, texts)), records.tobytes(), *texts))


def _joined(texts: Sequence[str]) -> bytes:
    if not any(texts):
        return b""
    joined = "\n".join(texts)
    if joined.count("\n") != len(texts) - 1:
        joined = "\n".join(text.replace("\n", " ") for text in texts)
    return joined.encode("utf-8", "replace")


def read_requests_block(payload: bytes) -> tuple[NDArray[Any], list[str | None], list[str | None]]:
    """Records, ids and tenants again; None where there was none."""
    n, *lengths = _LENGTHS.unpack_from(payload)
    start = _LENGTHS.size
    records = np.frombuffer(payload, dtype=REQUEST_RECORD, count=n, offset=start)
    start += records.nbytes
    texts: list[list[str | None]] = []
    for length in lengths:
        text = payload[start : start + length].decode("utf-8").split("\n")
        texts.append([t or None for t in text] if length else [None] * n)
        start += length
    return records, texts[0], texts[1]


def rows_in_block(payload: bytes) -> int | None:
    """Records in a block of requests, None when its lengths do not add up to its own."""
    if len(payload) < _LENGTHS.size:
        return None
    n, *lengths = _LENGTHS.unpack_from(payload)
    return int(n) if _LENGTHS.size + n * REQUEST_RECORD.itemsize + sum(lengths) == len(payload) else None


def arrow_schema(kind: Kind) -> Any:
    """Columns of one kind, its metadata naming schema and kind."""
    import pyarrow as pa

    time, text, whole, real = pa.timestamp("us", tz="UTC"), pa.string(), pa.int64(), pa.float64()
    columns: dict[Kind, list[tuple[str, Any]]] = {
        "requests": [
            ("time", time),
            *((name, text) for name in ("request_id", "replica", "deployment", "model", "version", "tier")),
            ("route_score", real),
            *((name, text) for name in ("route_decision", "tenant", "protocol")),
            *((name, whole) for name in ("input_bytes", "rows", "batch_rows")),
            *((name, real) for name in ("queue_s", "service_s")),
            ("status", pa.int16()),
            ("offer", text),
            *((name, whole) for name in ("cost_allocation_nusd", "cost_usage_nusd")),
            ("audit", pa.bool_()),
        ],
        "replicas": [
            *(("replica", text), ("start", time), ("stop", time)),
            *(("offer", text), ("term", text), ("usd_per_hour", real), ("reason", text)),
        ],
        "decisions": [("what", text), ("when", time), ("evidence", text), ("replica", text)],
    }
    return pa.schema(columns[kind], metadata={"schema": SCHEMA, "kind": kind})


def request_table(
    records: NDArray[Any],
    ids: Sequence[str | None],
    tenants: Sequence[str | None],
    names: Names,
    about: Mapping[str, Any],
) -> Any:
    """An Arrow table of request rows.

    Args:
        records: Of type :data:`REQUEST_RECORD`.
        ids: One a record.
        tenants: One a record.
        names: Learnt from the blocks before.
        about: The journal's first block: ``replica`` and ``deployment``.
    """
    import pyarrow as pa

    def named(index: str, table: Mapping[int, tuple[Any, ...]], part: int) -> Any:
        words = [table[k][part] if k in table else None for k in range(max(table, default=0) + 1)]
        numbers = np.where(records[index] < len(words), records[index], 0)  # 0 is no name
        return pa.array(words, pa.string()).take(pa.array(numbers))

    def number(name: str, *, null: NDArray[np.bool_] | None = None) -> Any:
        return pa.array(np.ascontiguousarray(records[name]), mask=null)

    def same(value: str | None) -> Any:
        return pa.repeat(pa.scalar(value, pa.string()), len(records))

    ran = records["batch_rows"] > 0
    columns = {
        "time": pa.array(records["time_ns"] // 1000).cast(pa.timestamp("us", tz="UTC")),
        "request_id": pa.array(ids, pa.string()),
        "replica": same(about.get("replica")),
        "deployment": same(about.get("deployment") or None),
        "model": named("model", names.models, 0),
        "version": named("model", names.models, 1),
        "tier": named("route", names.routes, 0),
        "route_score": number("route_score", null=np.isnan(records["route_score"])),
        "route_decision": named("route", names.routes, 1),
        "tenant": pa.array(tenants, pa.string()),
        "protocol": pa.array(PROTOCOLS).take(pa.array(records["protocol"])),
        "input_bytes": number("input_bytes"),
        "rows": number("rows"),
        "batch_rows": number("batch_rows", null=~ran),
        "queue_s": number("queue_s", null=~ran),
        "service_s": number("service_s", null=~ran),
        "status": number("status"),
        "offer": named("model", names.models, 2),
        "cost_allocation_nusd": number("cost_allocation_nusd", null=records["cost_allocation_nusd"] == NO_COST),
        "cost_usage_nusd": number("cost_usage_nusd", null=records["cost_usage_nusd"] == NO_COST),
        "audit": pa.array((records["flags"] & AUDIT) != 0),
    }
    schema = arrow_schema("requests")
    return pa.table([columns[f.name].cast(f.type) for f in schema], schema=schema)


def plain_table(kind: Kind, rows: Sequence[Mapping[str, Any]]) -> Any:
    """An Arrow table of replica or decision rows as their journal holds them (dataclasses as dicts)."""
    import pyarrow as pa

    def microseconds(ns: int | None) -> int | None:
        return None if ns is None else ns // 1000

    made = []
    for row in rows:
        out: dict[str, Any] = {k: v for k, v in row.items() if not k.endswith("_ns")}
        out |= {k.removesuffix("_ns"): microseconds(v) for k, v in row.items() if k.endswith("_ns")}
        if "evidence" in out:
            out["evidence"] = json.dumps(out["evidence"], ensure_ascii=False, sort_keys=True)
        made.append(out)
    schema = arrow_schema(kind)
    return pa.table([pa.array([row.get(f.name) for row in made], f.type) for f in schema], schema=schema)


def plain(row: ReplicaRow | DecisionRow) -> dict[str, Any]:
    """The row as its journal holds it."""
    return asdict(row)
