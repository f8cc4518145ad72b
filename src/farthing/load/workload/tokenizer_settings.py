"""How texts become tokens by ``tokenizer_config.json``, ``special_tokens_map.json`` and ``config.json``.

The truth is ``AutoTokenizer.from_pretrained(FOLDER)(texts, padding=True, truncation=True)`` of transformers 5: the
class that it picks, the sides and tokens that it uses, the length at which it cuts. Lengths and multiples that
tokenizer.json pads to are for calls that ask for them, and change nothing that the attention mask lets through.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from farthing.errors import ModelError
from farthing.load.json_files import json_object
from farthing.load.workload.tokenizer_names import class_name
from farthing.models.tokenizer_classes import AS_WRITTEN, CLASSES, TOKEN_NAMES, text_of

__all__ = ["text_settings"]

_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "longformer", "mpnet", "data2vec-text"}
_UNSAID_LENGTH = 512
_NO_LENGTH = 10**6
"""What stands for "no bound" in the files: transformers writes 10³⁰."""
_FILE = "tokenizer_config.json"
_USUAL = ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>")


def text_settings(tokenizer: Path, home: Path) -> dict[str, Any]:
    """Fields of a text ``PipelineSpec``.

    Args:
        tokenizer: The ``tokenizer.json``; its settings lie beside it.
        home: Folder of the model, whose ``config.json`` bounds the length.

    Raises:
        ModelError: when a setting cannot be followed; the message names it.
    """
    folder = tokenizer.parent
    settings, config = json_object(folder / _FILE), json_object(folder / "config.json")
    document = json_object(tokenizer)
    if settings or config:
        settings = _with_special_tokens(settings, json_object(folder / "special_tokens_map.json"))
        settings = _with_added_tokens(settings, json_object(folder / "added_tokens.json"), document)
    spec: dict[str, Any] = {
        "max_length": _max_length(settings, json_object(home / "config.json"), document),
        "padding_side": _side(settings, "padding_side"),
        "truncation_side": _side(settings, "truncation_side"),
    }
    if not settings and not config:
        return spec
    name = class_name(settings, config, document)
    own = (document.get("padding") or {}).get("pad_token")
    if name == AS_WRITTEN and own is not None and settings.get("pad_token") is None:
        settings = {**settings, "pad_token": own}
    changes = _changes(name, settings, document)
    pad = settings.get("pad_token") or (CLASSES[name].tokens.get("pad_token") if name in CLASSES else None)
    spec |= {"pad_token": None if pad is None else text_of(pad), "tokenizer_settings": changes}
    if pad is None and settings:
        _check_padding(document)
    return spec


def _side(settings: Mapping[str, Any], key: str) -> str | None:
    side = settings.get(key)
    if side not in (None, "left", "right"):
        raise ModelError(f"{_FILE}: {key} is {side!r}, which is no side", hint="it takes left or right")
    return side


def _max_length(settings: Mapping[str, Any], config: Mapping[str, Any], document: Mapping[str, Any]) -> int:
    """Tokens at which texts are cut.

    What ``tokenizer_config.json`` says, within the positions that the model has; tokenizer.json's own bound where it
    says nothing; 512 where nobody does.
    """
    said = settings.get("model_max_length", settings.get("max_len"))
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and config.get("model_type") in _OFFSET_POSITIONS:
        padding = config.get("pad_token_id")
        positions -= (1 if padding is None else int(padding)) + 1
    own = (document.get("truncation") or {}).get("max_length")
    tokenizers_bound = said if _is_length(said) else own
    known = [int(n) for n in (tokenizers_bound, positions) if _is_length(n)]
    return min(known) if known else _UNSAID_LENGTH


def _is_length(number: object) -> TypeGuard[float]:
    return isinstance(number, (int, float)) and not isinstance(number, bool) and 0 < number < _NO_LENGTH


def _with_special_tokens(settings: Mapping[str, Any], tokens: Mapping[str, Any]) -> dict[str, Any]:
    """With the tokens of ``special_tokens_map.json``, which transformers reads where no added tokens are listed."""
    merged = dict(settings)
    if "additional_special_tokens" in merged and not merged.get("extra_special_tokens"):
        merged["extra_special_tokens"] = merged.pop("additional_special_tokens")
    if "added_tokens_decoder" in settings:
        return merged
    for key, value in tokens.items():
        if isinstance(value, Mapping) and key not in ("extra_special_tokens", "additional_special_tokens"):
            value = {**value, "special": True}
        if key == "additional_special_tokens":
            if not merged.get("extra_special_tokens"):
                merged["extra_special_tokens"] = value
        elif key == "extra_special_tokens" and isinstance(value, list):
            before = list(merged.get(key) or [])
            merged[key] = before + [token for token in value if token not in before]
        else:
            merged[key] = value
    return merged


def _with_added_tokens(
    settings: dict[str, Any], tokens: Mapping[str, Any], document: Mapping[str, Any]
) -> dict[str, Any]:
    """With the tokens of ``added_tokens.json``, which transformers reads likewise; tokenizer.json's own come first."""
    if not tokens or "added_tokens_decoder" in settings:
        return settings
    extra = settings.get("extra_special_tokens") or ()
    special = {text_of(settings[name]) for name in TOKEN_NAMES if settings.get(name)} | set(map(str, extra))
    decoder: dict[str, Any] = {
        str(number): {"content": text, "special": text in special, "normalized": text not in special}
        for text, number in tokens.items()
    }
    for token in document.get("added_tokens") or []:
        decoder[str(token["id"])] = {key: value for key, value in token.items() if key != "id"}
    return {**settings, "added_tokens_decoder": decoder}


