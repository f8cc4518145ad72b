"""How far each operator is from what the machine can do, and what the model waits for.

The roofline model (Williams, Waterman, Patterson, “Roofline: an insightful visual performance model for multicore
architectures”, CACM 52(4), 2009): the attainable rate is min(peak, intensity × bandwidth), so an operator takes at
least max(operations / peak, bytes / bandwidth). Traffic that fits into the last-level cache is held against the
cache's bandwidth, the rest against the memory's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from farthing.core.graphs.bottleneck import KNOWN_FRAC, find_bottleneck
from farthing.core.graphs.conversions import converts, moves
from farthing.core.graphs.costs import NodeCost, fused_cost
from farthing.core.graphs.covering import covered_nodes, original_name
from farthing.core.graphs.families import family_work
from farthing.core.graphs.int8 import int8_remarks
from farthing.core.graphs.phrases import percent
from farthing.core.graphs.trees import tree_remark
from farthing.nouns import Candidate, MachinePeaks, Measurement, OperatorTime, Precision, Profile

__all__ = [
    "RooflinePoint",
    "attainable_gflops",
    "build_profile",
    "operator_precision",
    "rate_operators",
]

_NEARLY_ALL_FRAC = 0.9
"""Share of the operator time from which the operators whose work is known stand for the engine."""
_FLOAT_BYTES: Mapping[Precision, float | None] = {"fp32": None, "bf16": 2.0, "fp16": 2.0, "int8": 1.0}
_Work = tuple[tuple[NodeCost, ...], float]
"""What an operator does one after the other, and its share of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RooflinePoint:
    """One engine operator against the roof.

    Attributes:
        nodes: Nodes of the model whose work it does, in the model's spelling.
        precision: Whose peak it is held against.
        flops: Operations; None when unknown.
        bytes_moved: Least traffic at that precision; None when unknown.
        compute_ms: Least time for the operations; None when unknown.
        memory_ms: Least time for the traffic; None when unknown.
    """

    nodes: tuple[str, ...] = ()
    precision: Precision = "fp32"
    flops: float | None = None
    bytes_moved: float | None = None
    compute_ms: float | None = None
    memory_ms: float | None = None

    @property
    def known(self) -> bool:
        """Whether its work is known, even where there is none to do."""
        return self.flops is not None

    @property
    def least_ms(self) -> float | None:
        """Time that the roofline allows; None when unknown or nothing is to be done."""
        if self.compute_ms is None or self.memory_ms is None:
            return None
        return max(self.compute_ms, self.memory_ms) or None

    @property
    def bound(self) -> Literal["compute", "memory"] | None:
        """What limits it at best; None when unknown."""
        if self.least_ms is None or self.compute_ms is None or self.memory_ms is None:
            return None
        return "memory" if self.memory_ms > self.compute_ms else "compute"


def attainable_gflops(peak_gflops: float, intensity: float, gb_per_s: float) -> float:
    """min(peak, intensity × bandwidth) in Gflop/s.

    Args:
        peak_gflops: Of the precision, > 0.
        intensity: Operations for each byte moved, ≥ 0.
        gb_per_s: Bandwidth, > 0.
    """
    if peak_gflops <= 0 or gb_per_s <= 0 or intensity < 0:
        raise ValueError(f"peak {peak_gflops} and bandwidth {gb_per_s} must be > 0, intensity {intensity} ≥ 0")
    return min(peak_gflops, intensity * gb_per_s)


def operator_precision(operator: OperatorTime, otherwise: Precision) -> Precision:
    """Precision from the engine's own word (``f32``, ``u8``, ``bfloat16``); ``otherwise`` where it gives none."""
    word = operator.precision.lower()
    if not word:
        return otherwise
    if "bf16" in word or "bfloat16" in word:
        return "bf16"
    if "16" in word:
        return "fp16"
    return "int8" if re.search(r"(^|[^0-9])8", word) else "fp32"


def _peak_gflops(peaks: MachinePeaks, precision: Precision) -> float:
    """Peak of a precision; without a unit for it, that of FP32, in which it would be emulated."""
    own = {"fp32": None, "bf16": peaks.bf16_gflops, "fp16": peaks.bf16_gflops, "int8": peaks.int8_gops}[precision]
    return own if own is not None else peaks.fp32_gflops


