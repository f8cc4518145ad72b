"""Blocks of a ledger's journal, found again behind damage: ``fLJ1``, kind, length and CRC-32 of the payload, payload.

A block counts when its payload has its checksum; of its head nothing else is needed. Where one does not, reading goes
on at the next block that does. A damaged length is found out too: the payload then ends where the next block begins,
and its checksum says so.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Block", "Gap", "block", "blocks_of", "json_block"]

_HEAD = struct.Struct("<4scII")
_MAGIC = b"fLJ1"
_KINDS = (b"J", b"R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A payload that is what was written.

    Attributes:
        payload: Its bytes.
        said: The JSON object that it is, None when it holds records.
    """

    payload: bytes
    said: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Bytes that are not what was written.

    Attributes:
        parts: Payloads in it, as far as heads can be recognised.
        n_bytes: Length.
    """

    parts: tuple[bytes, ...]
    n_bytes: int


def block(letter: bytes, payload: bytes) -> bytes:
    """One block as it lies in the file."""
    return _HEAD.pack(_MAGIC, letter, len(payload), zlib.crc32(payload)) + payload


def json_block(said: Mapping[str, Any]) -> bytes:
    """A block that holds one JSON object."""
    return block(b"J", json.dumps(said, ensure_ascii=False).encode("utf-8", "replace"))


def blocks_of(content: bytes) -> Iterator[Block | Gap]:
    """Blocks in their order, and the gaps between them; an end that a kill cut short is no gap, and left out."""
    at = 0
    while at < len(content):
        payload = _payload(content, at)
        if payload is None:
            end = _next_block(content, at)
            payload = _repaired(content, at, end)
            if payload is None and end == len(content) and _cut_short(content[at:]):
                return
        else:
            end = at + _HEAD.size + len(payload)
        if payload is None:
            yield Gap(parts=_parts(content[at:end]), n_bytes=end - at)
        else:
            yield Block(payload=payload, said=_object(payload))
        at = end


def _payload(content: bytes, at: int) -> bytes | None:
    """Of a block at a place, when its checksum is right."""
    if len(content) - at < _HEAD.size:
        return None
    _, _, length, checksum = _HEAD.unpack_from(content, at)
    start = at + _HEAD.size
    payload = content[start : start + length]
    return payload if length and len(payload) == length and zlib.crc32(payload) == checksum else None


def _next_block(content: bytes, at: int) -> int:
    """Where the next block begins that has its checksum; the end when there is none."""
    place = content.find(_MAGIC, at + 1)
    while place >= 0 and _payload(content, place) is None:
        place = content.find(_MAGIC, place + 1)
    return place if place >= 0 else len(content)


def _repaired(content: bytes, at: int, end: int) -> bytes | None:
    """The payload of a block whose length alone is damaged: it reaches to the next one, and has its checksum."""
    if end - at <= _HEAD.size:
        return None
    payload = content[at + _HEAD.size : end]
    return payload if zlib.crc32(payload) == _HEAD.unpack_from(content, at)[3] else None


def _cut_short(rest: bytes) -> bool:
    """Whether the end is a block that was never written whole: its head is right and promises more, or all is zeros."""
    if not any(rest):
        return True
    if len(rest) < _HEAD.size:
        return rest[: len(_MAGIC)] == _MAGIC[: len(rest)]
    magic, letter, length, _ = _HEAD.unpack_from(rest)
    return magic == _MAGIC and letter in _KINDS and length > len(rest) - _HEAD.size and rest.find(_MAGIC, 1) < 0


def _parts(gap: bytes) -> tuple[bytes, ...]:
    """Payloads in a gap, by the heads that can be recognised; what is before the first is its own."""
    starts = [0]
    while (place := gap.find(_MAGIC, starts[-1] + 1)) >= 0:
        starts.append(place)
    return tuple(gap[start + _HEAD.size : end] for start, end in zip(starts, [*starts[1:], len(gap)], strict=True))


def _object(payload: bytes) -> Mapping[str, Any] | None:
    if payload[:1] != b"{":
        return None
    try:
        said = json.loads(payload)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None
