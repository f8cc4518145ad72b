"""Labelled data: a folder of images, a table of texts, an npz file of tensors."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from farthing.errors import DataError
from farthing.load.nearest import nearest
from farthing.load.tables import TABLE_SUFFIXES, Table, find_column, read_table
from farthing.load.workload.class_names import numbering
from farthing.load.workload.labels import LABEL_NAMES, encode_labels
from farthing.nouns import IMAGE_FORMATS, MAX_PIXELS, Dataset

__all__ = ["guess_kind", "read_dataset"]

Kind = Literal["image", "text", "tensor"]
_IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_TEXT_NAMES = ("text", "sentence", "utterance", "content", "question", "query", "prompt", "review", "comment", "input")
_FILE_NAMES = ("file", "filename", "file_name", "image", "path", "name", "id")
_WORDNET = re.compile(r"(n\d{8})_.+")
_SHOWN = 3


def guess_kind(path: Path) -> Kind:
    """Tell the kind of data from its place: a folder holds images, a table texts, an npz file tensors.

    Raises:
        DataError: when there is nothing, or something else.
    """
    if path.is_dir():
        return "image"
    if not path.exists():
        raise DataError(f"there is no data at {path}", hint=nearest(path))
    suffix = path.suffix.lower()
    if suffix in TABLE_SUFFIXES:
        return "text"
    if suffix == ".npz":
        return "tensor"
    raise DataError(f"{path} is no data that can be read", hint="give a folder of images, CSV, JSONL, Parquet or npz")


def read_dataset(
    path: Path,
    kind: Kind | None = None,
    *,
    labels: Path | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    classes: Sequence[str] = (),
    max_pixels: int = MAX_PIXELS,
) -> Dataset:
    """Read what a workload is judged by; images are opened (headers only), texts and labels read whole.

    Args:
        path: A folder of images, a table of texts, or an npz file.
        kind: What it holds, None to tell from the path.
        labels: Separate file of labels. Images: a table with a file and a label column; texts and tensors: a table
            with one label a row, in the same order.
        text_column: Column of the texts, None to guess.
        label_column: Column of the labels (in the npz: array), None to guess.
        classes: Class names of the model in index order, empty when unknown.
        max_pixels: Larger images are refused.

    Raises:
        DataError: when something is missing, empty, unreadable or does not match.
    """
    kind = kind or guess_kind(path)
    if not path.exists():
        raise DataError(f"there is no data at {path}", hint=nearest(path))
    if kind == "image":
        found = _images(path, labels, label_column, classes, max_pixels)
    elif kind == "text":
        found = _texts(path, labels, text_column, label_column, classes)
    else:
        found = _tensors(path, labels, label_column, classes)
    return replace(found, numbered=numbering(found.classes, classes))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _images(
    folder: Path, labels: Path | None, label_column: str | None, classes: Sequence[str], max_pixels: int
) -> Dataset:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of images", hint=None if folder.exists() else nearest(folder))
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _IMAGE_SUFFIXES and not p.name.startswith("."))
    if not files:
        raise DataError(f"no images in {folder}", hint=f"looked for {' '.join(sorted(_IMAGE_SUFFIXES))}")
    ids = [p.relative_to(folder).as_posix() for p in files]
    values = _image_labels(folder, ids, labels, label_column)
    for file in files:
        _check_image(file, max_pixels)
    encoded: tuple[float, ...] | None = None
    order: tuple[str, ...] = ()
    if values is not None:
        encoded, order = encode_labels(values, source=str(labels or folder), names=ids, classes=classes)
    items = tuple(str(p.absolute()) for p in files)
    return Dataset(
        kind="image", items=items, n=len(items), labels=encoded, ids=tuple(ids), classes=order, source=str(folder)
    )


def _image_labels(folder: Path, ids: Sequence[str], labels: Path | None, column: str | None) -> list[str] | None:
    """Label of each image: from a table, from sub-folders, from WordNet ids in the names, or none."""
    if labels is not None:
        return _labels_by_file(folder, ids, read_table(labels), column)
    deep = [name for name in ids if "/" in name]
    if deep and len(deep) < len(ids):
        flat = [name for name in ids if "/" not in name]
        raise DataError(
            f"{folder} holds {len(flat)} images beside its class folders: {_some(flat)}",
            hint="put every image into the folder of its class, or give inputs.labels",
        )
    if deep:
        return [name.split("/", 1)[0] for name in ids]
    wordnet = [_WORDNET.fullmatch(name) for name in ids]
    return [m[1] for m in wordnet if m] if all(wordnet) else None


def _labels_by_file(folder: Path, ids: Sequence[str], table: Table, column: str | None) -> list[str]:
    file_column = find_column(table, None, _FILE_NAMES, "inputs.labels")
    label_column = find_column(table, column, LABEL_NAMES, "inputs.label_column")
    if file_column is None or label_column is None:
        raise DataError(
            f"{table.path} has the columns {', '.join(table.columns)}; a file and a label column are needed",
            hint="name them file and label, or give inputs.label_column",
        )
    known = set(ids)
    found: dict[str, str] = {}
    for raw, label, line in zip(table.columns[file_column], table.columns[label_column], table.lines, strict=True):
        name = str(raw).strip().removeprefix("./")
        if name in found:
            raise DataError(f"{table.path} line {line}: a second label for {name}")
        found[name] = label
    lost = [name for name in found if name not in known]
    bare = [name for name in ids if name not in found]
    if lost or bare:
        parts = [f"{len(lost)} labels without an image: {_some(lost)}"] if lost else []
        parts += [f"{len(bare)} images without a label: {_some(bare)}"] if bare else []
        raise DataError(
            f"labels do not match: {len(found)} labels in {table.path}, {len(ids)} images in {folder}; "
            + "; ".join(parts),
            hint="names are relative to the folder of images, with their ending",
        )
    return [found[name] for name in ids]


def _check_image(path: Path, max_pixels: int) -> None:
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
        raise DataError(f"{path} is too large: {e}; the limit is {max_pixels:,} pixels") from e
    except Exception as e:  # damaged files raise what they like in Pillow's plug-ins
        size = path.stat().st_size if path.exists() else 0
        raise DataError(f"{path} ({size:,} bytes) is no readable image", hint="remove it or save it again") from e
    if width * height > max_pixels:
        raise DataError(
            f"{path} has {width:,} × {height:,} pixels; the limit is {max_pixels:,}",
            hint="make it smaller, or raise inputs.max_pixels",
        )


def _texts(
    path: Path, labels: Path | None, text_column: str | None, label_column: str | None, classes: Sequence[str]
) -> Dataset:
    table = read_table(path)
    column = find_column(table, text_column, _TEXT_NAMES, "inputs.text_column")
    if column is None:
        raise DataError(
            f"{path} has no column of a usual name for texts; its columns are {', '.join(table.columns)}",
            hint="inputs.text_column names it",
        )
    for value, line in zip(table.columns[column], table.lines, strict=True):
        if not isinstance(value, str):
            raise DataError(f"{path} line {line}: {column} is {value!r}, not a text")
    items = tuple(table.columns[column])
    encoded, order = _row_labels(table, labels, label_column, len(items), classes)
    ids = tuple(f"line {line}" for line in table.lines)
    return Dataset(kind="text", items=items, n=len(items), labels=encoded, ids=ids, classes=order, source=str(path))


def _row_labels(
    table: Table | None, labels: Path | None, column: str | None, n: int, classes: Sequence[str]
) -> tuple[tuple[float, ...] | None, tuple[str, ...]]:
    """Labels of ``n`` rows from the table itself or, when given, from a file of its own."""
    table = read_table(labels) if labels is not None else table
    if table is None:
        return None, ()
    name = find_column(table, column, LABEL_NAMES, "inputs.label_column")
    if name is None and labels is not None and len(table.columns) == 1:
        name = next(iter(table.columns))
    if name is None:
        if labels is None:
            return None, ()
        raise DataError(f"{labels} has the columns {', '.join(table.columns)}", hint="inputs.label_column names one")
    values = table.columns[name]
    if len(values) != n:
        raise DataError(
            f"labels do not match: {len(values)} labels in {table.path} for {n} samples",
            hint="one label a sample, in the same order",
        )
    names = [f"line {line}" for line in table.lines]
    return encode_labels(values, source=str(table.path), names=names, classes=classes)


def _npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of each array from the headers alone."""
    shapes: dict[str, tuple[int, ...]] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            name = member.removesuffix(".npy")
            with archive.open(member) as f:
                version = np.lib.format.read_magic(f)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(f)
            if dtype.hasobject:
                raise DataError(f"{path}: array {name} holds Python objects (a pickle), which are not loaded")
            shapes[name] = shape
    return shapes


