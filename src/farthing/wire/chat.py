"""Chat models: what they are told, and, of those that classify, which class their answer names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["DEFAULT_PROMPT", "chat_document", "class_index", "classes_by_name", "told"]

DEFAULT_PROMPT = "Classify the user's message. Answer with exactly one of these labels and nothing else: {classes}"


def told(prompt: str, classes: Sequence[str]) -> str:
    """What the model is told before each request; ``{classes}`` stands for the names."""
    return prompt.replace("{classes}", ", ".join(classes))


def chat_document(model: str, instruction: str, text: str) -> dict[str, Any]:
    """Body of a request to ``/chat/completions``; at temperature 0, so that the answer is the likeliest one.

    Without an instruction the text stands alone.
    """
    messages = [{"role": "system", "content": instruction}] if instruction else []
    messages.append({"role": "user", "content": text})
    return {"model": model, "temperature": 0, "messages": messages}


def classes_by_name(classes: Sequence[str]) -> dict[str, int]:
    """Index of each class by its name as :func:`class_index` compares it."""
    return {_plain(name): k for k, name in enumerate(classes)}


def class_index(said: str, known: Mapping[str, int]) -> int | None:
    """The class that an answer names, None when it names none; case, quotes and full stops at its ends do not count.

    Args:
        said: The answer's text.
        known: Of :func:`classes_by_name`.
    """
    return known.get(_plain(said))


def _plain(name: str) -> str:
    return name.strip().strip("\"'`.").casefold()
