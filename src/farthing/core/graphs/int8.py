"""Says why an INT8 model is slower than its FP32 original, or not as much faster as it should be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from farthing.core.graphs.conversions import converts
from farthing.core.graphs.phrases import counted, percent
from farthing.nouns import MachinePeaks, OperatorTime, Profile

__all__ = ["int8_remarks"]

_DOT_PRODUCTS = {"amx_int8", "asimddp", "avx512_vnni", "avx_vnni", "i8mm"}
"""Instruction sets that multiply and add 8-bit integers in one go."""
_UNDECIDED = {"asimd", "sve"}
"""Arm: dot products are an option of their own that the short list of instruction sets may not hold."""
_WORTH_SAYING_FRAC = 0.05
"""Share of the time from which a cause is named."""
_SATISFIED_FRAC = 0.7
"""Share of the arithmetic's own gain from which nothing needs explaining."""
_SLOWER = 1.1
"""An operator counts as slower from this ratio on."""


def int8_remarks(
    operators: Sequence[OperatorTime],
    engine_ms: float,
    peaks: MachinePeaks,
    isa: Sequence[str],
    float_profile: Profile | None,
) -> list[str]:
    """Sentences on what INT8 gains and what holds it back, the comparison first.

    Args:
        operators: Of the INT8 candidate with their shares.
        engine_ms: One batch without pipeline and profiler, > 0.
        peaks: Of the machine.
        isa: Its instruction sets.
        float_profile: The same model and batch in FP32, None when there is none to compare with.
    """
    causes = [_no_unit(isa), _left_in_float(operators), _converting(operators)]
    if float_profile is None:
        return [cause for cause in causes if cause]
    gain = (float_profile.wall_ms - float_profile.pipeline_ms) / engine_ms
    allowed = peaks.int8_gops / peaks.fp32_gflops if peaks.int8_gops is not None else None
    head = _comparison(gain, allowed, engine_ms, float_profile)
    if allowed is not None and gain >= _SATISFIED_FRAC * allowed:
        return [head]
    return [head, *(cause for cause in (*causes, _slower_operators(operators, float_profile.operators)) if cause)]


def _comparison(gain: float, allowed: float | None, engine_ms: float, other: Profile) -> str:
    float_ms = other.wall_ms - other.pipeline_ms
    figures = f"({engine_ms:.3g} against {float_ms:.3g} ms in {other.candidate.engine})"
    limit = f"; this machine's arithmetic allows {allowed:.2g} ×" if allowed is not None else ""
    if gain < 1:
        return f"INT8 is {1 / gain:.2f} × slower than FP32 {figures}{limit}"
    return f"INT8 is {gain:.2f} × faster than FP32 {figures}{limit}"


def _no_unit(isa: Sequence[str]) -> str:
    if not isa or (_DOT_PRODUCTS | _UNDECIDED) & set(isa):
        return ""
    return "this CPU has no INT8 dot products (no VNNI, AMX or I8MM): 8-bit products take several instructions each"


def _is_float(operator: OperatorTime) -> bool:
    return bool(re.search(r"(f|fp|float)(16|32|64)", operator.precision.lower()))


def _left_in_float(operators: Sequence[OperatorTime]) -> str:
    working = [o for o in operators if not converts(o.kind)]
    left = sorted((o for o in working if _is_float(o)), key=lambda o: -o.time_ms)
    share = sum(o.share_frac for o in left)
    if share < _WORTH_SAYING_FRAC:
        return ""
    most = ", ".join(f"{o.name} ({o.kind}) {percent(o.share_frac)}" for o in left[:3])
    return f"{len(left)} of {len(working)} operators left in float take {percent(share)} of the time: {most}"


def _converting(operators: Sequence[OperatorTime]) -> str:
    found = [o for o in operators if converts(o.kind)]
    share = sum(o.share_frac for o in found)
    if share < _WORTH_SAYING_FRAC:
        return ""
    return f"quantizing, dequantizing and reordering take {percent(share)} of the time"


def _by_first_node(operators: Sequence[OperatorTime]) -> Mapping[str, float]:
    times: dict[str, float] = {}
    for operator in operators:
        first = re.split(r"[+,;]", operator.name)[0].strip()
        times[first] = times.get(first, 0.0) + operator.time_ms
    return times


def _slower_operators(operators: Sequence[OperatorTime], floats: Sequence[OperatorTime]) -> str:
    before = _by_first_node([o for o in floats if o.mapped])
    after = _by_first_node([o for o in operators if o.mapped])
    lost = sorted(
        ((after[n] - before[n], n) for n in after.keys() & before.keys() if after[n] > _SLOWER * before[n] > 0),
        reverse=True,
    )
    share_ms = sum(ms for ms, _ in lost)
    if not lost or share_ms < _WORTH_SAYING_FRAC * sum(after.values()):
        return ""
    most = ", ".join(f"{name} {after[name]:.2g} against {before[name]:.2g} ms" for _, name in lost[:3])
    return f"{counted(len(lost), 'operator', 'is', 'are')} slower than in FP32, {share_ms:.2g} ms together: {most}"
