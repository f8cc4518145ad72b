"""Tokens that answers say they used: believed where they can be true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from farthing.wire.token_usage import TokenUsage, token_usage


def usage(**used: Any) -> dict[str, Any]:
    return {"usage": used}


@pytest.mark.parametrize(
    ("used", "cached"),
    [
        ({}, 0),
        ({"prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0}}, 4),
        ({"prompt_tokens_details": None, "prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 1}, 5),
        ({"num_cached_tokens": 6}, 6),
        ({"prompt_tokens_details": {"cached_tokens": None}, "num_cached_tokens": None}, 0),
    ],
)
def test_what_providers_write(used: dict[str, Any], cached: int) -> None:
    found = token_usage(usage(prompt_tokens=6, completion_tokens=2.0, **used), "yes")
    assert found == TokenUsage(read=6, written=2, cached=cached)


@pytest.mark.parametrize(
    ("document", "said", "problem"),
    [
        ({}, "yes", "does not say how many tokens"),
        ({"usage": None}, "yes", "does not say how many tokens"),
        (usage(prompt_tokens=0, completion_tokens=2), "yes", "read 0 tokens"),
        (usage(prompt_tokens=5, completion_tokens=0), "yes", "wrote 0 tokens"),
        (usage(prompt_tokens=5), "yes", "completion_tokens is None"),
        (usage(prompt_tokens="5", completion_tokens=1), "yes", "prompt_tokens is '5'"),
        (usage(prompt_tokens=True, completion_tokens=1), "yes", "prompt_tokens is True"),
        (usage(prompt_tokens=-5, completion_tokens=1), "yes", "prompt_tokens is -5"),
        (usage(prompt_tokens=1.5, completion_tokens=1), "yes", "prompt_tokens is 1.5"),
        (usage(prompt_tokens=float("nan"), completion_tokens=1), "yes", "prompt_tokens is nan"),
        (usage(prompt_tokens=float("inf"), completion_tokens=1), "yes", "prompt_tokens is inf"),
        (usage(prompt_tokens=5, completion_tokens=1, num_cached_tokens=6), "yes", "6 of 5 tokens"),
        (usage(prompt_tokens=5, completion_tokens=1, num_cached_tokens=-1), "yes", "num_cached_tokens is -1"),
    ],
)
def test_what_cannot_be(document: dict[str, Any], said: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        token_usage(document, said)


def test_an_empty_answer_may_have_no_tokens() -> None:
    assert token_usage(usage(prompt_tokens=5, completion_tokens=0), " ").written == 0


def test_usage_of_real_answers(assets: Path) -> None:
    bodies = [json.loads(line)["body"] for line in (assets / "routing/usage-bodies/usages_dev.jsonl").open()]
    chats = [body for body in bodies if {"prompt_tokens", "completion_tokens"} <= set(body.get("usage") or ())]
    assert len(chats) > 150
    cached = [token_usage(body, "").cached for body in chats]
    assert max(cached) > 4000
    assert sum(c > 0 for c in cached) >= 10
