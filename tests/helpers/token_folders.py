"""Small tokenizers of each kind, with the settings that published models have beside them."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

__all__ = ["CONFIGS", "TEXTS", "write_tokenizer"]

TEXTS = [
    "Set an alarm for Tomorrow morning",
    "what is the weather in the city of Paris",
    "no",
    "AAA A paris pAris",
    "",
    "  two  blanks,\ttabs\nand lines\r\n ",
    "Crème brûlée, naïve façade — Ångström",
    "unaffable snow-white [MASK] <mask> [PAD] <pad> </s> [SEP] mid[CLS]dle <s>",
    "日本語 and 中文 mixed",
    "don't, can't! e.g. U.S.A. (1,000.50 €)",
    "ﬁne ﬂow № ½ ﾊﾝｶｸ 👩\u200d👩\u200d👧 \u00ad\u200b",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 3,
    "<extra_id_0> sentinel <extra_id_3> and <special> extra",
]
_CORPUS = [
    *TEXTS[:2],
    "don't stop the snow white alarm of paris",
    "tomorrow morning the weather is fine",
    *TEXTS[5:10],
] * 3
_BRACKETS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_TAGS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def _special(made: Tokenizer, tokens: list[str]) -> None:
    made.add_special_tokens(tokens)


def _ends(made: Tokenizer, first: str, last: str) -> None:
    made.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B:1 {last}:1",
        special_tokens=[(token, made.token_to_id(token)) for token in (first, last)],
    )


def _words(tokens: list[str], unknown: str, *, lowercase: bool = True) -> str:
    made = Tokenizer(models.WordPiece(unk_token=unknown))
    made.normalizer, made.pre_tokenizer = (
        normalizers.BertNormalizer(lowercase=lowercase),
        pre_tokenizers.BertPreTokenizer(),
    )
    trainer = trainers.WordPieceTrainer(vocab_size=220, special_tokens=tokens, show_progress=False)
    made.train_from_iterator(_CORPUS, trainer)
    _ends(made, "[CLS]" if "[CLS]" in tokens else "<s>", "[SEP]" if "[SEP]" in tokens else "</s>")
    return str(made.to_str())


def _byte_pairs(tokens: list[str], *, blank: bool = False) -> str:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=blank), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(_CORPUS, trainer)
    _ends(made, tokens[0], "[SEP]" if "[SEP]" in tokens else "</s>")
    return str(made.to_str())


def _char_map() -> dict[str, Any]:
    """A precompiled character map that makes ``A`` an ``a``: a double array of 256 units, then what they stand for.

    The unit at ``A`` bears its label and a leaf, whose place is ``A`` xor the unit's offset (darts-clone).
    """
    units = [0] * 256
    units[ord("A")] = ord("A") | 1 << 8 | (ord("A") ^ 200) << 10
    packed = struct.pack("<I256I", 4 * len(units), *units) + b"a\0"
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(packed).decode()}


def _pieces(tokens: list[str], unknown: str, *, charmap: bool = False, ends: tuple[str, str] | None = None) -> str:
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=tokens, unk_token=unknown, show_progress=False)
    made.train_from_iterator(_CORPUS, trainer)
    if ends is not None:
        _ends(made, *ends)
    document = json.loads(made.to_str())
    if charmap:
        document["normalizer"] = _char_map()
    return json.dumps(document)


@cache
def _document(kind: str) -> str:
    makers: dict[str, Callable[[], str]] = {
        "words": lambda: _words(_BRACKETS, "[UNK]"),
        "cased words": lambda: _words(_BRACKETS, "[UNK]", lowercase=False),
        "tagged words": lambda: _words([*_TAGS, "[UNK]"], "[UNK]"),
        "byte pairs": lambda: _byte_pairs(_TAGS),
        "bracketed byte pairs": lambda: _byte_pairs(["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]),
        "byte pairs, blank first": lambda: _byte_pairs(_TAGS, blank=True),
        "pieces": lambda: _pieces(_TAGS, "<unk>", ends=("<s>", "</s>")),
        "bracketed pieces": lambda: _pieces(_BRACKETS, "[UNK]", ends=("[CLS]", "[SEP]")),
        "T5 pieces": lambda: _pieces(["<pad>", "</s>", "<unk>"], "<unk>"),
        "mapped pieces": lambda: _pieces(_TAGS, "<unk>", charmap=True),
        "ALBERT pieces": lambda: _pieces(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], "<unk>", ends=("[CLS]", "[SEP]")),
        "CamemBERT pieces": lambda: _pieces(
            ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>", "<mask>"], "<unk>",
            ends=("<s>", "</s>"),
        ),
    }  # fmt: skip
    return makers[kind]()


def _of(kind: str, name: str | None, model_type: str = "", **settings: Any) -> dict[str, Any]:
    return {"kind": kind, "class": name, "model_type": model_type, **settings}


_LEFT = {"direction": "Left", "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]", "pad_to_multiple_of": None}
_ADDED = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
CONFIGS: dict[str, dict[str, Any]] = {
    "BERT": _of("words", "BertTokenizer", "bert", model_max_length=32),
    "BERT, fast class": _of("words", "BertTokenizerFast", "bert", model_max_length=32, do_lower_case=True),
    "BERT by its type alone": _of("words", None, "bert"),
    "BERT, cased by the settings": _of("words", "BertTokenizer", "bert", do_lower_case=False),
    "BERT, lower case by default": _of("cased words", "BertTokenizer", "bert"),
    "BERT, accents kept": _of("words", "BertTokenizer", "bert", strip_accents=False),
    "BERT, accents stripped but cased": _of("words", "BertTokenizer", "bert", do_lower_case=False, strip_accents=True),
    "BERT, Chinese in words": _of("words", "BertTokenizer", "bert", tokenize_chinese_chars=False),
    "BERT, left padding": _of("words", "BertTokenizer", "bert", model_max_length=32, padding_side="left"),
    "BERT, left truncation": _of("words", "BertTokenizer", "bert", model_max_length=9, truncation_side="left"),
    "BERT, both left": _of("words", "BertTokenizer", "bert", model_max_length=7, truncation_side="left", padding_side="left"),
    "BERT, sides of tokenizer.json": _of(
        "words", "BertTokenizer", "bert", model_max_length=8,
        document={"padding": {"strategy": "BatchLongest", **_LEFT},
                  "truncation": {"direction": "Left", "max_length": 5, "strategy": "LongestFirst", "stride": 0}},
    ),
    "BERT, other ends": _of("words", "BertTokenizer", "bert", cls_token="[SEP]", sep_token="[CLS]"),
    "BERT, added tokens": _of(
        "words", "BertTokenizer", "bert",
        added_tokens_decoder={"0": {"content": "[PAD]", **_ADDED}, "1": {"content": "[UNK]", **_ADDED},
                              "2": {"content": "[CLS]", **_ADDED}, "220": {"content": "<special>", **_ADDED}},
    ),
    "BERT, extra tokens": _of("words", "BertTokenizer", "bert", additional_special_tokens=["<special>", "snow"]),
    "BERT, a token of its own": _of("words", "BertTokenizer", "bert", image_token="<special>"),
    "BERT, added_tokens.json": _of(
        "words", "BertTokenizer", "bert", additional_special_tokens=["<special>"],
        added={"<special>": 220, "snow": 221, "[MASK]": 4},
    ),
    "as it stands, added_tokens.json": _of(
        "words", "PreTrainedTokenizerFast", "bert", pad_token="[PAD]", added={"weather": 220, "Paris": 221}
    ),
    "BERT, no added tokens": _of("words", "BertTokenizer", "bert", added_tokens_decoder={}),
    "BERT, tokens split": _of("words", "BertTokenizer", "bert", split_special_tokens=True),
    "BERT, special_tokens_map.json": _of(
        "words", "BertTokenizer", "bert",
        map={"sep_token": {"content": "[SEP]", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False},
             "cls_token": "[MASK]"},
    ),
    "DistilBERT": _of("words", "DistilBertTokenizer", "distilbert", do_lower_case=False),
    "a class nobody knows": _of("cased words", "SomeonesTokenizer", "bert", pad_token="[PAD]"),
    "Longformer": _of("byte pairs", "LongformerTokenizer", "longformer"),
    "ELECTRA": _of("cased words", "ElectraTokenizer", "electra"),
    "MobileBERT": _of("cased words", "MobileBertTokenizer", "mobilebert"),
    "as it stands": _of("cased words", "PreTrainedTokenizerFast", "bert", pad_token="[PAD]", do_lower_case=True),
    "as it stands, left": _of(
        "words", "PreTrainedTokenizerFast", "bert", model_max_length=9, padding_side="left", truncation_side="left",
        pad_token="[MASK]", unk_token="[UNK]",
    ),
    "as it stands, padding of tokenizer.json": _of(
        "words", "PreTrainedTokenizerFast", "", model_max_length=16,
        document={"padding": {"strategy": {"Fixed": 40}, **_LEFT, "pad_to_multiple_of": 8}},
    ),
    "as it stands, no tokens listed": _of(
        "words", "PreTrainedTokenizerFast", "bert", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        document={"added_tokens": []},
    ),
    "as it stands, extra tokens": _of(
        "words", "PreTrainedTokenizerFast", "bert", pad_token="[PAD]", extra_special_tokens=["<special>", "snow"]
    ),
    "as it stands, a pad token of its own": _of("words", "PreTrainedTokenizerFast", "bert", pad_token="<fill>"),
    "ModernBERT": _of("byte pairs", "PreTrainedTokenizerFast", "modernbert", pad_token="<pad>", model_max_length=20),
    "Nystromformer takes no class": _of("pieces", "AlbertTokenizer", "nystromformer", pad_token="<pad>"),
    "RoBERTa": _of("byte pairs", "RobertaTokenizer", "roberta", model_max_length=20),
    "RoBERTa, blank first": _of("byte pairs", "RobertaTokenizer", "roberta", add_prefix_space=True),
    "RoBERTa, no blank by default": _of("byte pairs, blank first", "RobertaTokenizerFast", "roberta"),
    "RoBERTa, untrimmed": _of("byte pairs", "RobertaTokenizer", "roberta", trim_offsets=False, model_max_length=11),
    "BART": _of("byte pairs", "BartTokenizer", "bart", truncation_side="left", model_max_length=11),
    "DeBERTa": _of("bracketed byte pairs", "DebertaTokenizer", "deberta", model_max_length=20),
    "DeBERTa, blank first": _of("bracketed byte pairs", "DebertaTokenizer", "deberta", add_prefix_space=True),
    "DeBERTa v2": _of("bracketed pieces", "DebertaV2Tokenizer", "deberta-v2", model_max_length=20),
    "DeBERTa v2, lower case and punctuation": _of(
        "bracketed pieces", "DebertaV2Tokenizer", "deberta-v2", do_lower_case=True, split_by_punct=True
    ),
    "DeBERTa v2, no blank": _of("bracketed pieces", "DebertaV2Tokenizer", "deberta-v2", add_prefix_space=False),
    "MPNet": _of("tagged words", "MPNetTokenizer", "mpnet", model_max_length=20),
    "MPNet, cased": _of("tagged words", "MPNetTokenizer", "mpnet", do_lower_case=False, padding_side="left"),
    "MPNet, no tokens listed": _of("tagged words", "MPNetTokenizer", "mpnet", document={"added_tokens": []}),
    "T5": _of("T5 pieces", "T5Tokenizer", "t5", model_max_length=30),
    "T5, four sentinels": _of("T5 pieces", "T5Tokenizer", "t5", extra_ids=4),
    "T5, tokens of its own": _of("T5 pieces", "T5Tokenizer", "t5", additional_special_tokens=["<extra_id_0>", "<special>"]),
    "XLM-R": _of("pieces", "XLMRobertaTokenizer", "xlm-roberta", model_max_length=30),
    "XLM-R, no blank": _of("pieces", "XLMRobertaTokenizer", "xlm-roberta", add_prefix_space=False, padding_side="left"),
    "XLM-R, character map": _of("mapped pieces", "XLMRobertaTokenizer", "xlm-roberta"),
    "T5, character map in a sequence": _of(
        "T5 pieces",
        "T5Tokenizer",
        "t5",
        document={"normalizer": {"type": "Sequence", "normalizers": [_char_map(), {"type": "Lowercase"}]}},
    ),
    "XLM-R by its type": _of("pieces", None, "xlm-roberta"),
    "ALBERT": _of("ALBERT pieces", "AlbertTokenizer", "albert", model_max_length=30),
    "ALBERT, cased with accents": _of("ALBERT pieces", "AlbertTokenizer", "albert", do_lower_case=False, keep_accents=True),
    "CamemBERT": _of("CamemBERT pieces", "CamembertTokenizer", "camembert", model_max_length=30),
    "an unknown type": _of("words", "BertTokenizer", "mystery", do_lower_case=False),
}  # fmt: skip
"""``kind`` of tokenizer, ``class``, ``model_type``, ``document`` (changes of tokenizer.json), ``map``; else settings."""


def write_tokenizer(folder: Path, config: dict[str, Any]) -> Path:
    """Write the files of one entry, and name its tokenizer.json."""
    config = dict(config)
    document = {**json.loads(_document(config.pop("kind"))), **config.pop("document", {})}
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    tokens = config.pop("map", None)
    if tokens is not None:
        (folder / "special_tokens_map.json").write_text(json.dumps(tokens))
    added = config.pop("added", None)
    if added is not None:
        (folder / "added_tokens.json").write_text(json.dumps(added))
    model_type, name = config.pop("model_type"), config.pop("class")
    (folder / "config.json").write_text(json.dumps({"model_type": model_type} if model_type else {}))
    settings = config if name is None else {"tokenizer_class": name, **config}
    if settings:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder / "tokenizer.json"
