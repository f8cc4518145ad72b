"""The judge of the watch: quiet where nothing changes, and it counts what a drift loses."""

from __future__ import annotations

import numpy as np
import pytest

from farthing.core.route.routes import Monitoring
from routing.drift import Kinds, read_kinds, slipped, write_kinds
from routing.watched import Drift, Requests, drawn, streams
from routing.worlds import SURE, TYPOS, UNSURE, tied, usual

M = Monitoring(alarm_loss_frac=0.005)
LONG = {"n": 6000, "repeats": 6, "calibrated": 1500}


@pytest.mark.parametrize("world", [usual(0.0035), tied(0.0035)])
def test_nothing_is_found_where_nothing_changes(world):
    seen = streams(world, world, M, np.random.default_rng(0), **LONG)
    assert all(s.alarm is None and s.after == 6000 for s in seen)
    audited = sum(s.audits for s in seen) / sum(s.below for s in seen)
    assert 0.02 < audited < 0.06
    assert np.mean([s.lost for s in seen]) == pytest.approx(21, abs=8)


@pytest.mark.parametrize(("other", "kind"), [(UNSURE, "score"), (TYPOS, "score"), (SURE, "loss")])
def test_drifts_are_found_before_much_is_lost(other, kind):
    drift = Drift(usual=usual(0.0035), other=other, share=0.3, onset=2000)
    seen = streams(drift, usual(0.0035), M, np.random.default_rng(1), **LONG)
    assert all(s.alarm is not None and s.after > 2000 for s in seen)
    assert {s.alarm.kind for s in seen} == {kind}
    assert max(s.after for s in seen) < 3500
    assert max(s.lost for s in seen) < (60 if kind == "score" else 300)


def test_a_drift_begins_at_its_onset():
    drift = Drift(usual=usual(0.0), other=SURE, share=1.0, onset=70)
    found = drift(np.random.default_rng(0), 100)
    assert found.loss[:70].sum() == 0
    assert (found.loss[70:] == found.below[70:]).all()


def test_slips_change_a_text_a_little():
    rng = np.random.default_rng(0)
    text = "transfer twenty dollars to my savings account"
    slips = [slipped(text, rng) for _ in range(50)]
    assert all(abs(len(s) - len(text)) <= 4 for s in slips)
    assert sum(s != text for s in slips) > 45
    assert slipped("a", rng) == "a"


def test_kinds_are_kept(tmp_path):
    some = usual(0.1)(np.random.default_rng(0), 50)
    write_kinds(
        Kinds(usual=some, unseen=some, typos=some, alarm_loss_frac=0.01, calibrated=3000, audit_frac=0.02),
        tmp_path / "w.npz",
    )
    found = read_kinds(tmp_path / "w.npz")
    assert (found.alarm_loss_frac, found.calibrated, found.audit_frac) == (0.01, 3000, 0.02)
    assert (found.typos.score == some.score).all()
    assert isinstance(drawn(found.usual)(np.random.default_rng(0), 10), Requests)
