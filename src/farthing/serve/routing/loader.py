"""Starts and stops models of all kinds: those with workers, those behind URLs, and routes over both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from farthing.core.route.served import RoutedModel, Served, UpstreamModel
from farthing.errors import EngineError
from farthing.nouns import LocalModel, TensorSpec
from farthing.ports import Clock
from farthing.serve.routing.inputs import common_inputs, takes_texts
from farthing.serve.routing.load_steering import NoScaler, Scaler
from farthing.serve.routing.observers import Auditor, Nobody, RouteObserver
from farthing.serve.routing.router import Router
from farthing.serve.routing.tier_protocols import protocol_of
from farthing.serve.routing.tiers import output_columns
from farthing.serve.routing.upstreams import UpstreamQueue, upstream_model
from farthing.wire.requests import Answer, LiveModel, Problem, Request
from farthing.workers.pool import Pool

__all__ = ["Loader", "Watch", "Watched"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Who looks after one route.

    Attributes:
        observer: Told of every row.
        auditor: Decides about audits, and is told what they show.
        started: Called with the router once it is there, for its ``fall_back``.
        stopped: Called when it has ended.
    """

    observer: RouteObserver
    auditor: Auditor
    started: Callable[[Router], object] = lambda router: None
    stopped: Callable[[], object] = lambda: None


Watch = Callable[[RoutedModel], Watched]
"""Makes what looks after a route."""


def _unwatched(spec: RoutedModel) -> Watched:
    nobody = Nobody()
    return Watched(observer=nobody, auditor=nobody)


class Loader:
    """A :class:`farthing.serve.repository.Loader` that knows routes.

    Args:
        pool: For models with workers.
        clock: Monotonic time.
        watch: Makes what looks after a route.
        scaler: Told how many replicas routes want.
        on_call: Told of every answer of a tier's model.
        on_audit: Told of every answer to an audit.
        on_change: Told of rungs that change, fall-backs and resumptions, with evidence.

    Attributes:
        find: The model that answers by a name now; set once there is a repository.
    """

    def __init__(
        self,
        pool: Pool,
        clock: Clock,
        *,
        watch: Watch = _unwatched,
        scaler: Scaler | None = None,
        on_call: Callable[[Request, Answer], object] = lambda request, answer: None,
        on_audit: Callable[[Request, Answer], object] = lambda request, answer: None,
        on_change: Callable[[str, Mapping[str, Any]], object] = lambda what, evidence: None,
    ) -> None:
        self.find: Callable[[str], LiveModel] = _nothing_there
        self._pool, self._clock, self._watch, self._scaler = pool, clock, watch, scaler or NoScaler()
        self._on_call, self._on_audit, self._on_change = on_call, on_audit, on_change
        self._routes: dict[LiveModel, tuple[Router, Watched]] = {}
        self._upstreams: dict[LiveModel, UpstreamQueue] = {}

    @property
    def routers(self) -> dict[str, Router]:
        """Of the routes that are served, by the name of their model; the newest of equal names."""
        return {model.spec.name: router for model, (router, _) in self._routes.items()}

    async def start(self, spec: Served) -> LiveModel:
        """Load and warm up; returns when it is ready.

        Raises:
            Problem: when a tier of a route is not there.
            EngineError: when it cannot be loaded, or a route's tiers do not fit together.
        """
        match spec:
            case LocalModel():
                return await self._pool.start(spec)
            case UpstreamModel():
                return await self._start_upstream(spec)
            case RoutedModel():
                return self._start_route(spec)
            case _:
                assert_never(spec)

    async def stop(self, model: LiveModel, drain: bool = True) -> None:
        """Answer what was taken, then end it."""
        upstream, route = self._upstreams.pop(model, None), self._routes.get(model)
        why = f"model {model.spec.name} version {model.spec.version} was unloaded"
        if upstream is not None:
            if drain:
                await upstream.quiet()
            upstream.close(why)
        elif route is not None:
            await self._stop_route(model, *route, drain=drain, why=why)
        else:
            await self._pool.stop(model, drain)

    def close(self) -> None:
        """End all routes and upstreams; what is on its way is answered with a 503."""
        for router, watched in self._routes.values():
            router.close("the server is stopping")
            watched.stopped()
        for upstream in self._upstreams.values():
            upstream.close("the server is stopping")
        self._routes.clear()
        self._upstreams.clear()

    async def _start_upstream(self, spec: UpstreamModel) -> LiveModel:
        model = upstream_model(spec, protocol_of, self._clock)
        assert isinstance(model.queue, UpstreamQueue)
        self._upstreams[model] = model.queue
        await model.queue.open(model)
        return model

    # — routes —————————————————————————————————————————————————————————————————————————————————————

    def _start_route(self, spec: RoutedModel) -> LiveModel:
        tiers = self._tiers(spec)
        outputs = _outputs(spec, tiers)
        takes = common_inputs(list(tiers.values()))
        if not takes and spec.pipeline.kind == "tensor":
            said = "; ".join(f"{name}: {', '.join(i.name for i in model.inputs)}" for name, model in tiers.items())
            raise EngineError(f"the tiers of {spec.name} take different tensors ({said})")
        try:
            watched = self._watch(spec)
            router = Router(
                spec,
                outputs,
                self.find,
                self._clock,
                observer=watched.observer,
                auditor=watched.auditor,
                scaler=self._scaler,
                on_call=self._on_call,
                on_audit=self._on_audit,
                on_change=self._on_change,
            )
        except ValueError as e:
            raise EngineError(f"the route {spec.name} cannot be followed: {e}") from e
        model = LiveModel(
            spec=spec,
            inputs=takes,
            outputs=outputs,
            batched=_is_batched(list(tiers.values()), outputs),
            queue=router,
            state="ready",
            platform="farthing_route",
            one_row=all(tier.has_rows for tier in tiers.values()),
        )
        self._routes[model] = router, watched
        watched.started(router)
        return model

    def _tiers(self, spec: RoutedModel) -> dict[str, LiveModel]:
        """The first place of each tier whose model is known; that of a tier that cannot be reached yet is left out."""
        found: dict[str, LiveModel] = {}
        for tier in spec.route.tiers:
            models = [self.find(place.model) for place in spec.places[tier.name]]
            known = next((model for model in models if model.outputs), None)
            if known is not None:
                found[tier.name] = known
        if not found:
            raise Problem(503, f"no tier of the route {spec.name} can be reached", retry_after_s=1.0)
        return found

    async def _stop_route(self, model: LiveModel, router: Router, watched: Watched, *, drain: bool, why: str) -> None:
        model.state = "unloading"
        if drain:
            await router.quiet()
        del self._routes[model]
        router.close(why)
        watched.stopped()
        model.state = "unloaded"


