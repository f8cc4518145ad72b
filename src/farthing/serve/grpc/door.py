"""The Open Inference Protocol over gRPC: sockets, limits, errors, health and the end of a server.

``grpc.aio`` runs on the server's own loop. Messages are kept as bytes until a method reads them, so that what is no
message gets ``INVALID_ARGUMENT``. The bound on a message holds before and after it is decompressed. Methods that are
not known here get ``UNIMPLEMENTED`` from gRPC itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

import grpc
import grpc.aio

from farthing.errors import InputError
from farthing.ports import Clock
from farthing.serve.grpc.calls import CANCELLED, Caller, Calls, parsed
from farthing.serve.grpc.messages import HEALTH_SERVICE, INFERENCE_SERVICE, METHODS, message
from farthing.serve.limits import Limits
from farthing.serve.protocol.api_keys import ApiKeys
from farthing.serve.turns import Turns
from farthing.wire.requests import Models, Observer, Problem

__all__ = ["GrpcServer", "server_credentials", "status_code"]

_CODES: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    CANCELLED: grpc.StatusCode.CANCELLED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_DETAIL_CHARACTERS: Final = 1000
_WATCH_S: Final = 1.0
_HealthRequest = message("grpc.health.v1.HealthCheckRequest")
_HealthResponse = message("grpc.health.v1.HealthCheckResponse")
_SERVING: Final = {True: "SERVING", False: "NOT_SERVING", None: "SERVICE_UNKNOWN"}


def status_code(problem: Problem) -> grpc.StatusCode:
    """The word of gRPC for an HTTP status."""
    return _CODES.get(problem.status, grpc.StatusCode.UNKNOWN)


def server_credentials(key: bytes, certificates: bytes) -> grpc.ServerCredentials:
    """TLS of a server.

    Args:
        key: Private key, PEM.
        certificates: Its certificate and those up to the root, PEM.
    """
    return grpc.ssl_server_credentials([(key, certificates)])


class GrpcServer:
    """The gRPC door.

    Args:
        models: Who answers.
        observer: Told of every inference request.
        limits: Bounds; ``connections`` bounds the calls of all connections together, ``pipelined`` those of one.
        clock: Time.
        tenant_salt: For the hash of a call's ``authorization`` in the ledger; None for no tenants.
        expose_cost: Answers of routes say what one more request costs.
        turns: Do long work; None for its own.
        api_keys: Of which clients must show one; None for none.
    """

    def __init__(
        self,
        models: Models,
        observer: Observer,
        limits: Limits,
        clock: Clock,
        *,
        tenant_salt: bytes | None = None,
        expose_cost: bool = False,
        turns: Turns | None = None,
        api_keys: ApiKeys | None = None,
    ) -> None:
        self._limits = limits
        self._calls = Calls(
            models,
            observer,
            limits,
            clock,
            tenant_salt,
            expose_cost=expose_cost,
            turns=turns,
            api_keys=api_keys,
        )
        self._ended = asyncio.Event()
        self._server: grpc.aio.Server | None = None

    async def start(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Listen.

        Args:
            address: ``host:port``; port 0 for a free one.
            credentials: TLS, None for none.

        Returns:
            The port.

        Raises:
            InputError: when the address cannot be listened on.
        """
        server = grpc.aio.server(options=_options(self._limits), maximum_concurrent_rpcs=self._limits.connections)
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(INFERENCE_SERVICE, self._inference_methods()),
                grpc.method_handlers_generic_handler(HEALTH_SERVICE, self._health_methods()),
            )
        )
        try:
            if credentials is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, credentials)
        except RuntimeError as e:
            raise InputError(f"cannot listen for gRPC on {address}: {e}", hint="is the port taken?") from e
        await server.start()
        self._server = server
        return int(port)

    async def drain(self, grace_s: float) -> None:
        """Take no new calls, answer those that were taken, then close; after ``grace_s`` what is left is cut off."""
        self._calls.draining = True
        self._ended.set()
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None

    # — methods ————————————————————————————————————————————————————————————————————————————————————

    def _inference_methods(self) -> Mapping[str, grpc.RpcMethodHandler]:
        methods = {name: grpc.unary_unary_rpc_method_handler(self._described(name)) for name in self._calls.unary}
        methods["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._infer)
        methods["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream)
        assert methods.keys() == {*METHODS, "ModelStreamInfer"}
        return methods

    def _described(self, name: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def answer(raw: bytes, context: Any) -> bytes:
            async with _ending(context):
                self._calls.check_key(_metadata(context), name)
                return self._calls.describe(name, raw)

        return answer

    async def _infer(self, raw: bytes, context: Any) -> bytes:
        async with _ending(context):
            caller = _caller(context)
            self._calls.check_key(caller.metadata, "ModelInfer")
            answer = await self._calls.infer(raw, caller)
            return bytes(answer.SerializeToString())

    async def _stream(self, _: Any, context: Any) -> AsyncIterator[bytes]:
        async def received() -> bytes | None:
            raw = await context.read()
            return None if raw is grpc.aio.EOF else bytes(raw)

        answers = self._calls.stream(received, lambda: _caller(context), self._ended)
        async with _ending(context), aclosing(answers):
            self._calls.check_key(_metadata(context), "ModelStreamInfer")
            async for answer in answers:
                yield answer.SerializeToString()

    # — health —————————————————————————————————————————————————————————————————————————————————————

    def _health_methods(self) -> Mapping[str, grpc.RpcMethodHandler]:
        return {
            "Check": grpc.unary_unary_rpc_method_handler(self._check),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
        }

    async def _check(self, raw: bytes, context: Any) -> bytes:
        async with _ending(context):
            service = parsed(_HealthRequest, raw).service
            serving = self._calls.ready(service)
            if serving is None:
                raise Problem(404, f"there is no service {service[:80]!r} here")
            return _health(serving)

    async def _watch(self, raw: bytes, context: Any) -> AsyncIterator[bytes]:
        async with _ending(context):
            service = parsed(_HealthRequest, raw).service
        told: bytes | None = None
        while True:
            now = _health(self._calls.ready(service))
            if now != told:
                told = now
                yield now
            if self._ended.is_set():
                return
            try:
                await asyncio.wait_for(self._ended.wait(), _WATCH_S)
            except TimeoutError:
                continue


def _health(serving: bool | None) -> bytes:
    return bytes(_HealthResponse(status=_SERVING[serving]).SerializeToString())


def _options(limits: Limits) -> list[tuple[str, int]]:
    """The settings of gRPC that hold our limits."""
    return [
        ("grpc.max_receive_message_length", limits.body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", limits.head_bytes),
        ("grpc.absolute_max_metadata_size", limits.head_bytes),
        ("grpc.max_concurrent_streams", limits.pipelined),
        ("grpc.max_connection_idle_ms", round(limits.idle_s * 1000)),
        ("grpc.server_handshake_timeout_ms", round(limits.head_s * 1000)),
        ("grpc.so_reuseport", 0),
    ]


def _caller(context: Any) -> Caller:
    return Caller(left_s=context.time_remaining(), metadata=_metadata(context))


def _metadata(context: Any) -> dict[str, str]:
    return {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}


@asynccontextmanager
async def _ending(context: Any) -> AsyncIterator[None]:
    """End the call where its method raises: with the problem's own code, or as a fault of this server."""
    try:
        yield
        return
    except Problem as e:
        problem = e
    except Exception as e:  # noqa: BLE001 - ends one call; what it says stays here
        asyncio.get_running_loop().call_exception_handler({"message": "a gRPC call failed", "exception": e})
        problem = Problem(500, "the server failed on this call")
    trailing: tuple[tuple[str, str], ...] = ()
    if problem.retry_after_s is not None:
        trailing = (("grpc-retry-pushback-ms", str(max(1, round(problem.retry_after_s * 1000)))),)
    await context.abort(status_code(problem), problem.message[:_DETAIL_CHARACTERS], trailing)
