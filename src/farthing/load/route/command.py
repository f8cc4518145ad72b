"""The ``farthing route calibrate`` that wrote a route, kept in it with all that was given, and written out again."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from farthing.core.route.attaching import of_outcomes
from farthing.core.route.routes import Route
from farthing.load.route.settings import RouteSettings, read_settings
from farthing.load.route.task import RouteTask
from farthing.load.route.tiers import NamedTier, read_tiers_file

__all__ = ["as_given", "calibrate_again", "calibration_data", "evaluate_again"]

_PATHS = ("--data", "--labels")
_COLUMNS = ("--text-column", "--label-column", "--id-column", "--segment-column")
_TIERS_FILES = (".yaml", ".yml", ".json")
_URL = ("http://", "https://")


def as_given(task: RouteTask, *, as_of: date | None, trust: bool, out: Path) -> tuple[tuple[str, str], ...]:
    """Options and values of a calibration (``Route.asked``), those that were not given left out.

    Args:
        task: Whose settings are written in the order in which they were given.
        as_of: Day of the prices.
        trust: Whether native artefacts were allowed.
        out: Folder of the route, which paths are written relative to.
    """
    found = [] if task.path is None else [("", _relative(task.path, out))]
    found += [("--tier", _tier(tier, out)) for tier in task.tiers]
    found += [("--price", price) for price in task.prices]
    found += [("--columns", f"{tier}={quality},{cost}") for tier, (quality, cost) in (task.columns or {}).items()]
    for key, value in task.settings.items():
        option = f"--{key.replace('_', '-')}"
        found += [(option, _relative(Path(text), out) if option in _PATHS else text) for text in _texts(value)]
    found += [] if as_of is None else [("--as-of", as_of.isoformat())]
    return (*found, *([("--trust", "")] if trust else []))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (f"{name}={share}" for name, share in value.items())
    elif isinstance(value, (list, tuple)):
        yield from map(str, value)
    elif value is not None:
        yield str(value)


def _tier(tier: str | NamedTier, out: Path) -> str:
    name, _, source = (f"{tier.name}={tier.source}" if isinstance(tier, NamedTier) else tier).partition("=")
    name, source = name.strip(), source.strip()
    return f"{name}={source if source.startswith(_URL) else _relative(Path(source), out)}"


def _relative(path: Path, out: Path) -> str:
    return os.path.relpath(path.absolute(), out.absolute())


def calibrate_again(route: Route, folder: Path, *, kept: Path | None = None, out: str = "NEW") -> str:
    """The whole command that calibrates a route anew, on other requests.

    Args:
        route: Which.
        folder: Of route.yaml.
        kept: A sample of requests with the reference's answers; None where the user has to bring some, which the
            command then calls ``REQUESTS`` (``OUTCOMES`` where a table of them is wanted).
        out: Folder of the new route.
    """
    if of_outcomes(route):
        words = [("", "OUTCOMES"), *(pair for pair in _asked(route, folder) if pair[0] != "")]
    else:
        sample = None if route.by_segment else kept  # a sample does not say which segment a request is of
        words = [pair for pair in _asked(route, folder) if pair[0] != "--data"]
        words = [pair for pair in words if pair[0] not in ("--labels", *(_COLUMNS if sample else ()))]
        words.append(("--data", "REQUESTS" if sample is None else str(sample)))
        if sample is not None and sample.suffix == ".csv":
            words += [("--text-column", "text"), ("--label-column", "label")]
    return _line("farthing route calibrate", [*words, ("--out", out)])


def evaluate_again(route: Route, path: Path) -> str:
    """The whole command that judges a route on other requests, called ``TEST``, in the same columns."""
    wanted = (*_COLUMNS, "--trust", *(("--columns",) if of_outcomes(route) else ()))
    more = [pair for pair in _asked(route, path.parent) if pair[0] in wanted]
    return _line("farthing route evaluate", [("", str(path)), ("--data", "TEST"), *more])


def calibration_data(route: Route, folder: Path) -> RouteSettings:
    """Where the requests are that a route was calibrated on, and their columns; ``data`` is None when unknown.

    Args:
        route: Which.
        folder: Of route.yaml.
    """
    asked = dict(_asked(route, folder)) if route.asked else {}
    flags = {option.removeprefix("--").replace("-", "_"): asked.get(option) for option in (*_PATHS, *_COLUMNS)}
    source = Path(asked[""]) if "" in asked else None
    if source is None or source.suffix.lower() not in _TIERS_FILES or not source.is_file():
        return read_settings(flags)
    in_file = read_tiers_file(source).settings
    return read_settings(flags, {key: in_file[key] for key in flags if key in in_file}, source.parent)


def _asked(route: Route, folder: Path) -> list[tuple[str, str]]:
    """What was given, paths as they are found from here; of a route that does not say, what it shows."""
    if not route.asked:
        return _shown(route, folder)
    return [(option, _placed(option, value, folder)) for option, value in route.asked]


def _placed(option: str, value: str, folder: Path) -> str:
    if option in ("", *_PATHS):
        return os.path.normpath(folder / value)
    if option == "--tier":
        name, _, source = value.partition("=")
        return value if source.startswith(_URL) else f"{name}={os.path.normpath(folder / source)}"
    return value


def _shown(route: Route, folder: Path) -> list[tuple[str, str]]:
    tiers = [] if of_outcomes(route) else route.tiers
    sources = [
        (t.name, os.path.normpath(folder / t.source) if t.kind == "model" else t.source) for t in tiers if t.source
    ]
    return [
        *(("--tier", f"{name}={source}") for name, source in sources),
        ("--max-loss", f"{100 * route.max_loss_frac:g}%"),
        ("--confidence", f"{100 * route.confidence:g}%"),
        *(("--max-loss-of", f"{name}={100 * most:g}%") for name, most in route.by_segment.items()),
    ]


def _line(command: str, words: Sequence[tuple[str, str]]) -> str:
    """The source first; an option that is a flag stands alone."""
    ordered = sorted(words, key=lambda pair: pair[0] != "")
    return " ".join([command, *(shlex.quote(text) for pair in ordered for text in pair if text)])
