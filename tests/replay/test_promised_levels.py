"""The level that is promised is the level that is measured, and its name stands on no other figure.

The recorded run is decided anew for a promise at each level; latencies come from stand-ins whose p50, p90, p95, p99
and p99.9 differ clearly, and every text that shows a latency is read.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recording
from recording import FOLDER, replay
from rich.console import Console

from farthing.codec import from_plain, to_plain
from farthing.core.search.holding import Remeasured, held
from farthing.errors import InputError
from farthing.load.plans import load_plan
from farthing.load.schema import stamp
from farthing.measure import campaign, graph_reader, scenarios, workbench
from farthing.measure.replica import ServerRun
from farthing.measure.workbench import Workbench
from farthing.nouns import Baseline, Candidate, LatencyBound, Measurement, Plan, Workload, percentile_name
from farthing.render.profiles import baseline_page
from farthing.render.report import report_html
from farthing.render.terminal import plan_block, verification_block
from farthing.store.documents import write_yaml
from farthing.store.journal import Journal

sys.path.append(str(Path(__file__).parents[1] / "render"))
from example_plan import met_plan

AT_PEAK_MS = {0.5: 5.0, 0.9: 10.0, 0.95: 15.0, 0.99: 20.0, 0.999: 40.0}
"""Of every candidate under load; single requests take 0.3 times as long, the baseline 2.2 times."""
REACH = {5.0: 0.7, 10.0: 0.93, 15.0: 0.97, 20.0: 0.995, 40.0: 0.9997, 45.0: 1.0}
"""Share of the requests up to each value: the ends of each level's interval meet no other level."""
ALONE, BASELINE = 0.3, 2.2
SHOWN = re.compile(r"(p\d+(?:\.\d+)?) (?:was )?(\d+(?:\.\d+)?) ms")


def latencies(n: int, factor: float) -> np.ndarray:
    edges = np.ceil(np.array(list(REACH.values())) * n).astype(int)
    counts = np.diff(np.concatenate([[0], edges]))
    return np.repeat(np.array(list(REACH)) * factor, counts)


class StandIn:
    """A replica that answers as the table says."""

    cpus = (0,)

    def __init__(self, candidate: Candidate, factor: float) -> None:
        self.candidate, self.factor = candidate, factor

    def single_stream(self, n: int) -> np.ndarray:
        return latencies(n, self.factor * ALONE)

    def server(self, rate_rps: float, n: int, *, max_batch: int, seed: int) -> ServerRun:
        ms = latencies(n, self.factor)
        return ServerRun(latency_ms=ms, batches=(1, 1), offered_rps=rate_rps, achieved_rps=rate_rps, stable=True)


def stand_in(bench: Workbench, c: Candidate) -> Any:
    slow = (c.engine, c.variant, c.precision, c.max_batch) == ("onnxruntime", "fp32", "fp32", 1)
    return StandIn(c, BASELINE if slow else 1.0)


def single(bench: Workbench, c: Candidate, n: int) -> Measurement:
    return scenarios.single_stream(stand_in(bench, c), n, level=bench.level, seed=0, hardware="x")


def server(bench: Workbench, c: Candidate, rate_rps: float, n: int) -> Measurement:
    more = {"level": bench.level, "seed": 0, "hardware": "x"}
    return scenarios.server(stand_in(bench, c), rate_rps, n, max_batch=c.max_batch, **more)  # type: ignore[arg-type]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Progress lines of runs whose latencies come from the table."""
    said: list[str] = []

    def tell(stage: str, done: int, total: int, note: str) -> None:
        said.append(note)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something is measured that the recording lacks")

    monkeypatch.setattr(workbench.Replica, "start", refuse)
    monkeypatch.setattr(graph_reader, "read_graph_in_child", refuse)
    monkeypatch.setattr(Workbench, "single_stream", single)
    monkeypatch.setattr(Workbench, "server", server)
    monkeypatch.setattr(recording, "Workbench", lambda **given: Workbench(**{**given, "tell": tell}))
    return said


