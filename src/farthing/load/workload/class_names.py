"""Labels in words, matched to the class names of a model."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from farthing.errors import DataError

__all__ = ["matched_classes", "numbering"]

_PLACEHOLDER = re.compile(r"LABEL_(\d{1,9})", re.IGNORECASE | re.ASCII)
_BETWEEN_WORDS = re.compile(r"[\s_-]+")
_SHOWN = 6


def matched_classes(
    texts: Sequence[str], classes: Sequence[str], *, source: str, names: Sequence[str]
) -> tuple[float, ...] | None:
    """Index of the class that each label names, None where no label names any.

    A label names the class that is written as it is; else the one that differs in case, and in blanks, hyphens and
    underscores between words, alone; else ``LABEL_k`` names class k, as models say it whose classes have no names.

    Args:
        texts: Labels, without blanks at their ends.
        classes: Names in index order, empty when unknown.
        source: Where the labels come from, for messages.
        names: What to call each sample in messages.

    Raises:
        DataError: when some labels name a class and others none, or one names several.
    """
    exact, alike = _places(classes), _places(map(_plain, classes))
    index: dict[str, int | None] = {}
    for text, name in zip(texts, names, strict=True):
        if text not in index:
            found = exact.get(text) or alike.get(_plain(text)) or _placeholder(text)
            if len(found) > 1:
                raise DataError(
                    f"{source}: {name} has the label {text!r}, which names the classes "
                    f"{' and '.join(map(str, found[:_SHOWN]))} of the model alike",
                    hint=_which([classes[k] for k in found], found),
                )
            index[text] = found[0] if found else None
    if not any(place is not None for place in index.values()):
        return None
    _refuse_unknown(texts, index, classes, source, names)
    return tuple(float(place) for text in texts if (place := index[text]) is not None)


def numbering(order: Sequence[str], classes: Sequence[str]) -> str:
    """How class names got their numbers, in words, where the model does not give them: ``in sorted order, since …``.

    Args:
        order: Class names of the labels in index order, empty when they are numbers.
        classes: Of the model, empty when unknown.
    """
    numbers = all(_PLACEHOLDER.fullmatch(name) or name.isdecimal() for name in order)
    if numbers or tuple(order) == tuple(classes):
        return ""
    why = f"none is a class of the model ({_some(classes)})" if classes else "the model names no classes"
    return f"in sorted order, since {why}"


def _places(names: Iterable[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for k, name in enumerate(names):
        found.setdefault(name, []).append(k)
    return found


def _plain(name: str) -> str:
    return _BETWEEN_WORDS.sub(" ", unicodedata.normalize("NFKC", name).casefold()).strip()


def _placeholder(text: str) -> list[int]:
    found = _PLACEHOLDER.fullmatch(text)
    return [int(found[1])] if found else []


def _which(names: Sequence[str], found: Sequence[int]) -> str:
    """How to say which class is meant: as the model spells it, by ``LABEL_k`` where it spells some alike."""
    distinct = len(set(names)) == len(names)
    ways = [repr(name) if distinct else f"LABEL_{k}" for name, k in zip(names, found)]
    return f"write {' or '.join(ways[:_SHOWN])}"


def _refuse_unknown(
    texts: Sequence[str],
    index: Mapping[str, int | None],
    classes: Sequence[str],
    source: str,
    names: Sequence[str],
) -> None:
    unknown = [k for k, text in enumerate(texts) if index[text] is None]
    if not unknown:
        return
    first = unknown[0]
    what = f"none of the {len(classes):,} classes known ({_some(classes)})" if classes else "no LABEL_k as others are"
    close = difflib.get_close_matches(texts[first], classes, n=1)
    raise DataError(
        f"{source}: {names[first]} has the label {texts[first]!r}, which is {what}; "
        f"{len(unknown):,} of {len(texts):,} samples have such labels",
        hint=f"did you mean {close[0]!r}?" if close else "correct them, or leave those samples out",
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")
