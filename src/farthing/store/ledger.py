"""The ledger: who asked for what, what it cost, and why, as Parquet files that are only ever added to.

A folder holds ``requests-*``, ``replicas-*`` and ``decisions-*``: ``.parquet`` files, and ``.journal`` files of what
is younger. A journal becomes the Parquet file of the same name in one step; where both are seen the Parquet file
counts. Many servers may write to one folder. :func:`query_ledger` reads both; ``python -m farthing.store.ledger
FOLDER`` compacts the journals whose writers are gone, and with ``--check`` looks at every Parquet file too.

Every byte has a checksum. What is damaged is left out of readings, counted and said; the file that it was in goes to
the folder ``damaged``, and a journal goes at all only when its rows were read back from the Parquet file.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from farthing.errors import FarthingError, InputError, StoreError
from farthing.store.checked_parquet import salvaged, state_of, write_parquet
from farthing.store.documents import disk_errors
from farthing.store.ledger_damage import Damage, aside, noted, say, total
from farthing.store.ledger_journal import SUFFIX, check_schema, claimed, kind_of, read_journal
from farthing.store.ledger_rows import KINDS, SCHEMA, Kind, arrow_schema

__all__ = ["SCHEMA", "compact_ledger", "ledger_damage", "mend_ledger", "query_ledger", "read_ledger"]

_TRIES = 20
_DAMAGE = b"damage"
"""Key of a reading's metadata."""