def _memory_ms(cost: NodeCost, float_bytes: float | None, peaks: MachinePeaks, *, weights_cached: bool) -> float | None:
    weights = cost.bytes_moved(float_bytes, weights=True)
    others = cost.bytes_moved(float_bytes, weights=False)
    if weights is None or others is None:
        return None
    if peaks.cache_gb_per_s is None or peaks.cache_mib is None:
        return (weights + others) / peaks.memory_gb_per_s / 1e6
    fast = max(peaks.cache_gb_per_s, peaks.memory_gb_per_s)
    others_cached = others <= peaks.cache_mib * 2**20
    return (
        weights / (fast if weights_cached else peaks.memory_gb_per_s)
        + others / (fast if others_cached else peaks.memory_gb_per_s)
    ) / 1e6


def _weights_cached(costs: Mapping[str, NodeCost], precision: Precision, peaks: MachinePeaks) -> bool:
    total = sum(cost.bytes_moved(_FLOAT_BYTES[precision], weights=True) or 0.0 for cost in costs.values())
    return peaks.cache_mib is not None and total <= peaks.cache_mib * 2**20


def rate_operators(
    operators: Sequence[OperatorTime], costs: Mapping[str, NodeCost], peaks: MachinePeaks, candidate: Candidate
) -> tuple[RooflinePoint, ...]:
    """Hold each operator against the roof, in the order given.

    A node's work is counted once: where several operators carry its name, the longest that is no conversion
    has done it. Where no operator carries any node's name, the work is told by kind. Compute peaks count for each
    thread of the candidate, bandwidth does not.
    """
    cached = _weights_cached(costs, candidate.precision, peaks)
    covered = [covered_nodes(operator.name, operator.kind, costs) for operator in operators]
    work = _claimed(operators, covered, costs) if any(covered) else family_work(operators, costs)
    return tuple(
        _point(nodes, work.get(i), operator_precision(operator, candidate.precision), peaks, candidate.threads, cached)
        for i, (operator, nodes) in enumerate(zip(operators, covered, strict=True))
    )


def _claimed(
    operators: Sequence[OperatorTime], covered: Sequence[tuple[str, ...]], costs: Mapping[str, NodeCost]
) -> dict[int, _Work]:
    """Work of each operator by index; of several that carry a node, the longest that is no conversion has it.

    Conversions that the engine put in by itself have nothing to do.
    """
    claimed: set[str] = set()
    own = (i for i, operator in enumerate(operators) if converts(operator.kind) and not covered[i])
    work: dict[int, _Work] = dict.fromkeys(own, ((), 1.0))
    for i in sorted(range(len(operators)), key=lambda i: (moves(operators[i].kind), -operators[i].time_ms)):
        fresh = [costs[node] for node in covered[i] if node not in claimed]
        claimed.update(covered[i])
        if fresh:
            work[i] = (fused_cost(fresh),), 1.0
    return work


def _point(
    nodes: tuple[str, ...],
    work: _Work | None,
    precision: Precision,
    peaks: MachinePeaks,
    threads: int,
    weights_cached: bool,
) -> RooflinePoint:
    if work is None:
        return RooflinePoint(nodes=nodes, precision=precision)
    costs, share = work
    width = _FLOAT_BYTES[precision]
    peak = _peak_gflops(peaks, precision) * threads
    least_flops = _total((c.least_flops for c in costs), share)
    return RooflinePoint(
        nodes=nodes,
        precision=precision,
        flops=_total((c.flops for c in costs), share),
        bytes_moved=_total((c.bytes_moved(width) for c in costs), share),
        compute_ms=None if least_flops is None else least_flops / peak / 1e6,
        memory_ms=_total((_memory_ms(c, width, peaks, weights_cached=weights_cached) for c in costs), share),
    )


