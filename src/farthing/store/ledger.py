"""The ledger: who asked for what, what it cost, and why, as Parquet files that are only ever added to.

A folder holds ``requests-*``, ``replicas-*`` and ``decisions-*``: ``.parquet`` files, and ``.journal`` files of what
is younger. A journal becomes the Parquet file of the same name in one step; where both are seen the Parquet file
counts. Many servers may write to one folder. :func:`query_ledger` reads both; ``python -m farthing.store.ledger
FOLDER`` compacts the journals whose writers are gone.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from farthing.errors import FarthingError, InputError, StoreError
from farthing.store.documents import disk_errors
from farthing.store.ledger_journal import SUFFIX, check_schema, claimed, read_journal
from farthing.store.ledger_rows import KINDS, SCHEMA, Kind, arrow_schema

__all__ = ["SCHEMA", "compact_ledger", "query_ledger", "read_ledger"]

_TRIES = 20


def compact_ledger(folder: Path) -> tuple[Path, ...]:
    """Turn every journal whose writer has closed it or died into a Parquet file.

    Returns:
        The new files. A journal without rows leaves none.

    Raises:
        StoreError: when a file cannot be written; its journal stays.
        SchemaError: when a newer farthing wrote a journal.
    """
    made = []
    for journal in sorted(folder.glob(f"*-*{SUFFIX}")):
        if journal.name.startswith("."):
            continue
        with claimed(journal) as mine:
            if mine:
                made += _compact(journal)
    return tuple(made)


def _compact(journal: Path) -> list[Path]:
    import pyarrow.parquet as pq

    target = journal.with_suffix(".parquet")
    partial = journal.with_name(f".{target.name}.partial")
    kind = _kind(journal)
    with disk_errors(target), _gone_unless_renamed(partial):
        n = 0
        with pq.ParquetWriter(partial, arrow_schema(kind), compression="zstd") as out:
            for table in read_journal(journal):
                out.write_table(table)
                n += table.num_rows
        if n:
            partial.chmod(journal.stat().st_mode & 0o777)  # ids of clients are for the same eyes
            _sync(partial)
            partial.replace(target)
            _sync(journal.parent)
        journal.unlink()
    return [target] if n else []


@contextlib.contextmanager
def _gone_unless_renamed(partial: Path) -> Iterator[None]:
    try:
        yield
    finally:
        partial.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _kind(path: Path) -> Kind:
    for kind in KINDS:
        if path.name.startswith(f"{kind}-"):
            return kind
    raise StoreError(f"{path} is no file of a ledger: its name starts with none of {', '.join(KINDS)}")


def read_ledger(folder: Path, kind: Kind) -> Any:
    """All rows of one kind as an Arrow table, compacted or not, in no order.

    Raises:
        StoreError: when there is no such folder or a file cannot be read.
        SchemaError: when a newer farthing wrote a file.
    """
    import pyarrow as pa

    parquet, tables = _sources(folder, kind)
    return pa.concat_tables([parquet.to_table(), *tables])


def _sources(folder: Path, kind: Kind) -> tuple[Any, list[Any]]:
    if not folder.is_dir():
        raise StoreError(f"there is no ledger in {folder}", hint="farthing serve --ledger names the folder")
    for _ in range(_TRIES):
        journals = {p.stem: p for p in folder.glob(f"{kind}-*{SUFFIX}")}
        try:  # journals first: one that is compacted while we look is then missed here or counts as Parquet below
            tables = {stem: list(read_journal(path)) for stem, path in journals.items()}
        except FileNotFoundError:
            continue
        files = sorted(folder.glob(f"{kind}-*.parquet"))
        done = {p.stem for p in files}
        return _dataset(files, kind), [t for stem, found in tables.items() if stem not in done for t in found]
    raise StoreError(f"journals in {folder} were compacted {_TRIES} times while they were being read")


def _dataset(files: Sequence[Path], kind: Kind) -> Any:
    import pyarrow as pa
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    for path in files:
        try:
            metadata = pq.read_schema(path).metadata or {}
        except (OSError, pa.ArrowInvalid) as e:
            raise StoreError(f"cannot read {path}: {e}") from e
        check_schema(metadata.get(b"schema", b"").decode(), path)
    if not files:
        return ds.dataset(arrow_schema(kind).empty_table())
    return ds.dataset([str(p) for p in files], schema=arrow_schema(kind), format="parquet")


def query_ledger(folder: Path, sql: str, parameters: Sequence[Any] = ()) -> Any:
    """Ask the ledger in SQL; tables are ``requests``, ``replicas`` and ``decisions``.

    DuckDB runs in memory with external access off and its configuration locked: a query reads these three tables,
    and no other file, variable or address.

    Args:
        folder: Of the ledger.
        sql: One statement; values go in as ``$1`` …
        parameters: Values for them.

    Returns:
        An Arrow table.

    Raises:
        InputError: when the statement is wrong or wants what is off.
        StoreError: when the ledger cannot be read.
    """
    import duckdb

    config = {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
    }
    with duckdb.connect(":memory:", config=config) as connection:
        for kind in KINDS:
            _offer_table(connection, folder, kind)
        connection.execute("SET lock_configuration = true")
        try:
            answer = connection.sql(sql, params=list(parameters))
            if answer is None:
                raise InputError("the ledger answers queries only", hint="a statement that starts with SELECT")
            return answer.to_arrow_table()
        except duckdb.Error as e:
            raise InputError(f"the ledger cannot answer: {e}", hint="docs/ledger.md lists tables and columns") from e


def _offer_table(connection: Any, folder: Path, kind: Kind) -> None:
    import pyarrow as pa

    parquet, tables = _sources(folder, kind)
    connection.register(f"compacted_{kind}", parquet)
    connection.register(f"recent_{kind}", pa.concat_tables([arrow_schema(kind).empty_table(), *tables]))
    connection.execute(
        f"CREATE VIEW {kind} AS SELECT * FROM compacted_{kind} UNION ALL SELECT * FROM recent_{kind}"  # noqa: S608
    )


def main() -> int:
    """Compact the ledger in the folder that the command line names."""
    try:
        compact_ledger(Path(sys.argv[1]))
    except FarthingError as e:
        print(e.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
