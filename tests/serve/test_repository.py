"""Versions come and go; what is found, what is said, and what happens to requests that come late."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from farthing.errors import EngineError, InputError
from farthing.nouns import Candidate, LocalModel, PipelineSpec, TensorSpec
from farthing.serve.protocol.sagemaker import chosen_model
from farthing.serve.repository import Repository
from farthing.wire.requests import Answer, LiveModel, Problem, Request

X = TensorSpec(name="x", dtype="float32", shape=(None, 4))
Y = TensorSpec(name="y", dtype="float32", shape=(None, 2))


class StubQueue:
    """Takes requests until its model has ended, and answers with the model's version."""

    def __init__(self) -> None:
        self.waiting = 0
        self.open = True
        self.label = ""

    def refuse(self, rows: int, deadline_s: float) -> Problem | None:
        return None

    def submit(self, request: Request) -> None:
        if self.open:
            request.reply(request, Answer(outputs=[], queue_s=0, service_s=0, batch_rows=1))
        else:
            request.reply(request, Problem(503, f"{self.label} has ended"))


class StubPool:
    """Loads at once, or as told."""

    def __init__(self) -> None:
        self.gate: asyncio.Event | None = None
        self.failure: Exception | None = None
        self.outputs = (Y,)
        self.stopped: list[str] = []
        self.queues: dict[int, StubQueue] = {}

    async def start(self, spec: LocalModel) -> LiveModel:
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        queue = StubQueue()
        model = LiveModel(spec=spec, inputs=(X,), outputs=self.outputs, batched=True, queue=queue, state="ready")
        self.queues[id(model)] = queue
        return model

    async def stop(self, model: LiveModel, drain: bool = True) -> None:
        await asyncio.sleep(0)
        self.queues[id(model)].open = False
        self.stopped.append(f"{model.spec.name}/{model.spec.version}")


@pytest.fixture
def spec(tmp_path: Path) -> LocalModel:
    (tmp_path / "model.onnx").write_bytes(b"one")
    candidate = Candidate(engine="fake", variant="fp32", precision="fp32", max_batch=8)
    return LocalModel(name="m", path=tmp_path / "model.onnx", candidate=candidate)


def later(spec: LocalModel, version: int) -> LocalModel:
    return replace(spec, version=str(version))


def ask(model: LiveModel) -> Answer | Problem:
    said: list[Answer | Problem] = []
    model.queue.submit(Request(model=model, reply=lambda _, answer: said.append(answer)))
    (answer,) = said
    return answer


def problem_of(call: Callable[[], object]) -> Problem:
    with pytest.raises(Problem) as e:
        call()
    return e.value


def test_the_newest_ready_version_answers(spec: LocalModel) -> None:
    async def check() -> None:
        models = Repository(StubPool())
        for version in (2, 10, 9):
            await models.load(later(spec, version))
        assert models.find("m").spec.version == "10"
        assert models.find("m", "").spec.version == "10"
        assert models.find("m", "9").spec.version == "9"
        models.find("m", "10").state = "unavailable"
        assert models.find("m").spec.version == "9"
        models._live["m", "10"].state = "ready"
        assert models.find("m").spec.version == "10"

    asyncio.run(check())


def test_what_is_not_found(spec: LocalModel) -> None:
    async def check() -> None:
        models = Repository(StubPool())
        await models.load(later(spec, 3))
        assert problem_of(lambda: models.find("n")).status == 404
        wrong = problem_of(lambda: models.find("m", "4"))
        assert (wrong.status, wrong.message) == (404, "model m has no version '4'; it has 3")
        models.find("m").reason = "worker died 5 times"
        models.find("m").state = "unavailable"
        asleep = problem_of(lambda: models.find("m"))
        assert (asleep.status, asleep.message) == (503, "model m version 3 is unavailable: worker died 5 times")
        assert asleep.retry_after_s is not None

    asyncio.run(check())


