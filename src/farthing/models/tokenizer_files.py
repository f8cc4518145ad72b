"""Makes tokenizers ready: of a ``tokenizer.json`` and of what transformers' class makes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farthing.models.tokenizer_classes import (
    AS_WRITTEN,
    CLASSES,
    TOKEN_NAMES,
    TokenizerClass,
    keep_or_bert,
    text_of,
)

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

__all__ = ["open_tokenizer"]

Options = Mapping[str, Any]
Document = Mapping[str, Any]


def open_tokenizer(path: Path, settings: Mapping[str, Any]) -> Tokenizer:
    """Make a tokenizer ready.

    Args:
        path: The ``tokenizer.json``.
        settings: A spec's ``tokenizer_settings``; empty takes the file as it stands.

    Raises:
        Exception: what the tokenizers package raises for a file that it cannot read.
    """
    from tokenizers import Tokenizer

    name = settings.get("class", AS_WRITTEN)
    if not settings:
        return Tokenizer.from_file(str(path))
    document = json.loads(path.read_text(encoding="utf-8"))
    if name == AS_WRITTEN:
        made = Tokenizer.from_file(str(path))
        _add_tokens(made, document, settings, None)
    else:
        made = _built(CLASSES[name], document, settings)
    made.encode_special_tokens = bool(settings.get("split_special_tokens"))
    return made


def _built(kind: TokenizerClass, document: Document, settings: Mapping[str, Any]) -> Tokenizer:
    given = {key: value for key, value in settings.items() if value is not None}
    options = {**kind.options, **kind.tokens, **given}
    made = kind.build(document, options)
    own = document.get("post_processor")
    if own is not None and kind.finish is keep_or_bert:
        made.post_processor = _post_processor(document)
    extra = settings.get("extra_special_tokens")
    if extra is None and "extra_ids" in options:
        settings = {**settings, "extra_special_tokens": [f"<extra_id_{k}>" for k in range(options["extra_ids"])]}
    elif extra is None and "extra_special_tokens" in kind.options:
        settings = {**settings, "extra_special_tokens": kind.options["extra_special_tokens"]}
    _add_tokens(made, document, settings, kind)
    kind.finish(made, options)
    for part in ("padding", "truncation"):
        _keep(made, part, document.get(part))
    return made


def _keep(made: Tokenizer, part: str, section: Mapping[str, Any] | None) -> None:
    """Carry tokenizer.json's direction and padding token over, which the pipeline asks for."""
    if section is None:
        return
    direction = str(section.get("direction", "Right")).lower()
    if part == "padding":
        names = ("pad_id", "pad_type_id", "pad_token")
        made.enable_padding(direction=direction, **{name: section[name] for name in names if name in section})
    else:
        made.enable_truncation(section["max_length"], direction=direction)


def _add_tokens(made: Tokenizer, document: Document, settings: Options, kind: TokenizerClass | None) -> None:
    """Add the tokens that never are split, in transformers' order, so that new ones get the same ids."""
    listed = settings.get("added_tokens", document.get("added_tokens")) or []
    adding: list[Any] = [
        _token({k: v for k, v in token.items() if k != "id"}) for token in sorted(listed, key=lambda t: t["id"])
    ]
    known = {token.content for token in made.get_added_tokens_decoder().values()} | {t.content for t in adding}
    named = _named(settings, kind)
    for token in [*named.values(), *(settings.get("extra_special_tokens") or ())]:
        given = token if isinstance(token, str) else _token(token)
        if text_of(token) not in known and given not in adding:
            adding.append(given)
    names = {text_of(token) for token in named.values()}
    adding = [_token(token) if isinstance(token, str) else token for token in adding]
    for token in adding:
        token.special = token.special or token.content in names
    if adding:
        made.add_tokens(adding)


def _named(settings: Options, kind: TokenizerClass | None) -> dict[str, Any]:
    """Special tokens by setting, those of the class where none is given."""
    defaults = {} if kind is None else kind.tokens
    found = {name: settings.get(name) or defaults.get(name) for name in TOKEN_NAMES}
    named = {name: token for name, token in found.items() if token is not None}
    for name, token in named.items():
        wide = kind is not None and kind.wide_mask and name == "mask_token"
        if isinstance(token, str) and kind is not None and (kind.normalised or wide):
            named[name] = {"content": token, "lstrip": wide, "special": not kind.normalised}
    return named


def _token(token: str | Mapping[str, Any]) -> AddedToken:
    from tokenizers import AddedToken

    return AddedToken(token, special=True) if isinstance(token, str) else AddedToken(**token)


def _post_processor(document: Document) -> Any:
    """tokenizer.json's own post-processor, read without its vocabulary."""
    from tokenizers import Tokenizer

    bare = {"version": "1.0", "model": {"type": "WordLevel", "vocab": {}, "unk_token": ""}, "added_tokens": []}
    return Tokenizer.from_str(json.dumps({**bare, "post_processor": document["post_processor"]})).post_processor
