"""Tokenizers as transformers' classes make them from ``tokenizer.json``: most build it anew from its vocabulary.

``PreTrainedTokenizerFast`` takes the file as it stands. ``BertTokenizer`` and its like keep only vocabulary, merges,
added tokens and a precompiled character map, and put normaliser, pre-tokeniser and special tokens in their own way
(transformers 5, ``TokenizersBackend.convert_to_native_format`` and each class's ``__init__``). So a ``do_lower_case``
in ``tokenizer_config.json`` counts, and what tokenizer.json says of it does not.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["AS_WRITTEN", "CLASSES", "TOKEN_NAMES", "TokenizerClass", "keep_or_bert", "text_of"]

AS_WRITTEN = "PreTrainedTokenizerFast"
"""The class that takes tokenizer.json as it stands."""
TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""Settings that name special tokens, in the order in which they are added."""
_SPACE = "▁"

Options = Mapping[str, Any]
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerClass:
    """How one of transformers' classes makes its tokenizer.

    Attributes:
        models: Types of ``tokenizer.json``'s model that it can read.
        options: Settings that it reads, with their defaults.
        tokens: Its special tokens, by setting.
        build: Model, normaliser and pre-tokeniser.
        finish: Puts the post-processor, once the special tokens have their ids.
        normalised: Whether special tokens that tokenizer.json does not list are looked for in normalised text.
        wide_mask: Whether such a mask token takes the blank before it along.
    """

    models: frozenset[str]
    options: Mapping[str, Any]
    tokens: Mapping[str, str]
    build: Callable[[Document, Options], Tokenizer]
    finish: Callable[[Tokenizer, Options], None]
    normalised: bool = False
    wide_mask: bool = False


def text_of(token: str | Mapping[str, Any]) -> str:
    """Text of a token that is given as a text, or with how it is matched."""
    return token if isinstance(token, str) else str(token["content"])


def _vocabulary(document: Document) -> dict[str, int]:
    vocab = document["model"]["vocab"]
    if isinstance(vocab, Mapping):
        return dict(vocab)
    return {token if isinstance(token, str) else token[0]: k for k, token in enumerate(vocab)}


def _scores(document: Document) -> list[tuple[str, float]]:
    return [(token, score) for token, score in document["model"]["vocab"]]


def _char_map(document: Document) -> bytes | None:
    """The precompiled SentencePiece character map of the normaliser, None without one."""
    normalizer = document.get("normalizer") or {}
    parts = normalizer["normalizers"] if normalizer.get("type") == "Sequence" else [normalizer]
    found = (part["precompiled_charsmap"] for part in parts if part.get("type") == "Precompiled")
    return next((base64.b64decode(text) for text in found), None)


def _word_piece(document: Document, options: Options) -> Tokenizer:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    made = Tokenizer(models.WordPiece(_vocabulary(document), unk_token=text_of(options["unk_token"])))
    made.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=options["tokenize_chinese_chars"],
        strip_accents=options["strip_accents"],
        lowercase=options["do_lower_case"],
    )
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def _byte_pairs(document: Document, options: Options) -> Tokenizer:
    from tokenizers import Tokenizer, models, pre_tokenizers

    pairs = (m.split(" ") if isinstance(m, str) else m for m in document["model"]["merges"])
    merges: list[Any] = [tuple(pair) for pair in pairs]
    made = Tokenizer(
        models.BPE(
            vocab=_vocabulary(document),
            merges=merges,
            continuing_subword_prefix="",
            end_of_word_suffix="",
            fuse_unk=False,
        )
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=options["add_prefix_space"])
    return made


