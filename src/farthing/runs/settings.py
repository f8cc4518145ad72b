"""How much a run measures, from the short forms of the command line."""

from __future__ import annotations

from dataclasses import replace

from farthing.errors import EngineMissingError
from farthing.measure.workbench import MeasureSettings
from farthing.plugins import Kind, find

__all__ = ["settings_of"]


MLPERF_SINGLE_STREAM, MLPERF_SERVER = 1024, 270_336
"""Fewest queries of MLPerf Inference's SingleStream and Server scenarios (inference rules, table of scenarios)."""


def settings_of(
    *,
    engines: str | None = None,
    variants: str | None = None,
    rounds: int | None = None,
    mlperf: bool = False,
    profiles: bool = True,
) -> MeasureSettings:
    """Settings from short forms.

    Args:
        engines: Names joined by commas, None for all usual ones.
        variants: As above.
        rounds: Of the final comparison, ≥ 8.
        mlperf: MLPerf's sample counts.
        profiles: Whether the baseline and the choice are taken apart by operator in the end.

    Raises:
        InputError: when an engine or variant is unknown.
        EngineMissingError: when one was named that is not installed.
    """
    usual = MeasureSettings()
    chosen = replace(
        usual,
        engines=_known("engines", engines, usual.engines),
        variants=_known("variants", variants, usual.variants),
        proof_rounds=rounds or usual.proof_rounds,
        profiles=profiles,
    )
    return replace(chosen, latency_n=MLPERF_SINGLE_STREAM, server_n=MLPERF_SERVER) if mlperf else chosen


def _known(kind: Kind, text: str | None, usual: tuple[str, ...]) -> tuple[str, ...]:
    wanted = tuple(part.strip() for part in text.split(",")) if text else usual
    for name in wanted:
        pip = find(kind, name).missing()
        if text and pip is not None:
            raise EngineMissingError(f"{name} was asked for and is not installed here", hint=pip)
    return wanted
