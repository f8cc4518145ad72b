"""What autoscaling rules cost on the shared traces: each tuned on the first half of a trace, judged on the second.

    python benchmarks/fleet.py [--traces FOLDER] [--only conv,taxi] [--seeds 3]

A replica is one worker that takes batches of up to four in 0.4 to 0.64 s (a small language model's pace), promised
within 3 s; machines start in 60 s and load in 30 s, paid by the second with a minute at least. Each trace is halved
first; halves shorter than two hours are then repeated end to end, longer ones cut to two days, and the rates of both
scaled so that the whole trace needs eight replicas on average. Requests that would come too late are refused, as
farthing's server does, and count as missed. The distance to one who knows the arrivals is that of monthly dollars.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from farthing.core.simulation.replica import MeasuredReplica
from farthing.core.simulation.rules.compared import Fleet
from farthing.core.simulation.rules.study import Study, study
from farthing.core.simulation.setup import BatchingServer, Promise, Shedding
from farthing.core.traffic.arrivals.replayed import Replayed
from farthing.core.traffic.batch_queue import sla_rps
from farthing.core.traffic.changed_traces import halves
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.load.traffic import TraceAsked, read_trace
from farthing.nouns import Trace
from figures import emit

ASSETS = Path(__file__).parent.parent.parent / "shared" / "assets" / "traces"
SIZES, SECONDS = (1, 2, 3, 4), (0.4, 0.48, 0.56, 0.64)
PROMISE_S, ATTAINMENT_FRAC = 3.0, 0.99
PROMISE = Promise(latency_s=PROMISE_S, deadline_s=PROMISE_S, shedding=Shedding())
MEAN_REPLICAS = 8.0
SHORT_S, LONG_S = 7_200.0, 2 * 86_400.0
MOST_APART = 0.15
OURS = "cost-aware"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A trace: its file, and what the file holds."""

    name: str
    file: str
    asked: TraceAsked = field(default_factory=TraceAsked)


SOURCES = (
    Source(name="code", file="AzureLLMInferenceTrace_code.csv"),
    Source(name="conv", file="AzureLLMInferenceTrace_conv.csv"),
    Source(name="elb", file="nab_elb_request_count_8c0756.csv", asked=TraceAsked(kind="counts")),
    Source(name="taxi", file="nab_nyc_taxi.csv", asked=TraceAsked(kind="counts")),
)


def replica() -> MeasuredReplica:
    """The one that is described above."""
    curve = ServiceCurve.exact(sizes=SIZES, seconds=SECONDS, sigma=0.1)
    rate = sla_rps(curve, instances=1, max_batch=4, latency_s=PROMISE_S, headroom=0.0)
    assert rate is not None
    server = BatchingServer.of(curve, instances=1, max_batch=4)
    return MeasuredReplica(server=server, rate_rps=rate, planned_rps=rate, slower=1.0)


def of_length(trace: Trace) -> tuple[Trace, str]:
    """A half made long or short enough, and how."""
    length_s = trace.counts.size * trace.step_s
    if length_s < SHORT_S:
        times = int(np.ceil(SHORT_S / length_s))
        return replace(trace, counts=np.tile(trace.counts, times)), f"repeated {times} times"
    if length_s > LONG_S:
        return replace(trace, counts=trace.counts[: int(LONG_S / trace.step_s)]), "its first two days"
    return trace, "whole"


def prepared(trace: Trace, rate_rps: float) -> tuple[tuple[Replayed, Replayed], str]:
    """Both halves, and what was done to them."""
    both = [of_length(half) for half in halves(trace)]
    mean_rps = float(np.mean([t.counts.sum() / (t.counts.size * t.step_s) for t, _ in both]))
    factor = MEAN_REPLICAS * rate_rps / mean_rps
    first, second = (Replayed(trace=t.scaled(factor)) for t, _ in both)
    return (first, second), f"halved, each half {both[0][1]}, rates × {factor:.4g}"


def shown(name: str, found: Study) -> None:
    """Each rule on the second half."""
    for one in found.judged:
        o = one.outcome
        print(
            f"  {name:5} {o.name:26} {one.tuned.said:80}  ${o.usd_per_month.value:9,.2f} a month, "
            f"{o.attainment_frac.value * 100:6.2f} % in time, busy {o.runs[0].busy_frac * 100:3.0f} %, "
            f"{'keeps' if one.keeps else 'misses'}{'' if one.tuned.keeps else ' (and missed where tuned)'}",
            file=sys.stderr,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--traces", type=Path, default=ASSETS)
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    wanted = set(filter(None, args.only.split(",")))
    made, apart, cheapest = replica(), [], 0
    chosen = [s for s in SOURCES if not wanted or s.name in wanted]
    for source in chosen:
        pair, said = prepared(read_trace(args.traces / source.file, source.asked), made.rate_rps)
        fleet = Fleet(server=made.server, promise=PROMISE, length_s=pair[0].length_s, usd_per_hour=0.1)
        found = study(
            fleet, made, pair, attainment_frac=ATTAINMENT_FRAC, seeds=tuple(range(args.seeds)), tell=lambda *_: None
        )
        shown(source.name, found)
        ours = next(one for one in found.judged if one.outcome.name == OURS)
        first = found.judged[0] is ours and ours.keeps
        cheapest += first
        assert found.clairvoyant is not None, f"{source.name}: not even one who knows all arrivals keeps it"
        known = found.clairvoyant.usd_per_month.value
        apart.append(ours.outcome.usd_per_month.value / known - 1)
        others = [one.outcome.usd_per_month.value for one in found.judged if one is not ours and one.keeps]
        emit(
            f"fleet/{source.name}/cost-aware over the cheapest other that keeps {ATTAINMENT_FRAC:.0%}",
            ours.outcome.usd_per_month.value / min(others, default=float("nan")), None, None, "ratio", "< 1", first,
            said=[said, f"attainment {ours.outcome.attainment_frac.value:.4f}"],
        )  # fmt: skip
        emit(
            f"fleet/{source.name}/above one who knows the arrivals", apart[-1], None, None, "frac", None, None,
            said=[f"${known:,.0f} a month"],
        )  # fmt: skip
    least = min(3, len(chosen))
    emit(
        "fleet/traces on which cost-aware is the cheapest",
        cheapest,
        None,
        None,
        f"of {len(chosen)}",
        f"≥ {least}",
        cheapest >= least,
    )
    middle = statistics.median(apart)
    emit("fleet/above one who knows, median", middle, None, None, "frac", f"≤ {MOST_APART}", middle <= MOST_APART)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
