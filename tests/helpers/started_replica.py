"""Starts replicas of the fake engine on a small data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from farthing.nouns import Candidate, Dataset, PipelineSpec
from farthing.workers.replicas.replica import Replica

CANDIDATE = Candidate(engine="fake", variant="fp32", precision="fp32")
N = 40
PAIR = min(2, len(os.sched_getaffinity(0)))
"""Two instances, or one where there is one core only."""


def write_dataset(folder: Path) -> Dataset:
    """Sample k is ``(2k, 2k + 1)``; the fake engine doubles it."""
    path = folder / "x.npz"
    np.savez(path, x=np.arange(2 * N, dtype=np.float32).reshape(N, 2))
    return Dataset(kind="tensor", items=(str(path), "x"), n=N)


def start(dataset: Dataset, run_dir: Path, candidate: Candidate = CANDIDATE, **more: Any) -> Replica:
    """A replica with short limits."""
    settings: dict[str, Any] = {
        "options": {},
        "cpus": tuple(sorted(os.sched_getaffinity(0))),
        "memory_limit_mib": 4096,
        "start_timeout_s": 60,
        "run_dir": run_dir,
        "seed": 0,
        **more,
    }
    return Replica.start(candidate, run_dir / "none", PipelineSpec(kind="tensor"), dataset, **settings)
