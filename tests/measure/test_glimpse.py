"""The first look keeps its time whatever a build, a screen or an answer takes; its steps are the search's own."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from farthing.core.plan.findings import Facts
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.errors import EngineError
from farthing.measure import first_look
from farthing.measure.contention import ContentionCount
from farthing.measure.first_look import FIRST_LOOK_S, glimpse
from farthing.nouns import (
    AccuracyEvidence,
    Artefact,
    BaselineSpec,
    Bill,
    Candidate,
    Dataset,
    Estimate,
    Hardware,
    LatencyBound,
    ModelRef,
    Objective,
    PipelineSpec,
    Splits,
    Workload,
)
from farthing.plugins import find

BASE = Candidate(engine="onnxruntime", variant="fp32", precision="fp32", instances=2)
VARIANTS = ("fp32", "int8-dynamic", "int8-qdq", "int8-nncf")


def est(value: float) -> Estimate:
    return Estimate(value=value, lo=0.9 * value, hi=1.1 * value, n=2, method="t")


@dataclass
class Bench:
    """A workbench on which everything takes the time it is told to, by a clock of its own."""

    build_s: dict[str, float]
    screen_s: float = 5.0
    service_ms: float = 10.0
    lossy: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    mute: tuple[str, ...] = ()
    answers_s: float = 3.0
    now_s: float = 100.0
    done: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    done_of: list[int] = field(default_factory=list)
    artefacts: dict[str, Artefact] = field(default_factory=dict)
    measurements: list[Any] = field(default_factory=list)
    drifts: dict[Candidate, Any] = field(default_factory=dict)
    journal: tuple[str, ...] = ()
    contention: ContentionCount = field(default_factory=ContentionCount)
    labels: tuple[float, ...] | None = None
    answered: tuple[int, ...] = ()
    metric: Any = None

    def __post_init__(self) -> None:
        self.hardware = Hardware(name="here", vcpus=2)
        self.seed, self.splits = 0, Splits(calibrate=tuple(range(200)), search=(0, 1), confirm=(2, 3))
        self.settings = SimpleNamespace(engines=("onnxruntime",), variants=VARIANTS, batches=(1, 4, 8, 16), block_s=0.4)
        self.workload = Workload(
            name="w",
            model=ModelRef(kind="onnx", path="m"),
            pipeline=PipelineSpec(kind="tensor"),
            holdout=Dataset(kind="tensor", items=(), n=len(self.labels or ()), labels=self.labels),
            baseline=BaselineSpec(engine="onnxruntime"),
            bill=Bill(offer="aws/m7i.large", replicas=1),
            objective=Objective(latency=LatencyBound(ms=500.0)),
        )
        self.level = 0.99

    def answers(self, candidate: Candidate, split: str, rows: Any) -> Any:
        return np.eye(3)[[self.answered[k] for k in rows]]

    def elapsed_s(self) -> float:
        return self.now_s

    def tell(self, stage: str, done: int, total: int, note: str) -> None:
        self.told.append(stage)
        self.done_of.append(done)

    def retire(self, keep: object) -> None: ...

    def batching(self, candidate: Candidate) -> Any:
        return SimpleNamespace(batched=True)

    def build(self, variant: str) -> Artefact:
        self.now_s += self.build_s.get(variant, 1.0)
        if variant in self.broken:
            raise EngineError(f"{variant} does not help")
        self.done.append(f"build {variant}")
        artefact = Artefact(
            variant=variant, precision="fp32" if variant == "fp32" else "int8", path=variant, sha256="0", size_mib=1.0,
            engines=("onnxruntime",),
        )  # fmt: skip
        self.artefacts[variant] = artefact
        return artefact


SPEED = {"fp32": 1.1, "int8-dynamic": 2.0, "int8-qdq": 3.0, "int8-nncf": 4.0}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages' own work, replaced by the bench's."""

    def look(state: Any, c: Candidate, batches: Any) -> None:
        key = dataclasses.replace(c, max_batch=1)
        one = state.bench.service_ms / SPEED.get(c.variant, 1.0)
        sizes = sorted({*batches, *(state.curves[key].sizes if key in state.curves else ())})
        state.curves[key] = ServiceCurve(sizes=tuple(sizes), service_ms=tuple(est(one * b**0.8) for b in sizes))
        state.facts[key] = Facts(load_s=0, first_inference_s=0, child_start_s=0, peak_memory_mib=1.0)
        state.bench.now_s += 0.5 * len(batches)

    def screen_one(state: Any, build: Candidate) -> Any:
        state.bench.now_s += state.bench.screen_s
        state.bench.done.append(f"screen {build.variant}")
        look(state, build, (1, 8))
        return SimpleNamespace(candidate=build, ratio=est(SPEED[build.variant]))

    def evidence(state: Any, build: Candidate, split: str, confidence: float) -> AccuracyEvidence:
        state.bench.now_s += state.bench.answers_s
        state.bench.done.append(f"answers {build.variant}")
        if build.variant in state.bench.mute:
            raise EngineError(f"{build.variant} gives no answers")
        drop = 0.2 if build.variant in state.bench.lossy else 0.0
        upper = Estimate(value=drop, lo=-1.0, hi=drop + 0.01, n=9, method="exact")
        return AccuracyEvidence(
            metric="accuracy", split="search", n=9, n_differ=0, n_worse=0, n_better=0, baseline_frac=est(0.9),
            candidate_frac=est(0.9), drop_frac=upper, verdict="unproven",
        )  # fmt: skip

    def no_server() -> str:
        return "pip install …"

    monkeypatch.setattr(first_look, "fastest_layout", lambda bench, cores: BASE)
    monkeypatch.setattr(first_look, "look", look)
    monkeypatch.setattr(first_look, "screen_one", screen_one)
    monkeypatch.setattr(first_look, "evidence_of", evidence)
    monkeypatch.setattr(first_look, "missing", no_server)