def compact_ledger(folder: Path, damage: list[Damage] | None = None) -> tuple[Path, ...]:
    """Turn every journal whose writer has closed it or died into a Parquet file.

    A journal goes once its rows were read back from that file. One that was damaged goes to the folder ``damaged``.

    Args:
        folder: Of the ledger.
        damage: Gets what could not be read.

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
                found: list[Damage] = []
                made += _compact(journal, found)
                say(found)
                if damage is not None:
                    damage += found
    return tuple(made)


def _compact(journal: Path, damage: list[Damage]) -> list[Path]:
    target = journal.with_suffix(".parquet")
    kind = kind_of(journal)
    with disk_errors(target):
        if target.exists() and not _holds(target, read_journal(journal)):
            # A file of that name that is not this journal's: damaged since, or whole where the journal is damaged.
            return _merged(journal, target, kind, damage)
        rows = read_journal(journal, damage)
        n = sum(table.num_rows for table in rows) if target.exists() else _written(target, rows, kind, journal)
        for found in damage:
            aside(journal, found)
        journal.unlink()
    return [target] if n else []


def _merged(journal: Path, target: Path, kind: Kind, damage: list[Damage]) -> list[Path]:
    """Of a journal and a Parquet file of its name that differ, keep the one that is whole, the other aside."""
    whole = state_of(target) == "whole"
    read: list[Damage] = []
    n = sum(table.num_rows for table in read_journal(journal, read))
    if whole:
        lost = [replace(found, rows=0, unnamed_rows=0) for found in read]  # the Parquet file has them
        damage += lost or [Damage(file=journal.name, parts=1, n_bytes=0, rows=n)]
        aside(journal, damage[-1])
    else:
        parts = salvaged(target, arrow_schema(kind))
        aside(target, Damage(file=target.name, parts=max(1, parts.lost_groups), n_bytes=0, rows=0))
        damage += read
        _written(target, read_journal(journal), kind, journal)
        for found in read:
            aside(journal, found)
    journal.unlink()
    return [target]


def _written(target: Path, tables: Iterable[Any], kind: Kind, source: Path) -> int:
    """Write a Parquet file and read it back before it takes its name; a file without rows is not kept.

    Raises:
        StoreError: when what is read back is not what was written.
    """
    partial = target.with_name(f".{target.name}.partial")
    with _gone_unless_renamed(partial):
        with partial.open("wb") as f:
            n = write_parquet(f, tables, arrow_schema(kind))
        if n:
            partial.chmod(source.stat().st_mode & 0o777)  # ids of clients are for the same eyes
            _sync(partial)
            again = read_journal(source) if source.suffix == SUFFIX else salvaged(source, arrow_schema(kind)).tables
            if not _holds(partial, again):
                raise StoreError(f"{target} reads back differently from what was written; {source} stays as it is")
            partial.replace(target)
            _sync(target.parent)
    return n


def _holds(path: Path, tables: Iterable[Any]) -> bool:
    """Whether a Parquet file is whole, and its row groups are these tables, value by value."""
    import pyarrow.parquet as pq

    if state_of(path) != "whole":
        return False
    file, k = pq.ParquetFile(path), 0
    for table in tables:
        if k == file.num_row_groups or not _same(file.read_row_group(k), table):
            return False
        k += 1
    return bool(k == file.num_row_groups)


def _same(a: Any, b: Any) -> bool:
    """Equal by value, where NaN equals itself."""
    columns = zip(a.columns, b.columns, strict=True)
    return bool(a.schema.equals(b.schema) and all(_bits(x).equals(_bits(y)) for x, y in columns))


def _bits(column: Any) -> Any:
    import pyarrow as pa

    whole = column.combine_chunks()
    return whole.view(pa.int64()) if pa.types.is_float64(whole.type) else whole


def mend_ledger(folder: Path) -> tuple[Damage, ...]:
    """Look at every Parquet file; of one that is damaged keep the rows that can be read, and the file aside.

    Raises:
        StoreError: when a file cannot be read or written.
    """
    found: list[Damage] = []
    for path in sorted(p for kind in KINDS for p in folder.glob(f"{kind}-*.parquet")):
        with claimed(path) as mine:
            if mine and not path.with_suffix(SUFFIX).exists():
                found += _mended(path)
    say(found)
    return tuple(found)


def _mended(path: Path) -> list[Damage]:
    with disk_errors(path):
        if state_of(path) != "damaged":
            return []
        kind, n_bytes = kind_of(path), path.stat().st_size
        parts = salvaged(path, arrow_schema(kind))
        lost = Damage(file=path.name, parts=parts.lost_groups, n_bytes=n_bytes, rows=parts.lost_rows)
        aside(path, lost)
        if not _written(path, parts.tables, kind, path):
            path.unlink()
    return [lost]


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


def read_ledger(folder: Path, kind: Kind) -> Any:
    """All rows of one kind as an Arrow table, compacted or not, in no order.

    Returns:
        The table. Where something cannot be read its metadata has the key ``damage``: JSON as in
        :class:`~farthing.store.ledger_damage.Damage`, of everything that was ever lost there; the log has a warning.

    Raises:
        StoreError: when there is no such folder.
        SchemaError: when a newer farthing wrote a file.
    """
    import pyarrow as pa

    parquet, tables, damage = _sources(folder, kind)
    return _with_damage(pa.concat_tables([parquet.to_table(), *tables]), damage)


def ledger_damage(folder: Path) -> tuple[Damage, ...]:
    """Everything of a ledger that cannot be read, what was set aside before included.

    Raises:
        StoreError: when there is no such folder.
        SchemaError: when a newer farthing wrote a file.
    """
    return tuple(damage for kind in KINDS for damage in _sources(folder, kind)[2])


def _with_damage(table: Any, damage: Sequence[Damage]) -> Any:
    if not damage:
        return table
    said = json.dumps(asdict(total(damage))).encode()
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _DAMAGE: said})


def _sources(folder: Path, kind: Kind) -> tuple[Any, list[Any], list[Damage]]:
    if not folder.is_dir():
        raise StoreError(f"there is no ledger in {folder}", hint="farthing serve --ledger names the folder")
    for _ in range(_TRIES):
        journals = {p.stem: p for p in folder.glob(f"{kind}-*{SUFFIX}")}
        try:  # journals first: one that is compacted while we look is then missed here or counts as Parquet below
            read = {stem: _read(path) for stem, path in journals.items()}
            files, tables, damage = _parquet_files(sorted(folder.glob(f"{kind}-*.parquet")), kind, read.keys())
        except FileNotFoundError:
            continue
        done = {p.stem for p in files}
        for stem, (found, lost) in read.items():
            if stem not in done:
                tables, damage = [*tables, *found], [*damage, *lost]
        say(damage)
        return _dataset(files, kind), tables, [*noted(folder, kind), *damage]
    raise StoreError(f"journals in {folder} were compacted {_TRIES} times while they were being read")


def _read(path: Path) -> tuple[list[Any], list[Damage]]:
    damage: list[Damage] = []
    return list(read_journal(path, damage)), damage


def _parquet_files(
    paths: Sequence[Path], kind: Kind, journals: Iterable[str]
) -> tuple[list[Path], list[Any], list[Damage]]:
    """Files that are whole; rows of those that are not, and what of them is lost, unless their journal is there."""
    whole, tables, damage = [], list[Any](), list[Damage]()
    spare = set(journals)
    for path in paths:
        state = state_of(path)
        if state != "damaged":
            _check_version(path)
        if state == "whole":
            whole.append(path)
        elif path.stem not in spare:
            found = salvaged(path, arrow_schema(kind))
            tables += found.tables
            if found.lost_groups:
                size = path.stat().st_size
                damage.append(Damage(file=path.name, parts=found.lost_groups, n_bytes=size, rows=found.lost_rows))
    return whole, tables, damage


def _check_version(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with contextlib.suppress(OSError, pa.ArrowInvalid):  # such a file is found out when its rows are read
        check_schema((pq.read_schema(path).metadata or {}).get(b"schema", b"").decode("utf-8", "replace"), path)


def _dataset(files: Sequence[Path], kind: Kind) -> Any:
    import pyarrow.dataset as ds

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
        An Arrow table; its metadata has the key ``damage`` where something cannot be read, as in
        :func:`read_ledger`.

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
        damage = [lost for kind in KINDS for lost in _offer_table(connection, folder, kind)]
        connection.execute("SET lock_configuration = true")
        try:
            answer = connection.sql(sql, params=list(parameters))
            if answer is None:
                raise InputError("the ledger answers queries only", hint="a statement that starts with SELECT")
            return _with_damage(answer.to_arrow_table(), damage)
        except duckdb.Error as e:
            raise InputError(f"the ledger cannot answer: {e}", hint="docs/ledger.md lists tables and columns") from e


def _offer_table(connection: Any, folder: Path, kind: Kind) -> list[Damage]:
    import pyarrow as pa

    parquet, tables, damage = _sources(folder, kind)
    connection.register(f"compacted_{kind}", parquet)
    connection.register(f"recent_{kind}", pa.concat_tables([arrow_schema(kind).empty_table(), *tables]))
    connection.execute(
        f"CREATE VIEW {kind} AS SELECT * FROM compacted_{kind} UNION ALL SELECT * FROM recent_{kind}"  # noqa: S608
    )
    return damage


def main() -> int:
    """Compact the ledger in the folder that the command line names; what is damaged is said on stdout, as JSON."""
    folder, damage = Path(sys.argv[1]), list[Damage]()
    try:
        compact_ledger(folder, damage)
        damage += mend_ledger(folder) if "--check" in sys.argv[2:] else ()
    except FarthingError as e:
        print(e.message, file=sys.stderr)
        return 1
    finally:
        for found in damage:
            print(json.dumps(asdict(found)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
