"""The level that is promised is the level that is measured, and its name stands on no other figure.

The recorded run is decided anew for a promise at each level; latencies come from stand-ins whose p50, p90, p95, p99
and p99.9 differ clearly and are the same at every rate, and every text that shows a latency is read. Stand-ins answer in
the place of replicas and servers; what is made of their runs is farthing's own.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recording
from example_plan import met_plan
from recording import FOLDER, replay, write_journal
from rich.console import Console

from farthing.codec import from_plain, to_plain
from farthing.core.plan.holding import Remeasured, held
from farthing.core.traffic.batch_queue import saturation_rps
from farthing.core.traffic.latency_rate import _UTILISATIONS, MOST_UTILISATION, WARM_UP_FRAC, LatencyRate
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.errors import InputError
from farthing.load.plans import load_plan
from farthing.load.schema import stamp
from farthing.measure import campaign, scenarios, under_load, workbench
from farthing.measure.graphs import graph_reader
from farthing.measure.open_loop import RunSeen, as_measurement, levels_of, seen_of
from farthing.measure.served import path as served_path
from farthing.measure.served import proof as served_proof
from farthing.measure.served import rate as served_rate
from farthing.measure.served import trials as served_trials
from farthing.measure.state import RunState
from farthing.measure.workbench import Workbench
from farthing.nouns import Baseline, Candidate, LatencyBound, LocalModel, Measurement, Plan, Workload, percentile_name
from farthing.render.plan.profiles import baseline_page
from farthing.render.plan.report import report_html
from farthing.render.plan.sentences import nearest_sentence
from farthing.render.plan.terminal import plan_block, verification_block
from farthing.store.documents import write_yaml

AT_PEAK_MS = {0.5: 5.0, 0.9: 10.0, 0.95: 15.0, 0.99: 20.0, 0.999: 40.0}
"""Of every candidate under load; single requests take 0.3 times as long, the baseline 2.2 times."""
REACH = {5.0: 0.7, 10.0: 0.93, 15.0: 0.97, 20.0: 0.995, 40.0: 0.9997, 45.0: 1.0}
"""Share of the requests up to each value: the ends of each level's interval meet no other level."""
ALONE, BASELINE = 0.3, 2.2
STEADY = int((_UTILISATIONS <= MOST_UTILISATION).sum())
RECORDED = load_plan(FOLDER / "plan.yaml").chosen
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


def factor_of(c: Candidate) -> float:
    return BASELINE if (c.engine, c.variant, c.precision, c.max_batch) == ("onnxruntime", "fp32", "fp32", 1) else 1.0


def single(bench: Workbench, c: Candidate, n: int) -> Measurement:
    return scenarios.single_stream(StandIn(c, factor_of(c)), n, level=bench.level, seed=0, hardware="x")  # type: ignore[arg-type]


def run(factor: float, level: float, rate_rps: float, n: int, seed: int, **facts: float) -> RunSeen:
    """One run under arrivals: what comes before the warm-up's end is on no level of the table."""
    cold = math.ceil(n * WARM_UP_FRAC)
    ms = np.concatenate([np.full(cold, 999.0), latencies(n - cold, factor)])
    return seen_of(ms, levels_of(level), rate_rps=rate_rps, seed=seed, achieved_rps=rate_rps, **facts)


def flat(factor: float, level: float, saturation: float, n: int) -> dict[float, LatencyRate]:
    """Curves of a replica that is as quick at every rate it can take."""
    return {
        q: LatencyRate(
            percentile=q,
            n=n,
            saturation_rps=saturation,
            run_log_s=np.full(_UTILISATIONS.size, math.log(AT_PEAK_MS[q] * factor / 1000)),
            steady_log_s=np.full(STEADY, math.log(AT_PEAK_MS[q] * factor / 1000)),
        )
        for q in levels_of(level)
    }


def under_poisson(c: Candidate, level: float) -> Measurement:
    """The Server scenario of a stand-in, from three runs."""
    runs = [run(1.0, level, 100.0, 6000, seed) for seed in range(3)]
    return as_measurement(runs, flat(1.0, level, 1000.0, 6000), c, hardware="x", seconds=1.0)


def poisson(bench: Workbench, c: Candidate, rate_rps: float, n: int, seed: int) -> RunSeen:
    return run(factor_of(c), bench.level, rate_rps, n, seed, batch_size=1.0)


