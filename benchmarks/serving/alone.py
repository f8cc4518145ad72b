"""Traffic whose right answers are those of each request alone: whatever is put together must not be seen."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.errors import FarthingError
from farthing.machine.offline import muted
from farthing.models.batch_check import MARGINS, Margin, distances
from farthing.pipelines.made_up import GUESSES, random_tensors
from farthing.plugins import find
from farthing.wire.dtypes import datatype_of
from serving.client import MarkedTraffic, Reply, Tally, http_bytes
from serving.models import Post

__all__ = ["AloneTraffic", "Asked", "Tensors", "Untried", "asked_of", "outputs_of", "payload_request"]

Tensors = Mapping[str, NDArray[Any]]


class Untried(Exception):
    """No request could be made up for a model, or what it answers cannot be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request and its answer alone.

    Attributes:
        model: Who is asked.
        request: As it goes over the wire.
        want: Outputs by name.
    """

    model: str
    request: bytes
    want: Tensors


def asked_of(path: Path, model: str, n: int, seed: int = 0) -> list[Asked]:
    """Made-up requests for an ONNX file, answered alone by ONNX Runtime in this process.

    Raises:
        Untried: when the model takes none of them, or has types that do not travel as plain bytes.
    """
    try:
        engine = find("engines", "onnxruntime")
        session = engine.load(path, precision="fp32", threads=1, device="cpu", options={})
    except FarthingError as e:
        raise Untried(e.message) from e
    why = "it has no inputs"
    for guess in GUESSES:
        try:
            with muted():
                feeds = random_tensors(session.inputs, n, guess, np.random.default_rng(seed))
                answers = [session.run(one) for one in feeds]
        except Exception as e:  # noqa: BLE001 - whatever the engine raises: the next guess may fit
            why = str(e).splitlines()[0]
            continue
        arrays = [a for one in (*feeds, *answers) for a in one.values()]
        if not all(isinstance(a, np.ndarray) for a in arrays):
            raise Untried("an output is no tensor")
        if any(a.dtype.hasobject for a in arrays):
            raise Untried("texts do not travel as plain bytes")
        return [Asked(model=model, request=_request(model, f), want=a) for f, a in zip(feeds, answers, strict=True)]
    raise Untried(why)


def payload_request(model: str, kind: str, payload: bytes | str) -> bytes:
    """A text or an encoded image, answered with plain bytes."""
    value = payload if isinstance(payload, str) else base64.b64encode(payload).decode()
    inputs = [{"name": kind, "shape": [1], "datatype": "BYTES", "data": [value]}]
    body = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return http_bytes(Post(path=f"/v2/models/{model}/infer", body=body, content_type="application/json"))


def _request(model: str, feeds: Tensors) -> bytes:
    inputs = [
        {
            "name": name,
            "shape": list(array.shape),
            "datatype": datatype_of(array.dtype.name).name,
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in feeds.items()
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    body = head + b"".join(np.ascontiguousarray(array).tobytes() for array in feeds.values())
    path = f"/v2/models/{model}/infer"
    return http_bytes(Post(path=path, body=body, content_type="application/octet-stream", json_bytes=len(head)))


class AloneTraffic(MarkedTraffic):
    """Requests drawn from some whose answers alone are known; each answer is held against its own.

    Args:
        tally: What became of them.
        asked: The requests.
        margin: How far an answer may lie from the one alone.
        seed: Of the order.
    """

    def __init__(self, tally: Tally, asked: Sequence[Asked], margin: Margin = MARGINS["float"], seed: int = 0) -> None:
        super().__init__(tally, seed=seed)
        self._asked, self._margin = asked, margin

    def request(self) -> tuple[bytes, Any]:
        """The bytes to send and the answer that must come."""
        one = self._asked[int(self._rng.integers(len(self._asked)))]
        return one.request, one

    def check(self, marks: Any, reply: Reply) -> bool:
        """Count one answer; whether it is what the request gives alone."""
        if reply.status != 200:
            self.tally.statuses[reply.status] += 1
            self.tally.note(f"{marks.model}: {reply.status} {reply.body[:150]!r}")
            return False
        found = outputs_of(reply)
        why = _differs(marks.want, found, self._margin)
        if why is None:
            self.tally.right += 1
            return True
        self.tally.wrong += 1
        self.tally.note(f"{marks.model}: {why}")
        return False


def outputs_of(reply: Reply) -> dict[str, NDArray[Any]]:
    """Outputs of a reply in plain bytes, by name."""
    offset, found = reply.json_bytes, {}
    for output in json.loads(reply.body[: reply.json_bytes])["outputs"]:
        size = int(output["parameters"]["binary_data_size"])
        dtype = np.dtype(_WORDS[output["datatype"]])
        found[output["name"]] = np.frombuffer(reply.body[offset : offset + size], dtype).reshape(output["shape"])
        offset += size
    return found


_WORDS = {
    datatype_of(word).name: word
    for word in ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32",
                 "float64")
}  # fmt: skip


def _differs(want: Tensors, found: Tensors, margin: Margin) -> str | None:
    """What differs between two answers, None when nothing does beyond the margin."""
    for name, array in want.items():
        other = found.get(name)
        if other is None or other.shape != array.shape:
            return f"output {name}: shape {getattr(other, 'shape', None)}, alone {array.shape}"
        apart = float(distances([[array[None]]], [other[None]]).max())
        if apart > margin.most_frac:
            return f"output {name}: {apart:.2g} of its largest value from the answer alone"
    return None
