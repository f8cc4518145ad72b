"""What a route is made or judged from, as a user says it: a source, tiers, and settings with their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

from farthing.errors import InputError
from farthing.load.route.tiers import NamedTier

__all__ = ["RouteKeys", "RouteTask", "source_alone", "task_of"]


class RouteKeys(TypedDict, total=False):
    """Settings as they are written: the flags of the commands, ``_`` for ``-``; None and an empty sequence: not given.

    What each means, and where it may lie, is said in :class:`farthing.load.route.settings.RouteSettings`.
    """

    data: Path | str | None
    labels: Path | str | None
    text_column: str | None
    label_column: str | None
    id_column: str | None
    segment_column: str | None
    reference: str | None
    max_loss: str | float | None
    confidence: str | float | None
    max_loss_of: Mapping[str, str | float] | Sequence[str] | str | None
    method: str | None
    procedure: str | None
    choose_share: str | float | None
    min_saving: str | float | None
    audit_share: str | float | None
    seed: int | None
    priced_as: str | None
    embedder: str | None
    free: Sequence[str] | str | None
    name: str | None
    p50: str | None
    p90: str | None
    p95: str | None
    p99: str | None
    p999: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTask:
    """What is calibrated, judged, or planned a rate for.

    Attributes:
        source: A tiers.yaml, or a file of outcomes (then no tier is run), to calibrate; a file of outcomes or a
            route.yaml to judge; a route.yaml or its folder to plan a rate for. None when ``tiers`` says all.
        tiers: To calibrate: ``name=source`` each; they replace those of a tiers.yaml.
        prices: Theirs, ``name=0.001/request`` each.
        columns: Of a file of outcomes: quality and cost column by tier, None for ``quality:TIER``, ``cost_usd:TIER``.
        settings: What is asked, on which requests; it wins over a tiers.yaml.
    """

    source: Path | str | None = None
    tiers: Sequence[str | NamedTier] = ()
    prices: Sequence[str] = ()
    columns: Mapping[str, tuple[str, str]] | None = None
    settings: RouteKeys = field(default_factory=RouteKeys)

    @property
    def path(self) -> Path | None:
        """Of the source, None where there is none."""
        return None if self.source is None else Path(self.source)

    def seeded(self, seed: int | None) -> RouteTask:
        """The task with the seed of its run, where the settings name none of their own.

        Args:
            seed: None for none.
        """
        if seed is None or self.settings.get("seed") is not None:
            return self
        return replace(self, settings={**self.settings, "seed": seed})


def task_of(given: RouteTask | Path | str) -> RouteTask:
    """The task, of which a source alone may be given."""
    return given if isinstance(given, RouteTask) else RouteTask(source=given)


def source_alone(given: RouteTask | Path | str) -> Path:
    """The source of a task on a route that is there, or on outcomes.

    Raises:
        InputError: when none is named, or tiers or prices are, which a route and outcomes have of their own.
    """
    task = task_of(given)
    if task.path is None:
        raise InputError("no route and no file of outcomes is named", hint="the source is a route.yaml, or a table")
    if task.tiers or task.prices:
        raise InputError(f"{task.path} has tiers and prices of its own", hint="name them in a calibration")
    return task.path
