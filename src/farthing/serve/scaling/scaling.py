"""All that a server has of scaling: the model made ready for it, the loop, and what is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from farthing.core.route.served import Served
from farthing.core.simulation.rules.live import LivePolicy
from farthing.machine.hardware import usable_cpus
from farthing.ports import Clock
from farthing.serve.scaling.figures import ScalingFigures
from farthing.serve.scaling.loop import ScalingLoop
from farthing.serve.scaling.scaled_model import with_scaling

__all__ = ["Scaling"]


class Scaling:
    """One policy at work in one server.

    Args:
        policy: See :class:`LivePolicy`.
        specs: What is served.
        clock: Monotonic time.
        decided: Takes a row of the ledger.
        say: Told one line at a time what a person should know.

    Attributes:
        specs: What is served, the scaled model made ready for it.
        loop: Decides.
        figures: For people and programs.

    Raises:
        InputError: when the policy does not fit what is served, or this machine.
    """

    def __init__(
        self,
        policy: LivePolicy,
        specs: Sequence[Served],
        clock: Clock,
        *,
        decided: Callable[[str, Mapping[str, Any]], object],
        say: Callable[[str], object],
    ) -> None:
        self._policy, self._cores = policy, len(usable_cpus())
        self.specs, scaled = with_scaling(specs, policy, cores=self._cores)
        self.loop = ScalingLoop(policy, scaled, clock, decided=decided, say=say)
        self.figures = ScalingFigures(self.loop, clock)

    def reading(self, read: Callable[[], Sequence[Served]]) -> Callable[[], Sequence[Served]]:
        """Finds the sources again, the scaled model made ready likewise."""
        return lambda: with_scaling(read(), self._policy, cores=self._cores)[0]

    @property
    def deployment_mark(self) -> str:
        """Behind the deployment's name in rows of the ledger: empty where workers compute."""
        return " (emulated)" if self._policy.emulated else ""

    def document(self) -> dict[str, Any] | None:
        """Decisions, lives of the replicas and what the rule was shown, as plain values; None before it decides."""
        return self.figures.document()

    def line(self) -> str:
        """What a person is told when the server is ready."""
        policy, scaled = self._policy, self.loop.scaled
        parts = [f"scaling {scaled.spec.name} by {policy.rule.name}"]
        bounds = f"{policy.min_replicas} to {policy.max_replicas}"
        parts.append(f"{bounds} worker processes (none in the server's thread), {policy.initial} now")
        parts.append(f"a decision each {self.loop.scaler.interval_s:g} s")
        usd = scaled.usd_per_hour
        parts.append("no price is known" if usd is None else f"${usd:.4g}/h a replica")
        if policy.time_lapse != 1:
            parts.append(f"time lapse: {policy.time_lapse:g} s of the policy's clock in a second")
        if policy.emulated:
            parts.append("emulated: workers wait out profiled times, answers are zeros")
        return " · ".join(parts)
