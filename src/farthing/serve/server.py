"""The server: its doors, its models, its watchers; how it starts, reloads and stops.

Other programs open and close it; :meth:`Server.run` leaves that to signals. SIGTERM and SIGINT: not ready at once, new
connections still for the notice, then none; what was accepted is answered within the grace, then the process ends. A
second one ends the grace. SIGHUP: the sources are read again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, Self

from farthing.core.route.served import Served
from farthing.errors import EngineError, FarthingError, InputError
from farthing.ports import Clock
from farthing.serve.garbage import RARE
from farthing.serve.greeting import Addresses, model_line, ready_lines
from farthing.serve.http.server import HttpServer
from farthing.serve.protocol.api_keys import ApiKeys
from farthing.serve.repository import Repository
from farthing.serve.routing.loader import Loader
from farthing.serve.scaling.scaling import Scaling
from farthing.serve.settings import ServerSettings, read_api_keys, tls_context
from farthing.serve.watchers import Watchers
from farthing.store.tenant_salt import tenant_salt
from farthing.wire.requests import LiveModel, Problem
from farthing.workers.pool import Pool

__all__ = ["Server"]

_LOG = logging.getLogger("farthing.serve")
_BACKLOG = 4096


class Server:
    """One server on one machine.

    Args:
        specs: What is served, checked.
        settings: Where and how.
        clock: Monotonic time.
        memory_budget_mib: That all workers may take together.
        read: Finds the sources again, for SIGHUP and for admin.
        say: Told one line at a time what a person should know.

    Attributes:
        models: What is served.
        addresses: Where, once it listens.
        scaling: Of the model that the settings' policy scales: its ``document()`` has decisions and lives; None
            without a policy.
    """

    def __init__(
        self,
        specs: Sequence[Served],
        settings: ServerSettings,
        clock: Clock,
        *,
        memory_budget_mib: float,
        read: Callable[[], Sequence[Served]],
        say: Callable[[str], object],
    ) -> None:
        self._settings, self._say = settings, say
        self._tls = tls_context(settings)
        self.scaling = self._scaling_of(specs, clock)
        self._specs = tuple(specs) if self.scaling is None else self.scaling.specs
        self._pool = Pool(clock, memory_budget_mib, scaling=None if self.scaling is None else self.scaling.loop.terms)
        if self.scaling is not None:
            self.scaling.loop.attach(self._pool)
            read = self.scaling.reading(read)
        self._loader = Loader(
            self._pool,
            clock,
            watch=lambda spec: self._watchers.routes.watch(spec),
            scaler=self,
            on_call=lambda request, answer: self._watchers.called(request, answer),
            on_audit=lambda request, answer: self._watchers.audited(request, answer),
            on_change=self._route_changed,
        )
        self.models = Repository(self._loader, read=read, on_change=self._changed)
        self._loader.find = self.models.find
        names = "+".join(sorted({spec.name for spec in specs}))
        self._watchers = Watchers(self.models, self._pool, settings, clock, deployment=names, scaling=self.scaling)
        salt = None if settings.ledger is None else tenant_salt()
        self._api_keys = None if settings.api_key_file is None else ApiKeys(read_api_keys(settings.api_key_file))
        self._http = HttpServer(
            self.models,
            self._watchers.observer,
            settings.limits,
            clock,
            tenant_salt=salt,
            expose_cost=settings.expose_cost,
            api_keys=self._api_keys,
        )
        self._turns = self._http.turns
        self._watchers.watch_connections(lambda: self._http.open_connections)
        self._clock, self._salt = clock, salt
        self._grpc: Any = None
        self._listener: asyncio.Server | None = None
        self.addresses = Addresses(http="")
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()
        self._with_notice = True
        self._state: Literal["new", "open", "ended"] = "new"
        self._changing = asyncio.Lock()
        self._answers = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until a signal, or :meth:`stop`, ends that; returns when everything has ended.

        Raises:
            InputError: when an address cannot be listened on.
            FarthingError: when a model cannot be loaded.
        """
        self._catch_signals()
        async with self:
            await self._stop.wait()

    async def open(self) -> None:
        """Listen, load and answer; returns when all is ready, or when told to stop meanwhile. No signal is caught.

        Raises:
            InputError: when an address cannot be listened on.
            FarthingError: when a model cannot be loaded; what was open is closed again.
            ValueError: when it was opened before.
        """
        if self._state != "new":
            raise ValueError("a server is opened once; make another one")
        self._state = "open"
        async with self._changing:
            self.models.expect(self._specs)
            try:
                self.addresses = await self._open_doors()
                if await self._unless_stopped(self._load_all()):
                    self._start_answering()
            except BaseException:
                await self._end()
                raise

    async def close(self, *, with_notice: bool = False) -> None:
        """Answer what was accepted, as long as the grace lasts, then end everything; once more does no harm.

        Args:
            with_notice: First say that it is not ready for as long as the settings say, so that load balancers see it.
        """
        if self._state == "open" and not self._stop.is_set():
            self.stop(with_notice=with_notice)
        async with self._changing:
            if self._state != "open":
                return
            try:
                if self.models.is_open:
                    await self._drain()
            finally:
                await self._end()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def stop(self, *, with_notice: bool = True) -> None:
        """Begin to stop; a second call ends notice and grace."""
        if self._stop.is_set():
            self._hurry.set()
        self._with_notice = with_notice
        self._stop.set()

    # — start ——————————————————————————————————————————————————————————————————————————————————————

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, lambda: self.stop(with_notice=False))
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload()))

    async def _open_doors(self) -> Addresses:
        """Listen everywhere, so that a taken port is known before models are loaded; nothing is ready yet."""
        s = self._settings
        self._listener, port = await _listen(self._http.protocol_factory, s.host, s.port, self._tls)
        scheme = "http" if self._tls is None else "https"
        return Addresses(
            http=f"{scheme}://{_netloc(s.host, port)}",
            grpc=await self._open_grpc(),
            metrics=await self._watchers.start(),
        )

    async def _open_grpc(self) -> str | None:
        s = self._settings
        if s.grpc_port is None:
            return None
        try:
            from farthing.serve.grpc.door import GrpcServer, server_credentials
        except ImportError:
            self._say('gRPC is off: grpcio is not installed (pip install "farthing[serve]")')
            return None
        credentials = None
        if s.tls_key is not None and s.tls_cert is not None:
            credentials = server_credentials(s.tls_key.read_bytes(), s.tls_cert.read_bytes())
        self._grpc = GrpcServer(
            self.models,
            self._watchers.observer,
            s.limits,
            self._clock,
            tenant_salt=self._salt,
            expose_cost=s.expose_cost,
            turns=self._turns,
            api_keys=self._api_keys,
        )
        port = await self._grpc.start(_netloc(s.host, s.grpc_port), credentials)
        return _netloc(s.host, port)

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do some work; False when the server was told to stop before its end."""
        doing, stopping = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            finished = doing.done()
            for task in (doing, stopping):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await doing
        return finished

    async def _load_all(self) -> None:
        for spec in self._specs:
            try:
                await self.models.load(spec)
            except Problem as e:
                raise EngineError(f"{spec.name} cannot be loaded: {e.message}") from e

    def _start_answering(self) -> None:
        self._answers = True
        RARE.begin()
        self.models.open()
        if not self._settings.is_loopback:
            self._say(f"{self._settings.host} can be reached from other machines, {self._how_open()}")
        models = [(model, self._inline(model)) for model in self.models.known()]
        for line in ready_lines(self.addresses, models):
            self._say(line)
        if self.scaling is not None:
            self._say(f"  {self.scaling.line()}")
            self.scaling.loop.start()

    def _how_open(self) -> str:
        how = "without encryption" if self._tls is None else "by TLS"
        if self._api_keys is None:
            return f"{how} and without authentication: whoever reaches it may ask (--api-key-file, or a proxy in front)"
        return f"{how}, with a key"

    def _inline(self, model: LiveModel) -> bool:
        return self._pool.in_loop(model)

    # — changes ————————————————————————————————————————————————————————————————————————————————————

    def _changed(self, what: str, model: LiveModel) -> None:
        if self.scaling is not None and what != "unloaded":
            self.scaling.loop.follow(model)
        self._watchers.decided(what, {"model": model.spec.name, "version": model.spec.version})
        if self.models.is_open:
            named = f"{model.spec.name} {model.spec.version}"
            self._say(f"{what}: {named if what == 'unloaded' else model_line(model, inline=self._inline(model))}")

    def _route_changed(self, what: str, evidence: Mapping[str, Any]) -> None:
        self._watchers.decided(what, evidence)
        if what != "route_steered":  # as often as the load changes
            said = ", ".join(f"{key} {value}" for key, value in evidence.items())
            self._say(f"{what.replace('_', ' ')}: {said}")

    def _scaling_of(self, specs: Sequence[Served], clock: Clock) -> Scaling | None:
        policy = self._settings.scaling
        if policy is None:
            return None
        decided = lambda what, evidence: self._watchers.decided(what, evidence)  # noqa: E731 - they are made later
        return Scaling(policy, specs, clock, decided=decided, say=self._say)

    def wanted(self, tier: str, on_demand: int, spot: int) -> None:
        """Keep what a route's load wants in the ledger; replicas are started and stopped by others."""
        self._watchers.decided("replicas_wanted", {"tier": tier, "on_demand": on_demand, "spot": spot})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload(self) -> None:
        if not self.models.is_open:
            self._say("not reloaded: the server is starting or stopping")
            return
        try:
            self._read_keys_again()
            done = await self.models.reload()
        except (FarthingError, Problem) as e:
            self._say(f"not reloaded, what was served is still served: {e.message}")
        else:
            self._say(f"reloaded: {'; '.join(done) or 'nothing has changed'}")

    def _read_keys_again(self) -> None:
        """Heads that were known by an old key are forgotten with it."""
        file = self._settings.api_key_file
        if self._api_keys is not None and file is not None:
            self._api_keys.replace(read_api_keys(file))
            self._http.heads.clear()

    # — stop ———————————————————————————————————————————————————————————————————————————————————————

    async def _drain(self) -> None:
        """Answer what was accepted, as long as the grace lasts."""
        s = self._settings
        self.models.close("the server is stopping")
        if self.scaling is not None:
            await self.scaling.loop.stop()
        self._watchers.decided("stopping", {"open_connections": self._http.open_connections})
        self._say(f"stopping: {self._http.open_connections} connections open, up to {s.grace_s:g} s for their answers")
        self._http.draining = True
        await self._or_hurry(asyncio.sleep(s.notice_s if self._with_notice else 0))
        if self._listener is not None:
            self._listener.close()
        if not await self._or_hurry(self._finish_doors()):
            self._say(f"{self._http.open_connections} connections were cut off")

    async def _finish_doors(self) -> None:
        grace_s = self._settings.grace_s
        async with asyncio.timeout(grace_s), asyncio.TaskGroup() as doors:
            doors.create_task(self._http.drain())
            if self._grpc is not None:
                doors.create_task(self._grpc.drain(grace_s))

    async def _or_hurry(self, work: Coroutine[Any, Any, None]) -> bool:
        """Wait for some work unless hurried; whether it came to its end."""
        doing, hurry = asyncio.create_task(work), asyncio.create_task(self._hurry.wait())
        await asyncio.wait((doing, hurry), return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        doing.cancel()
        try:
            await doing
        except (asyncio.CancelledError, TimeoutError):
            return False
        return True

    async def _end(self) -> None:
        """End everything, whatever is under way."""
        self._state = "ended"
        if self._answers:
            RARE.end()
        for task in tuple(self._tasks):
            task.cancel()
        if self._listener is not None:
            self._listener.close()
        if self._grpc is not None:
            await self._grpc.drain(0)
        if self.scaling is not None:
            await self.scaling.loop.stop()
        self._loader.close()
        await self._pool.close()
        self._http.cut()
        await self.models.finish()
        await self._watchers.close("stopped" if self._stop.is_set() else "failed")


async def _listen(
    factory: Callable[[], asyncio.Protocol], host: str, port: int, tls: Any
) -> tuple[asyncio.Server, int]:
    """Listen on one address.

    Raises:
        InputError: when it is unknown or taken.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listener = await loop.create_server(factory, str(found[0][4][0]), port, ssl=tls, backlog=_BACKLOG)
    except OSError as e:
        raise InputError(
            f"cannot listen on {_netloc(host, port)}: {e.strerror or e}", hint="--port names another port, 0 a free one"
        ) from e
    return listener, int(listener.sockets[0].getsockname()[1])


def _netloc(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
