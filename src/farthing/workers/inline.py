"""Tiny models in the loop thread: no process, no socket, one turn of the loop is one batch.

Batches with long texts, which take longer to cut into tokens than the loop may stand still, and those of large
tensors run on another thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from farthing.models.digests import digest
from farthing.nouns import LocalModel
from farthing.pipelines.text import TextBatches
from farthing.ports import Pipeline
from farthing.wire.requests import Problem, Request
from farthing.workers.batching import Batch, BatchQueue, Outcome
from farthing.workers.worker import Job, Model

__all__ = ["InlineRunner", "KeptTokens"]

LONGEST_TEXTS = 4096
"""Characters of one batch that the loop thread itself cuts into tokens: about 1 ms."""

LONGEST_BODY = 256 * 2**10
"""Bytes of a request for tensors that the loop thread itself runs."""


class KeptTokens:
    """Tokens of the last texts, shared by all models in the loop thread that cut texts alike (tiers of a route)."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], dict[str, Any]] = {}

    def share(self, pipeline: Pipeline | None) -> None:
        """Let a pipeline keep and find tokens, if it cuts texts."""
        if isinstance(pipeline, TextBatches):
            spec = pipeline.spec
            cut = (spec.max_length, spec.truncation_side, sorted(spec.tokenizer_settings.items()))
            key = digest(Path(str(spec.tokenizer))), repr(cut)
            pipeline.kept = self._kept.setdefault(key, {})


class InlineRunner:
    """Runs batches at once, on the loop thread.

    Args:
        model: Loaded in this process.
        queue: Told of finished batches.
    """

    inline = True

    def __init__(self, model: Model, queue: BatchQueue) -> None:
        self._model, self._queue = model, queue
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def load(cls, spec: LocalModel, queue: BatchQueue, kept: KeptTokens, *, batched: bool) -> InlineRunner:
        """Load a model on another thread, so that the loop goes on; a worker must have loaded it before.

        Args:
            spec: Of the model.
            queue: In front of it.
            kept: Shares tokens with the other models of this process.
            batched: Whether requests may share a batch, as that worker found.

        Raises:
            FarthingError: when the engine refuses it.
        """
        options = {**spec.options, "trust": True} if spec.trust else spec.options
        model = await asyncio.to_thread(Model, spec.path, spec.candidate, options, spec.pipeline, batched)
        kept.share(model.pipeline)
        return cls(model, queue)

    def run(self, batch: Batch) -> None:
        """Answer a batch, at once unless its texts are long or a request is large."""
        requests = batch.requests
        if requests[0].payloads is None:
            long = max(request.size_bytes for request in requests) > LONGEST_BODY
        else:
            long = sum(len(p) for request in requests for p in request.payloads or ()) > LONGEST_TEXTS
        if long:
            self._loop.run_in_executor(None, self._apart, batch)
        else:
            self._queue.finished(self, self._outcome(requests))

    def _apart(self, batch: Batch) -> None:
        outcome = self._outcome(batch.requests)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._back, batch, outcome)

    def _back(self, batch: Batch, outcome: Outcome) -> None:
        if self._queue.busy(self) is batch:  # not given up meanwhile
            self._queue.finished(self, outcome)

    def _outcome(self, requests: list[Request]) -> Outcome:
        start = time.perf_counter()
        outputs, bad = self._job(requests).answer()
        problems = {k: Problem(status, message) for k, status, message in bad}
        return Outcome(outputs=outputs or (), service_s=time.perf_counter() - start, bad=problems)

    def _job(self, requests: list[Request]) -> Job:
        rows = [request.rows for request in requests]
        if requests[0].payloads is not None:
            return Job(self._model, rows, {}, [_text(p) for request in requests for p in request.payloads or ()])
        columns = list(zip(*[request.tensors or () for request in requests]))
        if len(requests) == 1:
            arrays = [a if a.flags.aligned else a.copy() for (a,) in columns]
        else:
            arrays = [np.concatenate(pieces) for pieces in columns]
        return Job(self._model, rows, dict(zip(self._model.input_names, arrays)))

    def close(self) -> None:
        """Free the model."""
        self._queue.detach(self)
        self._model.close()


def _text(payload: bytes | str) -> bytes | str:
    """A text as a worker would get it: what UTF-8 cannot say becomes a question mark."""
    if isinstance(payload, bytes) or payload.isascii():
        return payload
    return payload.encode("utf-8", "replace").decode()
