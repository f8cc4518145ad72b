"""Whether a model's requests are answered by ``farthing serve`` as each would be alone, however many come at once.

    python benchmarks/field/batched.py MODEL.onnx …

A file is asked tensors, and held against ONNX Runtime in this process; one that lies beside a tokenizer or an image
processor is asked texts or images too, first one after the other, then all at once. What is printed differs.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from farthing.load.serve.models import served_models
from farthing.models.arithmetic import arithmetic_of
from farthing.models.batch_check import MARGINS
from farthing.models.onnx_files import input_specs
from farthing.nouns import LocalModel
from farthing.pipelines.made_up import random_images, random_texts
from serving.alone import AloneTraffic, Asked, Untried, asked_of, outputs_of, payload_request
from serving.client import Connection, Tally, saturate
from serving.farthing_server import Farthing, farthing

__all__ = ["Untried", "differences"]

CONNECTIONS, REQUESTS, DISTINCT = 24, 600, 24
LARGEST = 16


def differences(model_file: Path) -> list[str]:
    """What differs between requests served at once and each alone; empty when nothing does.

    Args:
        model_file: An ONNX file; settings beside it say whether texts or images are asked too.

    Raises:
        Untried: when nothing could be asked, with the reason.
    """
    found: list[str] = []
    untried = []
    with tempfile.TemporaryDirectory(prefix="farthing-batched-") as name:
        for inline in ("never", "auto"):
            for attempt in (_tensors, _payloads):
                try:
                    found += [f"{attempt.__name__[1:]}, inline {inline}: {said}" for said in
                              attempt(model_file, Path(name) / inline / attempt.__name__, inline)]  # fmt: skip
                except Untried as e:
                    untried.append(str(e))
    if len(untried) == 4:
        raise Untried(untried[0])
    return found


def _tensors(model_file: Path, folder: Path, inline: str) -> list[str]:
    """Tensors at once, held against ONNX Runtime's answers to each alone."""
    asked = asked_of(model_file, "subject", DISTINCT)
    with _served(model_file, folder, inline) as server:
        return _at_once(server, asked, model_file)


def _payloads(model_file: Path, folder: Path, inline: str) -> list[str]:
    """Texts or images at once, held against the server's own answers to each alone."""
    home = model_file.parent.parent if model_file.parent.name == "onnx" else model_file.parent
    model = _with_pipeline(home)
    with _served(home, folder, inline) as server:
        asked = uvloop.run(_one_by_one(server, _made_up(model)))
        return _at_once(server, asked, model_file)


def _with_pipeline(home: Path) -> LocalModel:
    try:
        (model,) = served_models([home], cores=1, check=lambda artefact, root: root / artefact.path)
    except Exception as e:  # whatever is wrong with the settings: another case finds it
        raise Untried(f"its settings cannot be read: {type(e).__name__}: {str(e).splitlines()[0]}") from e
    if model.pipeline.kind == "tensor":
        raise Untried("it has no pipeline")
    return model


def _made_up(model: LocalModel) -> list[bytes]:
    import onnx

    rng, spec = np.random.default_rng(1), model.pipeline
    if spec.kind == "text":
        payloads: Sequence[Any] = random_texts(spec, DISTINCT, rng)
    else:
        inputs = input_specs(onnx.load(model.path, load_external_data=False))
        payloads = random_images(spec, inputs, DISTINCT, rng)
    return [payload_request("subject", spec.kind, payload) for payload in payloads]


@contextmanager
def _served(source: Path, folder: Path, inline: str) -> Iterator[Farthing]:
    entry = {"source": str(source.resolve()), "name": "subject", "max_batch": LARGEST, "instances": 1, "threads": 1}
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        try:
            server = stack.enter_context(farthing(folder, [entry], inline=inline, cores=cores))
        except RuntimeError as e:
            raise Untried(f"farthing does not serve it: {str(e).strip().splitlines()[-1]}") from e
        yield server


async def _one_by_one(server: Farthing, requests: Sequence[bytes]) -> list[Asked]:
    connection = await Connection.open(server.port)
    found = []
    for request in requests:
        reply = await connection.ask(request)
        if reply.status != 200:
            raise Untried(f"alone: {reply.status} {reply.body[:200].decode(errors='replace')}")
        found.append(Asked(model="subject", request=request, want=outputs_of(reply)))
    connection.close()
    return found


def _at_once(server: Farthing, asked: Sequence[Asked], model_file: Path) -> list[str]:
    tally = Tally()
    traffic = AloneTraffic(tally, asked, MARGINS[arithmetic_of(model_file, "fp32")])
    go_on = lambda: tally.right + tally.wrong + tally.failed < REQUESTS  # noqa: E731
    uvloop.run(saturate(traffic, lambda: server.port, connections=CONNECTIONS, go_on=go_on))
    if tally.wrong + tally.failed == 0:
        return []
    return [f"{tally.wrong} of {REQUESTS} answered wrong, {tally.failed} failed: {'; '.join(tally.examples)}"]


def main() -> None:
    for name in sys.argv[1:]:
        try:
            for said in differences(Path(name)):
                print(f"{name}: {said}")
        except Untried as e:
            print(f"{name}: not tried: {e}", file=sys.stderr)


if __name__ == "__main__":
    main()
