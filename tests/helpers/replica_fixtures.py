"""Replicas of a stand-in engine, for tests of measure and of workers/replicas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from started_replica import CANDIDATE, PAIR, start, write_dataset

from farthing.nouns import Dataset
from farthing.workers.replicas.replica import Replica


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Forty samples in an npz file."""
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def pair(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """Two instances (one on one core) of an engine that takes 2 ms a batch."""
    run_dir = tmp_path_factory.mktemp("pair")
    with start(dataset, run_dir, replace(CANDIDATE, instances=PAIR), options={"service_ms": 2.0}) as found:
        yield found