def rates_of(
    bench: Workbench, known: ServiceCurve, c: Candidate, n: int, slower: float = 1.0
) -> dict[float, LatencyRate]:
    """Whom the recording chose keeps the highest rate here too, so that what comes after was recorded."""
    top = saturation_rps(known.upto(c.max_batch), instances=c.instances, max_batch=c.max_batch)
    able = (RECORDED is not None and c == RECORDED.candidate) or factor_of(c) == BASELINE
    return flat(factor_of(c), bench.level, top if able else 0.01 * top, n)


@dataclass
class ServedStandIn:
    """The way through a server that answers as the table says."""

    bench: Workbench
    candidate: Candidate
    key: str
    full_rps: float

    def __enter__(self) -> ServedStandIn:
        return self

    def __exit__(self, *_: object) -> None: ...

    def capacity_rps(self, k: int) -> float:
        return self.full_rps

    def first_pace_rps(self, rate_rps: float) -> float:
        return self.full_rps

    def run(self, rate_rps: float, n: int, seed: int) -> RunSeen:
        return run(factor_of(self.candidate), self.bench.level, rate_rps, n, seed, generator_frac=0.04, front_frac=0.07)


def served(bench: Workbench, model: LocalModel, key: str) -> ServedStandIn:
    c = model.candidate
    return ServedStandIn(bench, c, key, full_rps=1000 * c.instances * c.max_batch / model.service_ms[c.max_batch])


def baseline_block(state: RunState, key: str, k: int) -> float:
    return (state.sla[state.baseline] or 1.0) * (1 + 0.01 * (k % 3))


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
    monkeypatch.setattr(served_path, "LiveServer", refuse)
    monkeypatch.setattr(Workbench, "single_stream", single)
    monkeypatch.setattr(Workbench, "poisson", poisson)
    monkeypatch.setattr(under_load, "rates_of", rates_of)
    for room in (served_rate, served_proof):
        monkeypatch.setattr(room, "rates_of", rates_of)
        monkeypatch.setattr(room, "baseline_block", baseline_block)
    for room in (served_trials, served_rate, served_proof):
        monkeypatch.setattr(room, "served_model", served)
    monkeypatch.setattr(recording, "Workbench", lambda **given: Workbench(**{**given, "tell": tell}))
    return said


def promised(bound: LatencyBound | None, tmp_path: Path) -> Plan:
    """The recorded run under another promise."""
    changed = tmp_path / "recording"
    shutil.copytree(FOLDER, changed)
    header, *steps = map(json.loads, (FOLDER / "journal.jsonl").read_text().splitlines())
    about, beside = header["what"], header["beside"]
    workload = from_plain(Workload, beside["workload"])
    beside["workload"] = to_plain(replace(workload, objective=replace(workload.objective, latency=bound)))
    about["workload"]["objective"] = beside["workload"]["objective"]
    (changed / "journal.jsonl").unlink()
    write_journal(changed / "journal.jsonl", header, *steps)
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
    assert (plan.chosen.at_peak.name, plan.chosen.at_peak.ms.value) == (name, pytest.approx(ms))
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
    assert f"{name} of a replica" in page
    assert f"The diamond is {name} of" in page
    assert read(" ".join(heard), level) == {name}

    write_yaml(tmp_path / "plan.yaml", stamp("plan"), to_plain(plan))
    assert to_plain(load_plan(tmp_path / "plan.yaml")) == to_plain(plan)


@pytest.mark.parametrize("level", list(AT_PEAK_MS))
def test_verify_holds_the_promised_level(level: float, heard: list[str], tmp_path: Path) -> None:
    ms = AT_PEAK_MS[level]
    plan = promised(LatencyBound(ms=2 * ms, percentile=level), tmp_path)
    assert plan.chosen is not None
    c = plan.chosen.candidate
    seen = under_poisson(c, level)
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
    assert (check.planned.value, check.seen.value) == (pytest.approx(ms), pytest.approx(ms))
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
        assert " comes nearest; " in plan.verdict.reasons[1]
        assert "p99.9 12.0 ms" in nearest_sentence(plan)
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
    assert (plan.chosen.at_peak.name, plan.chosen.at_peak.ms.value) == ("p99", pytest.approx(20.0))
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
        under_poisson(c, 0.999),
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
