"""The last stage: what was promised at the plan's rate is what the server was seen to keep there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from served_queues import BASE, BOUND_MS, CHOSEN, CURVE, Paths, Queue, kept_rps, run_state

from farthing.core.search import sustained
from farthing.core.stats.drift import Drift
from farthing.core.traffic.latency_rate import requests_of_run
from farthing.measure.open_loop import RunSeen, levels_of, requests_at, seen_of
from farthing.measure.served import as_planned, proof, repeats, runs
from farthing.measure.served import rate as kept_rate
from farthing.measure.state import RunState, findings_of
from farthing.measure.under_load import rates_of, seed_of
from farthing.nouns import (
    Candidate,
    Dataset,
    Estimate,
    LatencyBound,
    Objective,
    Trace,
)


def replaced(monkeypatch: pytest.MonkeyPatch, name: str, by: object) -> None:
    """In each room of the stage that has it."""
    for room in (as_planned, kept_rate, proof):
        if hasattr(room, name):
            monkeypatch.setattr(room, name, by)


@pytest.fixture
def state(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunState]:
    found = run_state(dataset, tmp_path)
    replaced(monkeypatch, "beside_server", lambda state, c, rate, runs, stage: state.server[CHOSEN])
    replaced(monkeypatch, "baseline_block", lambda state, key, k: 200.0 * (1 + 0.01 * (k % 3)))
    with found.bench:
        yield found


def trace(_: float) -> Trace:
    """Twenty times what one replica takes, so that its peak is close to its planned rate."""
    return Trace(name="flat", step_s=3600.0, counts=np.full(24, 6000.0 * 3600))


def paths(
    monkeypatch: pytest.MonkeyPatch, *slowness: float, aside_s: float = 0.0, busy: bool = False, seen_pace: bool = False
) -> Paths:
    found = Paths(list(slowness), aside_s, busy, seen_pace)
    replaced(monkeypatch, "served_model", found)
    return found


def test_the_plan_is_what_the_server_keeps_and_not_what_blocks_said(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server takes 1.2 times as long for a batch as the blocks beside it did."""
    made = paths(monkeypatch, 1.2).made
    assert as_planned.serve_as_planned(state, CHOSEN, trace)
    kept, rate = state.kept[CHOSEN], state.sla[CHOSEN]
    assert rate is not None
    assert kept.value == pytest.approx(kept_rps(1.2), rel=0.06)
    assert kept.lo < kept_rps(1.2) < kept.hi
    assert rate == pytest.approx(kept.value / sustained.HEADROOM)
    assert state.server[CHOSEN].latency(0.99).hi <= BOUND_MS
    assert state.rate_ratio is not None
    assert state.rate_ratio.value == pytest.approx(kept.value / 202.0, rel=0.02)
    assert state.shares == (pytest.approx(0.07), pytest.approx(0.04))
    assert len(made) == 2  # one server to look for the rate, another one to prove it