def _total(values: Iterable[float | None], share: float) -> float | None:
    """Sum times the share; None as soon as one value is."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total * share


def _rated(
    operator: OperatorTime, point: RooflinePoint, costs: Mapping[str, NodeCost], total_ms: float
) -> OperatorTime:
    least = point.least_ms
    return replace(
        operator,
        name=original_name(operator.name, point.nodes, costs),
        share_frac=operator.time_ms / total_ms if total_ms > 0 else 0.0,
        flops=point.flops,
        bytes_moved=point.bytes_moved,
        roofline_frac=least / operator.time_ms if least is not None and operator.time_ms > 0 else None,
        mapped=bool(point.nodes),
    )


def _all_rated(
    operators: Sequence[OperatorTime], points: Sequence[RooflinePoint], costs: Mapping[str, NodeCost]
) -> list[OperatorTime]:
    total_ms = sum(o.time_ms for o in operators)
    return [_rated(o, p, costs, total_ms) for o, p in zip(operators, points, strict=True)]


def _attained(operators: Sequence[OperatorTime], points: Sequence[RooflinePoint], engine_ms: float) -> str:
    least = sum(p.least_ms or 0.0 for p in points)
    if engine_ms <= 0 or not operators:
        return ""
    rated = [o for o, p in zip(operators, points, strict=True) if p.known]
    known = sum(o.share_frac for o in rated)
    if known <= KNOWN_FRAC:
        share = percent(known)
        return f"how far the engine is from the roofline is unknown: operators' work is known for {share} of the time"
    rated_ms = sum(o.time_ms for o in rated)
    if known < _NEARLY_ALL_FRAC:
        return (
            f"the roofline allows {least:.3g} ms for the operators whose work is known ({percent(known)} of the time), "
            f"which take {rated_ms:.3g} ms: {percent(least / rated_ms)} attained; of the others it is unknown"
        )
    return (
        f"the roofline allows {least:.3g} ms for the operators whose work is known ({percent(known)} of the time), "
        f"the engine takes {engine_ms:.3g} ms: {percent(least / engine_ms)} attained"
    )


def _check(batch: int, wall_ms: float, pipeline_ms: float, float_profile: Profile | None) -> None:
    if not 0 <= pipeline_ms <= wall_ms or wall_ms <= 0:
        raise ValueError(f"0 ≤ pipeline_ms ≤ wall_ms and wall_ms > 0 must hold: {pipeline_ms}, {wall_ms}")
    if float_profile is not None and float_profile.batch != batch:
        raise ValueError(f"the FP32 profile is of batch {float_profile.batch}, this one of batch {batch}")


def build_profile(
    candidate: Candidate,
    batch: int,
    operators: Sequence[OperatorTime],
    costs: Mapping[str, NodeCost],
    peaks: MachinePeaks,
    wall_ms: float,
    pipeline_ms: float,
    isa: Sequence[str],
    *,
    float_profile: Profile | None = None,
    server: Measurement | None = None,
    findings: Sequence[str] = (),
    compilers: Sequence[str] = (),
) -> Profile:
    """Where the time of one batch goes, held against the machine's roof.

    Args:
        candidate: What was profiled.
        batch: Samples in the batch; ``costs`` must be of the same batch.
        operators: Times of one batch, in any order.
        costs: Of the model's nodes, by name; see :func:`farthing.core.graphs.costs.node_costs`.
        peaks: Of the machine, one thread.
        wall_ms: One batch without the profiler, pipeline included, > 0.
        pipeline_ms: Part of it before the engine, ≥ 0 and ≤ ``wall_ms``.
        isa: The machine's instruction sets.
        float_profile: The same model and batch in FP32, to say why INT8 is not faster.
        server: Server scenario, to tell whether requests mostly wait.
        findings: Remarks that others made, such as unsigned weights; kept as they are.
        compilers: Compilers of trees that are installed here.

    Raises:
        ValueError: when the times are out of their domain or ``float_profile`` has another batch.
    """
    _check(batch, wall_ms, pipeline_ms, float_profile)
    points = rate_operators(operators, costs, peaks, candidate)
    rated = _all_rated(operators, points, costs)
    bottleneck, why = find_bottleneck(
        operator_ms=[o.time_ms for o in rated],
        least_ms=[p.least_ms or (0.0 if p.known else None) for p in points],
        bounds=[p.bound for p in points],
        wall_ms=wall_ms,
        pipeline_ms=pipeline_ms,
        server=server,
    )
    ordered = tuple(sorted(rated, key=lambda o: -o.time_ms))
    engine_ms = wall_ms - pipeline_ms
    int8 = int8_remarks(ordered, engine_ms, peaks, isa, float_profile) if candidate.precision == "int8" else []
    return Profile(
        candidate=candidate,
        batch=batch,
        operators=ordered,
        wall_ms=wall_ms,
        pipeline_ms=pipeline_ms,
        mapped_frac=min(1.0, sum(o.share_frac for o in rated if o.mapped)),
        peaks=peaks,
        bottleneck=bottleneck,
        why=why,
        remarks=tuple(
            remark
            for remark in (_attained(rated, points, engine_ms), tree_remark(ordered, compilers), *findings, *int8)
            if remark
        ),
    )
