"""Requests of a trace at their own instants, in blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ArrivalBlock"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArrivalBlock:
    """Requests of a trace one after the other; the blocks of a trace follow one another too.

    Attributes:
        at_s: When each came, in seconds from the trace's first request on, ≥ 0, not decreasing, shape ``(n,)``, n ≥ 1.
        resolution_s: Length in seconds of the steps in which these instants are known (1 where a log has whole seconds:
            a request came at ``at_s`` or up to a second later), 0 where they are exact.
        input_tokens: Of each request, shape ``(n,)``, None where they are not known.
        output_tokens: Likewise.
    """

    at_s: NDArray[np.float64]
    resolution_s: float = 0.0
    input_tokens: NDArray[np.int64] | None = None
    output_tokens: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        at_s = self.at_s
        if at_s.ndim != 1 or not at_s.size or not np.isfinite(at_s[[0, -1]]).all() or not (np.diff(at_s) >= 0).all():
            raise ValueError(f"ArrivalBlock: at_s must be one-dimensional, finite and ascending, is {at_s!r}")
        if at_s[0] < 0 or self.resolution_s < 0:
            raise ValueError(f"ArrivalBlock: instants and resolution must be ≥ 0: {at_s[0]} and {self.resolution_s}")
        for tokens in (self.input_tokens, self.output_tokens):
            if tokens is not None and tokens.shape != at_s.shape:
                raise ValueError(f"ArrivalBlock: {tokens.size} tokens for {at_s.size} requests")
