"""What goes wrong with tiers while a route is followed: every request is answered once, and every fault is counted."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from route_without_workers import Bench, ManualClock, desk_model
from small_route import cascade, expected, margin_of, route_of, rung, tier

from farthing.core.route.routes import RoutedPolicy, ScoreSpec
from farthing.nouns import TensorSpec
from farthing.serve.routing.calls import Gone
from farthing.serve.routing.cascades import Cascade
from farthing.wire.requests import Answer, Problem, Request

SURE, UNSURE = [5.0, 0.0, 0.0, 9.0], [0.1, 0.0, 0.05, 9.0]
TIERS = ("small", "medium", "large")


def run(main: Any) -> Any:
    return uvloop.run(asyncio.wait_for(main, 30))


def first(answer: Answer | Problem) -> float:
    assert isinstance(answer, Answer), answer
    return float(answer.outputs[0][0, 0])


def reasons(bench: Bench) -> dict[tuple[str, str], int]:
    return dict(bench.router.escalated)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.floats(-8, 8, width=32), min_size=4, max_size=4).map(lambda r: [float(x) for x in r]),
        min_size=1,
        max_size=8,
    )
)
def test_rows_go_where_the_policy_says(rows: list[list[float]]) -> None:
    async def main() -> None:
        bench = Bench(*TIERS)
        answer = await bench.ask(*rows)
        assert isinstance(answer, Answer)
        assert answer.route is not None
        for row, out, decision in zip(rows, answer.outputs[0], answer.route.decisions, strict=True):
            who, values = expected(row, *TIERS)
            assert decision.tier == who
            assert out.tolist() == pytest.approx(values, abs=1e-3)
            if who != "large":
                assert decision.margin >= 0
                assert decision.seen[-1] == (f"margin({who})", decision.value)
        assert [d.row for d in answer.route.decisions] == list(range(len(rows)))
        assert bench.router.waiting == 0

    run(main())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_go_to_the_next_tier(value: float) -> None:
    async def main() -> None:
        bench = Bench(*TIERS)
        bench.desk("small").damage = lambda z: np.full_like(z, value)
        assert first(await bench.ask(SURE)) == 105.0
        assert reasons(bench) == {("small", "invalid"): 1}
        (decision,) = bench.watcher.decisions
        assert decision.escalated_because == "invalid"

    run(main())


def test_one_bad_row_takes_no_other_with_it() -> None:
    async def main() -> None:
        bench = Bench(*TIERS)

        def damage(z: Any) -> Any:
            z[0] = np.nan
            return z

        bench.desk("small").damage = damage
        answer = await bench.ask(SURE, SURE)
        assert isinstance(answer, Answer)
        assert answer.outputs[0][:, 0].tolist() == [105.0, 5.0]

    run(main())


@pytest.mark.parametrize(
    "damage",
    [lambda z: [], lambda z: z[:, :2], lambda z: z[0], lambda z: np.concatenate([z, z])],
    ids=["missing", "classes", "rank", "rows"],
)
def test_outputs_that_do_not_fit_go_to_the_next_tier(damage: Any) -> None:
    async def main() -> None:
        bench = Bench(*TIERS)
        bench.desk("small").damage = damage
        assert first(await bench.ask(SURE)) == 105.0
        assert bench.router.tiers["small"].counts.missed == {"invalid": 1}

    run(main())


@pytest.mark.parametrize(
    ("problem", "reason"),
    [(Problem(503, "full"), "full"), (Problem(500, "broken"), "failed"), (Gone("gone"), "down")],
)
def test_a_refusal_goes_to_the_next_tier_with_its_reason(problem: Problem, reason: str) -> None:
    async def main() -> None:
        bench = Bench(*TIERS)
        bench.desk("small").refusal = problem
        assert first(await bench.ask(SURE)) == 105.0
        assert reasons(bench) == {("small", reason): 1}

    run(main())


def test_a_tier_that_is_not_loaded_is_passed_over() -> None:
    async def main() -> None:
        bench = Bench(*TIERS)
        bench.gone |= {"small", "medium"}
        assert first(await bench.ask(SURE)) == 1005.0
        assert reasons(bench) == {("small", "down"): 1, ("medium", "down"): 1}

    run(main())


def test_a_client_s_mistake_is_told_at_once() -> None:
    async def main() -> None:
        bench = Bench(*TIERS)
        bench.desk("small").refusal = Problem(400, "no image")
        answer = await bench.ask(SURE)
        assert isinstance(answer, Problem)
        assert (answer.status, answer.message) == (400, "no image")
        assert not bench.desk("large").seen

    run(main())


def test_when_nobody_answers_the_last_reason_is_told() -> None:
    async def main() -> None:
        bench = Bench(*TIERS)
        for name in TIERS:
            bench.desk(name).refusal = Problem(503, f"{name} is full")
        answer = await bench.ask(SURE)
        assert isinstance(answer, Problem)
        assert (answer.status, answer.message) == (503, "large is full")
        assert bench.router.failed == {503: 1}
        assert bench.router.waiting == 0

    run(main())


def test_a_slow_tier_is_given_up_and_its_late_answer_not_used() -> None:
    async def main() -> None:
        tiers = [tier("small", timeout_s=0.05), tier("large")]
        bench = Bench(route=route_of(tiers, [rung(cascade("small", "large"))], margin_of("small")))
        bench.desk("small").hold = True
        assert first(await bench.ask(SURE)) == 1005.0
        assert reasons(bench) == {("small", "timeout"): 1}
        bench.desk("small").release()
        assert bench.router.tiers["small"].counts.late == 1
        assert bench.router.tiers["small"].counts.usd > 0

    run(main())


def test_the_deadline_holds_over_the_whole_cascade() -> None:
    async def main() -> None:
        clock = ManualClock()
        bench = Bench(*TIERS, clock=clock)
        bench.desk("small").hold = True
        asked = bench.ask(UNSURE, deadline_s=clock.now_s + 0.5)
        assert bench.desk("small").held[0].deadline_s == pytest.approx(clock.now_s + 0.5)
        clock.now_s += 0.4
        bench.desk("small").release()
        assert first(await asked) == pytest.approx(1000.1)
        assert bench.desk("medium").seen[0].deadline_s == pytest.approx(1000.5)
        late = bench.ask(UNSURE, deadline_s=clock.now_s + 0.5)
        clock.now_s += 0.6
        bench.desk("small").release()
        answer = await late
        assert isinstance(answer, Problem)
        assert answer.status == 504
        assert len(bench.desk("medium").seen) == 1

    run(main())


def test_what_no_client_waits_for_is_not_passed_on() -> None:
    async def main() -> None:
        bench = Bench(*TIERS)
        bench.desk("small").hold = True
        asked = bench.ask(UNSURE)
        asked.request.deadline_s = -math.inf  # type: ignore[attr-defined] - as a door does when its client is gone
        await asyncio.sleep(0.2)
        assert bench.desk("small").held[0].deadline_s == -math.inf
        bench.desk("small").release()
        assert isinstance(await asked, Problem)
        assert not bench.desk("medium").seen

    run(main())


def test_priority_id_and_trace_go_along() -> None:
    async def main() -> None:
        bench = Bench("small", "large")
        await bench.ask(UNSURE, priority=2, id="mine", trace="00-1-2-01")
        for name in ("small", "large"):
            (call,) = bench.desk(name).seen
            assert (call.priority, call.id, call.trace) == (2, "mine", "00-1-2-01")

    run(main())


def test_a_tier_that_is_swapped_while_its_answer_is_awaited_is_asked_again() -> None:
    async def main() -> None:
        bench = Bench("small", "large")
        old = bench.models["small"]
        bench.desk("small").hold = True
        asked = bench.ask(SURE)
        bench.models["small"] = desk_model("small", 0.0)
        old.state = "unloading"
        (call,) = old.queue.held  # type: ignore[attr-defined]
        call.reply(call, Problem(503, "the model is being unloaded"))
        assert first(await asked) == 5.0
        assert bench.router.tiers["small"].counts.moved == 1

    run(main())


def test_a_policy_without_the_reference_ends_with_it() -> None:
    async def main() -> None:
        tiers = [tier(name) for name in TIERS]
        bench = Bench(route=route_of(tiers, [rung(cascade("small", "medium"))], margin_of("small", "medium")))
        assert first(await bench.ask(UNSURE)) == pytest.approx(100.1)
        assert not bench.desk("large").seen
        bench.desk("medium").refusal = Problem(500, "broken")
        assert first(await bench.ask(UNSURE)) == pytest.approx(1000.1)

    run(main())


def test_falling_back_asks_the_reference_alone_until_resumed() -> None:
    async def main() -> None:
        bench = Bench(*TIERS)
        bench.router.fall_back("too much is lost")
        assert first(await bench.ask(SURE)) == 1005.0
        assert bench.watcher.decisions[-1].rung is None
        bench.router.resume()
        assert first(await bench.ask(SURE)) == 5.0
        assert [what for what, _ in bench.changes] == ["route_fell_back", "route_resumed"]

    run(main())


def test_refusing_by_the_head_asks_all_tiers_of_the_policy() -> None:
    async def main() -> None:
        bench = Bench("small", "large")
        bench.desk("small").full = Problem(503, "small is full")
        assert bench.router.refuse(1, math.inf) is None
        bench.desk("large").full = Problem(503, "large is full")
        assert bench.router.refuse(1, math.inf).message == "small is full"  # type: ignore[union-attr]

    run(main())


def test_audits_compare_the_row_that_was_sent_and_wait_behind_clients() -> None:
    async def main() -> None:
        bench = Bench("small", "large")
        bench.watcher.audit = True
        await bench.ask(SURE, UNSURE, SURE)
        assert [d.row for d, *_ in bench.watcher.audits] == [0, 2]
        for decision, given_, reference, usd in bench.watcher.audits:
            assert decision.audit
            assert given_.outputs[0].tolist() == [[5.0, 0.0, 0.0]]
            assert reference.outputs[0].tolist() == [[1005.0, 1000.0, 1000.0]]
            assert usd == pytest.approx(5e-6)
        assert all(request.priority == 9 for request in bench.desk("large").seen[1:])
        assert [d.audit for d in bench.watcher.decisions] == [True, False, True]

    run(main())


def test_an_audit_that_fails_is_told() -> None:
    async def main() -> None:
        bench = Bench("small", "large")
        bench.watcher.audit = True
        bench.desk("large").refusal = Problem(503, "full")
        assert first(await bench.ask(SURE)) == 5.0
        assert bench.watcher.missing == ["full: full"]

    run(main())


def test_a_score_of_two_tiers_asks_both_once() -> None:
    async def main() -> None:
        spec = ScoreSpec(name="agreement(small,medium)", kind="agreement", needs=("small", "medium"), classes=3)
        policy = RoutedPolicy(kind="cascade", tiers=TIERS, scores=(spec.name, "margin(medium)"), thresholds=(0.9, 2.0))
        route = route_of([tier(n) for n in TIERS], [rung(policy)], (spec, *margin_of("medium")))
        bench = Bench(route=route)
        assert first(await bench.ask(SURE)) == 5.0  # a constant added to all logits changes no probability
        bench.desk("medium").damage = lambda z: z[:, ::-1].copy()
        assert first(await bench.ask(SURE)) == 1005.0
        assert [len(bench.desk(n).seen) for n in TIERS] == [2, 2, 1]
        bench.desk("medium").refusal = Problem(500, "broken")
        assert first(await bench.ask(SURE)) == 1005.0
        assert bench.watcher.decisions[-1].passed_on[0].reason == "invalid"

    run(main())


def test_choosing_before_any_tier_runs() -> None:
    async def main() -> None:
        policy = RoutedPolicy(kind="pre_route", tiers=TIERS, scores=("margin(small)",), thresholds=(0.9, 0.1))
        bench = Bench(route=route_of([tier(n) for n in TIERS], [rung(policy)], margin_of("small")))
        middle = [1.0, 0.0, 0.0, 0.0]
        answer = await bench.ask(SURE, middle, UNSURE)
        assert isinstance(answer, Answer)
        assert answer.route is not None
        assert [d.tier for d in answer.route.decisions] == ["small", "medium", "large"]
        bench.desk("small").damage = lambda z: np.full_like(z, np.nan)
        assert first(await bench.ask(SURE)) == 1005.0
        assert bench.watcher.decisions[-1].escalated_because == "invalid"

    run(main())


def test_costs_add_up_over_all_calls() -> None:
    async def main() -> None:
        bench = Bench(*TIERS)
        answer = await bench.ask(UNSURE, SURE)
        assert isinstance(answer, Answer)
        assert answer.route is not None
        assert [d.cost_usd for d in answer.route.decisions] == pytest.approx([1e-7 + 5e-7 + 5e-6, 1e-7])
        assert answer.route.busy_core_s == pytest.approx(0.003)
        assert answer.service_s == pytest.approx(0.003)
        assert [name for name, _ in bench.calls] == ["small", "medium", "large"]

    run(main())


def test_the_end_answers_what_is_on_its_way() -> None:
    async def main() -> None:
        bench = Bench("small", "large")
        bench.desk("small").hold = True
        asked = bench.ask(SURE)
        bench.router.close("the server is stopping")
        answer = await asked
        assert isinstance(answer, Problem)
        assert answer.status == 503
        bench.desk("small").release()

    run(main())


def test_a_fault_of_the_router_itself_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        told: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        bench = Bench("small", "large")
        monkeypatch.setattr(Cascade, "_judge", lambda self: 1 / 0)
        at_once = bench.ask(SURE)
        bench.desk("small").hold = True
        later = bench.ask(SURE)
        bench.desk("small").release()
        for asked in (at_once, later):
            outcome = await asked
            assert isinstance(outcome, Problem)
            assert outcome.status == 500
        assert len(told) == 2
        assert bench.router.waiting == 0

    run(main())


def test_texts_in_a_tensor_are_read_by_scores_of_texts() -> None:
    async def main() -> None:
        policy = RoutedPolicy(kind="pre_route", tiers=("small", "large"), scores=("brevity",), thresholds=(-2.5,))
        spec = ScoreSpec(name="brevity", kind="brevity")
        bench = Bench(route=route_of([tier("small"), tier("large")], [rung(policy)], (spec,)))
        words = (TensorSpec(name="text", dtype="bytes", shape=(None, 1)),)
        bench.model.inputs = words
        for name in ("small", "large"):
            bench.models[name].inputs = words
            bench.models[name].queue.answer = _zeros  # type: ignore[attr-defined]
        texts = np.array([[b"short"], [b"a long text indeed"], [b"\xff"]], dtype=object)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        request = Request(
            model=bench.model, reply=lambda _, outcome: future.set_result(outcome), rows=3, tensors=[texts]
        )
        bench.router.submit(request)
        answer = await future
        assert [d.tier for d in answer.route.decisions] == ["small", "large", "large"]
        assert answer.route.decisions[2].escalated_because == "invalid"

    run(main())


def _zeros(request: Request) -> None:
    outputs = [np.zeros((request.rows, 3), np.float32)]
    request.reply(request, Answer(outputs=outputs, queue_s=0.0, service_s=0.0, batch_rows=request.rows))