def _changes(name: str, settings: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """What makes the tokenizer another one than tokenizer.json as it stands; empty when nothing does."""
    if settings.get("init_inputs"):
        raise ModelError(
            f"{_FILE}: init_inputs is {settings['init_inputs']!r}, which is not followed",
            hint="save it again with save_pretrained, which names its settings",
        )
    changes: dict[str, Any] = {key: _stored(settings[key]) for key in TOKEN_NAMES if settings.get(key) is not None}
    extra = _extra_tokens(settings)
    if extra is not None:
        changes["extra_special_tokens"] = extra
    added = _added_tokens(settings, document)
    if added is not None:
        changes["added_tokens"] = added
    if settings.get("split_special_tokens"):
        changes["split_special_tokens"] = True
    if name == AS_WRITTEN:
        return {"class": name, **changes} if _adds(changes, document) else {}
    kind = CLASSES[name]
    model = (document.get("model") or {}).get("type")
    if model is not None and model not in kind.models:
        raise ModelError(
            f"{_FILE}: tokenizer_class is {name}, but tokenizer.json holds a {model} model",
            hint=f"tokenizer_class: {AS_WRITTEN} takes tokenizer.json as it stands",
        )
    options = {key: settings[key] for key in kind.options if key in settings and key != "extra_special_tokens"}
    return {"class": name, **options, **changes}


def _extra_tokens(settings: Mapping[str, Any]) -> list[Any] | None:
    """Further tokens that never are split, None when nothing is said of them."""
    extra = settings.get("extra_special_tokens")
    own = [
        _stored(value)
        for key, value in settings.items()
        if key.endswith("_token") and key not in TOKEN_NAMES and isinstance(value, (str, Mapping))
    ]
    if extra is None:
        return own or None
    listed = extra.values() if isinstance(extra, Mapping) else extra
    return own + [_stored(token) for token in listed]


def _added_tokens(settings: Mapping[str, Any], document: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Added tokens by ``tokenizer_config.json``, None where tokenizer.json lists the same."""
    decoder = settings.get("added_tokens_decoder")
    if decoder is None:
        return None
    said = [{"id": int(number), **_stored(token)} for number, token in decoder.items()]
    own = [_stored(token) for token in document.get("added_tokens") or []]
    return None if sorted(map(_words, said)) == sorted(map(_words, own)) else said


def _words(token: Mapping[str, Any]) -> str:
    return json.dumps(token, sort_keys=True)


def _stored(token: Any) -> Any:
    """A token without the mark of its type."""
    if isinstance(token, Mapping):
        return {key: value for key, value in token.items() if key != "__type"}
    return token


def _adds(changes: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Whether there is anything that tokenizer.json does not have."""
    if "added_tokens" in changes or "split_special_tokens" in changes:
        return True
    known = {token["content"] for token in document.get("added_tokens") or []}
    named = [changes[key] for key in TOKEN_NAMES if key in changes]
    return any(text_of(token) not in known for token in [*named, *changes.get("extra_special_tokens", ())])


def _check_padding(document: Mapping[str, Any]) -> None:
    """Refuse texts of unlike length for a tokenizer that cannot fill the short ones up."""
    vocab = (document.get("model") or {}).get("vocab") or {}
    known = set(vocab) if isinstance(vocab, Mapping) else {str(entry[0]) for entry in vocab if entry}
    known |= {token["content"] for token in document.get("added_tokens") or []}
    if known and not known & set(_USUAL):
        raise ModelError(
            f"{_FILE} names no pad_token, and tokenizer.json has none of {', '.join(_USUAL)}",
            hint="add the pad_token that the model was trained with; texts of unlike length cannot share a batch",
        )