def promised(bound: LatencyBound | None, tmp_path: Path) -> Plan:
    """The recorded run under another promise."""
    changed = tmp_path / "recording"
    shutil.copytree(FOLDER, changed)
    first, *rest = (FOLDER / "journal.jsonl").read_text().splitlines(keepends=True)
    about = json.loads(first)["what"]
    workload = from_plain(Workload, about["workload"])
    about["workload"] = to_plain(replace(workload, objective=replace(workload.objective, latency=bound)))
    with Journal(tmp_path / "new.jsonl", about):
        head = (tmp_path / "new.jsonl").read_text()
    (changed / "journal.jsonl").write_text(head + "".join(rest))
    return replay(changed, tmp_path / "run")


def on_screen(block: Any) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(block)
    return captured.get()


def read(text: str, *levels: float) -> set[str]:
    """Check every latency of a text that has a level's name before it, and give the names that were read."""
    true = {
        percentile_name(q): [AT_PEAK_MS[q] * f * g for f in (1.0, BASELINE) for g in (1.0, ALONE)] for q in AT_PEAK_MS
    }
    pairs = SHOWN.findall(text.replace("\u00a0", " "))
    for name, ms in pairs:
        at = text.replace("\u00a0", " ").find(f"{name} {ms} ms")
        half = 0.5001 * 10.0 ** -len(ms.partition(".")[2])
        assert any(abs(float(ms) - t) <= half for t in true[name]), text[max(0, at - 200) : at + 60]
    names = {name for name, _ in pairs}
    assert names <= {percentile_name(q) for q in (0.5, 0.9, 0.99, *levels)}
    return names


@pytest.mark.parametrize("level", list(AT_PEAK_MS))
def test_every_figure_bears_the_name_of_its_level(level: float, heard: list[str], tmp_path: Path) -> None:
    name, ms = percentile_name(level), AT_PEAK_MS[level]
    plan = promised(LatencyBound(ms=2 * ms, percentile=level), tmp_path)
    assert plan.chosen is not None
    assert plan.chosen.at_peak is not None
    assert plan.baseline.at_peak is not None
    assert plan.verdict.outcome == "met", plan.verdict
    assert (plan.chosen.at_peak.name, plan.chosen.at_peak.ms.value) == (name, ms)
    assert plan.baseline.at_peak.ms.value == pytest.approx(ms * BASELINE)
    assert [x.percentile for x in plan.chosen.single] == sorted({0.5, 0.9, 0.99, level})
    assert [x.ms.value for x in plan.chosen.single] == pytest.approx(
        [AT_PEAK_MS[x.percentile] * ALONE for x in plan.chosen.single]
    )

    screen = on_screen(plan_block(plan, tmp_path))
    assert read(screen, level) == {name}
    assert f"{name} ≤ {2 * ms:g} ms" in screen
    (row,) = [line for line in screen.splitlines() if line.startswith(f"  {name} ")]
    assert [float(x) for x in re.findall(r"([\d.]+) ms", row)] == pytest.approx([ms * BASELINE, ms, 2 * ms])

    page = report_html(plan)
    assert name in read(page, level)
    assert f"{name} at peak" in page
    assert f"The diamond is {name} at" in page
    assert read(" ".join(heard), level) == {name}

    write_yaml(tmp_path / "plan.yaml", stamp("plan"), to_plain(plan))
    assert to_plain(load_plan(tmp_path / "plan.yaml")) == to_plain(plan)


@pytest.mark.parametrize("level", list(AT_PEAK_MS))
def test_verify_holds_the_promised_level(level: float, heard: list[str], tmp_path: Path) -> None:
    ms = AT_PEAK_MS[level]
    plan = promised(LatencyBound(ms=2 * ms, percentile=level), tmp_path)
    assert plan.chosen is not None
    c = plan.chosen.candidate
    seen = scenarios.server(StandIn(c, 1.0), 100.0, 20_000, max_batch=8, level=level, seed=0, hardware="x")  # type: ignore[arg-type]
    again = Remeasured(
        service_ms=(1.0,) * 8,
        capacity_rps=(1.0,) * 8,
        beside_rps={},
        canary_ms=(),
        contended=(False,) * 8,
        server=seen,
    )
    check = held(plan, again, "x").checks[-1]
    assert check.name == f"{percentile_name(level)} at the peak rate"
    assert (check.outcome, check.limit) == ("met", f"at most {2 * ms:g} ms")
    assert check.planned is not None
    assert check.seen is not None
    assert check.planned.value == check.seen.value == ms
    tight = replace(plan, objective=replace(plan.objective, latency=LatencyBound(ms=ms * 0.9, percentile=level)))
    missed = held(tight, again, "x")
    assert missed.checks[-1].outcome == "not_met"
    assert f"{percentile_name(level)} at the peak rate: {ms:g} ms" in " ".join(missed.verdict.reasons)
    assert percentile_name(level) in on_screen(verification_block(missed))


