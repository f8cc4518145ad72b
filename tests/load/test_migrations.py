"""Plans of version 1 measured p99 whatever was promised: their figures are called p99, and a verdict on another level
stands only where p99 settles it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from farthing.errors import SchemaError
from farthing.load.plans import load_plan
from farthing.load.schema import read_document
from farthing.load.workload.resolved import load_resolved_workload
from farthing.nouns import LatencyBound
from farthing.render.plan.report import report_html
from farthing.render.plan.terminal import plan_block

V1 = Path(__file__).parents[1] / "golden" / "v1"
LEVELS = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}


def old_plan(folder: Path, percentile: float, ms: float, **verdict: Any) -> Path:
    """The golden plan as its farthing wrote it for another promise."""
    data = yaml.safe_load((V1 / "plan.yaml").read_text())
    data["objective"] |= {"percentile": percentile, "latency_ms": ms}
    data["verdict"] |= verdict
    if verdict.get("chosen", True) is None:
        data["chosen"] = data["verdict"].pop("chosen")
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def screen(path: Path) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(plan_block(load_plan(path), path.parent))
    return captured.get()


def test_the_figures_are_called_what_they_are(tmp_path: Path) -> None:
    data = yaml.safe_load((V1 / "plan.yaml").read_text())
    plan = load_plan(old_plan(tmp_path, 0.999, 50))
    assert plan.chosen is not None
    assert plan.chosen.at_peak is not None
    assert (plan.chosen.at_peak.name, plan.chosen.at_peak.ms.value) == (
        "p99",
        data["chosen"]["p99_at_peak_ms"]["value"],
    )
    assert [x.name for x in plan.chosen.single] == ["p50", "p90", "p99"]
    assert [x.ms.value for x in plan.chosen.single] == [
        data["chosen"][f"latency_p{p}_ms"]["value"] for p in (50, 90, 99)
    ]
    assert plan.objective.latency == LatencyBound(ms=50, percentile=0.999)


def test_no_screen_calls_them_p99_9(tmp_path: Path) -> None:
    path = old_plan(tmp_path, 0.999, 50)
    said = screen(path)
    assert said.splitlines()[4] == "? unproven: p99.9 ≤ 50 ms was promised and p99 was measured"
    (row,) = [line for line in said.splitlines() if line.startswith("  p99")]
    assert row.startswith("  p99 ")
    assert row.rstrip().endswith("promised p99.9 ≤ 50 ms, each replica at its own rate")
    page = report_html(load_plan(path))
    assert "p99 of a replica" in page
    assert "p99.9 of a replica" not in page
    assert "The diamond is p99 of" in page


@pytest.mark.parametrize(
    ("level", "ms", "outcome"),
    [
        ("p99", 50.0, "met"),
        ("p50", 50.0, "met"),  # a p99 within the bound proves a p50 within it
        ("p95", 50.0, "met"),
        ("p95", 0.001, "unproven"),  # p99 was above the bound, p95 may have been within it
        ("p99.9", 50.0, "unproven"),
    ],
)
def test_a_verdict_stands_where_p99_settles_it(tmp_path: Path, level: str, ms: float, outcome: str) -> None:
    plan = load_plan(old_plan(tmp_path, LEVELS[level], ms))
    assert plan.verdict.outcome == outcome
    said = f"{level} ≤ {ms:g} ms was promised and p99 was measured"
    assert (said in plan.verdict.reasons) == (level != "p99")
    if outcome == "unproven":
        assert plan.verdict.reasons[0] == said
        assert "farthing optimize" in plan.verdict.hint


@pytest.mark.parametrize(("level", "outcome"), [("p50", "unproven"), ("p99", "not_met"), ("p99.9", "not_met")])
def test_what_was_not_met_at_p99_may_be_met_below_it(tmp_path: Path, level: str, outcome: str) -> None:
    reasons = [f"no candidate answers within 5 ms at {level}", "x comes nearest, p99 7.0 ms"]
    plan = load_plan(old_plan(tmp_path, LEVELS[level], 5.0, outcome="not_met", reasons=reasons, chosen=None))
    assert plan.verdict.outcome == outcome


def test_a_sentence_about_a_p99_is_mended(tmp_path: Path) -> None:
    reasons = ["p99.9 was 61.0 ms at the plan's peak rate in the last run, promised 50 ms"]
    plan = load_plan(old_plan(tmp_path, 0.999, 50, outcome="unproven", reasons=reasons))
    assert plan.verdict.reasons[0] == "p99 was 61.0 ms at the plan's peak rate in the last run, promised 50 ms"


def test_no_promise_stays_none(tmp_path: Path) -> None:
    data = yaml.safe_load((V1 / "plan.yaml").read_text())
    data["objective"]["latency_ms"] = None
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(data))
    plan = load_plan(path)
    assert plan.objective.latency is None
    assert plan.verdict.outcome == "met"
    assert plan.objective.level == 0.99


@pytest.mark.parametrize("broken", [{"objective": 3}, {"chosen": "x"}, {"evaluations": 3}, {"verdict": None}])
def test_what_has_not_the_old_form_is_refused_in_words(tmp_path: Path, broken: dict[str, Any]) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load((V1 / "plan.yaml").read_text()) | broken))
    with pytest.raises(SchemaError, match="is no valid plan"):
        load_plan(path)


@pytest.mark.parametrize("field", ["percentile", "latency_ms"])
def test_a_bound_that_is_no_number_is_refused_in_words(tmp_path: Path, field: str) -> None:
    data = yaml.safe_load((V1 / "plan.yaml").read_text())
    data["objective"][field] = "many"
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(SchemaError, match="is no valid plan"):
        load_plan(path)


def test_resolved_workload_and_baseline(tmp_path: Path) -> None:
    text = (V1 / "workload.json").read_text().replace('"percentile": 0.99', '"percentile": 0.9')
    (tmp_path / "workload.json").write_text(text)
    assert read_document(tmp_path / "workload.json", "workload-resolved")["objective"]["latency"] == {
        "ms": 50.0,
        "percentile": 0.9,
    }
    old = yaml.safe_load((V1 / "plan.yaml").read_text())["baseline"]
    path = tmp_path / "baseline.yaml"
    path.write_text(yaml.safe_dump({"schema": "farthing/baseline/1", "evaluation": old}))
    new = read_document(path, "baseline")["evaluation"]
    assert new["at_peak"] == {"percentile": 0.99, "ms": old["p99_at_peak_ms"]}
    broken = tmp_path / "broken.yaml"
    broken.write_text("schema: farthing/workload-resolved/1\nname: x\nobjective: 3\n")
    with pytest.raises(SchemaError, match="no resolved workload"):
        load_resolved_workload(broken)
