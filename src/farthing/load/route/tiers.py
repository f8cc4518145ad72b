"""Tiers of a route as a user names them: flags, or a ``tiers.yaml`` with the same keys.

schema: farthing/tiers/1
tiers:
  - {name: small, source: small/}
  - {name: medium, source: medium.onnx, engine: onnxruntime, timeout: 50ms}
  - {name: large, source: "http://10.0.0.7:8000", kind: open_inference, model: intents, usd_per_request: 0.00002}
data: requests.csv
max_loss: 0.5%
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from farthing.core.route.routes import TierKind, TierReplicas
from farthing.errors import InputError
from farthing.load import units
from farthing.load.prices import find_offer, load_offers
from farthing.load.route.keys import check_encrypted
from farthing.load.route.tier_prices import PRICE_KEYS, TierPrice, read_flag_price, read_tier_price
from farthing.load.schema import read_document
from farthing.load.wishes import check_name, read_wishes

__all__ = [
    "SERVED_KEYS",
    "NamedTier",
    "TierPrice",
    "TiersFile",
    "check_tiers",
    "priced",
    "read_tiers_file",
    "tier_of_flag",
]

_FLAG = re.compile(r"(?P<name>[^=]+)=(?P<source>.+)", re.DOTALL)
_PRICE = re.compile(r"\$?(?P<usd>[^/]+)/(?P<per>request|second|Mtoken)")
SERVED_KEYS = ("engine", "precision", "max_batch", "instances", "threads", "max_delay", "deadline", "memory")
"""What a tier here may say of how it is served, as in a ``serve.yaml``."""
_REMOTE = ("prompt", "key_env")
_KEYS = ("name", "source", "kind", "model", "timeout", "replicas", "embedding", *PRICE_KEYS, *_REMOTE, *SERVED_KEYS)
_TIMEOUT = "30s"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTier:
    """A tier before anything was looked up.

    Attributes:
        name: Within the route.
        kind: ``model`` where it is served here.
        source: Plan, ONNX file or model folder; or the URL.
        model: Its name at the URL.
        price: As the user says.
        timeout_s: After which the next tier is asked.
        replicas: Declared.
        embedding: Name of the model's output that neighbours are looked up by, empty to find one.
        options: Further keys, as ``serve.yaml`` takes them; of a URL ``prompt`` and ``key_env``.
    """

    name: str
    kind: TierKind = "model"
    source: str
    model: str = ""
    price: TierPrice = field(default_factory=TierPrice)
    timeout_s: float = 30.0
    embedding: str = ""
    replicas: tuple[TierReplicas, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TiersFile:
    """A ``tiers.yaml``.

    Attributes:
        tiers: In the file's order.
        settings: All other keys, named as the flags are, with ``_`` for ``-``.
    """

    tiers: tuple[NamedTier, ...]
    settings: Mapping[str, Any]


def tier_of_flag(text: str) -> NamedTier:
    """A tier of ``--tier name=source``; an ``http(s)://`` source speaks the Open Inference Protocol.

    ``http://host:8000/v2/models/NAME`` names the model at the URL.

    Raises:
        InputError: when it has another form.
    """
    found = _FLAG.fullmatch(text)
    if found is None:
        raise InputError(f"--tier is {text!r}", hint="write it as --tier small=PATH")
    name, source = check_name(found["name"].strip(), "the name in --tier"), found["source"].strip()
    if not source.startswith(("http://", "https://")):
        return NamedTier(name=name, source=source)
    base, _, model = source.partition("/v2/models/")
    return NamedTier(name=name, kind="open_inference", source=_url(base, name), model=model.partition("/")[0] or name)


def priced(tiers: Sequence[NamedTier], prices: Sequence[str]) -> tuple[NamedTier, ...]:
    """Tiers with the prices of ``--price name=0.001/request`` (or ``/second``, or ``/Mtoken``) put in.

    Raises:
        InputError: when a price cannot be read, is of another size than prices are, or names no tier or one twice.
    """
    names = [tier.name for tier in tiers]
    found: dict[str, TierPrice] = {}
    for text in prices:
        name, _, said = text.partition("=")
        parts = _PRICE.fullmatch(said.strip())
        if parts is None:
            raise InputError(f"--price is {text!r}", hint="write it as --price large=0.001/request, /second or /Mtoken")
        if name not in names:
            raise InputError(f"--price names the tier {name!r}; there are {', '.join(names) or 'none'}")
        if name in found:
            raise InputError(f"--price names the tier {name!r} twice", hint="a tier is paid on one basis, at one price")
        found[name] = read_flag_price(parts["usd"], parts["per"], name)
    return tuple(replace(tier, price=found.get(tier.name, tier.price)) for tier in tiers)


def check_tiers(tiers: Sequence[NamedTier]) -> None:
    """Refuse what cannot be a route before any work starts.

    Raises:
        InputError: for fewer than two tiers, names that come twice, a tier behind a URL without a price, or a key that
            would go there in clear text.
    """
    names = [tier.name for tier in tiers]
    if len(tiers) < 2:
        raise InputError(
            f"a route needs at least two tiers, there are {len(tiers)}",
            hint="--tier small=PATH --tier large=PATH, or a tiers.yaml",
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"two tiers are named {twice!r}", hint="names within a route must differ")
    for tier in tiers:
        check_encrypted(tier.options.get("key_env", ""), tier.source, f"the tier {tier.name!r}")
    unpriced = next((tier for tier in tiers if tier.kind != "model" and not tier.price.given), None)
    if unpriced:
        raise InputError(
            f"the tier {unpriced.name!r} at {unpriced.source} has no price; a missing price is never taken as 0",
            hint=f"--price {unpriced.name}=0.001/request (or /second, or /Mtoken), or usd_per_request in tiers.yaml",
        )
    by_token = next((t for t in tiers if t.price.by_token and t.kind != "openai"), None)
    if by_token:
        raise InputError(
            f"the tier {by_token.name!r} is priced by token, but only kind openai says how many tokens it used",
            hint="give a price by request or by second",
        )


def read_tiers_file(path: Path, named: Callable[[object, str], str] = check_name) -> TiersFile:
    """Read a ``tiers.yaml``; the sources that it names are looked for from its folder.

    Args:
        path: Of the file.
        named: Checks a tier's name.

    Raises:
        InputError: when the file is unreadable, names no tiers, or has an unknown key of a tier or a bad value.
        SchemaError: when it is of another kind or newer.
    """
    data = read_document(path, "tiers")
    tiers = data.pop("tiers", None)
    if not isinstance(tiers, list) or not tiers:
        raise InputError(f"{path} names no tiers", hint="tiers: [{name: small, source: small/}, …]")
    return TiersFile(
        tiers=tuple(_entry(item, f"tiers[{k}]", path, named) for k, item in enumerate(tiers)),
        settings={str(key).replace("-", "_"): value for key, value in data.items()},
    )


def _entry(item: object, where: str, path: Path, named: Callable[[object, str], str]) -> NamedTier:
    if not isinstance(item, dict):
        raise InputError(f"{where} of {path} is {item!r}, not keys and values", hint="- {name: small, source: small/}")
    for key in item:
        if key not in _KEYS:
            close = difflib.get_close_matches(str(key), _KEYS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(_KEYS)}"
            raise InputError(f"unknown key {str(key)!r} in {where} of {path}", hint=hint)
    given = {key: value for key, value in item.items() if value is not None}
    kind = given.get("kind", "open_inference" if str(given.get("source", "")).startswith("http") else "model")
    if kind not in get_args(TierKind):
        raise InputError(f"{where}.kind is {kind!r}; it must be one of {', '.join(get_args(TierKind))}")
    name, source = named(given.get("name"), f"{where}.name"), given.get("source")
    if not isinstance(source, str) or not source.strip() or "\0" in source:
        raise InputError(f"{where}.source of {path} is {source!r}; it must be a path or a URL")
    read_wishes({key: given[key] for key in SERVED_KEYS if key in given}, f"{where}.")
    url = kind != "model"
    return NamedTier(
        name=name,
        kind=kind,
        source=_url(source, name) if url else str(path.parent / source),
        model=str(given.get("model", name if url else "")),
        price=read_tier_price(given, where),
        timeout_s=units.duration_ms(given.get("timeout", _TIMEOUT), f"{where}.timeout") / 1000,
        replicas=tuple(_replicas(r, f"{where}.replicas[{k}]") for k, r in enumerate(given.get("replicas", ()))),
        embedding=str(given.get("embedding", "")),
        options={key: str(given[key]) for key in (_REMOTE if url else SERVED_KEYS) if key in given},
    )


def _url(text: str, name: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(f"the tier {name!r} has the URL {text!r}", hint="write it as http://host:port")
    return text.rstrip("/")


_REPLICA_KEYS = ("purchase", "count", "sla_rps", "offer", "region", "term", "url")
_READ: Mapping[str, Callable[[object, str], float]] = {"count": units.count, "sla_rps": units.rate}


def _replicas(item: object, where: str) -> TierReplicas:
    if not isinstance(item, dict) or {"count", "sla_rps"} - item.keys() or item.keys() - set(_REPLICA_KEYS):
        raise InputError(
            f"{where} is {item!r}; it takes {', '.join(_REPLICA_KEYS)}", hint="{purchase: spot, count: 2, sla_rps: 300}"
        )
    purchase: Literal["on_demand", "spot"] = item.get("purchase", "on_demand")
    if purchase not in ("on_demand", "spot"):
        raise InputError(f"{where}.purchase is {purchase!r}; it must be on_demand or spot")
    numbers = {key: read(item[key], f"{where}.{key}") for key, read in _READ.items()}
    offer = None
    if item.get("offer"):
        from datetime import date

        offer = find_offer(
            load_offers(),
            str(item["offer"]),
            item.get("region"),
            item.get("term", purchase),
            as_of=date.today(),  # noqa: DTZ011 - prices are dated by calendar days
        )
    return TierReplicas(
        purchase=purchase,
        count=int(numbers["count"]),
        sla_rps=numbers["sla_rps"],
        offer=offer,
        url=str(item.get("url", "")),
    )
