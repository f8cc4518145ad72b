"""Which file holds which metric, and what its numbers are, as the user says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from farthing.core.simulation.replay.autoscaler import Autoscaler
from farthing.errors import InputError
from farthing.load.scaling.quantities import QUANTITY, quantity_m

__all__ = ["PERCENT", "SeriesAsked", "files_by_metric", "requests_by_metric", "said_of", "with_said_requests"]

PERCENT = "percent"
"""In the place of a request: what was recorded is percent of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesAsked:
    """Recorded series.

    Attributes:
        files: ``FILE`` for the only metric, else ``NAME=FILE`` for each.
        totals: Names of metrics whose recorded value is a total that does not depend on replicas.
        per_replica: Names of metrics whose recorded value is what one replica had.
        requests: ``500m`` or ``NAME=500m``: what a pod requests, where a utilisation is followed and usage was
            recorded; ``percent`` where the utilisation itself was.
        replicas_file: Answer of Prometheus with the number of replicas over time.
        replicas: Replicas throughout the recording.
    """

    files: Sequence[str] = ()
    totals: Sequence[str] = ()
    per_replica: Sequence[str] = ()
    requests: Sequence[str] = ()
    replicas_file: Path | None = None
    replicas: int | None = None

    def __post_init__(self) -> None:
        if self.replicas_file is not None and self.replicas is not None:
            raise InputError("--replicas-series and --recorded-replicas say the same", hint="keep one of them")
        both = sorted({*self.totals} & {*self.per_replica})
        if both:
            raise InputError(f"{both[0]} is both --total and --per-replica", hint="keep one of them")


def _index(autoscaler: Autoscaler, name: str) -> int | None:
    """A metric by its name, or by its place in the manifest from 0 on."""
    names = [one.name for one in autoscaler.followed]
    if name in names:
        return names.index(name)
    return int(name) if name.isdecimal() and name.isascii() and int(name) < len(names) else None


def _names(autoscaler: Autoscaler) -> str:
    return ", ".join(one.name for one in autoscaler.followed)


def said_of(autoscaler: Autoscaler, names: Iterable[str], flag: str) -> frozenset[int]:
    """Metrics by place that a flag names.

    Raises:
        InputError: when it names one that is not followed.
    """
    found = set()
    for name in names:
        k = _index(autoscaler, name)
        if k is None:
            raise InputError(
                f"{flag} names {name}, which {autoscaler.name} does not follow", hint=f"it follows {_names(autoscaler)}"
            )
        found.add(k)
    return frozenset(found)


def files_by_metric(autoscaler: Autoscaler, given: Sequence[str]) -> tuple[Path, ...]:
    """The file of each metric, in their order.

    Args:
        autoscaler: With one metric or several.
        given: As :class:`SeriesAsked` has them.

    Raises:
        InputError: when a metric has no file or two, or a name is not followed.
    """
    found: dict[int, Path] = {}
    for text in given:
        k, path = _named_file(autoscaler, text)
        if k in found:
            raise InputError(
                f"{autoscaler.followed[k].name} has two files: {found[k]} and {path}", hint="give each metric one file"
            )
        found[k] = path
    missing = [one.name for k, one in enumerate(autoscaler.followed) if k not in found]
    if missing:
        examples = " ".join(f"--prometheus {name}={name}.json" for name in missing)
        raise InputError(
            f"{autoscaler.name} follows {_names(autoscaler)}; there is no recorded series of {', '.join(missing)}",
            hint=examples if len(autoscaler.followed) > 1 else f"--prometheus {missing[0]}.json",
        )
    return tuple(found[k] for k in range(len(autoscaler.followed)))


def _named_file(autoscaler: Autoscaler, text: str) -> tuple[int, Path]:
    name, sign, file = text.partition("=")
    k = _index(autoscaler, name) if sign else None
    if k is not None:
        return k, Path(file)
    if len(autoscaler.followed) == 1 and (not sign or Path(text).exists()):
        return 0, Path(text)
    raise InputError(
        f"--prometheus {text} does not say which metric it holds: {autoscaler.name} follows {_names(autoscaler)}",
        hint=f"--prometheus {autoscaler.followed[0].name}=FILE",
    )


def requests_by_metric(autoscaler: Autoscaler, given: Sequence[str]) -> Mapping[int, int | None]:
    """What a pod requests, in thousandths, by place of the metric; None where the recording is in percent.

    Raises:
        InputError: when it is no quantity, or names a metric whose target is no utilisation.
    """
    shares = [k for k, one in enumerate(autoscaler.followed) if one.utilization]
    found: dict[int, int | None] = {}
    for text in given:
        name, sign, amount = text.rpartition("=")
        if not sign and len(shares) != 1:
            raise InputError(f"--request {text} does not say of which metric", hint=f"--request NAME={text}")
        k = next(iter(said_of(autoscaler, [name], "--request"))) if sign else shares[0]
        if k not in shares:
            raise InputError(f"--request {text}: the target of {name} is no utilisation", hint="leave it out")
        read = None if amount == PERCENT else quantity_m(amount)
        if amount != PERCENT and (read is None or read <= 0):
            raise InputError(f"--request is {text}; {amount} is no quantity > 0", hint=f"write {QUANTITY} or {PERCENT}")
        found[k] = read
    return found


def with_said_requests(autoscaler: Autoscaler, given: Sequence[str]) -> Autoscaler:
    """The autoscaler where what pods request is said: it counts, whatever the workload's manifest lacks (a LimitRange
    may fill it in).

    Raises:
        InputError: as of :func:`requests_by_metric`.
    """
    said = requests_by_metric(autoscaler, given)
    followed = [replace(one, lacking=()) if k in said else one for k, one in enumerate(autoscaler.followed)]
    return replace(autoscaler, followed=tuple(followed))
