"""A worker process: loads one model, then answers one batch after the other on its socket.

A fault in a batch is pinned on the request that causes it: payloads that the pipeline refuses get their own 400,
and when the model fails on a batch its requests are tried one by one.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from socket import socket
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.codec import from_plain, to_plain
from farthing.errors import DataError, FarthingError
from farthing.machine.offline import muted
from farthing.models.batch_check import Batching
from farthing.nouns import Candidate, PipelineSpec, TensorSpec
from farthing.pipelines.few_lengths import settle_lengths
from farthing.pipelines.sharing import batching_of
from farthing.plugins import find
from farthing.ports import Feeds, Pipeline, Session
from farthing.wire.dtypes import bf16_from_float32, float32_from_bf16
from farthing.workers.emulation import Emulation
from farthing.workers.frames import Frame, FrameError, Inbox, Kind, Part, frame, packed, send_all, unpacked
from farthing.workers.warm_up import guessed, sample_payload, sample_tensors, word_of

__all__ = ["Job", "Model", "ModelFault", "run_worker"]

OOM_SCORE = 500
"""When memory runs out the system shall end a worker, not the server."""
_MOST_REPEATS = 64

Outputs = list[NDArray[Any]]


class ModelFault(Exception):
    """The model's answer cannot be used: wrong number of rows, missing output."""


