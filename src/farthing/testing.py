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
from farthing.nouns import ModelRef, OperatorTime, PipelineSpec, Precision, TensorSpec
from farthing.ports import Arrivals, Engine, Feeds, Metric, Pipeline, Session, Variant

__all__ = [
    "ArrivalsContract", "EngineContract", "FakeClock", "FakeEngine", "MetricContract", "PipelineContract",
    "VariantContract",
]  # fmt: skip


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
        faulty = self._calls > self._options.get("fault_after", 1)
        if faulty:
            self._misbehave(self._options.get("fault"))
        for fault, mark in self._options.get("poison", {}).items():
            if (x[:, 0] == mark).any():
                self._misbehave(fault)
        time.sleep((self._options.get("service_ms", 1.0) + self._options.get("per_item_ms", 0.0) * len(x)) / 1000)
        if faulty and self._options.get("fault") == "shape":
            return {"y": np.zeros((len(x) + 1, 2), dtype=np.float32)}
        return {"y": 2 * x}

    def _misbehave(self, fault: str | None) -> None:
        if fault == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif fault == "exit":
            os._exit(3)
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

    Options: ``service_ms``, ``per_item_ms``; ``fault`` (``segfault``, ``hang``, ``memory``, ``exception``,
    ``shape``, ``exit``) after call ``fault_after``; ``poison`` maps such faults (but for ``shape``) to the number
    in the first column of a row that brings them about; ``load_fault`` (``refuse``, ``segfault``, ``hang``);
    ``noise`` prints to stdout and stderr.
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


class PipelineContract:
    """What every pipeline must do; subclass it in a plug-in's tests.

    Attributes:
        opener: What ``plugins.find("pipelines", kind)`` gives.
        spec: A pipeline to open.
        payloads: At least two of them.
        inputs: Of a model that takes them.
    """

    opener: Any
    spec: PipelineSpec
    payloads: Sequence[Any]
    inputs: Sequence[TensorSpec]

    def _pipeline(self) -> Pipeline:
        found: Pipeline = self.opener.open(self.spec)
        return found

    def test_contract_protocol(self) -> None:
        """It has all methods of the port and keeps its spec."""
        pipeline = self._pipeline()
        assert isinstance(pipeline, Pipeline)
        assert pipeline.spec == self.spec

    def test_contract_one_row_for_each_payload(self) -> None:
        """Every input tensor has the batch as its first dimension, and names of the model's inputs."""
        feeds = self._pipeline()(self.payloads, self.inputs)
        assert set(feeds) <= {spec.name for spec in self.inputs}
        assert {array.shape[0] for array in feeds.values()} == {len(self.payloads)}

    def test_contract_same_payloads_same_tensors(self) -> None:
        """Nothing is drawn or kept between calls."""
        pipeline = self._pipeline()
        first, second = pipeline(self.payloads, self.inputs), pipeline(self.payloads, self.inputs)
        for name, array in first.items():
            np.testing.assert_array_equal(array, second[name])

    def test_contract_lengths(self) -> None:
        """None, or one size ≥ 0 for each payload."""
        lengths = self._pipeline().lengths(self.payloads)
        assert lengths is None or (len(lengths) == len(self.payloads) and min(lengths) >= 0)


class VariantContract:
    """What every way of making a model cheaper must do; subclass it in a plug-in's tests.

    Attributes:
        variant: The variant under test.
        model: A small model, resolved to ONNX.
        calibration: Inputs for it.
    """

    variant: Variant
    model: ModelRef
    calibration: Sequence[Feeds]

    def test_contract_protocol(self) -> None:
        """It has all methods of the port and what it needs is installed."""
        assert isinstance(self.variant, Variant)
        assert self.variant.engines
        assert self.variant.missing() is None

    def test_contract_artefact_lies_where_it_says(self, tmp_path: Path) -> None:
        """The path is relative to the output folder, exists, and carries digest and size."""
        artefact = self.variant.build(self.model, tmp_path, self.calibration)
        assert not Path(artefact.path).is_absolute()
        assert (tmp_path / artefact.path).exists()
        assert len(artefact.sha256) == 64
        assert artefact.size_mib > 0
        assert artefact.variant == self.variant.name
        assert set(artefact.engines) <= set(self.variant.engines)


class MetricContract:
    """What every metric must do; subclass it in a plug-in's tests.

    Attributes:
        metric: The metric under test.
        outputs: Model outputs, shape ``(n, …)``.
        labels: Labels, shape ``(n,)``.
    """

    metric: Metric
    outputs: NDArray[np.float64]
    labels: NDArray[np.float64]

    def test_contract_scores_lie_between_0_and_1(self) -> None:
        """One score a sample, or one number; finite and in [0, 1]."""
        assert isinstance(self.metric, Metric)
        scores = self.metric(self.outputs, self.labels)
        assert scores.shape == ((len(self.labels),) if self.metric.per_sample else ())
        assert np.isfinite(scores).all()
        assert ((scores >= 0) & (scores <= 1)).all()


class ArrivalsContract:
    """What every reader of arrivals must do; subclass it in a plug-in's tests.

    Attributes:
        arrivals: The reader under test.
        content: A small file of its kind, of at least one request.
    """

    arrivals: Arrivals
    content: bytes

    def _file(self, folder: Path) -> Path:
        path = folder / "arrivals"
        path.write_bytes(self.content)
        return path

    def test_contract_its_own_files_and_no_others(self) -> None:
        """It has all methods of the port, knows its own kind of file by its beginning, and not any binary one."""
        assert isinstance(self.arrivals, Arrivals)
        assert self.arrivals.holds(self.content[:65_536])
        assert not self.arrivals.holds(b"\x7fELF\x02\x01\x01\x00")

    def test_contract_what_was_read_is_said(self, tmp_path: Path) -> None:
        """The trace is called as its file is, and says how its numbers were understood."""
        path = self._file(tmp_path)
        trace = self.arrivals.trace(path)
        assert trace.name.startswith(path.name)
        assert trace.read_as

    def test_contract_requests_are_those_that_were_counted(self, tmp_path: Path) -> None:
        """Where each request has its instant, blocks follow one another from 0 on, and are as many as were counted."""
        path = self._file(tmp_path)
        blocks = self.arrivals.requests(path)
        if blocks is not None:
            at_s = np.concatenate([block.at_s for block in blocks])
            assert at_s[0] == 0
            assert (np.diff(at_s) >= 0).all()
            assert at_s.size == self.arrivals.trace(path).counts.sum()
