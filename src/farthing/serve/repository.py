"""The models of a server: which version answers, and how versions come and go without dropping a request.

A new version is loaded and warmed up beside the old one; once it is ready, one assignment makes it the one that is
found. The old one finishes what it has taken, and requests that found it before and come late (a long body) are
passed on to the new one where both take and give the same tensors.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from farthing.core.route.served import Served
from farthing.errors import FarthingError
from farthing.models.digests import digest
from farthing.models.onnx_files import check_external_data
from farthing.wire.requests import LiveModel, Problem, Request

__all__ = ["Loader", "Repository", "VersionState"]

LINGER_S = 1.0
"""How long a version that nobody finds any more still takes requests that found it before."""
_RETRY_AFTER_S = 1.0
_SHOWN = 80
Key = tuple[str, str]
Stamp = tuple[tuple[str, str], ...]


class Loader(Protocol):
    """Starts and stops the workers of a model (``workers/pool.py``)."""

    async def start(self, spec: Served) -> LiveModel:
        """Load and warm up; returns when it is ready.

        Raises:
            Problem: when it cannot be loaded; a FarthingError where the engine refused it.
        """
        ...

    async def stop(self, model: LiveModel, drain: bool = True) -> None:
        """Answer what was taken, then end its workers."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionState:
    """One line of the index, in the words of the model repository extension.

    Attributes:
        name: Of the model.
        version: As in URLs.
        state: ``LOADING``, ``READY``, ``UNAVAILABLE`` or ``UNLOADING``.
        reason: Why it is not ready, empty when it is.
    """

    name: str
    version: str
    state: Literal["LOADING", "READY", "UNAVAILABLE", "UNLOADING"]
    reason: str = ""


class _PassedOn:
    """Stands in for the queue of a version that was replaced: late requests go to its successor."""

    def __init__(self, successor: LiveModel) -> None:
        self._successor = successor

    @property
    def waiting(self) -> int:
        """None wait here."""
        return 0

    @waiting.setter
    def waiting(self, _: int) -> None:
        raise AttributeError("requests do not wait here")

    def refuse(self, rows: int, deadline_s: float) -> Problem | None:
        """As the successor says."""
        return self._successor.queue.refuse(rows, deadline_s)

    def submit(self, request: Request) -> None:
        """Hand the request on; a replaced successor hands it on again."""
        request.model = self._successor
        self._successor.queue.submit(request)


