"""Routes on screen, on a page, as a picture and for programs: the same facts, said plainly, nothing unescaped."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from farthing.core.route.calibrating.assembling import assembled
from farthing.core.route.calibrating.calibration import calibrate
from farthing.core.route.calibrating.certification import LossLimit
from farthing.core.route.judging.curve import curve_policies, sensible_families
from farthing.core.route.judging.evaluation import evaluate
from farthing.core.route.judging.reports import CalibrationReport, EvaluationReport
from farthing.core.route.outcomes import OutcomeMatrix, Score, halves
from farthing.core.route.policies import label
from farthing.core.route.routes import ScoreSpec, Tier
from farthing.render.route.documents import calibration_document, evaluation_document
from farthing.render.route.page import calibration_html, evaluation_html, picture_png, picture_svg
from farthing.render.route.screen import calibration_block, evaluation_block
from farthing.render.route.words import calibration_headline, cost

EVIL = "small<script>"


def matrix(n: int, cheap: float = 0.01) -> OutcomeMatrix:
    rng = np.random.default_rng(0)
    hard = rng.random(n)
    quality = np.column_stack([rng.random(n) > 0.6 * hard**4, rng.random(n) > 0.02]).astype(float)
    return OutcomeMatrix(
        request_ids=tuple(map(str, range(n))),
        tiers=(EVIL, "large"),
        quality=quality,
        cost_usd=np.tile([1e-6 * cheap, 1e-6], (n, 1)),
        scores={f"margin({EVIL})": Score(values=-hard + rng.normal(0, 0.02, n), needs=(EVIL,))},
    )


def report(n: int = 3000, max_loss: float = 0.03, cheap: float = 0.01) -> CalibrationReport:
    choose, prove = halves(matrix(n, cheap), np.random.default_rng(1), choose_frac=0.5)
    families, _ = sensible_families(choose, reference="large")
    found = calibrate(choose, prove, limit=LossLimit(max_loss_frac=max_loss), reference="large", families=families)
    specs = [ScoreSpec(name=f"margin({EVIL})", kind="margin", needs=(EVIL,))]
    route = assembled(
        found, prove, name="auto", tiers=[Tier(name=t, source=f"{t}/", usd_per_request=1e-6) for t in prove.tiers],
        scores=specs, quality="accuracy", audit_frac=0.02, classes=(), assumptions=("all of it",),
    )  # fmt: skip
    policies = [found.chosen, *curve_policies(choose, families, reference="large")]
    judged = EvaluationReport(
        name="auto",
        evaluation=evaluate(list(dict.fromkeys(policies)), prove, np.random.default_rng(2), draws=100),
        followed=label(found.chosen),
        max_loss_frac=max_loss,
        reference="large",
        notes=route.assumptions,
    )
    return CalibrationReport(route=route, compared=found.compared, judged=judged, n_choose=choose.n)


@pytest.fixture(scope="module")
def met() -> CalibrationReport:
    return report()


def text_of(block: object) -> str:
    console = Console(file=io.StringIO(), width=200, markup=False, highlight=False)
    console.print(block)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_screen_says_what_holds_and_beside_which_controls(met: CalibrationReport) -> None:
    shown = text_of(calibration_block(met, Path("out")))
    assert "✔ met: " in shown
    assert "cheaper than always large" in shown
    assert "proven: a loss of at most 3 points, 95 %" in shown
    for control in ("always large", "best fixed split at its cost", "random router at its cost", "oracle"):
        assert control in shown
    assert "farthing serve out/route.yaml" in shown
    assert "CostSave" in shown
    assert "PerfGain" in shown


def test_routing_that_is_not_worth_it_is_said_plainly() -> None:
    dear = report(cheap=1.0)
    assert not dear.route.worth_it
    assert calibration_headline(dear).startswith("routing is not worth it")
    assert "met: routing is not worth it" in text_of(calibration_block(dear, Path("out")))


def test_what_is_unproven_names_the_safe_way_and_what_would_settle_it() -> None:
    few = report(n=160, max_loss=0.002)
    assert few.route.verdict.outcome in ("unproven", "not_met")
    shown = text_of(calibration_block(few, Path("out")))
    assert "follow     always large" in shown


def test_the_page_escapes_names_and_allows_nothing_else(met: CalibrationReport) -> None:
    for page in (calibration_html(met), evaluation_html(met.judged)):
        assert "<script>" in page  # our own
        assert EVIL not in page
        assert "default-src &#39;none&#39;" in page
        assert "http://" not in page.replace("http://www.w3.org", "")
        assert len(page) < 1_000_000


def test_the_picture_is_a_safe_svg_that_describes_its_marks(met: CalibrationReport) -> None:
    picture = picture_svg(met.judged)
    root = ElementTree.fromstring(picture)
    labels = [e.get("aria-label", "") for e in root.iter() if e.get("class") == "mark"]
    assert any("always large" in text for text in labels)
    assert any("oracle" in text for text in labels)
    assert sum("→ large" in text for text in labels) > 3
    assert picture == picture_svg(met.judged)
    assert picture_png(met.judged).startswith(b"\x89PNG")


def test_an_evaluation_without_a_route(met: CalibrationReport) -> None:
    plain = replace(met.judged, followed="", max_loss_frac=None)
    shown = text_of(evaluation_block(plain, [Path("evaluation.html")]))
    assert "followed" not in shown
    assert "evaluation.html" in shown
    assert "promised" not in picture_svg(plain)


def test_programs_get_the_same_facts(met: CalibrationReport) -> None:
    said = json.loads(json.dumps(calibration_document(met)))
    assert said["schema"] == "farthing/route-calibration/1"
    assert said["route"]["verdict"]["outcome"] == "met"
    assert len(said["evaluation"]["points"]) == len(met.judged.evaluation.points)
    assert evaluation_document(met.judged)["schema"] == "farthing/route-evaluation/1"
    first = said["evaluation"]["points"][0]
    assert first["policy"]["kind"] == "cascade"
    assert first["over_split"]["lo"] <= first["over_split"]["value"]


def test_costs_are_dollars_a_million_or_time() -> None:
    assert cost(2.5e-7, "usd") == "$0.25"
    assert cost(0.0025, "cpu_s") == "2.5 ms"
