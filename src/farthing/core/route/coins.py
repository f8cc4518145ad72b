"""The coin by which a fixed split parts requests: it knows their ids alone, so that it tells nothing about them."""

from __future__ import annotations

import hashlib

__all__ = ["coin"]

_BITS = 53
"""Of a double's mantissa: every value is exact."""


def coin(request_id: str, seed: int) -> float:
    """A number in [0, 1) that any process draws alike for the same id and seed: the first 53 bits of keyed BLAKE2b.

    Args:
        request_id: Any text; ids must differ for draws to be independent.
        seed: In [0, 2⁶⁴).

    Raises:
        ValueError: when the seed is out of its domain.
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"the seed of a coin must lie in [0, 2⁶⁴), is {seed}")
    digest = hashlib.blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=8, key=seed.to_bytes(8, "big"))
    return float((int.from_bytes(digest.digest(), "big") >> (64 - _BITS)) / 2**_BITS)