class Repository:
    """All versions of all models; implements :class:`farthing.wire.requests.Models`.

    Everything happens on the loop thread; changes to one name wait for each other.

    Args:
        pool: Starts and stops workers.
        read: Finds and checks the sources again, for ``reload`` and ``load_named``; runs in a thread.
        linger_s: See :data:`LINGER_S`.
        on_change: Told ``loaded``, ``replaced`` or ``unloaded`` with the model, as it happens.
    """

    def __init__(
        self,
        pool: Loader,
        *,
        read: Callable[[], Sequence[Served]] = tuple,
        linger_s: float = LINGER_S,
        on_change: Callable[[str, LiveModel], object] = lambda what, model: None,
    ) -> None:
        self._pool, self._read, self._linger_s, self._on_change = pool, read, linger_s, on_change
        self._live: dict[Key, LiveModel] = {}
        self._newest: dict[str, LiveModel] = {}
        self._loading: dict[Key, Served] = {}
        self._failed: dict[Key, str] = {}
        self._leaving: list[LiveModel] = []
        self._stamps: dict[Key, Stamp] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._reloading = asyncio.Lock()
        self._farewells: set[asyncio.Task[None]] = set()
        self._closed: Problem | None = Problem(503, "the server is starting", retry_after_s=_RETRY_AFTER_S)

    def find(self, name: str, version: str | None = None) -> LiveModel:
        """The newest ready version, or the one named.

        Raises:
            Problem: 404 when there is none of that name or version; 503 with the reason when it is not ready.
        """
        model = self._live.get((name, version)) if version else self._newest.get(name)
        if model is not None and model.state == "ready":
            return model
        return self._find_among(name, version or None)

    def _find_among(self, name: str, version: str | None) -> LiveModel:
        models = [m for (n, v), m in self._live.items() if n == name and version in (None, v)]
        ready = [m for m in models if m.state == "ready"]
        if ready:
            return max(ready, key=_number)
        if models:
            model = max(models, key=_number)
            raise _not_ready(name, model.spec.version, model.state, model.reason)
        for (n, v), _ in self._loading.items():
            if n == name and version in (None, v):
                raise _not_ready(name, v, "loading", "")
        for (n, v), reason in self._failed.items():
            if n == name and version in (None, v):
                raise _not_ready(name, v, "unavailable", reason)
        versions = sorted((v for n, v in self._live if n == name), key=int)
        if version is not None and versions:
            said = f"model {name} has no version {version[:_SHOWN]!r}; it has {', '.join(versions)}"
            raise Problem(404, said)
        raise Problem(404, f"there is no model {name[:_SHOWN]!r}")

    def known(self) -> tuple[LiveModel, ...]:
        """All versions, those that are not ready and those that are finishing included."""
        return (*self._live.values(), *self._leaving)

    def not_ready(self) -> Problem | None:
        """None when the server takes requests, has models and every one is ready, else the first reason."""
        if self._closed is not None:
            return self._closed
        if not self._live and not self._loading and not self._failed:
            return Problem(503, "there is no model", retry_after_s=_RETRY_AFTER_S)
        for model in self._live.values():
            if model.state != "ready":
                return _not_ready(model.spec.name, model.spec.version, model.state, model.reason)
        for name, version in self._loading:
            if name not in self._newest:
                return _not_ready(name, version, "loading", "")
        for (name, version), reason in self._failed.items():
            if name not in self._newest:
                return _not_ready(name, version, "unavailable", reason)
        return None

    def index(self) -> tuple[VersionState, ...]:
        """Every version there is, is coming or could not be loaded, by name and version."""
        words: dict[str, Literal["LOADING", "READY", "UNAVAILABLE", "UNLOADING"]] = {
            "loading": "LOADING",
            "ready": "READY",
            "unavailable": "UNAVAILABLE",
            "unloading": "UNLOADING",
            "unloaded": "UNAVAILABLE",
        }
        lines: dict[Key, VersionState] = {}
        for name, version in self._loading:
            lines[name, version] = VersionState(name=name, version=version, state="LOADING")
        for (name, version), reason in self._failed.items():
            lines[name, version] = VersionState(name=name, version=version, state="UNAVAILABLE", reason=reason)
        for model in (*self._leaving, *self._live.values()):
            name, version = key = model.spec.name, model.spec.version
            lines[key] = VersionState(name=name, version=version, state=words[model.state], reason=model.reason)
        return tuple(lines[key] for key in sorted(lines, key=lambda k: (k[0], int(k[1]))))

    @property
    def is_open(self) -> bool:
        """Whether it was opened and not closed since."""
        return self._closed is None

    def open(self) -> None:
        """Say ready from now on, as far as the models are."""
        self._closed = None

    def close(self, reason: str) -> None:
        """Say not ready from now on; models still answer."""
        self._closed = Problem(503, reason, retry_after_s=_RETRY_AFTER_S)

    def expect(self, specs: Sequence[Served]) -> None:
        """Say of these that they are loading, until :meth:`load` has been called for each."""
        self._loading |= {(spec.name, spec.version): spec for spec in specs}

    async def load(self, spec: Served) -> LiveModel:
        """Load a version beside the others; the same version is replaced once the new one is ready.

        Raises:
            Problem: when it cannot be loaded, or a FarthingError; what was there stays.
        """
        async with self._locks.setdefault(spec.name, asyncio.Lock()):
            return await self._load(spec)

    async def _load(self, spec: Served) -> LiveModel:
        key = spec.name, spec.version
        self._loading[key] = spec
        self._failed.pop(key, None)
        try:
            stamp = await asyncio.to_thread(_stamp, spec)
            model = await self._pool.start(spec)
        except (Problem, FarthingError) as e:
            if key not in self._live:
                self._failed[key] = e.message
            raise
        finally:
            del self._loading[key]
        before = self._live.get(key)
        self._live[key], self._stamps[key] = model, stamp
        self._find_newest(spec.name)
        if before is not None:
            self._dismiss(before, model)
        self._on_change("loaded" if before is None else "replaced", model)
        return model

    async def swap(self, spec: Served) -> LiveModel:
        """Load a version, let it take over, and unload all others of its name.

        Raises:
            Problem: when it cannot be loaded, or a FarthingError; the others stay.
        """
        async with self._locks.setdefault(spec.name, asyncio.Lock()):
            model = await self._load(spec)
            self._forget(spec.name, except_version=spec.version, successor=model)
            return model

    async def unload(self, name: str, version: str | None = None) -> None:
        """Stop finding a version (all of them when none is named), and end it once it has answered.

        Raises:
            Problem: 404 when there is none.
        """
        async with self._locks.setdefault(name, asyncio.Lock()):
            keys = [k for k in (*self._live, *self._failed) if k[0] == name and version in (None, "", k[1])]
            if not keys:
                raise Problem(404, f"there is no model {name[:_SHOWN]!r}" + (f" version {version}" if version else ""))
            leaving = [self._live[k] for k in keys if k in self._live]
            for key in keys:
                self._failed.pop(key, None)
                self._live.pop(key, None)
                self._stamps.pop(key, None)
            self._find_newest(name)
            for model in leaving:
                self._dismiss(model, self._newest.get(name) if version is None else None)

    async def load_named(self, name: str) -> tuple[LiveModel, ...]:
        """Find a model in the sources again and load what they hold under that name.

        Raises:
            Problem: 404 when the sources have none of that name, or when it cannot be loaded.
            FarthingError: when the sources cannot be read or the engine refuses the model.
        """
        specs = [s for s in await asyncio.to_thread(self._read) if s.name == name]
        if not specs:
            raise Problem(404, f"the sources that are served have no model {name[:_SHOWN]!r}")
        return tuple([await self.load(spec) for spec in specs])

    async def reload(self) -> tuple[str, ...]:
        """Read the sources again; load what is new or changed, then unload what is gone.

        Returns:
            What was done, one sentence a version.

        Raises:
            FarthingError: when the sources cannot be read, or a new version cannot be loaded; nothing is unloaded
                then.
        """
        async with self._reloading:
            return await self._reload()

    async def _reload(self) -> tuple[str, ...]:
        specs = {(s.name, s.version): s for s in await asyncio.to_thread(self._read)}
        said: list[str] = []
        for key, spec in specs.items():
            before = self._live.get(key)
            if before is None or before.spec != spec or self._stamps[key] != await asyncio.to_thread(_stamp, spec):
                await self.load(spec)
                said.append(f"{spec.name} version {spec.version} {'loaded' if before is None else 'replaced'}")
        for name, version in [k for k in (*self._live, *self._failed) if k not in specs]:
            await self._replaced_or_unloaded(name, version)
            said.append(f"{name} version {version} unloaded")
        return tuple(said)

    async def _replaced_or_unloaded(self, name: str, version: str) -> None:
        successor = self._newest.get(name)
        if successor is not None and successor.spec.version != version:
            async with self._locks.setdefault(name, asyncio.Lock()):
                self._forget(name, only_version=version, successor=successor)
        else:
            await self.unload(name, version)

    async def finish(self) -> None:
        """Wait until all versions that were replaced or unloaded have ended."""
        while self._farewells:
            await asyncio.gather(*self._farewells)

    def _forget(
        self, name: str, *, successor: LiveModel, only_version: str | None = None, except_version: str | None = None
    ) -> None:
        """Dismiss versions of a name in favour of another."""
        for key in [k for k in (*self._live, *self._failed) if k[0] == name]:
            if key[1] != except_version and only_version in (None, key[1]):
                self._failed.pop(key, None)
                self._stamps.pop(key, None)
                model = self._live.pop(key, None)
                if model is not None:
                    self._dismiss(model, successor)
        self._find_newest(name)

    def _find_newest(self, name: str) -> None:
        models = [m for (n, _), m in self._live.items() if n == name]
        if models:
            self._newest[name] = max(models, key=_number)
        else:
            self._newest.pop(name, None)

    def _dismiss(self, model: LiveModel, successor: LiveModel | None) -> None:
        model.state = "unloading"
        passed_on = successor is not None and _interchangeable(model, successor)
        if passed_on and successor is not None:
            model.queue = _PassedOn(successor)
        self._leaving.append(model)
        task = asyncio.create_task(self._farewell(model, 0.0 if passed_on else self._linger_s))
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    async def _farewell(self, model: LiveModel, linger_s: float) -> None:
        try:
            await asyncio.sleep(linger_s)
            await self._pool.stop(model, drain=True)
        finally:
            model.state = "unloaded"
            self._leaving.remove(model)
        self._on_change("unloaded", model)


