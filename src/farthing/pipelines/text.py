"""Texts to token tensors with a Hugging Face ``tokenizer.json``: cut, padded to the batch's longest only."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from farthing.errors import DataError, InputError
from farthing.models.tokenizer_files import open_tokenizer
from farthing.nouns import PipelineSpec, TensorSpec
from farthing.pipelines.inputs import chosen_inputs, describe, numpy_dtype

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

__all__ = ["TextBatches", "TextPipeline"]

_ROLES = ("input_ids", "attention_mask", "token_type_ids")
_MOST_KEPT, _LONGEST_KEPT = 256, 1024
_PAD_TOKENS = ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>")


class TextPipeline:
    """Opens text pipelines."""

    def open(self, spec: PipelineSpec) -> TextBatches:
        """Make a pipeline ready for batches; tokenising stays on the calling thread.

        Raises:
            InputError: when the tokenizers package is not installed.
            DataError: when the tokenizer file is missing or unreadable.
        """
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            import tokenizers  # noqa: F401  (the classes below import it when they are used)
        except ImportError as e:
            raise InputError("texts need the package tokenizers", hint="pip install 'farthing[text]'") from e
        path = Path(str(spec.tokenizer))
        if not path.is_file():
            raise DataError(f"there is no tokenizer {path}", hint="inputs.tokenizer names a tokenizer.json")
        try:
            tokenizer = open_tokenizer(path, spec.tokenizer_settings)
        except Exception as e:  # the library raises bare Exception
            raise DataError(f"{path} is no readable tokenizer.json: {e}") from e
        return TextBatches(spec, tokenizer)


class TextBatches:
    """Turns texts into the tensors that the model asks for.

    Args:
        spec: How.
        tokenizer: Opened; its own sides and padding token hold where the spec names none, its lengths are replaced.

    Attributes:
        kept: Tokens of short texts that were cut last, up to 256. Servers set it, the same one for all pipelines in one
            process that cut alike, so that a text that several models are asked about is cut once; else None, and
            nothing is kept.
        few_lengths: Whether batches are padded to few different lengths (eight an octave) instead of to their longest
            text: for engines that compile for each shape, where it was shown to change no answer.
    """

    def __init__(self, spec: PipelineSpec, tokenizer: Tokenizer) -> None:
        self.spec = spec
        self.kept: dict[str, Encoding] | None = None
        self.few_lengths = False
        padding, truncation = tokenizer.padding or {}, tokenizer.truncation or {}
        self._pad_id = _pad_id(tokenizer, spec.pad_token, padding)
        self._left = (spec.padding_side or padding.get("direction")) == "left"
        tokenizer.no_padding()
        side = spec.truncation_side or truncation.get("direction") or "right"
        tokenizer.enable_truncation(spec.max_length, direction=side)
        self._tokenizer = tokenizer

    @property
    def may_pad(self) -> bool:
        """Whether rows may be longer than their texts: with padding on the right."""
        return not self._left

    def is_padded(self, text: str) -> bool:
        """Whether few lengths would make a text longer than it is.

        Args:
            text: Any.
        """
        length = len(self._encode([text])[0])
        return self._few(length) > length

    def lengths(self, payloads: Sequence[Any]) -> list[int] | None:
        """Tokens of each text after cutting, or None when texts are not grouped.

        Nothing is kept: a batch tokenises its texts again, so that whoever times batches alone counts the work of
        tokenising each text once, as a server does that groups what it has tokenised. (Characters would cost
        nothing but group badly: on CLINC's questions they leave 28 % padding where tokens leave 2 %.)

        Raises:
            DataError: when a payload is no text or over the byte limit.
        """
        if not self.spec.group_by_length:
            return None
        return [len(encoding) for encoding in self._encode(payloads)]

    def __call__(self, payloads: Sequence[Any], inputs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
        """Tokenise and pad one batch.

        Args:
            payloads: Texts.
            inputs: The model's inputs, filled by name (``input_ids``, ``attention_mask``, ``token_type_ids``), or in
                this order when the spec names them.

        Raises:
            DataError: when a payload is no text or over the byte limit, or the model asks for something else.
        """
        if not payloads:
            raise DataError("a batch without texts")
        roles = self._roles(inputs)
        encodings = self._encode(payloads)
        width = self._width(encodings, roles)
        return {spec.name: self._tensor(spec, role, encodings, width) for spec, role in roles}

    def _encode(self, texts: Sequence[Any]) -> list[Encoding]:
        limit = self.spec.max_payload_bytes
        for k, text in enumerate(texts):
            if not isinstance(text, str):
                raise DataError(f"text {k} of the batch is {type(text).__name__}, not a text")
            if len(text) > limit or (4 * len(text) > limit and len(text.encode("utf-8", "replace")) > limit):
                raise DataError(f"text {k} of the batch has {len(text):,} characters; the limit is {limit:,} bytes")
        if self.kept is not None:
            return self._remembered(texts, self.kept)
        cut: list[Encoding] = self._tokenizer.encode_batch_fast(list(texts))
        return cut

    def _remembered(self, texts: Sequence[str], kept: dict[str, Encoding]) -> list[Encoding]:
        """Tokens of texts, those that are kept and others; another thread may do the same."""
        known = [kept.get(text) for text in texts]
        new = [text for text, encoding in zip(texts, known) if encoding is None]
        if not new:
            return [encoding for encoding in known if encoding is not None]
        cut: list[Encoding] = self._tokenizer.encode_batch_fast(new)
        if len(kept) + len(new) > _MOST_KEPT:
            kept.clear()
        kept.update((text, encoding) for text, encoding in zip(new, cut) if len(text) <= _LONGEST_KEPT)
        rest = iter(cut)
        return [next(rest) if encoding is None else encoding for encoding in known]

    def _roles(self, inputs: Sequence[TensorSpec]) -> list[tuple[TensorSpec, str]]:
        """Say what each input that is filled gets."""
        chosen = chosen_inputs(inputs, self.spec.input_names)
        if len(chosen) == 1:
            return [(chosen[0], "input_ids")]
        by_name = all(spec.name in _ROLES for spec in chosen)
        if not by_name and (not self.spec.input_names or len(chosen) > len(_ROLES)):
            said = ", ".join(describe(spec) for spec in chosen)
            raise DataError(
                f"the model has the inputs {said}; a text fills {', '.join(_ROLES)}",
                hint="inputs.input_names names the model's inputs in this order",
            )
        return [(spec, spec.name if by_name else role) for spec, role in zip(chosen, _ROLES)]

    def _width(self, encodings: Sequence[Encoding], roles: Sequence[tuple[TensorSpec, str]]) -> int:
        """Tokens of each row: the longest (or one of few lengths above it), or what the model fixes."""
        longest = max(1, *(len(encoding) for encoding in encodings))
        fixed = {spec.shape[1] for spec, _ in roles if len(spec.shape) == 2 and spec.shape[1] is not None}
        if not fixed:
            masked = any(role == "attention_mask" for _, role in roles)
            return self._few(longest) if self.few_lengths and masked else longest
        width = min(w for w in fixed if w is not None)
        if longest > width:
            raise DataError(
                f"a text has {longest:,} tokens, the model takes {width:,}", hint=f"inputs.max_length: {width}"
            )
        return width

    def _few(self, length: int) -> int:
        """The least of eight lengths an octave that is not below one, within what texts are cut to."""
        step = 1 << max(0, length.bit_length() - 4)
        return min(-(-length // step) * step, max(length, self.spec.max_length))

    def _tensor(self, spec: TensorSpec, role: str, encodings: Sequence[Encoding], width: int) -> NDArray[Any]:
        batch = np.full((len(encodings), width), self._pad_id if role == "input_ids" else 0, dtype=numpy_dtype(spec))
        for row, encoding in zip(batch, encodings, strict=True):
            n = len(encoding)
            own = row[width - n :] if self._left else row[:n]
            if role == "attention_mask":
                own[:] = 1
            else:
                own[:] = encoding.ids if role == "input_ids" else encoding.type_ids
        return batch


def _pad_id(tokenizer: Tokenizer, token: str | None, padding: Mapping[str, Any]) -> int:
    """Id of the padding token: of the one that is named, else tokenizer.json's, else a usual one.

    It is 0 when there is none, since the attention mask hides it.

    Raises:
        DataError: when the token that is named is none of the tokenizer's.
    """
    if token is not None:
        named = tokenizer.token_to_id(token)
        if named is None:
            raise DataError(
                f"the padding token {token!r} is none of the tokenizer's", hint="inputs.pad_token names one"
            )
        return int(named)
    own = tokenizer.token_to_id(str(padding.get("pad_token")))
    if own is not None or padding:
        return int(padding["pad_id"] if own is None else own)
    found = (tokenizer.token_to_id(usual) for usual in _PAD_TOKENS)
    return next((int(k) for k in found if k is not None), 0)
