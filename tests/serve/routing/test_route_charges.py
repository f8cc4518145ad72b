"""What other end points charge for: tokens that were used, rows, and answers that turn out to be none."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
import uvloop
from route_without_workers import Bench

from farthing.core.route.served import Place
from farthing.serve.routing.calls import Charged
from farthing.wire.requests import Answer

TIERS = ("small", "medium", "large")
UNSURE = [1.0, 0.99, 0.0, 0.0]


def run(main: Any) -> Any:
    return uvloop.run(asyncio.wait_for(main, 10))


def charging() -> Bench:
    """Rows of the small tier cost 0.25, of the others 5 unless they say how many tokens they used."""
    places = {name: (Place(model=name, usd_per_row=5.0, usd_per_token=(0.001, 0.01)),) for name in TIERS[1:]}
    return Bench(*TIERS, places={"small": (Place(model="small", usd_per_row=0.25),), **places})


@pytest.mark.parametrize(("rows", "share"), [([UNSURE], 1.0), ([UNSURE, UNSURE], 0.5)])
def test_tokens_that_were_used_are_charged(rows: list[list[float]], share: float) -> None:
    async def main() -> None:
        bench = charging()
        bench.desk("medium").tokens, bench.desk("large").tokens = (100, 3), (200, 0)
        answer = await bench.ask(*rows)
        assert isinstance(answer, Answer)
        assert answer.route is not None
        for decision in answer.route.decisions:
            assert decision.cost_usd == pytest.approx(0.25 + share * (0.13 + 0.2))
        assert answer.route.charged_usd == pytest.approx(0.25 * len(rows) + 0.13 + 0.2)
        assert bench.router.tiers["medium"].counts.usd == pytest.approx(0.13)

    run(main())


def test_who_does_not_say_is_charged_by_the_row() -> None:
    async def main() -> None:
        bench = charging()
        answer = await bench.ask(UNSURE)
        assert isinstance(answer, Answer)
        assert answer.route is not None
        assert answer.route.charged_usd == pytest.approx(10.25)

    run(main())


@pytest.mark.parametrize(("tokens", "usd"), [((100, 3), 0.13), (None, 5.0)])
@pytest.mark.parametrize("rows", [[UNSURE], [UNSURE, UNSURE]])
def test_answers_that_are_none_are_paid_for(
    rows: list[list[float]], tokens: tuple[int, int] | None, usd: float
) -> None:
    async def main() -> None:
        bench = charging()
        bench.desk("medium").refusal = Charged("it names no class", tokens)
        bench.desk("large").tokens = (0, 0)
        answer = await bench.ask(*rows)
        assert isinstance(answer, Answer)
        assert answer.route is not None
        paid = usd if tokens else usd * len(rows)
        assert bench.router.tiers["medium"].counts.usd == pytest.approx(paid)
        assert bench.router.tiers["medium"].counts.missed == {"failed": len(rows)}
        costs = [decision.cost_usd for decision in answer.route.decisions]
        assert costs == pytest.approx([0.25 + paid / len(rows)] * len(rows))
        assert answer.route.charged_usd == pytest.approx(0.25 * len(rows) + paid)
        assert math.isclose(answer.route.usage_usd, answer.route.charged_usd)

    run(main())
