"""The cheap tiers: sums of static vectors, learned from the large one's answers.

``Words`` adds up a row of class scores a token: what TF-IDF and a linear classifier come to, weights folded in.
``Static`` adds up vectors of meaning, one a token and one a pair of neighbours, and puts one hidden layer on top. Both
run as a handful of ONNX operators.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from large import MAX_LENGTH, Encoded, batches, padded
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

__all__ = ["Static", "Student", "Words", "accuracy", "distil", "export", "student_logits", "student_tokenizer"]

PAIRS = 32_768
"""Rows for pairs of tokens; a pair's row is found by hashing, so that some share one."""
FACTOR = 7919
WIDTH, HIDDEN = 192, 384
BATCH = 256
OPSET = 17

Nodes = list[onnx.NodeProto]
Arrays = dict[str, np.ndarray]


def student_tokenizer(source: Path, max_length: int = MAX_LENGTH) -> Tokenizer:
    """MiniLM's vocabulary without what its encoder needs: no special tokens around, nothing but lower case before."""
    plain = json.loads(source.read_text())
    plain |= {"normalizer": {"type": "Lowercase"}, "post_processor": None, "padding": None, "truncation": None}
    tokenizer = Tokenizer.from_str(json.dumps(plain))
    tokenizer.enable_truncation(max_length)
    return tokenizer


class Student(torch.nn.Module):
    """Token ids of shape (n, length), 0 where padded, to the sum of their rows of a table.

    Args:
        table: Shape (rows, width).
    """

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        table[0] = 0
        self.table = torch.nn.Embedding.from_pretrained(table, freeze=False, padding_idx=0)

    def rows(self, ids: torch.Tensor) -> torch.Tensor:
        """Places in the table."""
        return ids

    def summed(self, ids: torch.Tensor) -> torch.Tensor:
        """The sum, shape (n, width)."""
        return self.table(self.rows(ids)).sum(1)

    def nodes(self) -> tuple[Nodes, Arrays]:
        """The same and all above it in ONNX, from ``input_ids`` to ``logits``, and its arrays."""
        raise NotImplementedError


class Words(Student):
    """Sum of class scores."""

    def __init__(self, tokens: int, intents: int) -> None:
        super().__init__(torch.zeros(tokens, intents))
        self.bias = torch.nn.Parameter(torch.zeros(intents))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.summed(ids) + self.bias

    def nodes(self) -> tuple[Nodes, Arrays]:
        nodes, arrays = looked_up(self, "input_ids")
        return [*nodes, helper.make_node("Add", ["sum", "bias"], ["logits"])], arrays | {"bias": array(self.bias)}


