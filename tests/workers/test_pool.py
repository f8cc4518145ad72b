"""Models under one roof: memory, sleep, cores, restarts, ends; decisions first, then real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from driven_pool import ask, fake, mark, pooled, run, until

from farthing.errors import EngineError
from farthing.nouns import PipelineSpec
from farthing.wire.requests import Answer, Problem
from farthing.workers.curve import Curve
from farthing.workers.placing import (
    Held,
    cores_for,
    inline_rows,
    planned_mib,
    runs_inline,
    to_evict,
    worker_limit_mib,
)
from farthing.workers.restarts import LONGEST_DELAY_S, Death, Deaths, death_of

# — decisions ——————————————————————————————————————————————————————————————————————————————————————


def held(key: int, mib: float, last_used_s: float, idle: bool = True) -> Held:
    return Held(key=key, mib=mib, last_used_s=last_used_s, idle=idle)


def test_the_least_recently_used_idle_models_make_room() -> None:
    there = [held(1, 100, 5.0), held(2, 100, 1.0), held(3, 100, 0.0, idle=False), held(4, 100, 3.0)]
    assert to_evict(there, 100, 500) == []
    assert to_evict(there, 100, 450) == [2]
    assert to_evict(there, 250, 450) == [2, 4]
    assert to_evict(there, 350, 450) == [2, 4, 1]
    assert to_evict(there, 351, 450) is None


def test_a_core_is_left_for_the_server_or_nothing_is_pinned() -> None:
    taken: Counter[int] = Counter()
    assert cores_for(range(2), taken, 2, 1) == [(), ()]
    assert cores_for(range(4), taken, 1, 2) == [(2, 3)]
    assert cores_for(range(4), taken, 1, 1) == [(1,)]
    assert cores_for(range(4), taken, 3, 1) == [(3,), (2,), (1,)]
    assert taken == {1: 2, 2: 2, 3: 2}


def test_memory_is_planned_guessed_and_limited() -> None:
    spec = fake(instances=2)
    assert planned_mib(spec, 10, 1e6) == 2 * (64 + 30)
    assert planned_mib(spec, 10_000, 1000) == 1000
    assert planned_mib(replace(spec, memory_mib=5000.0), 10, 1000) == 5000
    assert worker_limit_mib(spec, 100, 10_000) == 712
    assert worker_limit_mib(replace(spec, memory_mib=1000.0), 100, 10_000) == 1512
    assert worker_limit_mib(spec, 100, 300) == 300


def test_who_runs_in_the_loop_thread() -> None:
    tiny, slow = Curve(64, {1: 20e-6, 64: 2e-3}), Curve(64, {1: 200e-6})
    ort = fake(engine="onnxruntime", max_batch=64)
    assert runs_inline(ort, tiny)
    assert not runs_inline(ort, slow)
    assert runs_inline(replace(ort, inline="always"), slow)
    assert not runs_inline(replace(ort, inline="never"), tiny)
    assert not runs_inline(fake(), tiny)
    assert not runs_inline(fake(engine="onnxruntime", threads=2), tiny)
    assert runs_inline(replace(ort, pipeline=PipelineSpec(kind="text", tokenizer="t.json")), tiny)
    assert not runs_inline(replace(ort, pipeline=PipelineSpec(kind="image"), inline="always"), tiny)
    assert 20 < inline_rows(tiny, 64) < 40
    assert inline_rows(Curve(4, {1: 1.0}), 4) == 1


def test_deaths_are_named_after_who_caused_them() -> None:
    assert death_of(-signal.SIGSEGV, None, "", ready=True) == Death(how="SIGSEGV", own=True)
    assert death_of(-signal.SIGKILL, None, "", ready=True) == Death(how="SIGKILL", own=False)
    assert death_of(-signal.SIGKILL, "hang", "no answer within 5 s", ready=True).own
    assert death_of(3, None, "", ready=True) == Death(how="exit status 3", own=True)
    assert not death_of(None, None, "", ready=True).own
    assert death_of(-63, None, "", ready=False).how in ("signal 63", "SIGRTMAX-1")


def test_restarts_back_off_and_forget_after_a_minute() -> None:
    crash = Death(how="SIGSEGV", own=True)
    deaths = Deaths()
    delays = []
    for k in range(12):
        deaths = deaths.after(crash, float(k))
        delays.append(deaths.delay_s)
    assert delays[:6] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6]
    assert delays[-1] == LONGEST_DELAY_S
    assert deaths.reason == "worker died 12 times in 60 s (SIGSEGV), next start in 30 s"
    assert deaths.after(crash, 200.0).delay_s == 0.05
    assert deaths.after(crash, 12.0, answered=True).delay_s == 0.05
    assert deaths.after(replace(crash, ready=False), 12.0, answered=True).delay_s == LONGEST_DELAY_S
    outside = Death(how="SIGKILL", own=False)
    assert Deaths().after(outside, 0.0).delay_s == 0.0
    assert Deaths().after(replace(outside, ready=False), 0.0).delay_s == 0.05


# — processes ——————————————————————————————————————————————————————————————————————————————————————


async def doubled(model: Any, number: float) -> bool:
    outcome = await ask(model, mark(number))
    return isinstance(outcome, Answer) and float(outcome.outputs[0][0, 0]) == 2 * number


def test_idle_models_sleep_to_make_room_and_wake_for_their_next_request() -> None:
    async def main() -> None:
        async with pooled(100.0) as pool:
            # Each would take all of the budget, so that only one can be awake.
            models = [await pool.start(fake(name, memory_mib=98.0)) for name in ("first", "second", "third")]
            assert [len(pool.pids(model)) for model in models] == [0, 0, 1]
            assert [model.state for model in models] == ["ready"] * 3
            for model in (models[2], models[0], models[1], models[0]):
                before = [pid for m in models for pid in pool.pids(m)]
                outcomes = await asyncio.gather(*(doubled(model, k) for k in range(20)))
                assert all(outcomes)
                assert [len(pool.pids(m)) for m in models] == [int(m is model) for m in models]
                await until(lambda: [pid for pid in before if psutil.pid_exists(pid)] in ([], [*pool.pids(model)]))  # noqa: B023
            # Two at once: the one waits until the other is idle.
            outcomes = await asyncio.gather(*(doubled(models[k % 2], k) for k in range(20)))
            assert all(outcomes)

    run(main())


def test_a_model_larger_than_the_budget_is_refused_with_both_numbers() -> None:
    async def main() -> None:
        async with pooled(100.0) as pool:
            with pytest.raises(EngineError, match=r"m needs 400 MiB; of 100 MiB 0 are held"):
                await pool.start(fake(memory_mib=400.0))

    run(main())


def test_stopping_answers_what_was_taken_and_refuses_what_comes() -> None:
    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(fake(max_batch=1, options={"service_ms": 5.0}))
            pids = pool.pids(model)
            asked = [asyncio.ensure_future(doubled(model, k)) for k in range(20)]
            await asyncio.sleep(0.01)
            stopping = asyncio.ensure_future(pool.stop(model))
            await asyncio.sleep(0)
            late = await ask(model, mark(5.0))
            assert isinstance(late, Problem)
            assert late.status == 503
            assert "is being unloaded" in late.message
            await stopping
            assert all(await asyncio.gather(*asked))
            assert model.state == "unloaded"
            await until(lambda: not psutil.pid_exists(pids[0]))
            await pool.stop(model)
            again = await pool.start(fake(max_batch=1, options={"service_ms": 50.0}))
            waiting = [ask(again, mark(k)) for k in range(4)]
            await asyncio.sleep(0.01)
            await pool.stop(again, drain=False)
            assert [p.status for p in await asyncio.gather(*waiting)] == [503] * 4  # type: ignore[union-attr]

    run(main())


def test_a_worker_that_dies_idle_is_replaced() -> None:
    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(fake(instances=2))
            before = pool.pids(model)
            os.kill(before[0], signal.SIGKILL)
            await until(lambda: len(pool.pids(model)) == 2 and before[0] not in pool.pids(model))
            assert model.state == "ready"
            assert all(await asyncio.gather(*(doubled(model, k) for k in range(30))))

    run(main())


def test_a_model_that_keeps_dying_is_unavailable_with_a_reason_and_comes_back() -> None:
    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(fake(options={"service_ms": 0.2, "poison": {"exit": 7.0}}))
            for _ in range(10):
                outcome = await ask(model, mark(7.0))
                if model.state == "unavailable":
                    break
                assert isinstance(outcome, Problem)
                assert outcome.status == 500
            assert model.state == "unavailable"
            assert model.reason == "worker died 6 times in 60 s (exit status 3), next start in 1.6 s"
            refused = model.queue.refuse(1, float("inf"))
            assert refused is not None
            assert (refused.status, refused.message) == (503, model.reason)
            assert refused.retry_after_s is not None
            assert 0.1 <= refused.retry_after_s <= 3
            await until(lambda: model.state == "ready")
            assert await doubled(model, 3.0)

    run(main())


def test_workers_of_one_engine_share_a_warm_parent_and_end_with_the_pool() -> None:
    async def main() -> list[int]:
        async with pooled() as pool:
            models = [await pool.start(fake(f"m{k}", instances=2)) for k in range(2)]
            pids = [pid for model in models for pid in pool.pids(model)]
            parents = {psutil.Process(pid).ppid() for pid in pids}
            assert len(parents) == 1
            assert psutil.Process(parents.pop()).num_threads() == 1
            return pids

    pids = run(main())
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_the_loss_of_a_warm_parent_is_made_good() -> None:
    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(fake(options={"service_ms": 20.0}))
            (pid,) = pool.pids(model)
            asked = [asyncio.ensure_future(doubled(model, k)) for k in range(20)]
            await asyncio.sleep(0.03)
            os.kill(psutil.Process(pid).ppid(), signal.SIGKILL)
            assert all(await asyncio.gather(*asked))
            assert pool.pids(model) not in ((), (pid,))

    run(main())


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", pytest.param("pytorch", marks=pytest.mark.slow)])
def test_importing_an_engine_starts_no_threads(engine: str) -> None:
    async def main() -> None:
        async with pooled() as pool:
            forked = await pool._parents.fork(engine, 2)
            try:
                assert not forked.parent.cold
                assert psutil.Process(forked.pid).environ()["OMP_NUM_THREADS"] == "2"
            finally:
                forked.kill()
                forked.sock.close()

    run(main())


def test_workers_end_with_a_server_that_is_killed() -> None:
    program = textwrap.dedent(
        """
        import asyncio
        from driven_pool import fake, pooled, run
        async def main():
            async with pooled() as pool:
                model = await pool.start(fake(options={"service_ms": 0.2, "poison": {"hang": 1.0}}, instances=2))
                print(*pool.pids(model), flush=True)
                await asyncio.sleep(60)
        run(main())
        """
    )
    server = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=Path(__file__).parents[1] / "helpers", text=True
    )
    assert server.stdout is not None
    pids = [int(pid) for pid in server.stdout.readline().split()]
    assert len(pids) == 2
    parent = psutil.Process(pids[0]).ppid()
    server.kill()
    server.wait()
    server.stdout.close()
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in (*pids, parent)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(psutil.pid_exists(pid) for pid in (*pids, parent))


def test_libraries_that_start_threads_are_imported_by_each_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    (tmp_path / "sitecustomize.py").write_text(thread)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(fake())
            forked = await pool._parents.fork("fake", 1)
            assert forked.parent.cold
            forked.kill()
            forked.sock.close()
            assert await doubled(model, 3.0)

    run(main())
