"""What of a ledger cannot be read: counted, said, and set aside in a folder ``damaged``, never deleted."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from farthing.codec import from_plain
from farthing.store.documents import disk_errors, write_text

__all__ = ["Damage", "aside", "noted", "say", "total"]

FOLDER = "damaged"
SCHEMA = "farthing/ledger-damage/1"
_LOG = logging.getLogger("farthing.ledger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What is lost of one file.

    Attributes:
        file: Its name.
        parts: Blocks of a journal or row groups of a Parquet file that are not what was written.
        n_bytes: Of them; of a Parquet file all.
        rows: In them, None when that cannot be told.
        unnamed_rows: Rows that were read and whose model or tier is unknown, since its name was in a damaged block.
    """

    file: str
    parts: int
    n_bytes: int
    rows: int | None
    unnamed_rows: int = 0

    def words(self) -> str:
        """One sentence."""
        rows = "an unknown number of rows" if self.rows is None else f"{self.rows:,} row{'' if self.rows == 1 else 's'}"
        parts = "1 part" if self.parts == 1 else f"{self.parts:,} parts"
        unnamed = f"; {self.unnamed_rows:,} rows without their model's name" if self.unnamed_rows else ""
        return f"{self.file}: {parts} damaged, {rows} lost{unnamed}"


def total(found: Iterable[Damage]) -> Damage:
    """All of them together."""
    every = tuple(found)
    rows = [damage.rows for damage in every]
    return Damage(
        file=", ".join(damage.file for damage in every),
        parts=sum(damage.parts for damage in every),
        n_bytes=sum(damage.n_bytes for damage in every),
        rows=None if None in rows else sum(n for n in rows if n is not None),
        unnamed_rows=sum(damage.unnamed_rows for damage in every),
    )


def say(found: Sequence[Damage]) -> None:
    """A warning for each."""
    for damage in found:
        _LOG.warning("%s", damage.words())


def aside(path: Path, damage: Damage) -> Path:
    """Set a damaged file aside, with what is lost of it; it stays where it is, too, until its caller replaces it.

    Returns:
        The copy (another name of it, where the file system has such).

    Raises:
        StoreError: when that cannot be done; nothing has happened then.
    """
    folder = path.parent / FOLDER
    with disk_errors(folder):
        folder.mkdir(exist_ok=True)
        target = folder / path.name
        if target.exists() and target.samefile(path):
            return target  # killed before the file was gone from its place
        target = _free(target)
        try:
            os.link(path, target)
        except OSError:
            shutil.copy2(path, target)
    note = {"schema": SCHEMA, **asdict(damage)}
    write_text(target.with_name(f"{target.name}.json"), json.dumps(note, indent=1) + "\n")
    return target


def _free(path: Path) -> Path:
    k, found = 1, path
    while found.exists():
        k += 1
        found = path.with_name(f"{path.stem}.{k}{path.suffix}")
    return found


def noted(folder: Path, kind: str) -> tuple[Damage, ...]:
    """What was set aside before, of one kind of rows."""
    found = []
    for path in sorted((folder / FOLDER).glob(f"{kind}-*.json")):
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            said.pop("schema")
            found.append(from_plain(Damage, said))
        except Exception:  # noqa: BLE001 - a damaged note is damage too
            found.append(Damage(file=path.name.removesuffix(".json"), parts=1, n_bytes=0, rows=None))
    return tuple(found)
