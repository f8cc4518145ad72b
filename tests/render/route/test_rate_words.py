"""A route's planned rate on screen, on the page and for programs: the same figures, and plainly none where there is none."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, RenderableType
from test_route_pages import report

from farthing.codec import from_plain
from farthing.core.route.planned_rate import PlannedRate
from farthing.core.route.rate_planning import rate_verdict
from farthing.nouns import Estimate, LatencyBound
from farthing.render.route.documents import calibration_document, rate_document
from farthing.render.route.page import calibration_html
from farthing.render.route.rate_screen import rate_block
from farthing.render.route.rate_words import rate_facts, rate_headline, rate_line, rps
from farthing.render.route.screen import calibration_block

BOUND = LatencyBound(ms=50.0, percentile=0.999)


def estimate(value: float, half: float) -> Estimate:
    return Estimate(value=value, lo=value - half, hi=value + half, n=6, method="t")


def rate(ms: float = 40.0, proofs: int = 1) -> PlannedRate:
    planned, seen = estimate(812.0, 30.0), estimate(ms, 2.0)
    return PlannedRate(
        bound=BOUND,
        verdict=rate_verdict(BOUND, planned, seen),
        rate_rps=planned,
        kept_rps=planned.scaled(1.1**proofs),
        headroom=1.1,
        latency_ms=seen,
        proofs=proofs,
        runs=6,
        requests=2000,
        clients=16,
        capacity_rps=1500.0,
        generator_frac=estimate(0.11, 0.01),
        front_frac=estimate(0.2, 0.01),
        assumptions=("the load generator ran on cores of its own", "audits of <script>"),
    )


def shown(block: RenderableType) -> str:
    target = Console(file=io.StringIO(), width=300)
    target.print(block)
    return target.file.getvalue()  # type: ignore[attr-defined]


def test_met_names_rate_level_bound_and_how() -> None:
    said = rate_headline(rate())
    assert said == "812 requests/s [782, 842] planned: p99.9 40 ms [38, 42] ≤ 50 ms through farthing serve"
    assert rps(estimate(0.5, 0.01)).startswith("0.500 requests/s")


@pytest.mark.parametrize(("ms", "mark"), [(51.0, "unproven"), (60.0, "not met")])
def test_what_is_not_kept_is_said_at_its_level(ms: float, mark: str) -> None:
    text = shown(rate_block(report().route, rate(ms), Path("route/route.yaml")))
    assert mark in text
    assert f"p99.9 is {ms:g} ms" in text
    assert "promised 50 ms" in text
    assert "≤ 50 ms through" not in text


def test_the_facts_stand_on_every_surface() -> None:
    planned = report()
    planned = replace(planned, route=replace(planned.route, planned_rate=rate(proofs=2)))
    page = calibration_html(planned)
    for text in (
        shown(rate_block(planned.route, rate(proofs=2), Path("r.yaml"))),
        shown(calibration_block(planned, Path("route"))),
    ):
        for wanted in ("812 requests/s [782, 842]", "lowered by", "since 1 of 2 proofs failed", "6 runs of 2,000 requests", "load generator 11.0 %",
                       "1,500 requests/s to 16 clients", "on cores of its own"):  # fmt: skip
            assert wanted in text
    for wanted in ("812 requests/s", "lowered by", "load generator", "on cores of its own"):
        assert wanted in re.sub(r"\s+", " ", page)
    assert "audits of <script>" not in page
    document = json.loads(json.dumps(calibration_document(planned)))
    assert document["route"]["planned_rate"]["bound"] == {"ms": 50.0, "percentile": 0.999}
    alone = rate_document(rate())
    assert alone.pop("schema") == "farthing/route-rate/1"
    assert from_plain(PlannedRate, json.loads(json.dumps(alone))) == rate()


def test_without_a_rate_it_says_so() -> None:
    plain = report()
    assert rate_line(plain.route) == "none is planned: no latency was promised (--p99 50ms)"
    assert "none is planned" in calibration_html(plain)
    nothing = replace(rate(), verdict=rate_verdict(BOUND, None, None), rate_rps=None, latency_ms=None, proofs=0)
    assert rate_headline(nothing) == "p99.9 ≤ 50 ms is kept at no rate"
    assert [name for name, _ in rate_facts(replace(nothing, kept_rps=None, generator_frac=None))] == ["capacity"]
