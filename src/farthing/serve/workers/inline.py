"""Tiny models in the loop thread: no process, no socket, one turn of the loop is one batch."""

from __future__ import annotations

import asyncio
import time

import numpy as np

from farthing.serve.requests import Problem
from farthing.serve.served import ServedModel
from farthing.serve.workers.batching import Batch, BatchQueue, Outcome
from farthing.serve.workers.worker import Job, Model

__all__ = ["InlineRunner"]


class InlineRunner:
    """Runs batches at once, on the loop thread.

    Args:
        model: Loaded in this process.
        queue: Told of finished batches.
    """

    inline = True

    def __init__(self, model: Model, queue: BatchQueue) -> None:
        self._model, self._queue = model, queue
        self._names = [spec.name for spec in model.inputs]

    @classmethod
    async def load(cls, spec: ServedModel, queue: BatchQueue) -> InlineRunner:
        """Load a model on another thread, so that the loop goes on; a worker must have loaded it before.

        Raises:
            FarthingError: when the engine refuses it.
        """
        options = {**spec.options, "trust": True} if spec.trust else spec.options
        model = await asyncio.to_thread(Model, spec.path, spec.candidate, options, spec.pipeline)
        return cls(model, queue)

    def run(self, batch: Batch) -> None:
        """Answer a batch."""
        start = time.perf_counter()
        requests = batch.requests
        columns = list(zip(*(request.tensors or () for request in requests)))
        if len(requests) == 1:
            arrays = [a if a.flags.aligned else a.copy() for (a,) in columns]
        else:
            arrays = [np.concatenate(pieces) for pieces in columns]
        job = Job(self._model, [request.rows for request in requests], dict(zip(self._names, arrays)))
        outputs, bad = job.answer()
        problems = {k: Problem(status, message) for k, status, message in bad}
        service_s = time.perf_counter() - start
        self._queue.finished(self, Outcome(outputs=outputs or (), service_s=service_s, bad=problems))

    def close(self) -> None:
        """Free the model."""
        self._queue.detach(self)
        self._model.close()