class Model:
    """A loaded model in this process, with its pipeline.

    Args:
        path: The artefact.
        candidate: Engine, precision, threads, device.
        options: For the engine.
        pipeline: For payloads; kind ``tensor`` when there are none.
        batched: Whether requests were shown to share batches (see :meth:`check`); None where that is not known yet.
        emulation: What it waits out instead of computing once it is warm; None to compute.

    Attributes:
        batched: As above; until it is known no row is counted.
        emulation: As above.

    Raises:
        FarthingError: when the engine or the pipeline refuses.
    """

    def __init__(
        self,
        path: Path,
        candidate: Candidate,
        options: Mapping[str, Any],
        pipeline: PipelineSpec,
        batched: bool | None = None,
        emulation: Emulation | None = None,
    ) -> None:
        self._path, self._candidate, self.emulation = path, candidate, emulation
        engine = find("engines", candidate.engine)
        self.session: Session = engine.load(
            path, precision=candidate.precision, threads=candidate.threads, device=candidate.device, options=options
        )
        self.inputs, self.outputs = _in_words(self.session.inputs), _in_words(self.session.outputs)
        self.input_names = tuple(spec.name for spec in self.inputs)
        specs = (*self.inputs, *self.outputs)
        self.batched = bool(batched)
        self.pipeline: Pipeline | None = None
        if pipeline.kind != "tensor":
            self.pipeline = find("pipelines", pipeline.kind).open(pipeline)
            settle_lengths(engine, self.session, self.pipeline, path=path, precision=candidate.precision)
        self._halves = {spec.name for spec in specs if spec.dtype == "bfloat16"}
        self._texts = {spec.name for spec in self.inputs if spec.dtype == "bytes"}

    def run(self, feeds: Feeds, rows: int) -> Outputs:
        """Answer one batch.

        Args:
            feeds: By input; BF16 as the protocol keeps it, texts as ``bytes``.
            rows: That the answer must have, where the model is batched.

        Raises:
            ModelFault: when the answer has another number of rows.
            DataError: when a text is not UTF-8.
            Exception: whatever the engine raises.
        """
        if self._halves or self._texts:
            feeds = {name: self._given(name, array) for name, array in feeds.items()}
        answers = self.session.run(feeds)
        outputs = [answers[spec.name] for spec in self.outputs]
        if self._halves:
            outputs = [
                bf16_from_float32(a) if spec.name in self._halves and a.dtype == np.float32 else a
                for spec, a in zip(self.outputs, outputs)
            ]
        if self.batched:
            for spec, array in zip(self.outputs, outputs):
                if array.shape[:1] != (rows,):
                    raise ModelFault(f"output {spec.name} has the shape {array.shape} for {rows:,} rows")
        return outputs

    def check(self, seed: int = 0) -> Batching:
        """Find out whether requests may share a batch, by answering some alone and together."""
        with muted():  # what a made-up request does to an engine is nobody's business
            found = batching_of(
                self.session,
                self.pipeline,
                most=self._candidate.max_batch,
                path=self._path,
                precision=self._candidate.precision,
                now_s=time.monotonic,
                seed=seed,
            )
        self.batched = found.batched
        return found

    def _given(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        if name in self._halves and array.dtype == np.uint16:
            return float32_from_bf16(array)
        if name not in self._texts:
            return array
        texts = np.empty(array.size, dtype=object)
        try:
            texts[:] = [e.decode() if isinstance(e, bytes) else e for e in array.ravel().tolist()]
        except UnicodeDecodeError as e:
            raise DataError(f"input {name} is not UTF-8: {e}") from e
        return texts.reshape(array.shape)

    def warm(self, rows: int, repeats: int, enough_s: float = 0.0) -> list[float]:
        """Answer a made-up batch some times; seconds of each.

        Args:
            rows: Of the batch.
            repeats: At least so many.
            enough_s: Goes on until so much has passed, within reason.

        Raises:
            Exception: whatever the engine raises, unless the shape was a guess.
        """
        took: list[float] = []
        while len(took) < repeats or (len(took) < _MOST_REPEATS and sum(took) < enough_s):
            start = time.perf_counter()
            try:
                outputs = self.run(self._made_up(rows), rows)
            except ModelFault:
                if rows == 1 or not self.batched:
                    raise
                self.batched = False  # the first dimension of an output is free, but is not the batch
                return took
            except Exception:
                if self.pipeline is None and guessed(self.inputs):
                    return took
                raise
            if self.emulation is not None:
                self.emulation.learn(rows, outputs)
                return [self.emulation.service_s(rows)] * max(1, repeats)
            took.append(time.perf_counter() - start)
        return took

    def _made_up(self, rows: int) -> Feeds:
        if self.pipeline is None:
            return sample_tensors(self.inputs, rows)
        return self.pipeline([sample_payload(self.pipeline.spec, self.inputs)] * rows, self.session.inputs)

    def close(self) -> None:
        """Free it."""
        self.session.close()


def _in_words(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    return tuple(replace(spec, dtype=word_of(spec.dtype)) for spec in specs)


class Job:
    """One batch of several requests.

    Args:
        model: Who answers.
        rows: Of each request.
        tensors: By input, all rows joined; unused with payloads.
        payloads: One a row; None with tensors.
    """

    def __init__(
        self,
        model: Model,
        rows: Sequence[int],
        tensors: Mapping[str, NDArray[Any]],
        payloads: Sequence[bytes | str] | None = None,
    ) -> None:
        self._model, self._rows, self._tensors, self._payloads = model, rows, tensors, payloads

    def answer(self) -> tuple[Outputs | None, list[list[Any]]]:
        """Outputs of the requests that went well, joined, and ``[request, status, message]`` of the others."""
        everyone = range(len(self._rows))
        try:
            return self._run(everyone), []
        except DataError as e:
            if len(everyone) == 1:
                return None, [[0, 400, e.message]]
        except Exception as e:  # noqa: BLE001 - whatever an engine raises is the model's fault, not the worker's
            if len(everyone) == 1:
                return None, [[0, 500, _said(e)]]
        refused = self._refused(everyone)
        good = [k for k in everyone if k not in refused]
        if refused and good:
            with contextlib.suppress(Exception):  # then one by one, which says whose fault it is
                return self._run(good), [[k, 400, text] for k, text in refused.items()]
        return self._one_by_one(good, refused)

    def _refused(self, requests: Sequence[int]) -> dict[int, str]:
        """Requests whose payloads the pipeline does not take, and why."""
        found: dict[int, str] = {}
        for k in requests if self._payloads is not None else ():
            try:
                self._feeds([k])
            except DataError as e:
                found[k] = e.message
        return found

    def _one_by_one(self, good: Sequence[int], refused: Mapping[int, str]) -> tuple[Outputs | None, list[list[Any]]]:
        bad: list[list[Any]] = [[k, 400, text] for k, text in refused.items()]
        answers: list[Outputs] = []
        for k in good:
            try:
                answers.append([np.array(output) for output in self._run([k])])
            except DataError as e:
                bad.append([k, 400, e.message])
            except Exception as e:  # noqa: BLE001 - as above
                bad.append([k, 500, _said(e)])
        if not answers:
            return None, bad
        return [np.concatenate(pieces) for pieces in zip(*answers)], bad

    def _run(self, requests: Sequence[int]) -> Outputs:
        if self._payloads is not None and len(self._payloads) > 1 and not self._model.batched:
            return self._each_alone(self._payloads)
        return self._model.run(self._feeds(requests), sum(self._rows[k] for k in requests))

    def _each_alone(self, payloads: Sequence[bytes | str]) -> Outputs:
        """Answers to the payloads of one request for a model whose answers depend on what else is in the batch."""
        model, answers = self._model, []
        if model.pipeline is None:
            raise DataError("this model takes tensors only")
        for payload in payloads:
            answers.append([np.array(a) for a in model.run(model.pipeline([payload], model.session.inputs), 1)])
        for spec, pieces in zip(model.outputs, zip(*answers)):
            if any(piece.shape[:1] != (1,) or piece.shape != pieces[0].shape for piece in pieces):
                raise DataError(
                    f"a request has one {model.pipeline.spec.kind} for this model: its output {spec.name} has another "
                    "shape for each"
                )
        return [np.concatenate(pieces) for pieces in zip(*answers)]

    def _feeds(self, requests: Sequence[int]) -> Feeds:
        if self._payloads is None and len(requests) == len(self._rows):
            return self._tensors
        ends = list(accumulate(self._rows))
        spans = [slice(ends[k] - self._rows[k], ends[k]) for k in requests]
        if self._payloads is None:
            return {name: np.concatenate([array[s] for s in spans]) for name, array in self._tensors.items()}
        if self._model.pipeline is None:
            raise DataError("this model takes tensors only")
        return self._model.pipeline([p for s in spans for p in self._payloads[s]], self._model.session.inputs)


def _answered(model: Model, received: Frame) -> tuple[Outputs | None, list[list[Any]]]:
    """What a batch is answered with: computed, or waited out."""
    emulation = model.emulation
    if emulation is None:
        return _job(model, received).answer()
    since_s = time.perf_counter()
    lengths = received.header.get("payloads")
    rows = sum(received.header["rows"]) if lengths is None or model.batched else len(lengths)
    outputs, bad = emulation.answer(rows, batched=model.batched), list[list[Any]]()
    if outputs is None:
        outputs, bad = _job(model, received).answer()
        if outputs is not None and not bad:
            emulation.learn(rows, outputs)
            outputs = emulation.answer(rows, batched=model.batched)
    emulation.wait_out(rows, since_s)
    return outputs, bad


def _job(model: Model, received: Frame) -> Job:
    rows, lengths = received.header["rows"], received.header.get("payloads")
    if lengths is not None:
        return Job(model, rows, {}, _cut(received.body, lengths, received.header["text"]))
    tensors = unpacked(received.header["tensors"], received.body)
    return Job(model, rows, dict(zip(model.input_names, tensors, strict=True)))


def _cut(body: NDArray[np.uint8], lengths: Sequence[int], text: bool) -> list[bytes | str]:
    found: list[bytes | str] = []
    at = 0
    for length in lengths:
        raw = body[at : at + length].tobytes()
        found.append(raw.decode() if text else raw)
        at += length
    return found


def _said(error: Exception) -> str:
    text = error.message if isinstance(error, FarthingError) else str(error)
    first = next(iter(text.strip().splitlines()), "")
    return first if isinstance(error, (FarthingError, ModelFault)) else f"{type(error).__name__}: {first}"


def _load(received: Frame) -> tuple[Model, dict[str, Any]]:
    order = received.header
    model = Model(
        Path(order["path"]),
        from_plain(Candidate, order["candidate"]),
        order["options"],
        from_plain(PipelineSpec, order["pipeline"]),
        order["batched"],
        None if order["emulated_s"] is None else Emulation(order["emulated_s"]),
    )
    return model, {"inputs": to_plain(model.inputs), "outputs": to_plain(model.outputs)}


def _settle(order: Mapping[str, Any]) -> None:
    """Take the cores that were given, and offer oneself when memory runs out."""
    if order["cpus"] and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):  # the container has changed meanwhile: any core will do
            os.sched_setaffinity(0, order["cpus"])
    with contextlib.suppress(OSError):  # not Linux, or not allowed
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))


