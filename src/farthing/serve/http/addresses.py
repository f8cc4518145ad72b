"""Which address means what, and the answers that need no model to run.

Addresses: ``/v2``, ``/v2/health/live``, ``/v2/health/ready``, ``/v2/models/{model}[/versions/{version}]`` alone and
with ``/ready``, ``/infer``, ``/stats``, ``/config``, ``/v2/models/stats``, ``/v2/repository/index`` (read-only),
SageMaker's ``/ping`` and ``/invocations``, and ``/openapi.json``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import orjson

from farthing.serve.limits import Limits
from farthing.serve.protocol.documents import model_config, model_metadata, repository_index, server_metadata
from farthing.serve.protocol.json.strict import check_keys, read_json
from farthing.serve.protocol.openapi import description
from farthing.serve.protocol.tallies import statistics
from farthing.wire.requests import LiveModel, Models, Problem

__all__ = ["Address", "match", "page"]

_GET = ("GET", "HEAD")
_POST = ("POST",)
_NAME = r"(?P<model>[A-Za-z0-9._-]{1,128})"
_VERSION = r"(?:/versions/(?P<version>[A-Za-z0-9._-]{1,128}))?"
_MODEL = re.compile(rf"/v2/models/{_NAME}{_VERSION}(?P<rest>/ready|/infer|/stats|/config)?")
_UNOFFERED = re.compile(
    rf"/v2/(?:models/{_NAME}{_VERSION}/(?:trace/setting|generate|generate_stream)|logging|trace/setting"
    rf"|(?:system|cuda)sharedmemory(?:/region/[^/]+)?/(?:status|register|unregister)"
    rf"|repository/models/[^/]+/(?:load|unload))"
)
"""Extensions of the protocol that this server has not, of the model repository all but the index."""
_FIXED: dict[str, tuple[str, tuple[str, ...]]] = {
    "/v2": ("server", _GET),
    "/v2/": ("server", _GET),
    "/v2/health/live": ("live", _GET),
    "/v2/health/ready": ("ready", _GET),
    "/v2/models/stats": ("all_stats", _GET),
    "/v2/repository/index": ("index", _POST),
    "/ping": ("ready", _GET),
    "/invocations": ("invocations", _POST),
    "/openapi.json": ("openapi", _GET),
}
_INDEX_KEYS = frozenset({"ready"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What an address means.

    Attributes:
        name: ``server``, ``live``, ``ready``, ``metadata``, ``model_ready``, ``infer``, ``stats``, ``all_stats``,
            ``config``, ``index``, ``invocations``, ``openapi``, or ``unoffered`` for what the protocol has and this
            server has not.
        methods: Allowed here.
        model: Named in the address, empty when none is.
        version: Named in the address.
        infers: Whether a model runs.
    """

    name: str
    methods: tuple[str, ...]
    model: str = ""
    version: str | None = None
    infers: bool = False


@lru_cache(maxsize=1024)
def match(path: str) -> Address | None:
    """The address of a path without its query; None when there is none."""
    if "%" in path:
        path = unquote(path, errors="replace")
    fixed = _FIXED.get(path)
    if fixed is not None:
        return Address(name=fixed[0], methods=fixed[1], infers=fixed[0] == "invocations")
    found = _MODEL.fullmatch(path)
    if found is None:
        return Address(name="unoffered", methods=(*_GET, *_POST)) if _UNOFFERED.fullmatch(path) else None
    rest = (found["rest"] or "/metadata")[1:]
    return Address(
        name="model_ready" if rest == "ready" else rest,
        methods=_POST if rest == "infer" else _GET,
        model=found["model"],
        version=found["version"],
        infers=rest == "infer",
    )


def page(address: Address, models: Models, body: bytes, limits: Limits) -> bytes:
    """The JSON of a address that runs no model.

    Raises:
        Problem: 404 for a model that there is not, 503 when it or the server is not ready, 400 for a wrong body, 501
            for what is not offered.
    """
    if address.name in _MODEL_PAGES:
        return orjson.dumps(_MODEL_PAGES[address.name](models.find(address.model, address.version), models))
    return orjson.dumps(_server_page(address.name, models, body, limits))


def _server_page(name: str, models: Models, body: bytes, limits: Limits) -> object:
    if name == "unoffered":
        raise Problem(501, "this part of the protocol is not offered by this server")
    if name == "ready":
        problem = models.not_ready()
        if problem is not None:
            raise problem
        return {"ready": True}
    if name == "index":
        wanted = check_keys(read_json(body, limits.json_depth) if body else {}, _INDEX_KEYS, "the body")
        ready_only = wanted.get("ready", False)
        if type(ready_only) is not bool:
            raise Problem(400, "ready is true or false")
        return repository_index(models.known(), ready_only=ready_only)
    if name == "all_stats":
        return {"model_stats": [statistics(model) for model in models.known()]}
    if name == "openapi":
        return description(limits, models.known())
    return {"live": True} if name == "live" else server_metadata()


def _ready(model: LiveModel, models: Models) -> dict[str, Any]:
    return {"name": model.spec.name, "ready": True}


def _stats(model: LiveModel, models: Models) -> dict[str, Any]:
    return {"model_stats": [statistics(model)]}


def _config(model: LiveModel, models: Models) -> dict[str, Any]:
    return model_config(model)


_MODEL_PAGES: dict[str, Callable[[LiveModel, Models], dict[str, Any]]] = {
    "metadata": model_metadata,
    "model_ready": _ready,
    "stats": _stats,
    "config": _config,
}