def test_readiness_while_loading_failing_and_closing(spec: LocalModel) -> None:
    async def check() -> None:
        pool = StubPool()
        models = Repository(pool)
        assert models.not_ready() is not None
        models.open()
        assert (models.not_ready().status, models.not_ready().message) == (503, "there is no model")
        pool.gate = asyncio.Event()
        loading = asyncio.create_task(models.load(spec))
        await asyncio.sleep(0.01)
        assert "loading" in models.not_ready().message
        assert problem_of(lambda: models.find("m")).status == 503
        asked = problem_of(lambda: chosen_model(models, ""))
        assert (asked.status, asked.message) == (503, models.not_ready().message)
        assert asked.retry_after_s is not None
        assert [(line.version, line.state) for line in models.index()] == [("1", "LOADING")]
        pool.failure = EngineError("the engine refuses it")
        pool.gate.set()
        with pytest.raises(EngineError):
            await loading
        assert "the engine refuses it" in models.not_ready().message
        assert "the engine refuses it" in problem_of(lambda: models.find("m")).message
        assert "the engine refuses it" in problem_of(lambda: chosen_model(models, "")).message
        assert [(line.state, line.reason) for line in models.index()] == [("UNAVAILABLE", "the engine refuses it")]
        pool.failure = None
        await models.load(spec)
        assert models.not_ready() is None
        models.close("the server is draining")
        assert models.not_ready().message == "the server is draining"
        assert models.find("m").state == "ready"

    asyncio.run(check())


def test_models_on_their_way_in_or_out_are_none_to_choose_between(spec: LocalModel) -> None:
    async def check() -> None:
        pool = StubPool()
        models = Repository(pool)
        models.open()
        first = await models.load(spec)
        pool.gate = asyncio.Event()
        loading = asyncio.create_task(models.load(replace(spec, name="other")))
        await asyncio.sleep(0.01)
        assert chosen_model(models, "") is first
        pool.gate.set()
        other = await loading
        assert problem_of(lambda: chosen_model(models, "")).status == 400
        first.state = "unloading"
        assert chosen_model(models, "") is other
        other.state, other.reason = "unavailable", "its worker died"
        assert "its worker died" in problem_of(lambda: chosen_model(models, "")).message

    asyncio.run(check())


def test_a_failed_swap_leaves_the_old_version(spec: LocalModel) -> None:
    async def check() -> None:
        pool = StubPool()
        models = Repository(pool)
        models.open()
        await models.load(spec)
        pool.failure = Problem(503, "out of memory")
        with pytest.raises(Problem):
            await models.swap(later(spec, 2))
        assert models.find("m").spec.version == "1"
        assert models.not_ready() is None
        assert [(line.version, line.state) for line in models.index()] == [("1", "READY"), ("2", "UNAVAILABLE")]
        pool.failure = None
        await models.swap(later(spec, 3))
        await models.finish()
        assert [(line.version, line.state) for line in models.index()] == [("3", "READY")]
        assert pool.stopped == ["m/1"]

    asyncio.run(check())


def test_late_requests_are_passed_on(spec: LocalModel) -> None:
    async def check() -> None:
        models = Repository(StubPool(), linger_s=0.01)
        found = [await models.load(spec)]
        for version in range(2, 6):
            found.append(await models.swap(later(spec, version)))
        await models.finish()
        assert all(isinstance(ask(model), Answer) for model in found)

    asyncio.run(check())


def test_a_version_with_other_outputs_takes_no_late_requests(spec: LocalModel) -> None:
    async def check() -> None:
        pool = StubPool()
        models = Repository(pool, linger_s=0.05)
        old = await models.load(spec)
        pool.outputs = (replace(Y, shape=(None, 3)),)
        await models.swap(later(spec, 2))
        assert models.find("m").spec.version == "2"
        assert isinstance(ask(old), Answer)
        assert old.state == "unloading"
        assert old in models.known()
        await models.finish()
        assert isinstance(ask(old), Problem)
        assert old.state == "unloaded"
        assert old not in models.known()

    asyncio.run(check())


def test_unload(spec: LocalModel) -> None:
    async def check() -> None:
        pool = StubPool()
        models = Repository(pool, linger_s=0)
        for version in (1, 2, 3):
            await models.load(later(spec, version))
        await models.unload("m", "3")
        assert models.find("m").spec.version == "2"
        await models.unload("m")
        await models.finish()
        assert pool.stopped == ["m/3", "m/1", "m/2"]
        assert problem_of(lambda: models.find("m")).status == 404
        with pytest.raises(Problem, match="there is no model 'm'"):
            await models.unload("m")

    asyncio.run(check())


