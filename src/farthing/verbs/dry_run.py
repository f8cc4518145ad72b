"""``farthing simulate --hpa`` and ``--keda``: what an autoscaler would have done over recorded metrics, in dollars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from farthing.core.money.price import usd_per_hour
from farthing.core.scaling.hpa.pods import Readiness
from farthing.core.scaling.hpa.reconcile import Controller
from farthing.core.scaling.hpa.replicas import Tolerance
from farthing.core.simulation.replay.accounts import accounts_of, steadiness_of
from farthing.core.simulation.replay.autoscaler import Autoscaler
from farthing.core.simulation.replay.dry_run import DryRun
from farthing.core.simulation.replay.passes import Fleet
from farthing.core.simulation.replay.recording import Recording
from farthing.core.simulation.replay.replay import replay
from farthing.core.simulation.replay.traps.found import traps_of
from farthing.core.simulation.replay.traps.trap import Seen
from farthing.errors import InputError
from farthing.load.prices import MAX_AGE_DAYS, find_offer, load_offers
from farthing.load.scaling.asked import SeriesAsked, with_said_requests
from farthing.load.scaling.hpa_manifest import hpa_of
from farthing.load.scaling.promql import outer_aggregation, window_s
from farthing.load.scaling.recorded import recording_of
from farthing.load.scaling.scaled_object import scaled_object_of
from farthing.nouns import Offer
from farthing.ports import Progress
from farthing.runs.progress import or_silent

__all__ = ["ControllerFlags", "Price", "dry_run"]

_MOST_PASSES = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerFlags:
    """Flags of the controller manager, with Kubernetes' defaults.

    Attributes:
        sync_s: ``--horizontal-pod-autoscaler-sync-period``, > 0.
        tolerance: ``--horizontal-pod-autoscaler-tolerance``, a fraction.
        downscale_stabilization_s: ``--horizontal-pod-autoscaler-downscale-stabilization``.
        cpu_initialization_period_s: ``--horizontal-pod-autoscaler-cpu-initialization-period``.
        initial_readiness_delay_s: ``--horizontal-pod-autoscaler-initial-readiness-delay``.
        scale_to_zero: Whether the feature gate HPAScaleToZero is on.
    """

    sync_s: float = 15.0
    tolerance: float = 0.1
    downscale_stabilization_s: float = 300.0
    cpu_initialization_period_s: float = 300.0
    initial_readiness_delay_s: float = 30.0
    scale_to_zero: bool = False

    def controller(self) -> Controller:
        """As the controller takes them."""
        return Controller(
            tolerance=Tolerance(down=self.tolerance, up=self.tolerance),
            readiness=Readiness(
                cpu_initialization_period_s=self.cpu_initialization_period_s,
                initial_readiness_delay_s=self.initial_readiness_delay_s,
            ),
            downscale_stabilization_s=self.downscale_stabilization_s,
            scale_to_zero=self.scale_to_zero,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Of one replica; without either there are hours alone.

    Attributes:
        offer: Its name; a replica is one of it.
        region: Of the offer; None as :func:`farthing.load.prices.find_offer` has it.
        as_of: Day of the price; None for today.
        usd_per_hour: In place of an offer, > 0.
    """

    offer: str | None = None
    region: str | None = None
    as_of: date | None = None
    usd_per_hour: float | None = None

    def __post_init__(self) -> None:
        if self.offer is not None and self.usd_per_hour is not None:
            raise InputError("--offer and --usd-per-hour both price a replica", hint="keep one of them")


def dry_run(
    manifest: Path | str,
    series: SeriesAsked,
    *,
    kind: Literal["hpa", "keda"] = "hpa",
    price: Price | None = None,
    flags: ControllerFlags | None = None,
    initial: int | None = None,
    start_s: float = 60.0,
    load_s: float = 30.0,
    on_progress: Progress | None = None,
) -> DryRun:
    """Replay an autoscaler's decisions over recorded metrics.

    Args:
        manifest: YAML with the HorizontalPodAutoscaler or the ScaledObject; the workload's may stand beside it.
        series: Which recorded series is which metric.
        kind: Which of the two.
        price: Of a replica; None for hours alone.
        flags: Of the controller manager; None for Kubernetes' defaults.
        initial: Replicas at the start; None for those recorded then, else the minimum.
        start_s: From asking for a pod to its running, ≥ 0.
        load_s: From there to its readiness, ≥ 0.
        on_progress: Called as ``(stage, done, total, note)``.

    Raises:
        InputError: when the manifest is not what Kubernetes or KEDA would take, or a series is missing or unclear.
        TraceError: when a series cannot be read.
        UnknownOfferError: when there is no such offer.
        StalePriceError: when its price is too old.
    """
    path, told = Path(manifest), flags or ControllerFlags()
    read = hpa_of if kind == "hpa" else scaled_object_of
    autoscaler = with_said_requests(read(path, told.controller()), series.requests)
    offer, usd = _priced(price or Price())
    recording = recording_of(autoscaler, series)
    _refuse_endless(recording, told.sync_s)
    fleet = Fleet(initial=_initial(autoscaler, recording, initial), start_s=start_s, load_s=load_s, sync_s=told.sync_s)
    tell = or_silent(on_progress)

    def told_of(done: int, total: int) -> None:
        tell("replay", done, total, "")

    replayed = replay(autoscaler, recording, fleet, tell=told_of)
    steadiness = steadiness_of(autoscaler, replayed)
    queries = ["" if one.trigger is None else one.trigger.query for one in autoscaler.followed]
    seen = Seen(
        autoscaler=autoscaler,
        recording=recording,
        replayed=replayed,
        steadiness=steadiness,
        window_s=tuple(map(window_s, queries)),
        outer=tuple(map(outer_aggregation, queries)),
    )
    return DryRun(
        file=str(path),
        autoscaler=autoscaler,
        recording=recording,
        replayed=replayed,
        accounts=accounts_of(autoscaler, replayed, usd),
        steadiness=steadiness,
        traps=traps_of(seen),
        offer=offer,
        usd_per_hour=usd,
    )


def _priced(price: Price) -> tuple[Offer | None, float | None]:
    if price.offer is None:
        return None, price.usd_per_hour
    day = price.as_of or date.today()  # noqa: DTZ011 - prices are dated by calendar days
    offer = find_offer(load_offers(), price.offer, price.region, as_of=day, max_age_days=MAX_AGE_DAYS)
    return offer, usd_per_hour(offer)


def _refuse_endless(recording: Recording, sync_s: float) -> None:
    passes = recording.length_s / sync_s
    if passes > _MOST_PASSES:
        raise InputError(
            f"the recording has {recording.length_s / 86400:,.0f} days, {passes:,.0f} passes of {sync_s:g} s",
            hint="record a shorter time; a week shows every hour of every weekday",
        )


def _initial(autoscaler: Autoscaler, recording: Recording, said: int | None) -> int:
    if said is not None:
        return said
    lowest, highest = autoscaler.floor, autoscaler.spec.max_replicas
    return max(1 if autoscaler.keda is None else 0, lowest, min(recording.replicas or 0, highest))
