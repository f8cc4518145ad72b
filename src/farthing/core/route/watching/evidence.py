"""The watch of a route as plain values, so that its evidence outlives the process that gathered it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from farthing.core.route.watching.watch import Alarm, Watch, WatchState, begin

__all__ = ["plain_of_state", "state_of_plain"]


def plain_of_state(state: WatchState) -> dict[str, Any]:
    """A state in numbers, texts and lists; nothing of it is rounded."""
    loss = state.loss
    return {
        "loss": None
        if loss is None
        else {
            "n": loss.n,
            "audited": loss.audited,
            "lost": loss.lost,
            "weighted": loss.weighted,
            "wealth": loss.wealth.tolist(),
            "most": loss.most,
            "logs": loss.logs.tolist(),
        },
        "scores": {
            name: {
                "n": seen.n,
                "counts": seen.counts.tolist(),
                "wealth": seen.wealth.tolist(),
                "recent": seen.recent.tolist(),
                "most": seen.most,
            }
            for name, seen in state.scores.items()
        },
        "closer_until": state.closer_until,
        "alerts": dict(state.alerts),
        "alarm": None if state.alarm is None else asdict(state.alarm),
    }


def state_of_plain(watch: Watch, plain: Mapping[str, Any]) -> WatchState:
    """The state that was written.

    Args:
        watch: What is tested; the state must be of the same tests.
        plain: Of :func:`plain_of_state`.

    Raises:
        ValueError: when it is of other tests, or no state.
    """
    fresh = begin(watch)
    try:
        if (plain["loss"] is None) != (fresh.loss is None) or plain["scores"].keys() != fresh.scores.keys():
            raise ValueError("a state of other tests")
        loss = fresh.loss
        if loss is not None:
            loss = replace(loss, **_like(plain["loss"], {"wealth": loss.wealth, "logs": loss.logs}))
        scores = {
            name: replace(
                seen,
                **_like(plain["scores"][name], {"counts": seen.counts, "wealth": seen.wealth, "recent": seen.recent}),
            )
            for name, seen in fresh.scores.items()
        }
        return replace(
            fresh,
            loss=loss,
            scores=scores,
            closer_until=int(plain["closer_until"]),
            alerts={name: float(plain["alerts"][name]) for name in fresh.alerts},
            alarm=None if plain["alarm"] is None else Alarm(**plain["alarm"]),
        )
    except (AttributeError, KeyError, TypeError) as e:
        raise ValueError(f"no state of a watch: {e!r}") from e


def _like(plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    """The same with arrays of the shapes and types of others."""
    found = dict(plain)
    for name, wanted in arrays.items():
        array = np.asarray(plain[name], dtype=wanted.dtype)
        if array.shape != wanted.shape:
            raise ValueError(f"{name} has the shape {array.shape}, not {wanted.shape}")
        found[name] = array
    return found
