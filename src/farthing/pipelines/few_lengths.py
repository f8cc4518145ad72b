"""Texts for an engine that compiles for each shape: padded to few different lengths, where that changes no answer.

OpenVINO makes kernels for a shape when it first sees it, which takes a multiple of running them (16 ms against 6 for
a small encoder). Texts have a hundred lengths, times as many batch sizes; padded to eight lengths an octave they are an
eighth more tokens at most, 4 % on average, and a server is warm after seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from farthing.models.arithmetic import arithmetic_of
from farthing.models.batch_check import MARGINS, distances
from farthing.nouns import Precision
from farthing.pipelines.made_up import random_texts
from farthing.pipelines.text import TextBatches
from farthing.ports import Engine, Pipeline, Session

__all__ = ["settle_lengths"]

_TEXTS = 3


def settle_lengths(
    engine: Engine, session: Session, pipeline: Pipeline | None, *, path: Path, precision: Precision, seed: int = 0
) -> None:
    """Let a pipeline pad its texts to few lengths where the engine gains by it and made-up texts are answered alike.

    Args:
        engine: That loaded the model; with ``few_shapes = True`` it gains.
        session: The loaded model.
        pipeline: From texts to tensors; any other is left alone.
        path: What the engine loaded.
        precision: That it was asked for.
        seed: Of what is made up.
    """
    if not getattr(engine, "few_shapes", False) or not isinstance(pipeline, TextBatches) or not pipeline.may_pad:
        return
    if any(None in spec.shape[1:] for spec in session.outputs):
        return  # an answer for each token: padding would be seen
    try:
        pipeline.few_lengths = _alike(session, pipeline, path, precision, seed)
    except Exception:  # noqa: BLE001 - whatever an engine or a tokenizer raises: these are no requests of its kind
        pipeline.few_lengths = False


def _alike(session: Session, pipeline: TextBatches, path: Path, precision: Precision, seed: int) -> bool:
    texts = random_texts(pipeline.spec, 4 * _TEXTS, np.random.default_rng(seed))
    texts = [text for text in texts if pipeline.is_padded(text)][:_TEXTS]
    plain = [_answers(session, pipeline, text) for text in texts]
    pipeline.few_lengths = True
    padded = [_answers(session, pipeline, text) for text in texts]
    margin = MARGINS[arithmetic_of(path, precision)]
    apart = [float(distances([a], b).max()) for a, b in zip(plain, padded)]
    return bool(apart) and margin.holds(apart)


def _answers(session: Session, pipeline: TextBatches, text: str) -> Sequence[np.ndarray]:
    found = session.run(pipeline([text], session.inputs))
    return [np.array(found[spec.name]) for spec in session.outputs]