@pytest.mark.usefixtures("steps")
class TestTheLook:
    def test_with_time_enough_everything_is_looked_at(self) -> None:
        bench = Bench(build_s={"int8-qdq": 10.0, "int8-nncf": 15.0})
        seen = glimpse(bench)  # type: ignore[arg-type]
        assert [step for step in bench.done if step.startswith("screen")] == [f"screen {v}" for v in VARIANTS]
        assert [s for s in bench.done if s.startswith("answers")] == ["answers int8-nncf", "answers int8-qdq"]
        assert seen.findings.chosen is not None
        assert seen.findings.chosen.variant == "int8-nncf"
        assert seen.findings.sla_rps[BASE]
        assert seen.left_out == ()
        assert seen.seconds <= FIRST_LOOK_S

    def test_a_slow_model_leaves_long_builds_for_the_search(self) -> None:
        """200 samples of 200 ms, four times over, take longer than the look."""
        bench = Bench(build_s={"int8-qdq": 160.0, "int8-nncf": 160.0}, service_ms=200.0)
        seen = glimpse(bench)  # type: ignore[arg-type]
        assert seen.left_out == ("int8-qdq", "int8-nncf")
        assert [s for s in bench.done if s.startswith("build")] == ["build fp32", "build int8-dynamic"]
        assert seen.findings.chosen is not None
        assert seen.seconds <= FIRST_LOOK_S

    @pytest.mark.parametrize("screen_s", [1.0, 30.0, 55.0, 80.0])
    @pytest.mark.parametrize("dynamic_s", [1.0, 60.0])
    def test_it_ends_within_three_minutes(self, screen_s: float, dynamic_s: float) -> None:
        """Whatever is begun ends; nothing is begun late. Three minutes hold the longest of these."""
        bench = Bench(build_s={"int8-dynamic": dynamic_s, "int8-qdq": 40.0}, screen_s=screen_s)
        seen = glimpse(bench)  # type: ignore[arg-type]
        assert seen.seconds <= 180
        assert seen.findings.chosen is not None

    def test_answers_without_an_end_do_not_take_the_whole_run(self) -> None:
        """Of builds that all lose, or whose answers fail, no more are compared once the time is over."""
        for bench in (Bench(build_s={}, lossy=VARIANTS), Bench(build_s={}, mute=VARIANTS)):
            bench.answers_s = 100.0
            seen = glimpse(bench)  # type: ignore[arg-type]
            assert seen.findings.chosen is None
            assert sum(step.startswith("answers") for step in bench.done) == 2
            assert seen.seconds < 2 * FIRST_LOOK_S

    def test_what_goes_wrong_leaves_no_blocks_counted_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(state: Any, chosen: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(first_look, "_charge_server", fail)
        bench = Bench(build_s={}, drifts={BASE: "seen"})
        with pytest.raises(ZeroDivisionError):
            glimpse(bench)  # type: ignore[arg-type]
        assert bench.drifts == {}

    def test_what_the_journal_has_is_always_looked_at(self) -> None:
        bench = Bench(build_s={}, service_ms=200.0, journal=("build/int8-qdq",))
        assert glimpse(bench).left_out == ("int8-nncf",)  # type: ignore[arg-type]

    def test_a_lossy_build_is_not_the_answer(self) -> None:
        bench = Bench(build_s={}, lossy=("int8-nncf", "int8-qdq"))
        found = glimpse(bench).findings  # type: ignore[arg-type]
        assert found.chosen is not None
        assert found.chosen.variant == "int8-dynamic"

    def test_nothing_usable_is_an_answer_too(self) -> None:
        bench = Bench(build_s={}, lossy=VARIANTS)
        assert glimpse(bench).findings.chosen is None  # type: ignore[arg-type]
        none = Bench(build_s={}, broken=VARIANTS)
        found = glimpse(none).findings  # type: ignore[arg-type]
        assert found.chosen is None
        assert found.ratios == {}

    def test_a_build_that_fails_is_passed_over(self) -> None:
        bench = Bench(build_s={}, broken=("fp32", "int8-nncf"))
        found = glimpse(bench).findings  # type: ignore[arg-type]
        assert found.chosen is not None
        assert found.chosen.variant == "int8-qdq"
        assert "variant fp32" in found.skipped

    @pytest.mark.parametrize("builds", [{}, {"broken": VARIANTS}, {"lossy": VARIANTS}, {"mute": VARIANTS}])
    @pytest.mark.parametrize("metric", ["accuracy", "f1_macro"])
    @pytest.mark.parametrize("answered", [(0, 1, 2, 0), (1, 2, 0, 1), (0, 0, 0, 0)])
    def test_how_right_the_baseline_is_is_known_whatever_becomes_of_the_builds(
        self, builds: dict[str, Any], metric: str, answered: tuple[int, ...]
    ) -> None:
        """And asked about where it only guesses: a look at the builds' changes alone showed no change of nothing."""
        labels = (0.0, 1.0, 2.0, 0.0)
        bench = Bench(build_s={}, labels=labels, answered=answered, metric=find("metrics", metric), **builds)
        bench.splits = Splits(calibrate=(), search=(0, 1, 2, 3), confirm=())
        seen = glimpse(bench)  # type: ignore[arg-type]
        right = sum(a == b for a, b in zip(answered, labels, strict=True)) / 4
        assert seen.score is not None
        if metric == "accuracy":
            assert seen.score.value == right
        assert bool(seen.doubt) == (metric == "accuracy" and right <= 0.5)

    def test_without_labels_nobody_knows_how_right_it_is(self) -> None:
        seen = glimpse(Bench(build_s={}))  # type: ignore[arg-type]
        assert (seen.score, seen.doubt) == (None, "")

    def test_one_stage_is_told_from_beginning_to_end(self) -> None:
        bench = Bench(build_s={})
        glimpse(bench)  # type: ignore[arg-type]
        assert set(bench.told) == {"first look"}
        assert bench.done_of == sorted(bench.done_of)  # 2/6 was followed by 1/6 with each further build


def test_the_search_finds_the_looks_steps_in_the_journal() -> None:
    """Both go through the same functions: a key of its own would be measured twice."""
    text = Path(first_look.__file__).read_text()
    assert ".keep(" not in text
    assert "journal.once" not in text
