"""Runs through a server: on a warm one, and made again while others use the machine."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from farthing.core.stats.pace import SLOWER
from farthing.measure import served_path
from farthing.measure.live_server import LoadedRun
from farthing.measure.served_path import CHECK_S, RETRIES, WARM_UP_S, ServedPath
from farthing.nouns import Candidate

CHOSEN = Candidate(engine="fake", variant="quick", precision="int8", max_batch=4, instances=2)
FULL_RPS = 1000.0


@dataclass
class Live:
    """A server that answers so much to clients that never rest, one figure a question, the last one for ever."""

    full_rps: list[float]
    late: float = 0.0
    closed: list[tuple[int, float]] = field(default_factory=list)
    opened: list[tuple[float, int, int]] = field(default_factory=list)

    def closed_loop(self, clients: int, seconds: float) -> float:
        self.closed.append((clients, seconds))
        return self.full_rps[min(len(self.closed), len(self.full_rps)) - 1]

    def open_loop(self, rate_rps: float, n: int, seed: int) -> LoadedRun:
        self.opened.append((rate_rps, n, seed))
        latency_ms = np.full(n, float(len(self.opened)))  # tells the runs apart
        latency_ms[: round(self.late * n)] = math.inf
        return LoadedRun(
            latency_ms=latency_ms, offered_rps=rate_rps, achieved_rps=rate_rps, generator_frac=0.1, front_frac=0.1
        )

    def close(self) -> None: ...


@contextlib.contextmanager
def path_to(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Iterator[ServedPath]:
    def keep(key: str, kind: type, item: str, compute: Callable[[], Any]) -> Any:
        return compute()

    monkeypatch.setattr(served_path, "LiveServer", lambda *_, **__: live)
    bench = SimpleNamespace(
        keep=keep, canary=None, level=0.99, out=tmp_path, timed=lambda _: contextlib.nullcontext(),
        settings=SimpleNamespace(seed=3, trust=False), workload=SimpleNamespace(holdout=None),
    )  # fmt: skip
    with ServedPath(bench=bench, candidate=CHOSEN, source=tmp_path, name="model", key="k", **more) as found:  # type: ignore[arg-type]
        yield found


def test_nothing_counts_before_the_server_is_warm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = Live([FULL_RPS])
    with path_to(live, tmp_path, monkeypatch) as path:
        found = path.run(500.0, 1000, 7)
        path.run(500.0, 1000, 8)
    warm, first, second = live.opened
    assert warm[:2] == (500.0, round(500 * WARM_UP_S))
    assert (first, second) == ((500.0, 1000, 7), (500.0, 1000, 8))
    assert found.tail_s(0.5) == pytest.approx(0.002)  # the second run of this server, not the first


def test_clients_that_never_rest_are_not_listened_to_before_it_is_warm_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = Live([300.0, FULL_RPS, 900.0])
    with path_to(live, tmp_path, monkeypatch) as path:
        assert path.capacity_rps(0) == 900.0
    assert live.closed[0] == (16, WARM_UP_S)
    assert not live.opened


def test_a_run_during_which_others_used_the_machine_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = Live([FULL_RPS, FULL_RPS, 700.0, FULL_RPS])
    with path_to(live, tmp_path, monkeypatch) as path:
        first, second = path.run(500.0, 1000, 7), path.run(500.0, 1000, 8)
    assert [seed for _, _, seed in live.opened] == [3, 7, 8, 8]
    assert not first.contended and not second.contended
    assert second.tail_s(0.5) == pytest.approx(0.004)  # the second try


def test_where_others_stay_the_runs_are_marked_and_the_tries_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = Live([FULL_RPS, 500.0])
    with path_to(live, tmp_path, monkeypatch) as path:
        found = [path.run(500.0, 1000, k) for k in range(4)]
    assert len(live.opened) == 1 + 4 + RETRIES
    assert all(run.contended for run in found)
    assert found[-1].slowdown == pytest.approx(2.0) > SLOWER


def test_a_server_whose_batches_take_long_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty batches of 200 ms would take longer than the run that they are to judge."""
    live = Live([FULL_RPS, 500.0])
    with path_to(live, tmp_path, monkeypatch, batch_s=0.2) as path:
        assert not path.run(5.0, 1000, 7).contended
        assert not live.closed
        path.capacity_rps(0)
    assert live.closed == [(16, pytest.approx(1.0))]


def test_a_capacity_is_asked_for_long_enough_to_see_whole_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = Live([FULL_RPS])
    with path_to(live, tmp_path, monkeypatch, batch_s=2.0) as path:
        path.capacity_rps(0)
    assert [seconds for _, seconds in live.closed] == [8.0, 8.0]


def test_an_answer_that_never_comes_is_late_under_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = Live([FULL_RPS], late=0.5)
    with path_to(live, tmp_path, monkeypatch, deadline_ms=30.0) as path:
        assert path.run(500.0, 1000, 7).tail_s(0.2) == pytest.approx(0.0306)
    live = Live([FULL_RPS], late=0.5)
    with path_to(live, tmp_path, monkeypatch) as path:
        assert path.run(500.0, 1000, 7).tail_s(0.99) == math.inf
    assert CHECK_S <= 1.0
