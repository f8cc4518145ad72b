"""What a chat model's answer says that it used, believed only where it can be true: tokens are what is paid for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["TokenUsage", "token_usage"]


class TokenUsage(NamedTuple):
    """Tokens of one answer.

    Attributes:
        read: Of the prompt, ≥ 1, cached ones included.
        written: Of the answer, ≥ 0.
        cached: Of those that were read, how many the provider had in its cache, in [0, read].
    """

    read: int
    written: int
    cached: int


def token_usage(document: Mapping[str, Any], said: str) -> TokenUsage:
    """Tokens of an answer of ``/chat/completions``.

    A prompt is never empty, and an answer with text in it was written: 0 for either is a price left out, not a price.
    Cached tokens are read where OpenAI, DeepSeek and Mistral write them.

    Args:
        document: The answer.
        said: Its text.

    Raises:
        ValueError: when usage is missing, is no count, is 0 where something was read or written, or more was cached
            than read.
    """
    used = document.get("usage")
    if not isinstance(used, Mapping):
        raise ValueError("it does not say how many tokens it used")
    read, written = _count(used, "prompt_tokens"), _count(used, "completion_tokens")
    if read == 0:
        raise ValueError("it says that it read 0 tokens (prompt_tokens), and the prompt was not empty")
    if written == 0 and said.strip():
        raise ValueError(f"it says that it wrote 0 tokens (completion_tokens), and it wrote {said[:40]!r}")
    cached = _cached(used)
    if cached > read:
        raise ValueError(f"it says that {cached:,} of {read:,} tokens that it read were cached")
    return TokenUsage(read=read, written=written, cached=cached)


def _cached(used: Mapping[str, Any]) -> int:
    details = used.get("prompt_tokens_details")
    places = (
        (details if isinstance(details, Mapping) else {}, "cached_tokens"),
        (used, "prompt_cache_hit_tokens"),
        (used, "num_cached_tokens"),
    )
    return next((_count(where, key) for where, key in places if where.get(key) is not None), 0)


def _count(used: Mapping[str, Any], key: str) -> int:
    value = used.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1 or not 0 <= value < 1e12:
        raise ValueError(f"its {key} is {value!r}, which is no number of tokens")
    return int(value)
