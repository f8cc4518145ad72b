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
from farthing.measure.served import path as served_path
from farthing.measure.served.live_server import LoadedRun
from farthing.measure.served.path import CHECK_S, WARM_UP_S, ServedPath
from farthing.nouns import Candidate

CHOSEN = Candidate(engine="fake", variant="quick", precision="int8", max_batch=4, instances=2)
FULL_RPS = 1000.0


@dataclass
class Live:
    """A server that answers so much to clients that never rest, one figure a question, the last one for ever."""

    full_rps: list[float]
    late: float = 0.0
    closed: list[tuple[int, float]] = field(default_factory=list)
    patient: list[bool] = field(default_factory=list)
    opened: list[tuple[float, int, int]] = field(default_factory=list)

    def closed_loop(self, clients: int, seconds: float, *, patient: bool = False) -> float:
        self.closed.append((clients, seconds))
        self.patient.append(patient)
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
        seed=3, trust=False, workload=SimpleNamespace(holdout=None),
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
    live = Live([300.0, FULL_RPS, FULL_RPS, FULL_RPS, 900.0])
    with path_to(live, tmp_path, monkeypatch) as path:
        assert path.capacity_rps(0) == 900.0
    assert live.closed[0] == (16, WARM_UP_S)
    assert not live.opened


def test_a_run_during_which_others_used_the_machine_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = Live([FULL_RPS, FULL_RPS, FULL_RPS, FULL_RPS, 500.0, FULL_RPS])
    with path_to(live, tmp_path, monkeypatch) as path:
        found = [path.run(500.0, 1000, k) for k in range(3)]
    assert [run.contended for run in found] == [False, True, False]
    assert [run.slowdown for run in found] == [1.0, pytest.approx(2.0), 1.0]
    assert found[1].slowdown > SLOWER
    assert all(live.patient)  # a server with a deadline refuses clients that never rest


def test_what_a_server_can_answer_is_asked_as_clients_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = Live([FULL_RPS])
    with path_to(live, tmp_path, monkeypatch) as path:
        path.capacity_rps(0)
    assert live.patient == [False, True, True, True, False]  # warming up, three looks at its pace, what is asked


def test_a_server_whose_batches_take_long_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty batches of 200 ms would take longer than the run that they are to judge."""
    live = Live([FULL_RPS, 500.0])
    with path_to(live, tmp_path, monkeypatch, batch_s=0.2) as path:
        assert not path.run(5.0, 1000, 7).contended
        assert not live.closed
        path.capacity_rps(0)
    assert live.closed == [(16, pytest.approx(1.6))]


def test_a_capacity_is_asked_for_long_enough_to_see_whole_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = Live([FULL_RPS])
    with path_to(live, tmp_path, monkeypatch, batch_s=2.0) as path:
        path.capacity_rps(0)
    assert [seconds for _, seconds in live.closed] == [16.0, 16.0]


def test_an_answer_that_never_comes_is_late_under_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = Live([FULL_RPS], late=0.5)
    with path_to(live, tmp_path, monkeypatch, deadline_ms=30.0) as path:
        assert path.run(500.0, 1000, 7).tail_s(0.9) == pytest.approx(0.0306)
    live = Live([FULL_RPS], late=0.5)
    with path_to(live, tmp_path, monkeypatch) as path:
        assert path.run(500.0, 1000, 7).tail_s(0.99) == math.inf
    assert CHECK_S <= 1.0