def test_no_run_repeats_the_arrivals_of_another(state: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    made = paths(monkeypatch, 1.0).made
    as_planned.serve_as_planned(state, CHOSEN, trace)
    seeds = [seed for path in made for _, seed in path.asked]
    assert len(seeds) == len(set(seeds)) >= 12
    assert len({seed_of(0, stage, k) for stage in ("trial", "rate", "proof 0") for k in range(50)}) == 150


def test_the_rate_is_looked_for_without_a_deadline_and_proven_with_the_plans(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = paths(monkeypatch, 1.0).models
    as_planned.serve_as_planned(state, CHOSEN, trace)
    assert [m.deadline_s for m in models] == [None, BOUND_MS / 1000]  # type: ignore[attr-defined]


def test_a_proof_that_fails_cuts_the_plan_and_what_it_is_compared_with(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Candidate(engine="fake", variant="other", precision="int8", max_batch=4)
    state.sla[other] = 250.0
    state.sla[CHOSEN] = 400.0
    paths(monkeypatch, 1.0, 1.15, 1.0)  # the second server is slower than the one that told the rate
    as_planned.serve_as_planned(state, CHOSEN, trace)
    planned, rate = state.kept[CHOSEN].value / sustained.HEADROOM, state.sla[CHOSEN]
    assert rate is not None
    cut = planned / rate
    assert sustained.LEAST_CUT < cut < sustained.MOST_CUT  # as its own runs say
    assert state.server[CHOSEN].latency(0.99).hi <= BOUND_MS
    assert state.sla[other] == pytest.approx(250.0 * rate / 400.0)
    method = "what proofs took off"
    assert method in state.kept[CHOSEN].method
    assert state.rate_ratio is not None and method in state.rate_ratio.method
    assert state.sla[BASE] == pytest.approx(200.0, rel=0.005)  # its blocks are not all alike


def test_a_server_that_starts_slower_than_the_one_that_told_the_rate_lowers_the_plan_before_its_proof(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = paths(monkeypatch, 1.0, 1.2, seen_pace=True).made
    as_planned.serve_as_planned(state, CHOSEN, trace)
    planned, rate = state.kept[CHOSEN].value / sustained.HEADROOM, state.sla[CHOSEN]
    assert rate == pytest.approx(planned / 1.2)
    assert len(made) == 2  # proven at once
    assert state.server[CHOSEN].latency(0.99).hi <= BOUND_MS
    assert "what proofs took off" in state.kept[CHOSEN].method  # another repeat may find a quicker server
    assert state.sla[BASE] == pytest.approx(200.0, rel=0.005)  # the baseline beside it was as quick as before


def test_a_server_that_starts_quicker_does_not_raise_the_plan(state: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    paths(monkeypatch, 1.2, 1.0, seen_pace=True)
    as_planned.serve_as_planned(state, CHOSEN, trace)
    assert state.sla[CHOSEN] == pytest.approx(state.kept[CHOSEN].value / sustained.HEADROOM)


@pytest.mark.parametrize(("base_slower", "shared"), [(1.1, 1.1), (1.5, 1.2)])
def test_what_the_baseline_lost_beside_the_proof_is_not_held_against_the_plan(
    base_slower: float, shared: float, state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine slowed down between the rate and its proof; no more than the plan lost is allowed for."""
    paths(monkeypatch, 1.0, 1.2, seen_pace=True)
    replaced(monkeypatch, "baseline_block", lambda state, key, k: 200.0 / (base_slower if "proof" in key else 1.0))
    state.best_fp32 = Candidate(engine="fake", variant="fp32", precision="fp32", max_batch=4)
    state.sla[state.best_fp32] = 240.0
    as_planned.serve_as_planned(state, CHOSEN, trace)
    assert state.sla[BASE] == pytest.approx(200.0 / shared)
    assert state.sla[state.best_fp32] == pytest.approx(240.0 / shared)
    assert state.rate_ratio is not None
    assert ("what proofs took off" in state.rate_ratio.method) == (base_slower == 1.1)
    (said,) = [note for note in state.notes if "slower beside the proof" in note]
    assert f"{100 * (shared - 1):.0f} %" in said


def test_what_is_not_kept_in_the_last_run_stays_the_evidence(state: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan whose promise broke at each rate tried says so; no earlier run at another rate takes its place."""
    made = paths(monkeypatch, 1.0, 3.0).made
    assert as_planned.serve_as_planned(state, CHOSEN, trace)
    assert len(made) == 1 + sustained.TRIES
    assert state.server[CHOSEN].latency(0.99).hi > BOUND_MS
    assert state.server[CHOSEN].metrics["offered_rps"].value == made[-1].asked[-1][0]
    (said,) = [note for note in state.notes if "missed the promise" in note]
    assert f"the last a planned rate of {state.sla[CHOSEN]:.0f} requests/s" in said
    tried = [path.asked[-1][0] for path in made[1:]]
    assert [a / b for a, b in itertools.pairwise(tried)] == pytest.approx(
        [sustained.MOST_CUT] * 2, rel=0.05
    )  # whole replicas


def test_a_choice_that_keeps_the_promise_at_no_rate_is_none(state: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    paths(monkeypatch, 20.0)
    assert not as_planned.serve_as_planned(state, CHOSEN, trace)
    assert state.sla[CHOSEN] is None
    assert state.lost[CHOSEN] == "served: keeps the promise at no rate (p99)"


def test_what_the_server_takes_on_a_request_is_charged_to_everybody(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks gave 500 requests/s, the server 250: 2 ms of a replica on each request are its own."""
    other = Candidate(engine="fake", variant="other", precision="int8", max_batch=4)
    state.sla[other] = 1000.0
    paths(monkeypatch, 2.0)
    as_planned.serve_as_planned(state, CHOSEN, trace)
    assert state.sla[BASE] == pytest.approx(1 / (1 / 200 + 0.002), rel=0.005)
    assert state.sla[other] is not None
    assert state.sla[other] <= 1 / (1 / 1000 + 0.002) * 1.0001
    assert any("takes 2000 µs of a replica on each request, beside 5000 µs" in note for note in state.notes)


def test_a_server_that_takes_nothing_leaves_the_baseline_alone(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths(monkeypatch, 1.0)
    as_planned.serve_as_planned(state, CHOSEN, trace)
    assert state.sla[BASE] == 200.0
    assert not any("on each request" in note for note in state.notes)


def test_on_busy_cores_nothing_kept_is_no_proof_that_nothing_can_be(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths(monkeypatch, 20.0, busy=True)
    assert as_planned.serve_as_planned(state, CHOSEN, trace)
    seen = state.server[CHOSEN]
    assert seen.contended
    assert seen.latency(0.99).hi > BOUND_MS  # so that the verdict is no "met"
    assert CHOSEN not in state.lost


def test_what_a_request_waits_for_beside_the_queue_is_not_taken_for_a_slow_model(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6 ms of protocol and scheduler on each request: the queue must keep 24 ms, not 30."""
    from farthing.core.traffic.batch_queue import sla_rps

    paths(monkeypatch, 1.0, aside_s=0.006)
    as_planned.serve_as_planned(state, CHOSEN, trace)
    left = sla_rps(CURVE, instances=1, max_batch=4, latency_s=0.024, headroom=0.0, n_requests=400_000)
    assert left is not None
    assert state.kept[CHOSEN].value == pytest.approx(left, rel=0.05)


def test_a_fall_back_that_was_never_served_is_served_now(state: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    paths(monkeypatch, 1.0)
    del state.sla[CHOSEN]
    assert as_planned.serve_as_planned(state, CHOSEN, trace)
    assert state.sla[CHOSEN] == pytest.approx(kept_rps(1.0) / sustained.HEADROOM, rel=0.07)


@pytest.mark.parametrize(
    ("cores", "where"),
    [
        (
            1.0,
            "on the workers' own cores, as no other was free; with clients on other machines the workers get the generator's share",
        ),
        (2.0, "on a core that no worker uses"),
        (8.0, "on 7 cores that no worker uses"),
    ],
)
def test_the_share_of_the_load_generator_and_whose_cores_it_took_are_said(
    cores: float, where: str, state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.bench.hardware = replace(state.bench.hardware, vcpus=cores)
    paths(monkeypatch, 1.0)
    as_planned.serve_as_planned(state, CHOSEN, trace)
    (said,) = [note for note in findings_of(state, CHOSEN).notes if "farthing serve" in note]
    assert said.endswith(f"the server's own process took 7 % and the load generator 4 %, {where}")


def test_without_a_server_here_the_runs_are_beside_it_and_said_so(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(as_planned.live_server, "missing", lambda: 'pip install "farthing[serve]"')
    path = Queue(state.bench, CHOSEN, 1.0)

    def beside(state: RunState, c: Candidate, rate: float, runs: int, stage: str) -> object:
        curves = rates_of(state.bench, CURVE, CHOSEN, proof.proof_requests(state.bench, rate))
        return proof.through(path, curves, rate, stage, {})  # type: ignore[arg-type]

    replaced(monkeypatch, "beside_server", beside)
    assert as_planned.serve_as_planned(state, CHOSEN, trace)
    assert any('pip install "farthing[serve]"' in note for note in state.notes)
    assert state.shares is None


def test_where_a_replica_idles_the_proof_is_made_at_a_higher_rate() -> None:
    enough = requests_of_run(0.99) / proof.LONGEST_RUN_S
    assert proof.provable_rps(0.2, 400.0, 0.99) == enough
    assert proof.provable_rps(0.2, 5.0, 0.99) == 5.0  # never beyond what is planned
    assert proof.provable_rps(300.0, 400.0, 0.99) == 300.0
    assert proof.provable_rps(0.2, 400.0, 0.5) == enough  # p99 is asked for beside each promise


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_a_slow_replica_has_runs_long_enough_for_each_level_that_is_asked_for(level: float, state: RunState) -> None:
    """A promise on p50 of a model that takes 10 requests a second ended in “p99 needs runs of 112 requests, not 20”."""
    state.bench.workload = replace(
        state.bench.workload, objective=Objective(latency=LatencyBound(ms=900, percentile=level))
    )
    n = requests_at(10.0, level)
    assert set(rates_of(state.bench, CURVE.scaled(10.0), CHOSEN, n)) == {0.5, 0.9, 0.99, level}


def test_an_interval_for_repeats_is_wider_and_keeps_the_estimate() -> None:
    one = Estimate(value=100.0, lo=98.0, hi=102.0, n=6, method="t")
    wide = repeats.repeatable(one)
    assert wide.value == 100.0
    own, more = math.log(102 / 100), 1.96 * repeats.REPEAT_FRAC
    assert math.log(wide.hi / 100) == pytest.approx(math.hypot(own, more))
    assert wide.lo < 98.0
    assert "repeats of the whole run" in wide.method
    nothing = Estimate(value=0.0, lo=0.0, hi=0.0, n=6, method="t")
    assert repeats.repeatable(nothing) is nothing
    drifted = repeats.repeatable(one, 0.3)
    assert math.log(drifted.hi / 100) == pytest.approx(math.hypot(own, more, 1.96 * 0.3))
    assert "31 % as standard deviation" in drifted.method  # with REPEAT_FRAC beside it
    nearly = Estimate(value=100.0, lo=0.0, hi=102.0, n=6, method="t")
    assert repeats.repeatable(nearly).lo < 50.0  # where it may be none at all the proof has the word


def test_a_baseline_that_drifted_between_stages_is_said_and_widens_the_saving(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bandwidth-bound baseline served twice as much in one stage as in the next while the canary saw nothing."""
    replaced(monkeypatch, "served_model", lambda bench, model, key: Queue(bench, CHOSEN, 1.0))
    quiet = replace(state, lost={}, notes=[])
    assert as_planned.serve_as_planned(quiet, CHOSEN, trace)
    state.bench.drifts[BASE] = Drift(logs={"layout": [0.0], "proof": [-0.6], "beside": [0.0]})
    assert as_planned.serve_as_planned(state, CHOSEN, trace)
    assert any("the baseline's own speed differed by" in note for note in state.notes)
    assert not any("the baseline's own speed differed by" in note for note in quiet.notes)
    assert state.rate_ratio is not None and quiet.rate_ratio is not None
    assert state.rate_ratio.hi / state.rate_ratio.lo > 1.5 * quiet.rate_ratio.hi / quiet.rate_ratio.lo
    # what counts as the baseline's rate is the mean of the stages, not that of the blocks beside the server
    assert state.sla[BASE] == pytest.approx(0.85 * 202.0 * math.exp(-0.2), rel=0.01)


@pytest.mark.parametrize(("rate", "n"), [(50.0, 112), (14.0, 112), (8.0, 64), (2.0, 40), (0.1, 40), (30_000.0, 60_000)])
def test_a_run_takes_seconds_at_any_rate(rate: float, n: int) -> None:
    """540,000 requests a month ended in 2,000 requests at 2 a second; a tiny model's run was over in 0.7 s."""
    assert requests_at(rate, 0.99) == n
    assert requests_at(rate, 0.99, fewest=500) == max(500, n)


def test_each_stage_is_told_from_its_first_run_to_what_it_found(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One stage's bar ran to 2, then to 10, then back to 1 of 2."""
    told: dict[str, list[tuple[int, int, str]]] = {}
    state.bench.tell = lambda stage, *line: told.setdefault(stage, []).append(line)
    paths(monkeypatch, 1.0)
    as_planned.serve_as_planned(state, CHOSEN, trace)
    assert list(told) == ["serving", "proving", "baseline today"]
    for lines in told.values():
        done = [k for k, *_ in lines]
        assert done == sorted(done)
        assert len({total for _, total, _ in lines}) == 1
        assert done[-1] == lines[-1][1]
    assert told["serving"][-1][2].endswith("requests/s")
    assert told["proving"][-1][2].startswith("p99 ")


@dataclass
class Tails(Queue):
    """Runs with given p99s in ms, one after the other."""

    tails_ms: tuple[float, ...] = ()
    contended: tuple[bool, ...] = ()

    def run(self, rate_rps: float, n: int, seed: int) -> RunSeen:
        k = len(self.asked)
        self.asked.append((rate_rps, seed))
        latency_ms = np.full(n, 4.0)
        latency_ms[::50] = self.tails_ms[k % len(self.tails_ms)]
        return seen_of(
            latency_ms, levels_of(0.99), rate_rps=rate_rps, seed=seed, achieved_rps=rate_rps,
            contended=bool(self.contended) and self.contended[k % len(self.contended)], slowdown=1.2,
        )  # fmt: skip


def proof_of(state: RunState, path: Queue, rate: float, aside_s: dict[float, float] | None = None) -> object:
    curves = rates_of(state.bench, CURVE, CHOSEN, proof.proof_requests(state.bench, rate))
    return proof.through(path, curves, rate, "proof 0", aside_s or {})  # type: ignore[arg-type]


def test_a_promise_that_is_kept_by_an_interval_too_wide_to_say_so_gets_as_many_runs_again(state: RunState) -> None:
    wide = Tails(state.bench, CHOSEN, 1.0, tails_ms=(12.0, 41.0, 35.0, 11.0, 43.0, 16.0))
    found = proof_of(state, wide, 250.0)
    assert len(wide.asked) == 12 == len({seed for _, seed in wide.asked})
    assert found.latency(0.99).n == 12  # type: ignore[attr-defined]
    for tails_ms in ((14.0, 15.0), (60.0, 61.0)):  # clearly kept, clearly not
        sure = Tails(state.bench, CHOSEN, 1.0, tails_ms=tails_ms)
        proof_of(state, sure, 250.0)
        assert len(sure.asked) == 6


def test_runs_during_which_others_used_the_machine_are_made_again_with_other_arrivals(state: RunState) -> None:
    path = Tails(state.bench, CHOSEN, 1.0, tails_ms=(14.0, 15.0), contended=(True, False, False))
    found = proof_of(state, path, 250.0)
    assert len(path.asked) == 6 + runs.AGAIN == len({seed for _, seed in path.asked})
    assert not found.contended  # type: ignore[attr-defined]
    busy = Tails(state.bench, CHOSEN, 1.0, tails_ms=(14.0, 15.0), contended=(True,))
    assert proof_of(state, busy, 250.0).contended  # type: ignore[attr-defined]
    assert len(busy.asked) == 6 + runs.AGAIN


def test_what_is_waited_for_beside_the_queue_does_not_grow_with_it(state: RunState) -> None:
    """6 ms of protocol beside a queue are no queue that is a third slower."""
    rate = 300.0
    plain = proof_of(state, Queue(state.bench, CHOSEN, 1.0), rate).latency(0.99)  # type: ignore[attr-defined]
    path = Queue(state.bench, CHOSEN, 1.0, aside_s=0.006)
    told = proof_of(state, path, rate, {0.5: 0.006, 0.99: 0.006}).latency(0.99)  # type: ignore[attr-defined]
    untold = proof_of(state, Queue(state.bench, CHOSEN, 1.0, aside_s=0.006), rate).latency(0.99)  # type: ignore[attr-defined]
    assert told.value == pytest.approx(plain.value + 6.0, rel=0.01)
    assert told.hi == pytest.approx(plain.hi + 6.0, rel=0.03)
    assert untold.value > told.value


def test_where_a_replica_idles_a_proof_that_failed_is_not_tried_again_at_the_same_rate(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = paths(monkeypatch, 1.0, 20.0).made
    little = Trace(name="little", step_s=3600.0, counts=np.full(24, 3.0 * 3600))
    assert as_planned.serve_as_planned(state, CHOSEN, lambda _: little)
    assert len(made) == 2
    rate = state.sla[CHOSEN]
    assert rate is not None
    assert rate == pytest.approx(state.kept[CHOSEN].value / sustained.HEADROOM)
