"""Where the tiers of a route are: ``NAME=PLACE`` words, or a ``tiers.yaml`` with the same keys as for calibrating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from farthing.errors import InputError
from farthing.load import units
from farthing.load.route.tiers import NamedTier, read_tiers_file
from farthing.load.wishes import check_tier_name

__all__ = ["Wanted", "read_places"]

_CHAT = "/chat/completions"
_OIP = "/v2/models/"
_URL = ("http://", "https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is said of places beside where they are, each by the tier's name.

    Attributes:
        chat: Name of the chat model that answers at the tier's URL.
        key_env: Environment variable with the key that goes there.
        timeout: After which the next tier is asked, for example ``5s``.
    """

    chat: Mapping[str, str] = field(default_factory=dict)
    key_env: Mapping[str, str] = field(default_factory=dict)
    timeout: Mapping[str, str] = field(default_factory=dict)


def read_places(words: Sequence[str], file: Path | None, wanted: Wanted, known: Sequence[str]) -> tuple[NamedTier, ...]:
    """Places of tiers, those of words over those of a file.

    Args:
        words: ``NAME=PLACE`` each: a plan.yaml, an ONNX file, a model folder, or a URL.
        file: A ``tiers.yaml``, None for none.
        wanted: What else was said of them.
        known: The route's tiers.

    Raises:
        InputError: for a name that is no tier of the route, or comes twice; a place that cannot be read; what says
            something of a tier that cannot have it; prices, which are those of the outcomes.
        SchemaError: when the file is of another kind or newer.
    """
    found: dict[str, NamedTier] = {}
    if file is not None:
        found |= {tier.name: tier for tier in _of_file(file)}
    seen: set[str] = set()
    for word in words:
        name, sign, place = (part.strip() for part in word.partition("="))
        if not sign or not name or not place:
            raise InputError(f"a place is {word!r}", hint="write it as TIER=PLACE: small=models/small, or a URL")
        if name in seen:
            raise InputError(f"the tier {name!r} has two places in the command", hint="name each tier once")
        seen.add(name)
        found[name] = _of_word(name, place, wanted.chat.get(name))
    _refuse_unknown({**found, **wanted.chat, **wanted.key_env, **wanted.timeout}, known)
    for what, names in (("chat", wanted.chat), ("key-env", wanted.key_env), ("timeout", wanted.timeout)):
        if missing := [name for name in names if name not in found]:
            raise InputError(f"--{what} names the tier {missing[0]!r}, and no place of it is named")
    return tuple(_wished(found[name], wanted) for name in known if name in found)


def _refuse_unknown(names: Mapping[str, object], known: Sequence[str]) -> None:
    wrong = next((name for name in names if name not in known), None)
    if wrong is not None:
        raise InputError(f"the route has no tier {wrong!r}", hint=f"its tiers are {', '.join(known)}")


def _of_file(file: Path) -> tuple[NamedTier, ...]:
    read = read_tiers_file(file, check_tier_name)
    if read.settings:
        raise InputError(
            f"{file} has the key {next(iter(read.settings))!r}, which asks for a calibration",
            hint="attaching takes tiers alone; the route's promise stays as it was proven",
        )
    for tier in read.tiers:
        per = [key for key in ("usd_per_request", "usd_per_second") if getattr(tier.price, key) is not None]
        if per:
            raise InputError(
                f"{per[0]} of the tier {tier.name!r} in {file}: what a request costs is what the outcomes say",
                hint="leave it out; prices of tokens may be given to a chat model, which says how many it used",
            )
        if tier.price.by_token and tier.kind != "openai":
            raise InputError(
                f"the tier {tier.name!r} in {file} is priced by token, but only kind openai says how many it used"
            )
        if tier.embedding:
            raise InputError(f"embedding of the tier {tier.name!r} in {file}: no score that is served reads it")
    return read.tiers


def _of_word(name: str, place: str, chat: str | None) -> NamedTier:
    if not place.startswith(_URL):
        return NamedTier(name=name, source=place)
    url = place.rstrip("/")
    if url.endswith(_CHAT) or chat is not None:
        return NamedTier(name=name, kind="openai", source=url.removesuffix(_CHAT), model=chat or "")
    base, _, model = url.partition(_OIP)
    return NamedTier(name=name, kind="open_inference", source=base, model=model.partition("/")[0] or name)


def _wished(tier: NamedTier, wanted: Wanted) -> NamedTier:
    if tier.kind != "openai" and tier.name in wanted.chat:
        raise InputError(f"--chat names a model of the tier {tier.name!r}, whose place {tier.source} is no URL of chat")
    model = wanted.chat.get(tier.name, tier.model)
    if tier.kind == "openai" and not model:
        raise InputError(
            f"the chat model of the tier {tier.name!r} at {tier.source} is not named", hint=f"--chat {tier.name}=MODEL"
        )
    options = dict(tier.options)
    if tier.name in wanted.key_env:
        if tier.kind != "openai":
            raise InputError(f"--key-env names a key for the tier {tier.name!r}, which is no chat model behind a URL")
        options["key_env"] = wanted.key_env[tier.name]
    timeout_s = tier.timeout_s
    if tier.name in wanted.timeout:
        timeout_s = units.duration_ms(wanted.timeout[tier.name], f"--timeout {tier.name}") / 1000
    return replace(tier, model=model, options=options, timeout_s=timeout_s)
