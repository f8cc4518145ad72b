"""Workers that come and go while requests are answered: none is lost, none is answered twice or wrongly."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from driven_pool import RealClock, ask, fake, mark, run, tiny_mlp, until

from farthing.wire.requests import Answer, LiveModel, Problem
from farthing.workers.pool import Pool
from farthing.workers.scaled_crew import Life, Roster, ScalingTerms


@asynccontextmanager
async def scaled(
    *, lag_s: float = 0.0, ready_within_s: float = 20.0, promise_s: float = math.inf, budget_mib: float = 8192.0
) -> AsyncIterator[tuple[Pool, Roster, list[tuple[str, int, str]]]]:
    events: list[tuple[str, int, str]] = []
    roster = Roster(on_event=lambda what, life, words: events.append((what, life.number, words)))
    terms = ScalingTerms(model="m", lag_s=lag_s, ready_within_s=ready_within_s, promise_s=promise_s, roster=roster)
    pool = Pool(RealClock(), budget_mib, scaling=terms)
    try:
        yield pool, roster, events
    finally:
        await pool.close()


def counts(pool: Pool, model: LiveModel) -> tuple[int, int, int]:
    found = pool.headcount(model)
    assert found is not None
    return found.ready, found.starting, found.leaving


def checked(answers: list[Answer | Problem], values: list[float]) -> None:
    assert [a for a in answers if isinstance(a, Problem)] == []
    for answer, value in zip(answers, values, strict=True):
        assert isinstance(answer, Answer)
        np.testing.assert_array_equal(answer.outputs[0], 2 * mark(value))


def test_up_and_down_under_load_loses_no_request() -> None:
    async def main() -> None:
        async with scaled() as (pool, roster, events):
            model = await pool.start(fake(max_batch=2, options={"service_ms": 3.0}))
            values = [float(k) for k in range(1, 601)]
            futures: list[asyncio.Future[Any]] = []
            for k, value in enumerate(values):
                futures.append(ask(model, mark(value)))
                if k % 60 == 0:
                    pool.scale(model, 1 + (k // 60) % 4)
                if k % 10 == 0:
                    await asyncio.sleep(0.01)
            pool.scale(model, 1)
            checked(await asyncio.gather(*futures), values)
            await until(lambda: counts(pool, model) == (1, 0, 0))
            assert list(roster.present) == [0]
            assert {life.reason for life in roster.past} <= {"scaled in", "scaled in before it was ready"}
            assert all(life.gone_s is not None for life in roster.past)
            assert any(what == "ready" and number > 0 for what, number, _ in events)
            counted = pool.counted(model)
            assert counted is not None
            assert (counted.arrived, counted.answered, counted.failed, counted.in_flight) == (600, 600, 0, 0)
            assert counted.busy_s <= counted.ready_s

    run(main())


def test_one_that_is_let_go_answers_what_it_has_first() -> None:
    async def main() -> None:
        async with scaled() as (pool, roster, events):
            model = await pool.start(fake(max_batch=1, instances=2, options={"service_ms": 100.0}))
            both = [ask(model, mark(1.0)), ask(model, mark(2.0))]
            await asyncio.sleep(0.05)
            third = ask(model, mark(3.0))
            pool.scale(model, 1)
            assert counts(pool, model) == (1, 0, 1)
            assert roster.past == type(roster.past)()
            checked([await future for future in (*both, third)], [1.0, 2.0, 3.0])
            await until(lambda: counts(pool, model) == (1, 0, 0))
            assert [what for what, number, _ in events if number == 1] == ["ready", "leaving", "gone"]

    run(main())


def test_one_that_is_killed_while_it_leaves_loses_its_batch_to_the_others() -> None:
    async def main() -> None:
        async with scaled() as (pool, roster, _):
            model = await pool.start(fake(max_batch=1, instances=2, options={"service_ms": 100.0}))
            both = [ask(model, mark(1.0)), ask(model, mark(2.0))]
            await asyncio.sleep(0.05)
            leaving = pool.pids(model)[1]
            pool.scale(model, 1)
            os.kill(leaving, signal.SIGKILL)
            checked([await future for future in both], [1.0, 2.0])
            await until(lambda: counts(pool, model) == (1, 0, 0))
            assert [life.deaths for life in roster.past] == [1]

    run(main())


def test_a_killed_replica_is_started_again_and_counts_as_starting_meanwhile() -> None:
    async def main() -> None:
        async with scaled() as (pool, roster, events):
            model = await pool.start(fake())
            pool.scale(model, 3)
            await until(lambda: counts(pool, model) == (3, 0, 0))
            os.kill(pool.pids(model)[2], signal.SIGKILL)
            await until(lambda: any(what == "died" for what, _, _ in events))
            await until(lambda: counts(pool, model) == (3, 0, 0))
            assert sum(life.deaths for life in roster.present.values()) == 1
            assert len(set(pool.pids(model))) == 3

    run(main())


def test_a_replica_that_never_becomes_ready_is_said_and_tried_again_while_the_others_answer(tmp_path: Path) -> None:
    async def main() -> None:
        path = tiny_mlp(tmp_path / "m.onnx")
        async with scaled(ready_within_s=5.0) as (pool, roster, events):
            spec = fake(engine="onnxruntime", path=path, options={}, inline="never")
            model = await pool.start(spec)
            path.rename(tmp_path / "away.onnx")
            pool.scale(model, 2)
            failures = lambda: [e for e in events if e[0] == "not_ready"]  # noqa: E731
            await until(lambda: len(failures()) >= 3)
            assert counts(pool, model) == (1, 1, 0)
            assert all(number == 1 for _, number, _ in failures())
            assert isinstance(await ask(model, np.zeros((1, 16), np.float32)), Answer)
            assert model.state == "ready"
            (tmp_path / "away.onnx").rename(path)
            await until(lambda: counts(pool, model) == (2, 0, 0))
            assert roster.present[1].failed_starts >= 3

    run(main())


def test_one_that_hangs_while_it_loads_is_given_up_within_the_limit() -> None:
    async def main() -> None:
        async with scaled(ready_within_s=0.5) as (pool, _, events):
            model = await pool.start(fake(options={"service_ms": 0.2}))
            object.__setattr__(model.spec, "options", {"load_fault": "hang"})
            pool.scale(model, 2)
            await until(lambda: any(what == "not_ready" for what, _, _ in events))
            said = next(words for what, _, words in events if what == "not_ready")
            assert "was not ready within 0.5 s" in said
            assert counts(pool, model) == (1, 1, 0)
            pool.scale(model, 1)
            assert counts(pool, model) == (1, 0, 0)  # the one that never came goes, the ready one stays
            checked([await ask(model, mark(1.0))], [1.0])

    run(main())


def test_from_zero_requests_are_held_until_a_replica_is_there() -> None:
    async def main() -> None:
        async with scaled(lag_s=0.1) as (pool, roster, _):
            model = await pool.start(fake())
            pool.scale(model, 0)
            await until(lambda: counts(pool, model) == (0, 0, 0))
            waits = ask(model, mark(1.0), deadline_s=RealClock().monotonic_s() + 20)
            await asyncio.sleep(0.05)
            assert not waits.done()
            assert model.queue.waiting == 1
            pool.scale(model, 1)
            checked([await waits], [1.0])
            life = next(iter(roster.present.values()))
            assert life.started_s is not None
            assert life.started_s - life.asked_s >= 0.09  # timers of the loop have milliseconds

    run(main())


def test_memory_bounds_the_fleet() -> None:
    async def main() -> None:
        async with scaled(budget_mib=400.0) as (pool, _, _):
            model = await pool.start(fake())
            assert 1 <= pool.scale(model, 1000) < 1000

    run(main())


def test_what_comes_too_late_is_answered_but_not_within_the_promise() -> None:
    async def main() -> None:
        async with scaled(promise_s=0.05) as (pool, _, _):
            model = await pool.start(fake(max_batch=1, options={"service_ms": 80.0}))
            await ask(model, mark(1.0))
            pool.turned_away(model)
            counted = pool.counted(model)
            assert counted is not None
            assert (counted.arrived, counted.answered, counted.within_promise, counted.failed) == (2, 1, 0, 1)

    run(main())


def test_an_emulated_worker_waits_and_answers_zeros(tmp_path: Path) -> None:
    async def main() -> None:
        path = tiny_mlp(tmp_path / "m.onnx")
        async with scaled() as (pool, _, _):
            spec = fake(
                engine="onnxruntime", path=path, options={}, max_batch=4, inline="never",
                service_ms={1: 60.0, 4: 90.0}, emulated=True,
            )  # fmt: skip
            model = await pool.start(spec)
            assert model.platform == "emulated"
            answer = await ask(model, np.ones((3, 16), np.float32))
            assert isinstance(answer, Answer)
            assert answer.service_s >= 0.08
            np.testing.assert_array_equal(answer.outputs[0], np.zeros((3, 4), np.float32))

    run(main())


def test_a_replaced_version_takes_its_replicas_along() -> None:
    async def main() -> None:
        async with scaled() as (pool, roster, _):
            old = await pool.start(fake())
            new = await pool.start(fake())
            pool.scale(new, 2)
            await pool.stop(old)
            await until(lambda: counts(pool, new) == (2, 0, 0))
            assert pool.headcount(old) is None
            assert [life.reason for life in roster.past] == ["the model was unloaded"]
            assert isinstance(next(iter(roster.present.values())), Life)

    run(main())


def test_kills_at_random_while_the_fleet_grows_and_shrinks_lose_no_request() -> None:
    async def main() -> None:
        rng = np.random.default_rng(7)
        async with scaled() as (pool, roster, _):
            model = await pool.start(fake(max_batch=2, options={"service_ms": 2.0}))
            values = [float(k) for k in range(1, 801)]
            futures: list[asyncio.Future[Any]] = []
            for k, value in enumerate(values):
                futures.append(ask(model, mark(value)))
                if k % 20 == 0:
                    pool.scale(model, int(rng.integers(1, 5)))
                if k % 45 == 0 and (pids := pool.pids(model)):
                    os.kill(int(rng.choice(pids)), signal.SIGKILL)
                if k % 10 == 0:
                    await asyncio.sleep(0.02)
            pool.scale(model, 2)
            checked(await asyncio.gather(*futures), values)
            await until(lambda: counts(pool, model) == (2, 0, 0))
            assert len(roster.present) == 2
            counted = pool.counted(model)
            assert counted is not None
            assert (counted.arrived, counted.answered, counted.in_flight) == (800, 800, 0)

    run(main())
