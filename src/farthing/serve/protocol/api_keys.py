"""Who may ask: bearer tokens of the public listeners, kept as digests."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from farthing.wire.requests import Problem

__all__ = ["ApiKeys"]


class ApiKeys:
    """The keys that are accepted.

    Args:
        keys: As clients send them.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests: tuple[bytes, ...] = ()
        self.replace(keys)

    def replace(self, keys: Iterable[str]) -> None:
        """From now on these are accepted and no others."""
        self._digests = tuple(hashlib.sha256(key.encode()).digest() for key in keys)

    def check(self, authorization: bytes) -> None:
        """Refuse who shows none of them.

        Args:
            authorization: Value of the header or of gRPC's metadata, empty when there was none.

        Raises:
            Problem: 401 without a bearer token, 403 with a wrong one.
        """
        kind, _, shown = authorization.partition(b" ")
        if kind.lower() != b"bearer" or not shown.strip():
            raise Problem(401, "this server wants Authorization: Bearer KEY")
        digest = hashlib.sha256(shown.strip()).digest()
        if not sum(hmac.compare_digest(digest, known) for known in self._digests):  # all are compared
            raise Problem(403, "this is no key of this server")