class _Desk:
    """Takes one command after the other."""

    def __init__(self) -> None:
        self._model: Model | None = None

    def reply(self, received: Frame) -> list[Part]:
        start = time.perf_counter_ns()
        if received.kind is Kind.BATCH and self._model is not None:
            outputs, bad = _answered(self._model, received)
            layout, parts = packed([[output] for output in outputs or ()])
            header = {"tensors": layout, "bad": bad}
            return frame(Kind.RESULT, received.number, header, parts, time.perf_counter_ns() - start)
        try:
            return self._prepared(received)
        except Exception as e:  # noqa: BLE001 - whatever loading raises is told to the server, which decides
            hint = e.hint if isinstance(e, FarthingError) else None
            return frame(Kind.FAILED, received.number, {"message": _said(e), "hint": hint})

    def _prepared(self, received: Frame) -> list[Part]:
        start = time.perf_counter_ns()
        if received.kind is Kind.LOAD:
            _settle(received.header)
            self._model, facts = _load(received)
            return frame(Kind.LOADED, received.number, facts, nanos=time.perf_counter_ns() - start)
        if received.kind is Kind.WARM and self._model is not None:
            took = self._model.warm(*(received.header[name] for name in ("rows", "repeats", "enough_s")))
            return frame(Kind.WARMED, received.number, {"seconds": took, "batched": self._model.batched})
        if received.kind is Kind.CHECK and self._model is not None:
            return frame(Kind.CHECKED, received.number, to_plain(self._model.check()))
        raise FrameError(f"a frame of kind {received.kind.name} before the model was loaded")


def run_worker(sock: socket) -> None:
    """Answer until the server closes its end."""
    inbox, desk = Inbox(), _Desk()
    with contextlib.suppress(ConnectionError):  # the server has gone
        while (received := inbox.receive(sock)) is not None:
            send_all(sock, desk.reply(received))