def _tensors(path: Path, labels: Path | None, label_column: str | None, classes: Sequence[str]) -> Dataset:
    try:
        shapes = _npz_shapes(path)
        label_name = label_column or next((name for name in LABEL_NAMES if name in shapes), None)
        if label_name is not None and label_name not in shapes:
            raise DataError(f"{path} has no array {label_name!r}", hint=f"it has: {', '.join(shapes)}")
        values = None if label_name is None else np.load(path, allow_pickle=False)[label_name]
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as e:
        raise DataError(f"{path} is no readable npz file: {e}", hint="write it with numpy.savez") from e
    samples = {name: shape for name, shape in shapes.items() if name != label_name}
    if not samples or any(not shape or shape[0] == 0 for shape in samples.values()):
        said = ", ".join(f"{name} {shape}" for name, shape in samples.items()) or "none"
        raise DataError(
            f"{path} has no samples (arrays: {said})", hint="the first dimension of each array is the sample"
        )
    sizes = {name: shape[0] if shape else 0 for name, shape in shapes.items()}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        raise DataError(f"labels do not match: arrays of {path} have unequal numbers of samples: {said}")
    n = sizes[next(iter(samples))]
    ids = tuple(f"sample {k}" for k in range(n))
    encoded: tuple[float, ...] | None = None
    order: tuple[str, ...] = ()
    if values is not None and values.ndim == 1:
        encoded, order = encode_labels(values.tolist(), source=str(path), names=ids, classes=classes)
    elif values is not None:
        raise DataError(f"{path}: labels {label_name} have the shape {values.shape}; one label a sample is needed")
    else:
        encoded, order = _row_labels(None, labels, label_column, n, classes)
    return Dataset(
        kind="tensor",
        items=(str(path.absolute()), *samples),
        n=n,
        labels=encoded,
        ids=ids,
        classes=order,
        source=str(path),
    )
