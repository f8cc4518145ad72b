"""Small real tiers that differ in how much they see: linear classifiers, with requests of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES, FEATURES = 4, 24
WORDS = tuple(f"w{k:02d}" for k in range(FEATURES))


def _weights() -> np.ndarray:
    scale = np.linspace(2.0, 0.25, FEATURES)[:, None]
    return np.random.default_rng(3).normal(size=(FEATURES, CLASSES)) * scale


def write_tier(
    path: Path, *, seen: int, classes: int = CLASSES, embedding: bool = False, ids: bool = False, nan: bool = False
) -> Path:
    """A classifier of ``x`` that sees the first features only; the fewer, the more often it is wrong."""
    weights = np.resize(_weights(), (FEATURES, classes)) if classes != CLASSES else _weights()
    weights = np.where(np.arange(FEATURES)[:, None] < seen, weights, 0.0).astype(np.float32)
    if nan:
        weights[0, 0] = np.nan
    nodes = [helper.make_node("MatMul", ["x", "w"], ["logits"])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])]
    if ids:
        nodes.append(helper.make_node("ArgMax", ["logits"], ["class"], axis=1, keepdims=0))
        outputs = [helper.make_tensor_value_info("class", TensorProto.INT64, ["n"])]
    if embedding:
        nodes.append(helper.make_node("Tanh", ["x"], ["embedding"]))
        outputs.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", FEATURES]))
    graph = helper.make_graph(
        nodes,
        "tier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", FEATURES])],
        outputs,
        [numpy_helper.from_array(weights, "w")],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def write_requests(path: Path, n: int, seed: int, *, labels: bool = True) -> Path:
    """Requests whose labels the tier that sees everything nearly always knows."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, FEATURES)).astype(np.float32)
    truth = (x @ _weights() + rng.gumbel(size=(n, CLASSES)) * 0.1).argmax(axis=1)
    np.savez(path, x=x, **({"labels": truth} if labels else {}))
    return path


def write_text_tier(folder: Path, *, seen: int) -> Path:
    """A bag of words with its tokenizer: the same weights, a row a word."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {"[PAD]": 0, "[UNK]": 1, **{word: k + 2 for k, word in enumerate(WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    rows = np.where(np.arange(FEATURES)[:, None] < seen, _weights(), 0.0).astype(np.float32)
    table = np.concatenate([np.zeros((2, CLASSES), np.float32), rows])
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
            helper.make_node("ReduceSum", ["rows", "axes"], ["logits"], keepdims=0),
        ],
        "words",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(table, "table"), helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    return folder


def texts_and_labels(n: int, seed: int) -> list[tuple[str, int]]:
    """Texts of a few words, labelled by the tier that knows them all."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        words = rng.choice(FEATURES, size=rng.integers(2, 9), replace=False)
        found.append((" ".join(WORDS[k] for k in words), int(_weights()[words].sum(axis=0).argmax())))
    return found
