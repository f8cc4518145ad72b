"""Whom a request is from, without knowing who that is."""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["tenant_of"]

_TENANT_BYTES = 8


def tenant_of(caller: bytes, salt: bytes | None) -> str:
    """Salted hash of a caller's credentials; empty without credentials or salt."""
    if not caller or salt is None:
        return ""
    return blake2b(caller, digest_size=_TENANT_BYTES, key=salt[:64]).hexdigest()