def test_reload_replaces_what_changed_and_only_that(spec: LocalModel) -> None:
    async def check() -> None:
        sources = [spec, replace(spec, name="n")]
        pool = StubPool()
        models = Repository(pool, read=lambda: sources, linger_s=0)
        assert await models.reload() == ("m version 1 loaded", "n version 1 loaded")
        assert await models.reload() == ()
        sources[1] = replace(sources[1], deadline_s=0.1)
        assert await models.reload() == ("n version 1 replaced",)
        spec.path.write_bytes(b"another")
        assert await models.reload() == ("m version 1 replaced", "n version 1 replaced")
        sources[:] = [later(spec, 2)]
        assert await models.reload() == ("m version 2 loaded", "m version 1 unloaded", "n version 1 unloaded")
        assert models.find("m").spec.version == "2"
        assert problem_of(lambda: models.find("n")).status == 404
        await models.finish()

    asyncio.run(check())


def test_reload_sees_a_tokenizer_and_weights_beside_the_file_written_again(spec: LocalModel, tmp_path: Path) -> None:
    path, weights, tokenizer = (tmp_path / name for name in ("t.onnx", "t.onnx.data", "tokenizer.json"))
    for file in (path, weights, tokenizer):
        file.write_bytes(b"first")
    told = replace(spec, path=path, pipeline=PipelineSpec(kind="text", tokenizer=str(tokenizer)))

    async def body() -> None:
        models = Repository(StubPool(), read=lambda: (told,), linger_s=0)
        await models.reload()
        for file in (weights, tokenizer):
            assert await models.reload() == ()
            file.write_bytes(b"written again")
            assert await models.reload() == (f"{spec.name} version 1 replaced",)

    asyncio.run(body())


def test_reload_goes_by_content_not_by_size_or_time(spec: LocalModel, tmp_path: Path) -> None:
    path = tmp_path / "t.onnx"
    path.write_bytes(b"first")
    kept = path.stat()

    async def body() -> None:
        models = Repository(StubPool(), read=lambda: (replace(spec, path=path),), linger_s=0)
        await models.reload()
        path.touch()
        assert await models.reload() == ()
        path.write_bytes(b"other")
        os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
        assert await models.reload() == (f"{spec.name} version 1 replaced",)

    asyncio.run(body())


def test_reload_of_unreadable_sources_changes_nothing(spec: LocalModel) -> None:
    def gone() -> list[LocalModel]:
        raise InputError("cannot read plan.yaml")

    async def check() -> None:
        models = Repository(StubPool(), read=gone)
        await models.load(spec)
        with pytest.raises(InputError):
            await models.reload()
        assert models.find("m").state == "ready"

    asyncio.run(check())


def test_models_by_name_from_the_sources(spec: LocalModel) -> None:
    async def check() -> None:
        models = Repository(StubPool(), read=lambda: [spec])
        (loaded,) = await models.load_named("m")
        assert models.find("m") is loaded
        with pytest.raises(Problem) as e:
            await models.load_named("other")
        assert e.value.status == 404

    asyncio.run(check())


def test_swaps_of_one_name_wait_for_each_other(spec: LocalModel) -> None:
    async def check() -> None:
        models = Repository(StubPool(), linger_s=0)
        await asyncio.gather(*(models.swap(later(spec, v)) for v in range(1, 20)))
        await models.finish()
        assert [line.version for line in models.index()] == ["19"]

    asyncio.run(check())


def test_models_that_are_still_to_be_loaded_are_not_unknown(spec: LocalModel) -> None:
    async def check() -> None:
        models = Repository(StubPool())
        models.expect([spec, replace(spec, name="n")])
        assert problem_of(lambda: models.find("n")).status == 503
        await models.load(replace(spec, name="n"))
        assert models.find("n").state == "ready"
        assert [line.state for line in models.index()] == ["LOADING", "READY"]

    asyncio.run(check())


def test_reloads_wait_for_each_other(spec: LocalModel) -> None:
    async def check() -> None:
        models = Repository(StubPool(), read=lambda: [spec])
        assert await asyncio.gather(models.reload(), models.reload()) == [("m version 1 loaded",), ()]

    asyncio.run(check())