def _number(model: LiveModel) -> int:
    return int(model.spec.version)


def _not_ready(name: str, version: str, state: str, reason: str) -> Problem:
    said = f"model {name} version {version} is {state}" + (f": {reason}" if reason else "")
    return Problem(503, said, retry_after_s=_RETRY_AFTER_S)


def _interchangeable(one: LiveModel, other: LiveModel) -> bool:
    """Whether a request checked for one can be answered by the other."""
    pipelines = one.spec.pipeline, other.spec.pipeline
    return (
        (one.inputs, one.outputs, one.batched) == (other.inputs, other.outputs, other.batched)
        and pipelines[0].kind == pipelines[1].kind
        and one.spec.max_batch <= other.spec.max_batch
    )


def _stamp(spec: Served) -> Stamp:
    """Name and digest of a model's files: whether it is another one, whatever their sizes and times say.

    Weights beside an ONNX file and the tokenizer count too.
    """
    path = spec.origin
    files = sorted(path.parent.glob(f"{path.name}*")) if path.is_file() else sorted(path.rglob("*"))
    if path.suffix == ".onnx" and path.is_file():
        with contextlib.suppress(FarthingError):  # loading says what is wrong with it
            files += check_external_data(path)
    if spec.pipeline.tokenizer is not None:
        files.append(Path(spec.pipeline.tokenizer))
    return tuple((str(f), digest(f)) for f in files if f.is_file())