def _nothing_there(name: str) -> LiveModel:
    raise Problem(503, f"{name} is not loaded yet", retry_after_s=1.0)


def _outputs(spec: RoutedModel, tiers: Mapping[str, LiveModel]) -> tuple[TensorSpec, ...]:
    """What all tiers answer: outputs of the reference that every tier has, else each one's first.

    Raises:
        EngineError: when tiers answer different numbers of classes.
    """
    reference = tiers.get(spec.route.reference) or list(tiers.values())[-1]
    names = [{output.name for output in model.outputs} for model in tiers.values()]
    first = reference.outputs[0]
    chosen: tuple[TensorSpec, ...] = (first,)
    if all(first.name in there for there in names):
        chosen += tuple(output for output in reference.outputs[1:] if _is_everyones(output, tiers))
    rest = {name: model.outputs[output_columns(model, (first,))[0]] for name, model in tiers.items()}
    wanted = first.shape[1:]
    for name, output in rest.items():
        shape = output.shape[1:]
        fits = len(shape) == len(wanted) and all(None in (a, b) or a == b for a, b in zip(shape, wanted))
        if not fits:
            raise EngineError(
                f"the tiers of {spec.name} answer differently: {name} {list(shape)} a row, "
                f"{spec.route.reference} {list(wanted)}",
                hint="tiers of one route must have the same classes in the same order",
            )
    return chosen


def _is_batched(tiers: Sequence[LiveModel], outputs: Sequence[TensorSpec]) -> bool:
    """Whether rows are told apart: all tiers batch them, or each takes a text a row and gives an answer a row."""
    rows = all(output.shape[:1] == (None,) for output in outputs)
    return all(tier.batched for tier in tiers) or (rows and all(map(takes_texts, tiers)))


def _is_everyones(output: TensorSpec, tiers: Mapping[str, LiveModel]) -> bool:
    """Whether every tier gives such an output."""
    return all(
        any(other.name == output.name and other.shape == output.shape for other in model.outputs)
        for model in tiers.values()
    )
