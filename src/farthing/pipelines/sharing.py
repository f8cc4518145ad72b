"""Whether a loaded model's requests may share a batch, tried with made-up requests and with real ones where there are.

The same code decides in a server's worker when a model is loaded and in a run that looks for the best way to serve it,
so that what was measured in batches is served in batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.models.arithmetic import arithmetic_of
from farthing.models.batch_check import FEWEST, MARGINS, MOST_ALONE, Batching, Trial, check_batching, distances
from farthing.models.output_sources import explained_outputs
from farthing.nouns import Precision
from farthing.pipelines.made_up import GUESSES, random_images, random_tensors, random_texts
from farthing.ports import Feeds, Pipeline, Session

__all__ = ["batching_of"]

_TRIALS = 4
"""Of texts or images."""


def batching_of(
    session: Session,
    pipeline: Pipeline | None,
    *,
    most: int,
    path: Path,
    precision: Precision,
    now_s: Callable[[], float],
    payloads: Sequence[Any] = (),
    seed: int = 0,
) -> Batching:
    """Answer requests alone and together, and say whether they may share a batch.

    It takes some single requests (as many as a batch holds, 3 to 16), about three batches, and up to a quarter of a
    second more.

    Args:
        session: The loaded model.
        pipeline: From payloads to tensors; None where clients send tensors.
        most: Largest batch, ≥ 1.
        path: What the engine loaded.
        precision: That it was asked for.
        now_s: Monotonic time.
        payloads: Real ones, tried first; at least three to count.
        seed: Of what is made up.
    """
    found = _by_shapes(session) or check_batching(
        _trials(session, pipeline, payloads, np.random.default_rng(seed)),
        [spec.name for spec in session.outputs],
        most,
        arithmetic=lambda: arithmetic_of(path, precision),
        now_s=now_s,
        explained=explained_outputs(path),
        seed=seed,
    )
    if found.batched or (axis := _other_axis(session, np.random.default_rng(seed))) is None:
        return found
    return replace(found, alone=f"{found.alone}: its batch axis is {axis}, not 0")


def _by_shapes(session: Session) -> Batching | None:
    """Why the first dimension cannot be a batch, by the inputs' shapes alone; None when it may be one.

    What outputs say of theirs is left to the trials: some exporters write 1 where there is a row for each request.
    """
    for spec in session.inputs:
        if spec.shape[:1] != (None,):
            said = f"is {spec.shape[0]} and not free" if spec.shape else "is missing"
            one_row = all(output.shape[:1] == (1,) for output in session.outputs)
            return Batching(alone=f"the first dimension of input {spec.name} {said}", one_row=one_row)
    return None


def _trials(
    session: Session, pipeline: Pipeline | None, payloads: Sequence[Any], rng: np.random.Generator
) -> Iterator[Trial]:
    """Real payloads first, then what is made up."""
    if pipeline is not None and len(payloads) >= FEWEST:
        yield _of_payloads(session, pipeline, payloads)
    if pipeline is None or pipeline.spec.kind == "tensor":
        for guess in GUESSES:
            yield _of_tensors(session, random_tensors(session.inputs, MOST_ALONE, guess, rng))
        return
    for _ in range(_TRIALS):
        if pipeline.spec.kind == "text":
            made: list[Any] = list(random_texts(pipeline.spec, MOST_ALONE, rng))
        else:
            made = list(random_images(pipeline.spec, session.inputs, MOST_ALONE, rng))
        yield _of_payloads(session, pipeline, made)


def _of_payloads(session: Session, pipeline: Pipeline, payloads: Sequence[Any]) -> Trial:
    def run(rows: Sequence[int]) -> list[NDArray[Any]]:
        return _answers(session, pipeline([payloads[k] for k in rows], session.inputs))

    return Trial(run=run, n=len(payloads))


def _of_tensors(session: Session, requests: Sequence[Feeds], axis: int = 0) -> Trial:
    def run(rows: Sequence[int]) -> list[NDArray[Any]]:
        names = requests[0]
        return _answers(session, {name: np.concatenate([requests[k][name] for k in rows], axis) for name in names})

    return Trial(run=run, n=len(requests))


def _answers(session: Session, feeds: Feeds) -> list[NDArray[Any]]:
    found = session.run(feeds)
    for name, array in found.items():
        if not isinstance(array, np.ndarray):
            raise TypeError(f"output {name} is a {type(array).__name__} and no tensor")
    return [np.array(found[spec.name]) for spec in session.outputs]


# — another axis ———————————————————————————————————————————————————————————————————————————————————————


def _other_axis(session: Session, rng: np.random.Generator) -> int | None:
    """The axis along which requests can be put together though it is not the first; None when there is none."""
    axes = range(1, min((len(spec.shape) for spec in session.inputs), default=0))
    free = [axis for axis in axes if all(spec.shape[axis] is None for spec in session.inputs)]
    return next((axis for axis in free if _is_batch(session, axis, rng)), None)


def _is_batch(session: Session, axis: int, rng: np.random.Generator) -> bool:
    """Whether three requests along an axis give each output's three rows along some axis of its own."""
    guess = GUESSES[-1]
    inputs = [replace(s, shape=_with(_with(s.shape, 0, s.shape[0] or guess.length), axis, 1)) for s in session.inputs]
    trial = _of_tensors(session, random_tensors(inputs, 3, guess, rng), axis)
    try:
        alone = [trial.run([k]) for k in range(3)]
        together = trial.run([0, 1, 2])
    except Exception:  # noqa: BLE001 - whatever an engine raises: these are no requests of its kind
        return False
    return all(_lies_along(*(a[k] for a in alone), together=output) for k, output in enumerate(together))


def _with(shape: tuple[int | None, ...], axis: int, size: int) -> tuple[int | None, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _lies_along(*alone: NDArray[Any], together: NDArray[Any]) -> bool:
    """Whether an output of requests together is that of each alone, joined along some axis."""
    for axis in range(together.ndim):
        if all(a.ndim == together.ndim and a.shape[axis] == 1 for a in alone):
            want = [[np.moveaxis(a, axis, 0)] for a in alone]
            if MARGINS["float"].holds(distances(want, [np.moveaxis(together, axis, 0)]).max(axis=0).tolist()):
                return True
    return False
