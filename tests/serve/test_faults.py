"""Workers are killed, hang, eat memory, crash; clients ask too much: no accepted request is lost or answered wrongly."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from driven_pool import ask, fake, mark, pooled, run, until

from farthing.wire.requests import Answer, LiveModel, Problem
from farthing.workers.pool import Pool


@dataclass
class Tally:
    right: int = 0
    wrong: list[Any] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


async def client(model: LiveModel, first: int, stop: asyncio.Event, tally: Tally) -> None:
    """Ask one thing after the other, each with its own mark."""
    k = 0
    while not stop.is_set():
        sent = mark(first + k % 4096, 1 + k % 3)
        outcome = await asyncio.wait_for(ask(model, sent), 30.0)
        k += 1
        if isinstance(outcome, Problem):
            tally.problems.append(outcome)
        elif outcome.outputs[0].tobytes() == (2 * sent).tobytes():
            tally.right += 1
        else:
            tally.wrong.append((sent, outcome))


async def killing(pool: Pool, model: LiveModel, times: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(times):
        await until(lambda: bool(pool.pids(model)))
        await asyncio.sleep(float(rng.uniform(0, 0.05)))
        victim = int(rng.choice(pool.pids(model)))
        os.kill(victim, signal.SIGKILL)
        await until(lambda: victim not in pool.pids(model))  # noqa: B023 - awaited at once


@pytest.mark.parametrize("instances", [1, 2])
def test_a_hundred_kills_under_load_lose_no_request_and_mix_no_answer(instances: int) -> None:
    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(fake(instances=instances, options={"service_ms": 2.0}))
            stop, tally = asyncio.Event(), Tally()
            clients = [asyncio.ensure_future(client(model, c * 4096, stop, tally)) for c in range(24)]
            await killing(pool, model, 25 if instances == 1 else 100, seed=instances)
            stop.set()
            await asyncio.gather(*clients)
            assert not tally.wrong
            assert not tally.problems, tally.problems[:3]
            assert tally.right > 500
            assert model.state == "ready"

    run(main(), limit_s=120.0)


@pytest.mark.parametrize(
    ("fault", "how", "settings"),
    [
        ("segfault", "SIGSEGV", {}),
        ("exit", "exit status 3", {}),
        ("hang", "no answer within 0.5 s", {"hang_floor_s": 0.5}),
        ("memory", "MiB of memory; the limit is 300", {"memory_budget_mib": 300.0}),
    ],
)
def test_a_fault_takes_down_its_worker_and_its_request_only(fault: str, how: str, settings: dict[str, Any]) -> None:
    async def main() -> None:
        async with pooled(**settings) as pool:
            options = {"service_ms": 1.0, "poison": {fault: 777.0}}
            model = await pool.start(fake(instances=2, options=options))
            other = await pool.start(fake("other"))
            before = pool.pids(other)
            asked = [ask(model, mark(777.0 if k == 5 else k)) for k in range(40)]
            there = [ask(other, mark(k)) for k in range(40)]
            outcomes = await asyncio.gather(*asked)
            for k, outcome in enumerate(outcomes):
                if k == 5:
                    assert isinstance(outcome, Problem)
                    assert outcome.status == 500
                    assert how in outcome.message
                else:
                    assert isinstance(outcome, Answer), outcome
                    assert float(outcome.outputs[0][0, 0]) == 2 * k
            assert all(isinstance(o, Answer) for o in await asyncio.gather(*there))
            assert pool.pids(other) == before
            await until(lambda: len(pool.pids(model)) == 2)
            assert model.state == "ready"
            assert isinstance(await ask(model, mark(1.0)), Answer)

    run(main())


def test_poison_among_good_requests_costs_the_good_ones_nothing_but_time() -> None:
    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(fake(instances=2, options={"service_ms": 0.5, "poison": {"segfault": 9.0}}))
            stop, tally = asyncio.Event(), Tally()
            clients = [asyncio.ensure_future(client(model, 10 + c * 4096, stop, tally)) for c in range(12)]
            culprits = []
            for _ in range(4):
                culprits.append(await asyncio.wait_for(ask(model, mark(9.0)), 30.0))
                await asyncio.sleep(0.05)
            stop.set()
            await asyncio.gather(*clients)
            assert all(isinstance(c, Problem) and c.status == 500 for c in culprits)
            assert not tally.wrong
            assert {p.status for p in tally.problems} <= {503}

    run(main())


def test_twice_the_capacity_sheds_at_once_and_dispatches_the_rest_in_time() -> None:
    deadline_s, service_ms, seconds = 0.1, 10.0, 2.0
    answers: list[Answer] = []
    problems: list[Problem] = []

    async def one(model: LiveModel, k: int) -> None:
        outcome = await ask(model, mark(k), deadline_s=time.monotonic() + deadline_s)
        if isinstance(outcome, Answer):
            assert float(outcome.outputs[0][0, 0]) == 2 * k
            answers.append(outcome)
        else:
            problems.append(outcome)

    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(fake(max_batch=4, options={"service_ms": service_ms}))
            rate = 2 * 4 / (service_ms / 1000)
            start, k, going = time.monotonic(), 0, []
            while (now := time.monotonic()) < start + seconds:
                while k < (now - start) * rate:
                    going.append(asyncio.ensure_future(one(model, k % 4096)))
                    k += 1
                await asyncio.sleep(0.001)
            await asyncio.gather(*going)

    run(main())
    # How long a batch takes is the busy machine's affair here; the queue's own clock is put to the test in
    # tests/workers/test_batching.py.
    assert max(a.queue_s for a in answers) <= deadline_s + 1e-3
    assert np.mean([a.batch_rows for a in answers]) > 2
    assert {p.status for p in problems} <= {503, 504}
    shed = [p for p in problems if p.status == 503]
    assert len(shed) >= 0.5 * len(problems)
    assert all(p.retry_after_s is not None and p.retry_after_s > 0 for p in shed)
