"""The field's judge of batches: it knows another's answer from one's own, and finds nothing where nothing is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from field.batched import Untried, differences
from serving.alone import AloneTraffic, asked_of
from serving.client import Reply, Tally
from serving.coupled import COUPLED, INDEPENDENT, write_graph


def reply_of(outputs: dict[str, np.ndarray]) -> Reply:
    words = {"f": "FP32", "i": "INT64"}
    said = [
        {"name": n, "shape": list(a.shape), "datatype": words[a.dtype.kind], "parameters": {"binary_data_size": a.nbytes}}
        for n, a in outputs.items()
    ]  # fmt: skip
    head = json.dumps({"outputs": said}).encode()
    body = head + b"".join(a.tobytes() for a in outputs.values())
    return Reply(status=200, body=body, json_bytes=len(head), closes=False)


@pytest.mark.parametrize("name", ["best-of-row", "ranked", "flattened"])
def test_another_s_answer_is_wrong_and_one_s_own_is_right(tmp_path: Path, name: str) -> None:
    asked = asked_of(write_graph(name, tmp_path), name, 24)
    traffic = AloneTraffic(Tally(), asked)
    for k, one in enumerate(asked):
        assert traffic.check(one, reply_of(dict(one.want)))
        other = asked[(k + 1) % len(asked)]
        assert not traffic.check(one, reply_of(dict(other.want)))
    assert (traffic.tally.right, traffic.tally.wrong) == (24, 24)
    assert name in traffic.tally.examples[0]


def test_a_row_more_a_row_less_and_a_small_change_are_wrong(tmp_path: Path) -> None:
    one, *_ = asked_of(write_graph("rows", tmp_path), "rows", 3)
    traffic = AloneTraffic(Tally(), [one])
    y = one.want["y"]
    for found in (np.concatenate([y, y]), y[:0], y * np.float32(1.01), np.where(y == y.max(), np.nan, y)):
        assert not traffic.check(one, reply_of({"y": found.astype(np.float32)}))
    assert not traffic.check(one, Reply(status=500, body=b"{}", json_bytes=0, closes=False))
    assert traffic.check(one, reply_of({"y": y * np.float32(1 + 1e-6)}))
    assert (traffic.tally.wrong, traffic.tally.failed) == (4, 1)


def test_there_are_enough_kinds_and_each_mixes_what_is_put_together(tmp_path: Path) -> None:
    """A kind that could be put together after all would be no test of anything."""
    from farthing.plugins import find

    assert len(COUPLED) >= 8
    for name in COUPLED:
        path = write_graph(name, tmp_path)
        session = find("engines", "onnxruntime").load(path, precision="fp32", threads=1, device="cpu", options={})
        rng = np.random.default_rng(0)
        feeds = [
            {s.name: rng.uniform(-1, 1, [5 if d is None else d for d in (1, *s.shape[1:])]).astype(np.float32)
             for s in session.inputs}
            for _ in range(5)
        ]  # fmt: skip
        alone = [session.run(f)["y"] for f in feeds]
        together = session.run({n: np.concatenate([f[n] for f in feeds]) for n in feeds[0]})["y"]
        rows = np.concatenate(alone) if len({a.shape[1:] for a in alone}) == 1 else together[:0]
        same = len(rows) == len(feeds) and rows.shape == together.shape and np.allclose(rows, together, rtol=1e-3)
        assert not same, name
    assert set(INDEPENDENT).isdisjoint(COUPLED)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["detector", "sequence-first", "two-inputs"])
def test_nothing_differs_as_farthing_serves_it(tmp_path: Path, name: str) -> None:
    assert differences(write_graph(name, tmp_path)) == []


def test_a_file_that_is_no_model_is_not_tried(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(Untried):
        differences(tmp_path / "model.onnx")
