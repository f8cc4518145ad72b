"""What each byte of a channel becomes: scale, offset, mean and standard deviation as one table of 256 numbers.

A byte has 256 values, so the arithmetic is done once, in the order and precision of transformers' image processors:
``float32(float64(byte) × scale)``, then offset, mean and standard deviation in float32. What is looked up is bit for
bit what they compute.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from farthing.nouns import PipelineSpec

__all__ = ["value_table"]


def value_table(spec: PipelineSpec) -> NDArray[np.float32]:
    """Number of each byte in each channel, in the order that is handed over: float32, shape ``(channels, 256)``."""
    scaled = (np.arange(256, dtype=np.float64) * spec.scale).astype(np.float32)
    if spec.offset:
        scaled = scaled + np.float32(spec.offset)
    mean, std = (
        np.broadcast_to(np.array(values, dtype=np.float32), spec.channels)[:, None] for values in (spec.mean, spec.std)
    )
    table = (scaled - mean) / std
    return table / std if spec.std_twice else table
