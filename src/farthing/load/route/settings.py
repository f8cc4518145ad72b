"""The keys of ``farthing route calibrate``, one table for flags and for the keys beside ``tiers:`` in a tiers.yaml."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from farthing.core.route.calibrating.certification import Method, Procedure
from farthing.errors import InputError
from farthing.load import units
from farthing.load.fields import LEVELS
from farthing.load.wishes import check_name
from farthing.models.embedders import MINILM
from farthing.nouns import LatencyBound

__all__ = ["RouteSettings", "latency_bound", "read_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSettings:
    """What a route must keep, and on which requests that is shown.

    Attributes:
        data: Requests, None for none.
        labels: Separate file of labels.
        text_column: None to guess.
        label_column: None to guess.
        id_column: None to guess.
        segment_column: None for ``segment`` where there is one.
        reference: Tier that losses are counted against; None for the last one named, of outcomes the best one.
        max_loss_frac: Largest mean loss of quality, in (0, 1).
        confidence: That it holds, in (0.5, 1).
        by_segment: Largest mean loss within a segment.
        method: How the loss is bounded.
        procedure: How several tests are paid for.
        choose_frac: Share of the requests that everything is chosen and fitted on, in (0, 1).
        min_saving_frac: What routing must save of the best fixed tier's cost to be worth it.
        audit_frac: Share of answers below the reference to audit.
        seed: Of everything random.
        priced_as: The offer that this machine stands for, None for the plans' own or none.
        name: Of the end point's one model.
        free: Tiers of a file of outcomes whose costs of 0 are meant.
        embedder: What makes vectors of texts for scores of content: ``minilm`` or an ONNX encoder's path; None for
            none.
        latency: What is promised of the served route's latency, and its rate planned for; None for nothing.
    """

    data: Path | None = None
    labels: Path | None = None
    text_column: str | None = None
    label_column: str | None = None
    id_column: str | None = None
    segment_column: str | None = None
    reference: str | None = None
    max_loss_frac: float = 0.005
    confidence: float = 0.95
    by_segment: Mapping[str, float] = field(default_factory=dict)
    method: Method = "paired"
    procedure: Procedure = "fixed_sequence"
    choose_frac: float = 0.5
    min_saving_frac: float = 0.0
    audit_frac: float = 0.02
    seed: int = 0
    priced_as: str | None = None
    name: str = "auto"
    embedder: str | None = None
    free: tuple[str, ...] = ()
    latency: LatencyBound | None = None


def _wrong(value: object, key: str, wanted: str) -> InputError:
    return InputError(f"{key} is {value!r}; it must be {wanted}")


def _text(value: object, key: str, _: Path) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise _wrong(value, key, "a text")
    return str(value).strip()


def _path(value: object, key: str, folder: Path) -> Path:
    if isinstance(value, Path):
        return folder / value
    return folder / _text(value, key, folder)


def _share(low: float, high: float, words: str, *, closed: bool = False) -> Callable[[object, str, Path], float]:
    def read(value: object, key: str, _: Path) -> float:
        share = units.fraction(value, key)
        if not (low <= share <= high if closed else low < share < high):
            raise _wrong(value, key, words)
        return share

    return read


def _one_of(*known: str) -> Callable[[object, str, Path], str]:
    def read(value: object, key: str, _: Path) -> str:
        said = str(value).replace("-", "_")
        if said not in known:
            raise InputError(f"{key} is {value!r}, which is unknown", hint=f"known: {', '.join(known)}")
        return said

    return read


def _whole(value: object, key: str, _: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _wrong(value, key, "a whole number ≥ 0")
    return value


def _embedder(value: object, key: str, folder: Path) -> str:
    name = _text(value, key, folder)
    return name if name == MINILM else str((folder / name).absolute())


def _names(value: object, key: str, folder: Path) -> tuple[str, ...]:
    several = value if isinstance(value, (list, tuple)) else str(value).split(",")
    return tuple(_text(name, key, folder) for name in several)


_loss = _share(0, 1, "above 0 % and below 100 %")


def _by_segment(value: object, key: str, folder: Path) -> dict[str, float]:
    if isinstance(value, Mapping):
        pairs = [(str(name), share) for name, share in value.items()]
    else:
        texts = [value] if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else []
        parts = [str(text).rpartition("=") for text in texts]
        if not parts or not all(name and sign for name, sign, _ in parts):
            raise InputError(f"{key} is {value!r}", hint="write it as SEGMENT=1%")
        pairs = [(name.strip(), share) for name, _, share in parts]
    return {name: _loss(share, f"{key} of {name}", folder) for name, share in pairs}


def _promised(percentile: float) -> Callable[[object, str, Path], LatencyBound]:
    return lambda value, key, _: LatencyBound(ms=units.duration_ms(value, key), percentile=percentile)


_KEYS: Mapping[str, tuple[str, Callable[[Any, str, Path], Any]]] = {
    "data": ("data", _path),
    "labels": ("labels", _path),
    "text_column": ("text_column", _text),
    "label_column": ("label_column", _text),
    "id_column": ("id_column", _text),
    "segment_column": ("segment_column", _text),
    "reference": ("reference", _text),
    "max_loss": ("max_loss_frac", _loss),
    "confidence": ("confidence", _share(0.5, 1, "above 50 % and below 100 %")),
    "max_loss_of": ("by_segment", _by_segment),
    "method": ("method", _one_of(*get_args(Method))),
    "procedure": ("procedure", _one_of(*get_args(Procedure))),
    "choose_share": ("choose_frac", _share(0, 1, "above 0 % and below 100 %")),
    "min_saving": ("min_saving_frac", _share(0, 0.999, "from 0 % to 99.9 %", closed=True)),
    "audit_share": ("audit_frac", _share(0, 1, "from 0 % to 100 %", closed=True)),
    "seed": ("seed", _whole),
    "priced_as": ("priced_as", _text),
    "embedder": ("embedder", _embedder),
    "free": ("free", _names),
    "name": ("name", lambda value, key, _: check_name(value, key)),
    **{level: ("latency", _promised(percentile)) for level, percentile in LEVELS.items()},
}


def read_settings(
    flags: Mapping[str, Any], file: Mapping[str, Any] | None = None, folder: Path | None = None
) -> RouteSettings:
    """Settings of flags over those of a file.

    Args:
        flags: Values by key; None and an empty sequence count as not given.
        file: Keys beside ``tiers:`` in a tiers.yaml.
        folder: Of that file; its paths start there.

    Raises:
        InputError: for an unknown key or a value that cannot be read.
    """
    found: dict[str, Any] = {}
    for source, where, home in ((file or {}, "tiers.yaml", folder or Path()), (flags, "the flags", Path())):
        _refuse_two_levels(source, where)
        for key, value in source.items():
            if key not in _KEYS:
                close = difflib.get_close_matches(key, _KEYS, n=1)
                hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(_KEYS)}"
                raise InputError(f"unknown key {key!r} in {where}", hint=hint)
            if value is not None and value != ():
                target, read = _KEYS[key]
                shown = f"--{key.replace('_', '-')}" if where == "the flags" else key
                found[target] = read(value, shown, home)
    return RouteSettings(**found)


def latency_bound(flags: Mapping[str, Any]) -> LatencyBound | None:
    """The latency that is promised, None where nothing is.

    Args:
        flags: By level (``{"p99": "50ms"}``), others are left alone.

    Raises:
        InputError: for a time that cannot be read, or two levels.
    """
    return read_settings({level: flags.get(level) for level in LEVELS}).latency


def _refuse_two_levels(source: Mapping[str, Any], where: str) -> None:
    given = [level for level in LEVELS if source.get(level) is not None]
    if len(given) > 1:
        raise InputError(f"{where} promise {' and '.join(given)}; one latency bound is held", hint="leave one out")
