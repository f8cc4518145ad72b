"""Whether a model folder's pixels and tokens are those that ``transformers`` makes of it."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from farthing.errors import FarthingError
from farthing.load.workload.image_processors import image_settings
from farthing.load.workload.tokenizer_settings import text_settings
from farthing.nouns import PipelineSpec, TensorSpec
from farthing.pipelines.image import ImagePipeline
from farthing.pipelines.text import TextPipeline

__all__ = ["Comparison", "compared_pixels", "compared_tokens"]

_SIZES = ((33, 28), (28, 33), (24, 24), (17, 41), (200, 31), (640, 480), (500, 375))
_PIXELS = (TensorSpec(name="pixel_values", dtype="float32", shape=(None, None, None, None)),)
_TOKENS = tuple(
    TensorSpec(name=name, dtype="int64", shape=(None, None))
    for name in ("input_ids", "attention_mask", "token_type_ids")
)
_ODD_TEXTS = (
    "",
    "  two  blanks,\ttabs\nand lines\r\n ",
    "Crème brûlée, NAÏVE façade — Ångström; don't, can't! (1,000.50 €)",
    "日本語 and 中文, ﬁne № ½ 👩\u200d👩\u200d👧 \u00ad\u200b",
    "mid[MASK]dle <mask> [PAD] <pad> </s> [SEP] [CLS] <s> <unk> [UNK] end",
)
_NO_BOUND = 10**6


@dataclass(slots=True)
class Comparison:
    """What came of one folder.

    Attributes:
        tried: Images or texts that were compared.
        differences: What differs, in words.
        refused: Why farthing does not follow the folder, None when it does.
        untold: Why there is no truth to compare with, None when there is.
        notes: What else should be known.
    """

    tried: int = 0
    differences: list[str] = field(default_factory=list)
    refused: str | None = None
    untold: str | None = None
    notes: list[str] = field(default_factory=list)


def compared_pixels(folder: Path) -> Comparison:
    """Compare the pixels of made-up image files of several sizes, modes and formats."""
    from transformers import AutoImageProcessor

    found = Comparison()
    processor = _loaded(found, partial(AutoImageProcessor.from_pretrained, str(folder), backend="pil"))
    try:
        pipeline = ImagePipeline().open(PipelineSpec(kind="image", **image_settings(folder)))
    except FarthingError as e:
        found.refused = str(e).splitlines()[0]
    if found.refused or found.untold:
        return found
    with tempfile.TemporaryDirectory(prefix="farthing-pixels-") as scratch:
        file = Path(scratch) / "image"
        for name, payload in _pictures():
            file.write_bytes(payload)
            ours = partial(_made, pipeline, [payload], _PIXELS, "pixel_values")
            _compare(found, name, partial(_pixels, processor, file), ours)
    return found


def _loaded(found: Comparison, load: Callable[..., Any]) -> Any:
    """What transformers makes of a folder, None with the reason where it makes nothing."""
    try:
        return load(local_files_only=True)
    except Exception as e:  # noqa: BLE001  (whatever a folder of someone else's provokes)
        found.untold = _words(e)
        return None


def _pixels(processor: Any, file: Path) -> np.ndarray:
    return np.asarray(processor(str(file), return_tensors="np")["pixel_values"])


def _made(pipeline: Any, payloads: list[Any], inputs: tuple[TensorSpec, ...], name: str) -> np.ndarray:
    return np.asarray(pipeline(payloads, inputs)[name])


def _compare(found: Comparison, name: str, theirs: Callable[[], np.ndarray], ours: Callable[[], np.ndarray]) -> None:
    """Compare one array; what only one of the two makes is a difference, what neither makes is not counted."""
    try:
        want = theirs()
    except Exception as e:  # noqa: BLE001  (likewise)
        found.notes.append(f"{name}: transformers cannot ({_words(e)})")
        return
    found.tried += 1
    try:
        said = _difference(ours(), want)
    except FarthingError as e:
        said = f"farthing refuses it ({str(e).splitlines()[0]}), transformers does not"
    if said:
        found.differences.append(f"{name}: {said}")


def _difference(have: np.ndarray, want: np.ndarray) -> str:
    if have.shape != want.shape:
        return f"shape {have.shape}, transformers has {want.shape}"
    if np.array_equal(have, want):
        return ""
    unlike = have != want
    largest = np.abs(have.astype(np.float64) - want.astype(np.float64)).max()
    return f"{int(unlike.sum())} of {want.size} numbers differ, by at most {largest:.3g}"


def _pictures() -> Iterator[tuple[str, bytes]]:
    """Noise and gradients as encoded files, with what they are."""
    for width, height in _SIZES:
        yield f"PNG {width} × {height}", _encoded("RGB", width, height, "PNG")
    yield "JPEG 120 × 90", _encoded("RGB", 120, 90, "JPEG")
    yield "JPEG 120 × 90, turned by EXIF", _encoded("RGB", 120, 90, "JPEG", orientation=6)
    for mode, form in (("L", "PNG"), ("RGBA", "PNG"), ("CMYK", "JPEG")):
        yield f"{form} 60 × 47, {mode}", _encoded(mode, 60, 47, form)


def _encoded(mode: str, width: int, height: int, form: str, orientation: int | None = None) -> bytes:
    bands = len(Image.new(mode, (1, 1)).getbands())
    noise = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, bands))
    slope = np.linspace(0, 255, width)[None, :, None]
    image = Image.frombytes(mode, (width, height), ((noise + slope) / 2).astype(np.uint8).tobytes())
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, form, **({} if orientation is None else {"exif": exif}))
    return out.getvalue()


def compared_tokens(folder: Path) -> Comparison:
    """Compare the tokens of made-up texts, all in one batch and each alone."""
    from transformers import AutoTokenizer

    found, tokenizer = Comparison(), folder / "tokenizer.json"
    theirs = _loaded(found, partial(AutoTokenizer.from_pretrained, str(folder)))
    try:
        spec = PipelineSpec(kind="text", tokenizer=str(tokenizer), **text_settings(tokenizer, folder))
        pipeline = TextPipeline().open(spec)
    except FarthingError as e:
        found.refused = str(e).splitlines()[0]
    if found.refused or found.untold:
        return found
    bounded = theirs.model_max_length < _NO_BOUND
    if not bounded:
        found.notes.append(f"transformers cuts nowhere, farthing at {spec.max_length:,} tokens")
    texts = [*_ODD_TEXTS, *_texts_of(tokenizer, 3 * spec.max_length if bounded else spec.max_length // 4)]
    for name, batch in [("one batch", texts), *((f"text {k} alone", [text]) for k, text in enumerate(texts))]:
        for role in _TOKENS:
            ours = partial(_made, pipeline, batch, _TOKENS, role.name)
            _compare(found, f"{name}, {role.name}", partial(_tokens, theirs, batch, role.name), ours)
    return found


def _tokens(tokenizer: Any, texts: list[str], name: str) -> np.ndarray:
    made = tokenizer(texts, padding=True, truncation=True, return_tensors="np", return_token_type_ids=True)
    return np.asarray(made[name])


def _texts_of(tokenizer: Path, longest: int) -> list[str]:
    """Texts of the tokenizer's own words, short ones, one of about ``longest`` words, and one in capitals."""
    vocab = json.loads(tokenizer.read_text(encoding="utf-8")).get("model", {}).get("vocab", {})
    pieces = list(vocab) if isinstance(vocab, dict) else [entry[0] for entry in vocab]
    words = [piece.strip("▁Ġ").removeprefix("##") for piece in pieces]
    words = [word for word in words if word.isascii() and word.isalnum()] or ["a"]
    rng = np.random.default_rng(7)
    lengths = [1, 2, 5, 11, 23, min(longest, 2048)]
    texts = [" ".join(words[k] for k in rng.integers(0, len(words), n)) for n in lengths]
    return [*texts, texts[2].upper()]


def _words(e: Exception) -> str:
    return f"{type(e).__name__}: {' '.join(str(e).split())[:200]}"