class Static(Student):
    """Sum of static vectors of tokens and pairs, scaled, then one hidden layer.

    Args:
        embedding: Of the tokens in the large tier, shape (tokens, dimensions): its main directions are the start.
        intents: Number of classes.
    """

    def __init__(self, embedding: np.ndarray, intents: int) -> None:
        left, scale, _ = np.linalg.svd(embedding - embedding.mean(0), full_matrices=False)
        start = torch.from_numpy((left[:, :WIDTH] * scale[:WIDTH]).astype(np.float32))
        super().__init__(torch.cat([0.1 * start / start.std(), 0.01 * torch.randn(PAIRS, WIDTH)]))
        self.tokens = len(embedding)
        self.scale = torch.nn.LayerNorm(WIDTH)
        self.hidden = torch.nn.Linear(WIDTH, HIDDEN)
        self.head = torch.nn.Linear(HIDDEN, intents)
        self.drop = torch.nn.Dropout(0.1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.hidden(self.drop(self.scale(self.summed(ids)))).relu()
        return self.head(self.drop(hidden))

    def rows(self, ids: torch.Tensor) -> torch.Tensor:
        """Those of the tokens, then those of the pairs by hash, shape (n, 2 · length − 1)."""
        first, second = ids[:, :-1], ids[:, 1:]
        pairs = (self.tokens + (first * FACTOR + second) % PAIRS) * second.sign()
        return torch.cat([ids, pairs], dim=1)

    def nodes(self) -> tuple[Nodes, Arrays]:
        nodes, arrays = paired(self.tokens)
        more, table = looked_up(self, "rows")
        nodes += [
            *more,
            helper.make_node("LayerNormalization", ["sum", "gain", "shift"], ["scaled"], axis=-1),
            helper.make_node("Gemm", ["scaled", "hidden.w", "hidden.b"], ["hidden"], transB=1),
            helper.make_node("Relu", ["hidden"], ["active"]),
            helper.make_node("Gemm", ["active", "head.w", "head.b"], ["logits"], transB=1),
        ]
        arrays |= table | {"gain": array(self.scale.weight), "shift": array(self.scale.bias)}
        for name, layer in (("hidden", self.hidden), ("head", self.head)):
            arrays |= {f"{name}.w": array(layer.weight), f"{name}.b": array(layer.bias)}
        return nodes, arrays


def distil(student: Student, ids: Encoded, teacher: torch.Tensor, *, epochs: int, rate: float, seed: int) -> Student:
    """Fit a student to the large tier's probabilities (Kullback-Leibler divergence).

    Args:
        student: Changed in place.
        ids: Questions as the student's tokenizer splits them.
        teacher: Logits, shape (n, intents).
        epochs: Passes over all of them.
        rate: Highest learning rate.
        seed: Of the order and of dropout.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    lengths = np.array([len(row) for row in ids])
    all_ids, _ = padded(ids)
    wanted = teacher.log_softmax(1)
    optimiser = torch.optim.AdamW(student.parameters(), weight_decay=0.0, fused=True)
    steps = epochs * math.ceil(len(ids) / BATCH) + 1
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=steps, pct_start=0.1)
    student.train()
    for _ in range(epochs):
        for rows in batches(lengths, BATCH, rng):
            said = student(all_ids[rows, : lengths[rows].max()]).log_softmax(1)
            loss = torch.nn.functional.kl_div(said, wanted[rows], log_target=True, reduction="batchmean")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    return student.eval()


def student_logits(student: Student, ids: Encoded) -> torch.Tensor:
    """Its answers, shape (n, intents)."""
    with torch.inference_mode():
        return torch.cat([student(padded(ids[k : k + BATCH])[0]) for k in range(0, len(ids), BATCH)])


def export(
    student: Student, tokenizer: Tokenizer, intents: Sequence[str], folder: Path, max_length: int = MAX_LENGTH
) -> None:
    """A model folder that farthing serves: ``model.onnx``, ``tokenizer.json``, ``config.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes, arrays = student.nodes()
    graph = helper.make_graph(
        nodes,
        type(student).__name__.lower(),
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(intents)])],
        [numpy_helper.from_array(a, name) for name, a in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")
    tokenizer.save(str(folder / "tokenizer.json"))
    labels = {"id2label": {str(k): name for k, name in enumerate(intents)}, "max_position_embeddings": max_length}
    (folder / "config.json").write_text(json.dumps(labels, indent=1))


def paired(tokens: int) -> tuple[Nodes, Arrays]:
    """From ``input_ids`` to ``rows``, as :meth:`Static.rows` has it."""
    nodes = [
        helper.make_node("Slice", ["input_ids", "zero", "last", "one"], ["first"]),
        helper.make_node("Slice", ["input_ids", "one", "end", "one"], ["second"]),
        helper.make_node("Mul", ["first", "factor"], ["spread"]),
        helper.make_node("Add", ["spread", "second"], ["joined"]),
        helper.make_node("Mod", ["joined", "pairs"], ["hashed"]),
        helper.make_node("Add", ["hashed", "tokens"], ["shifted"]),
        helper.make_node("Sign", ["second"], ["real"]),
        helper.make_node("Mul", ["shifted", "real"], ["pair_rows"]),
        helper.make_node("Concat", ["input_ids", "pair_rows"], ["rows"], axis=1),
    ]
    numbers = {"zero": [0], "one": [1], "last": [-1], "end": [sys.maxsize]}
    singles = {"factor": FACTOR, "pairs": PAIRS, "tokens": tokens}
    return nodes, {name: np.array(value, dtype=np.int64) for name, value in (numbers | singles).items()}


def looked_up(student: Student, rows: str) -> tuple[Nodes, Arrays]:
    """From places in the table to ``sum``."""
    nodes = [
        helper.make_node("Gather", ["table", rows], ["vectors"]),
        helper.make_node("ReduceSum", ["vectors", "axis"], ["sum"], keepdims=0),
    ]
    return nodes, {"table": array(student.table.weight), "axis": np.array([1], dtype=np.int64)}


def array(weight: torch.Tensor) -> np.ndarray:
    """Its numbers."""
    return weight.detach().numpy()


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of right answers."""
    return float((logits.argmax(1) == labels).float().mean())
