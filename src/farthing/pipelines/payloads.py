"""What a client would send, read from a data set: image bytes, texts, arrays of one sample."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from farthing.errors import DataError
from farthing.nouns import Dataset

__all__ = ["read"]

_LOCAL_HEADER_BYTES = 30
_MAX_IMAGE_BYTES = 512 * 2**20


def read(dataset: Dataset, indices: Sequence[int]) -> list[Any]:
    """Read the payloads of some samples.

    Args:
        dataset: Where they are.
        indices: Which, in the order wanted; each in [0, n).

    Returns:
        Images: the file's bytes. Texts: ``str``. Tensors: ``dict`` from array name to the array of one sample,
        without copying where the npz file is not compressed.

    Raises:
        DataError: when a file is gone, unreadable or changed.
        ValueError: when an index lies outside the data set.
    """
    wrong = [k for k in indices if not 0 <= k < dataset.n]
    if wrong:
        raise ValueError(f"index {wrong[0]} lies outside {dataset.source} (0 … {dataset.n - 1})")
    if dataset.kind == "text":
        return [dataset.items[k] for k in indices]
    if dataset.kind == "image":
        return [_bytes(Path(dataset.items[k])) for k in indices]
    arrays = _arrays(Path(dataset.items[0]), dataset.items[1:], dataset.n)
    return [{name: array[k] for name, array in arrays.items()} for k in indices]


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_IMAGE_BYTES:
            raise DataError(f"{path} has {path.stat().st_size:,} bytes; the limit is {_MAX_IMAGE_BYTES:,}")
        return path.read_bytes()
    except OSError as e:
        raise DataError(f"cannot read {path}: {e.strerror or e}") from e


def _arrays(path: Path, names: Sequence[str], n: int) -> dict[str, NDArray[Any]]:
    """Read input arrays of an npz file by name; they are mapped into memory where they are stored as they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            found = {name: _member(path, archive, members[name]) for name in names if name in members}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        raise DataError(f"cannot read {path}: {e}") from e
    for name in names:
        if name not in found or found[name].shape[:1] != (n,):
            raise DataError(
                f"{path} no longer holds {n:,} samples of {name}", hint="it was changed since it was first read"
            )
    return found


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(info) as f:
        shape, fortran, dtype = _header(f)
        body_at = f.tell()
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if body_at + nbytes != info.file_size:
        raise ValueError(f"array {info.filename} says {nbytes:,} bytes, the archive {info.file_size - body_at:,}")
    if info.compress_type == zipfile.ZIP_STORED and nbytes and not info.flag_bits & 0x1:
        start = _data_offset(path, info) + body_at
        return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape, order="F" if fortran else "C")
    with archive.open(info) as f:
        loaded: NDArray[Any] = np.lib.format.read_array(f, allow_pickle=False)
    return loaded


def _header(f: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of an array; the stream then stands at its data."""
    version = np.lib.format.read_magic(f)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(f)
    if dtype.hasobject:
        raise ValueError("an array holds Python objects (a pickle), which are not loaded")
    return shape, fortran, dtype


def _data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin (APPNOTE.TXT 4.3.7: after the local header, its name and extra field)."""
    with path.open("rb") as f:
        f.seek(info.header_offset)
        header = f.read(_LOCAL_HEADER_BYTES)
    if len(header) < _LOCAL_HEADER_BYTES or header[:4] != b"PK\x03\x04":
        raise ValueError(f"member {info.filename} has no local header")
    return (
        info.header_offset
        + _LOCAL_HEADER_BYTES
        + int.from_bytes(header[26:28], "little")
        + int.from_bytes(header[28:30], "little")
    )
