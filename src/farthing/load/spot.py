"""Histories of spot availability, and what spot is bought at, as users write them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from farthing.core.simulation.spot.histories import DRAIN_S, Reclaiming, ZoneHistory
from farthing.core.simulation.spot.study import SpotMarket
from farthing.errors import InputError
from farthing.load.units import duration_ms, fraction, usd

__all__ = ["SpotAsked", "read_histories", "spot_market"]

_FORM = 'a file a zone: {"metadata": {"gap_seconds": 195}, "data": [1, 1, 0, …]}, machines that could be had by step'
_MOST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotAsked:
    """What the user says of spot.

    Attributes:
        histories: Folder of histories, or one file.
        price: ``40%`` of the price on demand, or dollars an hour.
        floor: Share that is never spot.
        notice: From the notice to the end.
        spare: Spot replicas beyond what is wanted.
    """

    histories: Path
    price: str
    floor: str = "25%"
    notice: str = "2min"
    spare: int = 0

    @property
    def floor_frac(self) -> float:
        """The floor as a fraction.

        Raises:
            InputError: when it is none.
        """
        return fraction(self.floor, "--floor")


def read_histories(path: Path) -> tuple[ZoneHistory, ...]:
    """Read a folder's ``*.json``, each a zone named as its file, or one such file.

    The form is that of SkyPilot's spot-traces (Wu et al., *Can't Be Late*, NSDI 2024).

    Raises:
        InputError: when there are none, one is not of that form, or steps differ in length.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files or not path.exists():
        raise InputError(f"{path} holds no histories of spot availability", hint=f"wanted is {_FORM}")
    found = tuple(_history(file) for file in files)
    lengths = {history.available.size * history.step_s for history in found}
    if len(lengths) > 1:
        shown = ", ".join(f"{h.zone} {h.available.size * h.step_s / 3600:,.1f} h" for h in found[:3])
        raise InputError(
            f"the histories in {path} are of different length: {shown}", hint="cut them to what all of them cover"
        )
    return found


def _history(file: Path) -> ZoneHistory:
    try:
        read: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise InputError(f"{file} is no readable JSON: {e}", hint=f"wanted is {_FORM}") from e
    metadata = read.get("metadata") if isinstance(read, dict) else None
    step_s = metadata.get("gap_seconds") if isinstance(metadata, dict) else None
    if not (isinstance(step_s, (int, float)) and not isinstance(step_s, bool) and math.isfinite(step_s) and step_s > 0):
        raise InputError(f"{file}: metadata.gap_seconds is {step_s!r}, no time > 0", hint=f"wanted is {_FORM}")
    return ZoneHistory(zone=file.stem, step_s=float(step_s), available=_counts(file, read.get("data")))


def _counts(file: Path, data: object) -> Any:
    if not isinstance(data, list) or not data:
        raise InputError(f"{file}: data is no list of steps", hint=f"wanted is {_FORM}")
    wrong = next((k for k, count in enumerate(data) if not _is_count(count)), None)
    if wrong is not None:
        raise InputError(
            f"{file}: step {wrong} of data is {data[wrong]!r}, not a number of machines in 0 … {_MOST:,}",
            hint=f"wanted is {_FORM}",
        )
    return np.array(data, dtype=np.int64)


def _is_count(value: object) -> bool:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return whole and 0 <= float(value) <= _MOST  # type: ignore[arg-type]


def spot_market(asked: SpotAsked, on_demand_usd_per_hour: float, length_s: float) -> tuple[SpotMarket, Sequence[str]]:
    """Read what can be bought on spot.

    Args:
        asked: What the user says.
        on_demand_usd_per_hour: Of a replica.
        length_s: Of what is to be simulated.

    Returns:
        The market, and what is to be said of it.

    Raises:
        InputError: when a history, the price or the notice cannot be read, or spot would be no cheaper.
    """
    histories = read_histories(asked.histories)
    price = (
        fraction(asked.price, "--spot-price") * on_demand_usd_per_hour
        if asked.price.strip().endswith("%")
        else usd(asked.price, "--spot-price")
    )
    if not 0 < price < on_demand_usd_per_hour:
        raise InputError(
            f"--spot-price {asked.price} is ${price:g} an hour, on demand a replica costs ${on_demand_usd_per_hour:g}",
            hint="a share of it, such as 40%, or dollars an hour below it",
        )
    notice_s = duration_ms(asked.notice, "--notice") / 1000
    reclaiming = Reclaiming(notice_s=notice_s, drain_s=min(DRAIN_S, notice_s))
    market = SpotMarket(histories=histories, usd_per_hour=price, reclaiming=reclaiming)
    covered_s = histories[0].available.size * histories[0].step_s
    said = [f"histories of {covered_s / 3600:,.1f} h are repeated"] if covered_s < length_s else []
    return market, said
