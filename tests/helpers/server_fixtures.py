"""A server with a tiny model for the whole room, and others on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real_server import Served, start, write_tiny


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """``farthing serve`` with the model ``tiny`` (x: n × 4 → y: n × 2, FP32) on free loopback ports."""
    running = start(write_tiny(tmp_path_factory.mktemp("served") / "tiny.onnx"))
    yield running
    assert running.stop() == 0, running.lines


@pytest.fixture
def start_server() -> Iterator[Callable[..., Served]]:
    """Start servers with arguments of one's own; those that still run at the end are stopped."""
    running: list[Served] = []

    def begin(*arguments: object, **settings: object) -> Served:
        running.append(start(*arguments, **settings))
        return running[-1]

    yield begin
    for one in running:
        one.stop()


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """An ONNX file ``tiny.onnx``: y = x @ [[1, 2], [3, 4], [5, 6], [7, 8]]."""
    return write_tiny(tmp_path / "tiny.onnx")
