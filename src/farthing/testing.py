"""For tests of farthing and of plug-ins: a clock that is told the time, an engine that misbehaves, contract tests."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.errors import EngineError
from farthing.nouns import OperatorTime, Precision, TensorSpec
from farthing.ports import Engine, Feeds, Session

__all__ = ["EngineContract", "FakeClock", "FakeEngine"]


class FakeClock:
    """A clock that moves only when slept on."""

    def __init__(self, start_s: float = 0.0) -> None:
        self.now_s = start_s

    def monotonic_s(self) -> float:
        """The time."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.now_s += max(0.0, seconds)


class _FakeSession:
    """Answers ``2 × the input`` after ``service_ms + per_item_ms × batch``, or misbehaves as told."""

    inputs: tuple[TensorSpec, ...] = (TensorSpec(name="x", dtype="float32", shape=(None, 2)),)
    outputs: tuple[TensorSpec, ...] = (TensorSpec(name="y", dtype="float32", shape=(None, 2)),)

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        self._calls = 0
        self._hoard: list[NDArray[np.float64]] = []

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Answer one batch."""
        self._calls += 1
        x = np.asarray(feeds["x"])
        if self._calls > self._options.get("fault_after", 1):
            self._misbehave()
        time.sleep((self._options.get("service_ms", 1.0) + self._options.get("per_item_ms", 0.0) * len(x)) / 1000)
        return {"y": 2 * x}

    def _misbehave(self) -> None:
        fault = self._options.get("fault")
        if fault == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif fault == "hang":
            time.sleep(3600)
        elif fault == "memory":
            while True:
                self._hoard.append(np.ones(4_000_000))
                time.sleep(0.005)
        elif fault == "exception":
            raise RuntimeError("the kernel said no")

    def device_memory_bytes(self) -> int | None:
        """No accelerator."""
        return None

    def operators(self, feeds: Feeds, repeats: int) -> Sequence[OperatorTime]:
        """One operator that takes all the time."""
        start = time.perf_counter()
        for _ in range(repeats):
            self.run(feeds)
        took_ms = (time.perf_counter() - start) / repeats * 1000
        return [OperatorTime(name="double", kind="Mul", time_ms=took_ms, share_frac=1.0)]

    def close(self) -> None:
        """Nothing to free."""


class FakeEngine:
    """An engine without a model; its options say how it behaves.

    Options: ``service_ms``, ``per_item_ms``; ``fault`` (``segfault``, ``hang``, ``memory``, ``exception``) from call
    ``fault_after`` on; ``load_fault`` (``refuse``, ``segfault``, ``hang``); ``noise`` prints to stdout and stderr.
    """

    name = "fake"

    def missing(self) -> str | None:
        """Always installed."""
        return None

    def version(self) -> str:
        """Of this module."""
        return "0"

    def devices(self) -> tuple[str, ...]:
        """The processor."""
        return ("cpu",)

    def load(
        self, path: Path, *, precision: Precision, threads: int, device: str, options: Mapping[str, Any]
    ) -> Session:
        """Load nothing.

        Raises:
            EngineError: when told to refuse.
        """
        if options.get("noise"):
            print('{"load_s": "noise on stdout"}', flush=True)
            print("noise on stderr", file=sys.stderr, flush=True)
        fault = options.get("load_fault")
        if fault == "refuse":
            raise EngineError(f"fake cannot run {path.name}", hint="another engine")
        if fault == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if fault == "hang":
            time.sleep(3600)
        return _FakeSession(options)


class EngineContract:
    """What every engine must do; subclass it in a plug-in's tests.

    Attributes:
        engine: The engine under test.
        path: An artefact it can load.
        feeds: Inputs of one batch of at least two samples.
    """

    engine: Engine
    path: Path
    feeds: Feeds

    def _session(self) -> Session:
        return self.engine.load(self.path, precision="fp32", threads=1, device="cpu", options={})

    def test_contract_protocols(self) -> None:
        """Engine and session have all methods of the ports."""
        assert isinstance(self.engine, Engine)
        assert isinstance(self._session(), Session)
        assert self.engine.missing() is None
        assert "cpu" in self.engine.devices()

    def test_contract_rows_do_not_depend_on_the_batch(self) -> None:
        """A sample's answer is the same alone and in a batch."""
        session = self._session()
        whole = next(iter(session.run(self.feeds).values()))
        alone = next(iter(session.run({k: v[1:2] for k, v in self.feeds.items()}).values()))
        np.testing.assert_allclose(whole[1:2], alone, rtol=1e-4, atol=1e-5)
        session.close()

    def test_contract_operators(self) -> None:
        """Shares of operator time add up to one."""
        session = self._session()
        operators = session.operators(self.feeds, 3)
        assert operators
        assert abs(sum(o.share_frac for o in operators) - 1) < 1e-6
        session.close()
