"""What is served, with the model that a policy scales made ready for it; checked before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from farthing.core.route.served import RoutedModel, Served
from farthing.core.search.sustained import HEADROOM
from farthing.core.simulation.rules.live import LivePolicy
from farthing.core.simulation.rules.written import Bounds, scaler_of
from farthing.errors import InputError
from farthing.nouns import LocalModel, Offer
from farthing.ports import Scaler
from farthing.serve.pricing import pricing

__all__ = ["ScaledModel", "with_scaling"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledModel:
    """The model that is scaled, and what the rule is told of one replica: a worker process.

    Attributes:
        spec: As it is loaded: as many workers as there are at first, none in the server's thread.
        bounds: For the rule.
        usd_per_hour: Of one replica; None when unknown.
        offer: Whose share that is; None where the policy names the price, or there is none.
        promise_s: From arrival to answer; infinite where nothing is promised.
    """

    spec: LocalModel
    bounds: Bounds
    usd_per_hour: float | None
    offer: Offer | None
    promise_s: float

    def scaler(self, policy: LivePolicy) -> Scaler:
        """A new rule.

        Raises:
            InputError: when it needs what is not known of a replica, or a number is out of its range.
        """
        try:
            return scaler_of(policy.rule, self.bounds)
        except ValueError as e:
            hint = (
                "rate: 40 and in_flight: 8 say what a replica takes within the promise" if "known" in str(e) else None
            )
            raise InputError(f"{policy.source}: {e}", hint=hint) from e


def with_scaling(specs: Sequence[Served], policy: LivePolicy, *, cores: int) -> tuple[tuple[Served, ...], ScaledModel]:
    """Take the model that the policy names, or the only one, and have it loaded to be scaled.

    Args:
        specs: What is served.
        policy: See :class:`LivePolicy`.
        cores: That this process may use.

    Raises:
        InputError: when there is no such model or several, the policy wants more cores than there are, emulates where
            it need not or cannot, or the rule lacks a figure.
    """
    spec = _chosen(specs, policy)
    threads = spec.candidate.threads if spec.service_ms or spec.capacity_rps else 1
    _check_cores(policy, threads, cores)
    loaded = replace(
        spec,
        candidate=replace(spec.candidate, instances=policy.initial, threads=threads),
        inline="never",
        memory_mib=None,
        capacity_rps=None,
        emulated=policy.emulated,
        service_ms=_service_ms(policy, spec),
    )
    usd, offer = _price(policy, spec)
    rate_rps = policy.rate_rps or _rate_rps(spec)
    scaled = ScaledModel(
        spec=loaded,
        bounds=Bounds(
            min_replicas=policy.min_replicas,
            max_replicas=policy.max_replicas,
            cores=float(threads),
            lag_s=policy.start_s,
            rate_rps=rate_rps,
            in_flight=policy.in_flight or _in_flight(loaded, rate_rps),
            initial=policy.initial,
            attainment_frac=policy.attainment_frac,
            usd_per_hour=usd,
        ),
        usd_per_hour=usd,
        offer=offer,
        promise_s=policy.promise_s or spec.deadline_s or math.inf,
    )
    scaled.scaler(policy)
    return tuple(loaded if one is spec else one for one in specs), scaled


def _chosen(specs: Sequence[Served], policy: LivePolicy) -> LocalModel:
    local = [spec for spec in specs if isinstance(spec, LocalModel)]
    named = [spec for spec in local if policy.model in (None, spec.name)]
    if len(named) == 1:
        _check_answers(specs, named[0], policy)
        return named[0]
    names = ", ".join(spec.name for spec in local) or "none"
    if named and policy.model is not None:
        versions = ", ".join(spec.version for spec in named)
        raise InputError(f"{policy.source} scales {policy.model}, of which several versions are served: {versions}")
    if named:
        raise InputError(
            f"{policy.source} does not say which of {len(named)} models is scaled", hint=f"model: one of {names}"
        )
    what = "a model" if policy.model is None else policy.model
    raise InputError(f"{policy.source} scales {what}, and no such model runs here (there are: {names})")


def _check_answers(specs: Sequence[Served], spec: LocalModel, policy: LivePolicy) -> None:
    """What a route answers shows no longer that a tier of it was emulated."""
    routes = [one for one in specs if isinstance(one, RoutedModel)]
    tiers = {place.model: route.name for route in routes for places in route.places.values() for place in places}
    if policy.emulated and spec.name in tiers:
        raise InputError(
            f"{policy.source} emulates {spec.name}, a tier of the route {tiers[spec.name]}: it would answer zeros"
        )


def _check_cores(policy: LivePolicy, threads: int, cores: int) -> None:
    """Real workers have a core each; emulated ones are for where they have not."""
    most = policy.max_replicas
    needed = most * threads
    if needed > cores and not policy.emulated:
        raise InputError(
            f"{policy.source}: {most} replicas of {threads} threads need {needed} cores; there are {cores}",
            hint=f"max_replicas: {max(1, cores // threads)}, or emulated: true (workers wait out profiled times)",
        )
    if needed <= cores and policy.emulated:
        raise InputError(
            f"{policy.source} is emulated, and its {most} replicas fit on the {cores} cores of this machine",
            hint="leave emulated out: they can compute",
        )


def _service_ms(policy: LivePolicy, spec: LocalModel) -> dict[int, float]:
    found = dict(policy.service_ms or spec.service_ms)
    if policy.emulated and not found:
        raise InputError(
            f"{policy.source} is emulated, and {spec.name} has no profiled service times",
            hint="serve a plan, or say them by batch size: service: {1: 20ms, 8: 60ms}",
        )
    return found


def _price(policy: LivePolicy, spec: LocalModel) -> tuple[float | None, Offer | None]:
    """Of one worker: as the policy says, else its share of the machine by cores."""
    if policy.usd_per_hour is not None:
        return policy.usd_per_hour, None
    price = pricing(spec)
    if price.key is None:
        return None, None
    return price.usd_per_hour * price.worker_cores / price.replica_cores, spec.offer


def _rate_rps(spec: LocalModel) -> float | None:
    """Of one worker: the plan's, with the room that it leaves, as ``simulate`` takes it."""
    return None if spec.capacity_rps is None else spec.capacity_rps * HEADROOM / spec.candidate.instances


def _in_flight(spec: LocalModel, rate_rps: float | None) -> float | None:
    """Requests of a busy worker that keeps that rate: a batch in it, one more before it."""
    if rate_rps is None:
        return None
    sizes = sorted(spec.service_ms.items())
    kept = next((rows for rows, ms in sizes if rows / ms * 1000 >= rate_rps), spec.max_batch)
    return float(2 * min(kept, spec.max_batch))
