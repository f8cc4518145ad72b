"""What a saving is held against besides the baseline: the best full-precision engine and the best BF16 or FP16 one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from farthing.core.search import trials
from farthing.measure import proof, screening
from farthing.measure.state import RunState
from farthing.models.batch_check import Batching
from farthing.nouns import Artefact, Candidate, Estimate

BASE = Candidate(engine="pytorch", variant="torch-module", precision="fp32", instances=2)
PLAIN = Candidate(engine="openvino", variant="fp32", precision="fp32", instances=2)
HALF = Candidate(engine="openvino", variant="fp32", precision="bf16", instances=2)
OTHER_HALF = Candidate(engine="pytorch", variant="torch-module", precision="bf16", instances=2)
INT8 = Candidate(engine="openvino", variant="int8-nncf", precision="int8", instances=2)
INT8_REST_BF16 = Candidate(engine="openvino", variant="int8-nncf", precision="bf16", instances=2)


def artefact(variant: str, precision: Any) -> Artefact:
    return Artefact(variant=variant, precision=precision, path=variant, sha256="0", size_mib=1, engines=("openvino",))


def state() -> RunState:
    found = [artefact("fp32", "fp32"), artefact("torch-module", "fp32"), artefact("int8-nncf", "int8")]
    bench: Any = SimpleNamespace(
        tell=lambda *_: None,
        retire=lambda _: None,
        artefacts={a.variant: a for a in found},
        settings=None,
        batching=lambda _: Batching(sizes=(2, 3, 8), answers=13),
        batch_of=lambda c, batch: replace(c, max_batch=batch),
    )
    return RunState(bench=bench, baseline=BASE)


def screened(monkeypatch: pytest.MonkeyPatch, ratios: Mapping[Candidate, float]) -> RunState:
    def one(_: RunState, c: Candidate) -> trials.Screen:
        ratio = Estimate(value=ratios[c], lo=ratios[c] * 0.98, hi=ratios[c] * 1.02, n=2, method="range")
        return trials.Screen(candidate=c, ratio=ratio)

    monkeypatch.setattr(screening, "screen_one", one)
    run = state()
    screening.screen(run, tuple(ratios))
    return run


def test_the_fastest_of_each_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    run = screened(monkeypatch, {PLAIN: 4.0, HALF: 5.0, OTHER_HALF: 6.0, INT8: 12.0, INT8_REST_BF16: 14.0})
    assert run.best_fp32 == PLAIN
    assert run.best_half == OTHER_HALF  # not INT8 whose float rest runs in BF16


def test_without_a_half_precision_build_there_is_no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    run = screened(monkeypatch, {PLAIN: 4.0, INT8: 12.0, INT8_REST_BF16: 14.0})
    assert (run.best_fp32, run.best_half) == (PLAIN, None)
    alone = screened(monkeypatch, {BASE: 1.0})
    assert (alone.best_fp32, alone.best_half) == (None, None)  # the baseline is no reference beside itself


def test_a_reference_stands_at_its_better_batch_size_and_its_stable_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    run, batched = state(), replace(HALF, max_batch=8)
    run.ratios = {HALF: estimate(5.0), batched: estimate(6.0)}
    monkeypatch.setattr(proof, "stable_rate", lambda _, c: 100.0 * c.max_batch)
    assert proof._reference(run, HALF, INT8) == batched
    assert run.sla == {batched: 800.0}
    assert proof._reference(run, None, INT8) is None


def test_the_choice_keeps_its_own_rate_when_it_is_the_reference_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate that it kept within the promise, not the higher one at which its queue merely does not grow."""
    run, batched = state(), replace(HALF, max_batch=8)
    run.ratios, run.sla = {HALF: estimate(5.0), batched: estimate(6.0)}, {batched: 70.0}
    monkeypatch.setattr(proof, "stable_rate", lambda *_: 800.0)
    assert proof._reference(run, HALF, batched) == batched
    assert run.sla == {batched: 70.0}


def estimate(value: float) -> Estimate:
    return Estimate(value=value, lo=value, hi=value, n=8, method="t")