def _unigram(document: Document, unk_id: int, normalizer: Any, *, prefixed: bool) -> Tokenizer:
    """A SentencePiece model on words between blanks."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.Unigram(_scores(document), unk_id=unk_id, byte_fallback=False))
    if normalizer is not None:
        made.normalizer = normalizer
    space = pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="always" if prefixed else "never")
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), space])
    return made


def _precompiled(document: Document) -> Any:
    from tokenizers import normalizers

    chars = _char_map(document)
    return None if chars is None else normalizers.Precompiled(chars)


def _t5(document: Document, _: Options) -> Tokenizer:
    return _unigram(document, 2, _precompiled(document), prefixed=True)


def _xlm_roberta(document: Document, options: Options) -> Tokenizer:
    return _unigram(document, 3, _precompiled(document), prefixed=options["add_prefix_space"])


def _camembert(document: Document, options: Options) -> Tokenizer:
    unknown = text_of(options["unk_token"])
    unk_id = next((k for k, (token, _) in enumerate(document["model"]["vocab"]) if token == unknown), 0)
    return _unigram(document, unk_id, _precompiled(document), prefixed=options["add_prefix_space"])


def _albert(document: Document, options: Options) -> Tokenizer:
    from tokenizers import normalizers

    steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not options["keep_accents"]:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if options["do_lower_case"]:
        steps.append(normalizers.Lowercase())
    precompiled = _precompiled(document)
    if precompiled is not None:
        steps.append(precompiled)
    return _unigram(document, 1, normalizers.Sequence(steps), prefixed=options["add_prefix_space"])


def _deberta_v2(document: Document, options: Options) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    scores = _scores(document)
    unknown = (text_of(options["unk_token"]), 0.0)
    unk_id = scores.index(unknown) if unknown in scores else options["unk_id"]
    made = Tokenizer(models.Unigram(scores, unk_id=unk_id, byte_fallback=False))
    steps: list[Any] = [normalizers.Lowercase()] if options["do_lower_case"] else []
    steps += [normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " "), normalizers.NFC()]
    made.normalizer = normalizers.Sequence([*steps, normalizers.Strip(left=False, right=True)])
    splits: list[Any] = [pre_tokenizers.Punctuation(behavior="isolated")] if options["split_by_punct"] else []
    scheme = "always" if options["add_prefix_space"] else "first"
    splits.append(pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme=scheme))
    made.pre_tokenizer = pre_tokenizers.Sequence(splits)
    return made


def _with_ids(made: Tokenizer, options: Options, *names: str) -> list[tuple[str, int]]:
    """Special tokens with their ids."""
    found = [text_of(options[name]) for name in names]
    return [(token, int(made.token_to_id(token) or 0)) for token in found]


def _template(made: Tokenizer, single: str, tokens: list[tuple[str, int]]) -> None:
    from tokenizers import processors

    made.post_processor = processors.TemplateProcessing(
        single=single, pair=f"{single} $B:1", special_tokens=list(dict(tokens).items())
    )


def _bert_ends(made: Tokenizer, options: Options) -> None:
    first, last = _with_ids(made, options, "cls_token", "sep_token")
    _template(made, f"{first[0]}:0 $A:0 {last[0]}:0", [first, last])


def keep_or_bert(made: Tokenizer, options: Options) -> None:
    """ALBERT's class keeps tokenizer.json's post-processor, and has its own where there is none."""
    if made.post_processor is None:
        _bert_ends(made, {**options, "cls_token": "[CLS]", "sep_token": "[SEP]"})


def _sentence_ends(made: Tokenizer, options: Options) -> None:
    first, last = _with_ids(made, options, "bos_token", "eos_token")
    _template(made, f"{first[0]}:0 $A:0 {last[0]}:0", [first, last])


def _t5_end(made: Tokenizer, options: Options) -> None:
    ((_, end),) = _with_ids(made, options, "eos_token")
    _template(made, "$A:0 </s>:0", [("</s>", end)])


def _roberta_ends(made: Tokenizer, options: Options) -> None:
    from tokenizers import processors

    last, first = _with_ids(made, options, "sep_token", "cls_token")
    made.post_processor = processors.RobertaProcessing(
        last, first, options.get("trim_offsets", True), options.get("add_prefix_space", False)
    )


_BRACKETS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_TAGS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
_LOWER = {"do_lower_case": True, "tokenize_chinese_chars": True, "strip_accents": None}
_WORDS, _UNIGRAM, _BPE = frozenset(("WordPiece", "WordLevel")), frozenset(("Unigram",)), frozenset(("BPE",))
_BERT = TokenizerClass(models=_WORDS, options=_LOWER, tokens=_BRACKETS, build=_word_piece, finish=_bert_ends)
_ROBERTA = TokenizerClass(
    models=_BPE,
    options={"add_prefix_space": False, "trim_offsets": True},
    tokens=_TAGS,
    build=_byte_pairs,
    finish=_roberta_ends,
)
CLASSES: Mapping[str, TokenizerClass] = {
    "AlbertTokenizer": TokenizerClass(
        models=_UNIGRAM,
        options={"do_lower_case": True, "keep_accents": False, "add_prefix_space": True},
        tokens={**_TAGS, "bos_token": "[CLS]", "eos_token": "[SEP]", "sep_token": "[SEP]", "cls_token": "[CLS]"}
        | {"mask_token": "[MASK]"},
        build=_albert,
        finish=keep_or_bert,
    ),
    "BertTokenizer": _BERT,
    "CamembertTokenizer": TokenizerClass(
        models=_UNIGRAM,
        options={
            "add_prefix_space": True,
            "extra_special_tokens": ("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"),
        },
        tokens=_TAGS,
        build=_camembert,
        finish=_sentence_ends,
        wide_mask=True,
    ),
    "DebertaTokenizer": TokenizerClass(
        models=_BPE,
        options={"add_prefix_space": False},
        tokens={**_BRACKETS, "bos_token": "[CLS]", "eos_token": "[SEP]"},
        build=_byte_pairs,
        finish=_bert_ends,
    ),
    "DebertaV2Tokenizer": TokenizerClass(
        models=_UNIGRAM,
        options={"do_lower_case": False, "split_by_punct": False, "add_prefix_space": True, "unk_id": 1},
        tokens={**_BRACKETS, "bos_token": "[CLS]", "eos_token": "[SEP]"},
        build=_deberta_v2,
        finish=_bert_ends,
    ),
    "DistilBertTokenizer": _BERT,
    "MPNetTokenizer": TokenizerClass(
        models=_WORDS,
        options=_LOWER,
        tokens={**_TAGS, "unk_token": "[UNK]"},
        build=_word_piece,
        finish=_roberta_ends,
        normalised=True,
        wide_mask=True,
    ),
    "RobertaTokenizer": _ROBERTA,
    "T5Tokenizer": TokenizerClass(
        models=_UNIGRAM,
        options={"extra_ids": 100},
        tokens={"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
        build=_t5,
        finish=_t5_end,
    ),
    "XLMRobertaTokenizer": TokenizerClass(
        models=_UNIGRAM,
        options={"add_prefix_space": True},
        tokens=_TAGS,
        build=_xlm_roberta,
        finish=_sentence_ends,
    ),
}
"""Classes that build their tokenizer anew; others take tokenizer.json as it stands, or are not followed."""
