"""Measurements as a Parquet table: one row a metric, so that any tool can read and merge them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from farthing.codec import from_plain, to_plain
from farthing.errors import StoreError
from farthing.nouns import Measurement
from farthing.store.checked_parquet import state_of, write_parquet
from farthing.store.documents import write_whole

__all__ = ["read_measurements", "write_measurements"]

SCHEMA = "farthing/measurements/1"


def write_measurements(path: Path, measurements: Iterable[Measurement]) -> Path:
    """Write one row a Measurement, its candidate flattened, metrics as lists of structs.

    Raises:
        StoreError: when the file cannot be written.
    """
    import pyarrow as pa

    rows = [_row(m) for m in measurements]
    table = pa.Table.from_pylist(rows, schema=_schema(pa)).replace_schema_metadata({"schema": SCHEMA})
    return write_whole(path, lambda f: write_parquet(f, [table], table.schema))


def _schema(pa: Any) -> Any:
    estimate = [("name", pa.string())]
    estimate += [(k, pa.float64()) for k in ("value", "lo", "hi", "confidence")]
    estimate += [("n", pa.int64()), ("method", pa.string()), ("source", pa.string())]
    text = [(k, pa.string()) for k in ("engine", "variant", "precision", "device", "scenario", "hardware")]
    whole = [(k, pa.int64()) for k in ("max_batch", "instances", "threads", "batch", "n", "seed")]
    return pa.schema(
        [
            *text,
            *whole,
            ("metrics", pa.list_(pa.struct(estimate))),
            ("quantiles_ms", pa.list_(pa.float64())),
            ("blocks", pa.list_(pa.float64())),
            ("contended", pa.bool_()),
            ("seconds", pa.float64()),
            ("taken_at", pa.timestamp("us", tz="UTC")),
        ]
    )


def _row(m: Measurement) -> dict[str, Any]:
    plain = to_plain(m)
    row = {**plain.pop("candidate"), **plain}
    row["metrics"] = [{"name": k, **{f: _number(x) for f, x in v.items()}} for k, v in plain["metrics"].items()]
    row["taken_at"] = m.taken_at
    return row


def _number(value: Any) -> Any:
    return float(value) if value in ("inf", "-inf") else value


def read_measurements(path: Path) -> Sequence[Measurement]:
    """Read what :func:`write_measurements` wrote, here or on another machine.

    Raises:
        StoreError: when it is no such file, or is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        whole = state_of(path) != "damaged"
        table = pq.read_table(path) if whole else None
    except (OSError, pa.ArrowInvalid) as e:
        raise StoreError(f"cannot read measurements from {path}: {e}") from e
    if table is None:
        raise StoreError(
            f"cannot read measurements from {path}: it is damaged, its checksum says",
            hint="run the same `farthing optimize` again: it writes them anew from its journal",
        )
    found = (table.schema.metadata or {}).get(b"schema", b"").decode()
    if found != SCHEMA:
        raise StoreError(f"{path} has schema {found or 'none'}, this farthing reads {SCHEMA}")
    return tuple(_measurement(row) for row in table.to_pylist())


def _measurement(row: dict[str, Any]) -> Measurement:
    candidate = {
        k: row.pop(k) for k in ("engine", "variant", "precision", "device", "max_batch", "instances", "threads")
    }
    metrics = {m.pop("name"): m for m in row.pop("metrics")}
    taken: datetime = row.pop("taken_at")
    return from_plain(Measurement, {**row, "candidate": candidate, "metrics": metrics, "taken_at": taken})