@pytest.mark.parametrize(("level", "outcome"), [(0.5, "met"), (0.95, "met"), (0.99, "met"), (0.999, "not_met")])
def test_a_promise_that_p99_keeps_and_a_higher_level_breaks_is_not_met(
    level: float, outcome: str, heard: list[str], tmp_path: Path
) -> None:
    plan = promised(LatencyBound(ms=30, percentile=level), tmp_path)
    assert plan.verdict.outcome == outcome
    if outcome != "met":
        assert plan.chosen is None
        assert plan.verdict.reasons[0] == "no candidate answers within 30 ms at p99.9"
        assert "nearest, p99.9 12.0 ms" in plan.verdict.reasons[1]
        assert any(e.reason.startswith("under load: p99.9 40 ms at ") for e in plan.evaluations)
        assert plan.verdict.hint.startswith("--p999 ")
        read(on_screen(plan_block(plan, tmp_path)), level)
        read(report_html(plan), level)


def test_a_lower_level_may_be_broken_by_p99(heard: list[str], tmp_path: Path) -> None:
    """A median within 8 ms was refused while p99 decided."""
    assert promised(LatencyBound(ms=8, percentile=0.5), tmp_path).verdict.outcome == "met"


def test_without_a_promise_the_level_is_p99(heard: list[str], tmp_path: Path) -> None:
    plan = promised(None, tmp_path)
    assert plan.chosen is not None
    assert plan.chosen.at_peak is not None
    assert (plan.chosen.at_peak.name, plan.chosen.at_peak.ms.value) == ("p99", 20.0)
    assert read(on_screen(plan_block(plan, tmp_path))) == {"p99"}


def test_a_level_that_would_take_an_hour_is_refused(
    heard: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "LONGEST_SINGLE_S", 0.3)
    with pytest.raises(InputError, match=r"p99\.9 takes 3,688 requests one at a time, .* the limit is 0\.005 min") as e:
        promised(LatencyBound(ms=100, percentile=0.999), tmp_path)
    assert e.value.hint == "promise p99 instead, which takes 150: --p99 …"
    assert promised(LatencyBound(ms=100), tmp_path / "p99").verdict.outcome == "met"


def test_profile_has_a_column_for_the_promised_level() -> None:
    c = Candidate(engine="onnxruntime", variant="int8-dynamic", precision="int8")
    more: dict[str, Any] = {"level": 0.999, "seed": 0, "hardware": "x"}
    measured = (
        scenarios.single_stream(StandIn(c, 1.0), 4000, **more),  # type: ignore[arg-type]
        scenarios.server(StandIn(c, 1.0), 100.0, 20_000, max_batch=8, **more),  # type: ignore[arg-type]
    )
    plan = met_plan()
    page = baseline_page(
        Baseline(
            workload="w", description="d", evaluation=plan.baseline, metric="accuracy", score_frac=None,
            measurements=measured, profile=plan.profiles[0], bill_usd_per_month=1.0, gap=plan.parts[0],
            offers=plan.offers, assumptions=(), provenance=plan.provenance,
        ),
        Path("out"),
    )  # fmt: skip
    head, alone, loaded = on_screen(page).splitlines()[3:6]
    assert re.findall(r"p[\d.]+", head) == ["p50", "p90", "p99", "p99.9"]
    for row, factor in ((alone, ALONE), (loaded, 1.0)):
        found = [float(x) for x in re.findall(r"([\d.]+) ms", row)]
        assert found == pytest.approx([AT_PEAK_MS[q] * factor for q in (0.5, 0.9, 0.99, 0.999)])


def test_a_level_that_a_run_lacks_raises_in_words(heard: list[str], tmp_path: Path) -> None:
    c = Candidate(engine="e", variant="v", precision="fp32")
    seen = scenarios.single_stream(StandIn(c, 1.0), 400, seed=0, hardware="x")  # type: ignore[arg-type]
    assert seen.levels == (0.5, 0.9, 0.99)
    with pytest.raises(ValueError, match=r"p99\.9 of e v b1 1×1 was not measured: .* 400 requests holds p50, p90, p99"):
        seen.latency(0.999)
