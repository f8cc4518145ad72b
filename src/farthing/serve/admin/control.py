"""The second listener: metrics, live page, cost, readiness, and admin for who shows the token.

It is meant for operators, on loopback unless told otherwise. Pages need no other host: their style and script are
allowed by hash, everything else is refused by their content security policy. Requests under a foreign name are
refused; admin takes POST with a bearer token only, so that no page in a browser can use it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import logging
import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from email.utils import formatdate
from importlib.resources import files
from typing import Any, Protocol

import orjson

from farthing.errors import FarthingError
from farthing.serve.admin.control_http import Call, check_host, read_call
from farthing.serve.admin.live import cost_document, live_document, readiness_document
from farthing.serve.http.replies import JSON, encode_problem, encode_reply
from farthing.serve.protocol.json.strict import read_json
from farthing.serve.scaling.figures import ScalingFigures
from farthing.serve.telemetry.followed_routes import Routes
from farthing.serve.telemetry.ledger_writer import LedgerState
from farthing.serve.telemetry.metrics import Metrics
from farthing.serve.telemetry.prometheus import CONTENT_TYPE, metrics_text
from farthing.wire.requests import LiveModel, Models, Problem

__all__ = ["Admin", "Control"]

_LOG = logging.getLogger("farthing.serve.admin.control")
_TICK_S = 1.0
_CALL_S = 10.0
_MOST_CALLS = 64
_DEPTH = 8
_LONGEST_REASON = 500
_LEVELS = ("debug", "info", "warning", "error")
_HTML = b"text/html; charset=utf-8"
_SAFE = (
    b"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
    b"Cross-Origin-Resource-Policy: same-origin\r\n"
)


class Admin(Protocol):
    """What admin may do (``serve/repository.py``)."""

    async def load_named(self, name: str) -> Sequence[LiveModel]:
        """Find a model in the sources again and load what they hold under that name."""
        ...

    async def unload(self, name: str, version: str | None = None) -> None:
        """End a version, all of them when none is named."""
        ...


class Control:
    """The listener's application.

    Args:
        models: What is served.
        metrics: Ticked from here once a second.
        admin: None switches admin off.
        token: Who shows it may use admin; None switches admin off.
        workers: Processes of a model that are ready.
        in_loop: Whether a model runs in the server's own thread.
        ledger: How the ledger's writing goes.
        decided: Told of each thing that admin did, for the ledger.
        routes: Those that are served; None for none.
        scaling: Of the model that is scaled; None for none.
        wanted: Workers that a model is to have, None for what it was loaded with.
        names: Host names under which the listener may be asked, beside addresses and ``localhost``.
    """

    def __init__(
        self,
        models: Models,
        metrics: Metrics,
        *,
        admin: Admin | None = None,
        token: str | None = None,
        workers: Callable[[LiveModel], Sequence[int]] = lambda model: (),
        in_loop: Callable[[LiveModel], bool] = lambda model: False,
        ledger: Callable[[], LedgerState | None] = lambda: None,
        decided: Callable[[str, Mapping[str, Any]], None] = lambda what, evidence: None,
        routes: Routes | None = None,
        scaling: ScalingFigures | None = None,
        wanted: Callable[[LiveModel], int | None] | None = None,
        names: Collection[str] = (),
    ) -> None:
        self._models, self._metrics, self._admin = models, metrics, admin
        self._token = None if token is None else hashlib.sha256(token.encode()).digest()
        self._workers, self._ledger, self._decided = workers, ledger, decided
        self._in_loop = in_loop
        self._routes, self._scaling, self._wanted = routes, scaling, wanted or (lambda model: None)
        self._names = frozenset(name.lower() for name in names)
        self._listener: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._page, self._policy = _page()

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen.

        Returns:
            The port (0 asks for a free one).

        Raises:
            OSError: when the address cannot be listened on.
        """
        self._listener = await asyncio.start_server(self._serve, host, port, ssl=tls)
        self._ticking = asyncio.create_task(self._tick())
        return int(self._listener.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening; calls under way are cut off."""
        if self._ticking is not None:
            self._ticking.cancel()
        if self._listener is not None:
            self._listener.close()
        for call in tuple(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _tick(self) -> None:
        while True:
            for model in self._models.known():
                self._metrics.of(model)
            self._metrics.tick()
            if self._routes is not None:
                self._routes.tick()
            if self._scaling is not None:
                self._scaling.tick()
            await asyncio.sleep(_TICK_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._calls) >= _MOST_CALLS:
            writer.close()
            return
        self._calls.add(task)
        try:
            with contextlib.suppress(ConnectionError, TimeoutError, asyncio.CancelledError):
                await self._exchange(reader, writer)
        finally:
            self._calls.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_CALL_S):
                call = await read_call(reader)
            if call is None:
                return
            reply = await self._answer(call)
        except Problem as problem:
            reply = encode_problem(_date(), problem, close=True, old=False)
        writer.write(reply)
        async with asyncio.timeout(_CALL_S):
            await writer.drain()

    async def _answer(self, call: Call) -> bytes:
        check_host(call.headers, self._names)
        if call.path.startswith("/admin/"):
            return self._json(call, await self._administer(call))
        if call.method not in ("GET", "HEAD"):
            raise Problem(405, f"{call.method} is not allowed here; GET is")
        if call.path == "/":
            return self._reply(call, self._page, _HTML, extra=self._policy)
        if call.path == "/metrics":
            text = metrics_text(self._metrics, self._models.known(), self._ledger())
            return self._reply(call, text.encode(), CONTENT_TYPE.encode())
        if call.path == "/live.json":
            return self._json(call, self._live())
        if call.path == "/cost.json":
            return self._json(call, self._cost())
        if call.path == "/scaling.json" and self._scaling is not None:
            return self._json(call, self._scaling.document() or {})
        if call.path == "/ready":
            said = readiness_document(self._models.not_ready(), self._models.known())
            return self._json(call, said, status=200 if said["ready"] else 503)
        raise Problem(
            404, f"there is nothing at {call.path[:80]}; /, /metrics, /live.json, /cost.json, /ready are here"
        )

    def _live(self) -> dict[str, Any]:
        models = self._models
        said = live_document(
            self._metrics,
            models.known(),
            models.not_ready(),
            self._workers,
            self._ledger(),
            wanted=self._wanted,
            in_loop=self._in_loop,
        )
        return {
            **said,
            "routes": [] if self._routes is None else self._routes.live_documents(),
            "scaling": None if self._scaling is None else self._scaling.live_document(),
        }

    def _cost(self) -> dict[str, Any]:
        routes = [] if self._routes is None else self._routes.cost_documents()
        return {**cost_document(self._metrics), "routes": routes}

    def _json(self, call: Call, said: Mapping[str, Any], status: int = 200) -> bytes:
        return self._reply(call, orjson.dumps(said), JSON, status=status)

    def _reply(self, call: Call, body: bytes, kind: bytes, *, status: int = 200, extra: bytes = b"") -> bytes:
        return encode_reply(
            _date(),
            body,
            status=status,
            media_type=kind,
            close=True,
            extra=_SAFE + extra,
            head_only=call.method == "HEAD",
        )

    # admin

    async def _administer(self, call: Call) -> dict[str, Any]:
        self._check_token(call)
        if call.method != "POST":
            raise Problem(405, f"{call.method} is not allowed here; POST is")
        said = read_json(call.body, _DEPTH) if call.body else {}
        if not isinstance(said, dict):
            raise Problem(400, "the body is a JSON object or empty")
        parts = call.path.split("/")[2:]
        if parts == ["log"]:
            return self._set_log(said)
        if len(parts) == 3 and parts[0] == "routes" and parts[2] in ("resume", "fall-back"):
            return self._follow(parts[1], parts[2], said)
        if len(parts) != 3 or parts[0] != "models" or parts[2] not in ("load", "unload", "swap"):
            raise Problem(
                404,
                "admin has /admin/models/NAME/load, …/unload, …/swap, /admin/routes/NAME/resume, …/fall-back "
                "and /admin/log",
            )
        name, what = parts[1], parts[2]
        actions = {"load": self._load, "unload": self._unload, "swap": self._swap}
        try:
            done = await actions[what](name, said)
        except FarthingError as e:
            raise Problem(409, e.message) from e
        self._decided(f"admin_{what}", {"model": name, **done})
        return done

    def _check_token(self, call: Call) -> None:
        if self._token is None or self._admin is None:
            raise Problem(404, "admin is off: no token was given")
        kind, _, shown = call.headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer" or not shown:
            raise Problem(401, "admin wants Authorization: Bearer TOKEN")
        if not hmac.compare_digest(hashlib.sha256(shown.strip()).digest(), self._token):
            _LOG.warning("admin was asked with a wrong token")
            raise Problem(403, "this is not the token")

    async def _load(self, name: str, said: Mapping[str, Any]) -> dict[str, Any]:
        assert self._admin is not None
        _nothing_but(said)
        return {"loaded": [m.spec.version for m in await self._admin.load_named(name)]}

    async def _unload(self, name: str, said: Mapping[str, Any]) -> dict[str, Any]:
        assert self._admin is not None
        _nothing_but(said, "version")
        version = said.get("version")
        if version is not None and not isinstance(version, str):
            raise Problem(400, "version is a string")
        await self._admin.unload(name, version)
        return {"unloaded": version or "all"}

    async def _swap(self, name: str, said: Mapping[str, Any]) -> dict[str, Any]:
        """What the sources hold takes over; versions that they no longer hold are ended."""
        assert self._admin is not None
        done = await self._load(name, said)
        before = {m.spec.version for m in self._models.known() if m.spec.name == name}
        gone = sorted(before - set(done["loaded"]))
        for version in gone:
            await self._admin.unload(name, version)
        return {**done, "unloaded": gone}

    def _follow(self, name: str, what: str, said: Mapping[str, Any]) -> dict[str, Any]:
        """Follow a route again, or let only its reference answer."""
        if self._routes is None:
            raise Problem(404, "there are no routes")
        if what == "resume":
            _nothing_but(said)
            return self._routes.resume(name)
        _nothing_but(said, "reason")
        reason = said.get("reason", "asked for by admin")
        if not isinstance(reason, str) or not 0 < len(reason) <= _LONGEST_REASON:
            raise Problem(400, f"reason is a string of 1 to {_LONGEST_REASON} characters")
        return self._routes.fall_back(name, reason)

    def _set_log(self, said: Mapping[str, Any]) -> dict[str, Any]:
        _nothing_but(said, "level")
        level = said.get("level")
        if level not in _LEVELS:
            raise Problem(400, f"level is one of {', '.join(_LEVELS)}")
        logging.getLogger("farthing").setLevel(str(level).upper())
        self._decided("admin_log", {"level": level})
        return {"level": level}


def _nothing_but(said: Mapping[str, Any], *known: str) -> None:
    strange = sorted(set(said) - set(known))
    if strange:
        raise Problem(400, f"{strange[0][:80]!r} is unknown here; known: {', '.join(known) or 'nothing'}")


def _date() -> bytes:
    return f"Date: {formatdate(usegmt=True)}\r\n".encode()


def _page() -> tuple[bytes, bytes]:
    """The live page and its header lines, style and script allowed by hash."""
    page = (files("farthing.serve.admin") / "templates" / "live.html").read_text(encoding="utf-8")

    def allowed(tag: str) -> str:
        text = page.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    policy = (
        f"default-src 'none'; style-src {allowed('style')}; script-src {allowed('script')}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return page.encode(), f"Content-Security-Policy: {policy}\r\nX-Frame-Options: DENY\r\n".encode()
