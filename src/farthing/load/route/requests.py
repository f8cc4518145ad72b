"""Requests that a route is calibrated or judged on: payloads, labels, ids, segments, and what to recognise them by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.errors import DataError
from farthing.load.tables import ID_NAMES, SEGMENT_NAMES, find_column, read_table, request_ids, words
from farthing.load.workload.data import guess_kind, read_dataset
from farthing.nouns import Dataset

__all__ = ["LONG_TEXT_BYTES", "RouteRequests", "fingerprint_of_text", "known_rows", "read_requests"]

LONG_TEXT_BYTES = 100_000
"""Texts from here on are counted and said; they are cut to the model's longest sequence like any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRequests:
    """Requests with all that is known about them.

    Attributes:
        dataset: Payloads and labels.
        ids: One a request, no two alike.
        own_ids: Whether the file gives them; else they are places in the file and say nothing across files.
        segments: Group of each, None without.
        fingerprints: What tells a request again in another file: of its text (case and white space do not matter) or
            its bytes.
        notes: What is unusual, one sentence each.
    """

    dataset: Dataset
    ids: tuple[str, ...]
    own_ids: bool
    segments: tuple[str, ...] | None
    fingerprints: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...] | None:
        """The requests where they are texts."""
        return self.dataset.items if self.dataset.kind == "text" else None


def read_requests(
    path: Path,
    *,
    labels: Path | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    segment_column: str | None = None,
    classes: Sequence[str] = (),
) -> RouteRequests:
    """Read requests; without labels ``dataset.labels`` is None and agreement is all that can be judged.

    Args:
        path: A table of texts (CSV, TSV, JSON Lines, Parquet), a folder of images or an npz file.
        labels: A separate file of labels.
        text_column: Column of the texts, None to guess.
        label_column: Column of the labels, None to guess.
        id_column: Column of the ids, None to guess.
        segment_column: Column of the segments, None for ``segment``; ``label`` takes the class. Of images and tensors
            only ``label``.
        classes: Of the tiers, in index order, empty when unknown.

    Raises:
        DataError: when something is missing, unreadable or does not match, or all labels are one class.
    """
    dataset = read_dataset(
        path, labels=labels, text_column=text_column, label_column=label_column, classes=tuple(classes)
    )
    if dataset.labels is not None and classes:
        _check_names(dataset, classes)
    if guess_kind(path) == "text":
        ids, own, segments = _columns(path, dataset, id_column, segment_column)
    else:
        ids, own = dataset.ids or tuple(map(str, range(dataset.n))), dataset.kind == "image"
        segments = None
        if segment_column == "label" and dataset.labels is not None:
            segments = tuple(_class_name(dataset, label) for label in dataset.labels)
        elif segment_column is not None:
            raise DataError(f"{path} has no column {segment_column!r}", hint="of images and tensors: label")
    return RouteRequests(
        dataset=dataset,
        ids=ids,
        own_ids=own,
        segments=segments,
        fingerprints=_fingerprints(dataset),
        notes=_notes(dataset),
    )


def _check_names(dataset: Dataset, classes: Sequence[str]) -> None:
    """Labels that are names must be classes of the tiers; numbers are checked against the answers later."""
    if dataset.classes and tuple(dataset.classes) != tuple(classes):
        unknown = [name for name in dataset.classes if name not in set(classes)]
        numbers = all(name.isdigit() for name in dataset.classes)
        if unknown and not numbers:
            counted = sum(dataset.classes[int(x)] in set(unknown) for x in dataset.labels or ())
            raise DataError(
                f"{counted:,} of {dataset.n:,} labels in {dataset.source} are no class of the tiers: "
                f"{', '.join(map(repr, unknown[:3]))}",
                hint="leave those requests out, or give tiers that know the class",
            )


def _class_name(dataset: Dataset, label: float) -> str:
    k = int(label)
    return dataset.classes[k] if dataset.classes and 0 <= k < len(dataset.classes) else f"{label:g}"


def _columns(
    path: Path, dataset: Dataset, id_column: str | None, segment_column: str | None
) -> tuple[tuple[str, ...], bool, tuple[str, ...] | None]:
    table = read_table(path)
    column = find_column(table, id_column, ID_NAMES, "--id-column")
    ids = dataset.ids if column is None else request_ids(table, column)
    group = find_column(table, segment_column, SEGMENT_NAMES, "--segment-column")
    return ids, column is not None, None if group is None else words(table, group)


def fingerprint_of_text(text: str) -> str:
    """The same for texts that differ in case and white space only."""
    plain = " ".join(text.casefold().split())
    return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _fingerprints(dataset: Dataset) -> tuple[str, ...]:
    if dataset.kind == "text":
        return tuple(map(fingerprint_of_text, dataset.items))
    if dataset.kind == "image":
        return tuple(_digest_of_file(Path(item)) for item in dataset.items)
    with np.load(dataset.items[0], allow_pickle=False) as file:
        arrays = [np.ascontiguousarray(file[name]) for name in dataset.items[1:]]
    return tuple(
        hashlib.blake2b(b"".join(a[k].tobytes() for a in arrays), digest_size=16).hexdigest() for k in range(dataset.n)
    )


def _digest_of_file(path: Path) -> str:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError as e:
        raise DataError(f"cannot read {path}: {e.strerror or e}") from e


def _notes(dataset: Dataset) -> tuple[str, ...]:
    if dataset.kind != "text":
        return ()
    empty = sum(not text.strip() for text in dataset.items)
    long = sum(
        len(text) >= LONG_TEXT_BYTES // 4 and len(text.encode("utf-8", "replace")) >= LONG_TEXT_BYTES
        for text in dataset.items
    )
    notes = [f"{empty:,} of {dataset.n:,} texts are empty; they are answered like any other"] if empty else []
    if long:
        notes.append(
            f"{long:,} of {dataset.n:,} texts have {LONG_TEXT_BYTES:,} bytes or more; tiers see them cut to their "
            "longest sequence"
        )
    return tuple(notes)


def known_rows(
    ids: Sequence[str], fingerprints: Sequence[str], known_ids: Sequence[str], known_fingerprints: Sequence[str]
) -> NDArray[np.bool_]:
    """Which requests occur in other data, by id or by content, shape ``(n,)``.

    Args:
        ids: Of the requests, empty where the file gives none.
        fingerprints: Of the requests, empty where they have no content.
        known_ids: Of the other data, likewise.
        known_fingerprints: Likewise.
    """
    by_id, by_content = set(known_ids), set(known_fingerprints)
    n = max(len(ids), len(fingerprints))
    found = np.zeros(n, dtype=bool)
    if ids:
        found |= np.array([name in by_id for name in ids])
    if fingerprints:
        found |= np.array([mark in by_content for mark in fingerprints])
    return found
