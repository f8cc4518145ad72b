from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from example_plan import profile

from farthing.render.chrome_trace import Span, chrome_trace, profile_spans


def test_a_profile_is_laid_end_to_end_in_microseconds():
    p = profile()
    trace = json.loads(json.dumps(chrome_trace(p), allow_nan=False))
    events = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    operators = [e for e in events if e["cat"] == "operators"]
    assert len(operators) == len(p.operators) + 1
    assert operators[0]["name"] == "input pipeline"
    for before, after in itertools.pairwise(operators):
        assert after["ts"] == pytest.approx(before["ts"] + before["dur"])
    assert operators[1]["dur"] == pytest.approx(p.operators[0].time_ms * 1000)
    assert operators[1]["args"]["kind"] == p.operators[0].kind
    whole = next(e for e in events if e["cat"] == "inference")
    assert whole["dur"] == pytest.approx(p.wall_ms * 1000)
    assert {e["tid"] for e in events} == {1, 2}


def test_unknown_facts_and_an_absent_pipeline_are_left_out():
    p = profile()
    bare = replace(
        p, pipeline_ms=0.0, operators=(replace(p.operators[0], flops=None, roofline_frac=None, precision=""),)
    )
    spans = profile_spans(bare)
    assert [s.track for s in spans] == ["inference", "operators"]
    assert set(spans[1].args) == {"kind", "share_frac", "bytes_moved", "mapped"}


def test_spans_of_a_run():
    spans = [
        Span(name="build", track="build", start_s=0.0, seconds=2.0),
        Span(name="block 1", track="measure", start_s=2.0, seconds=0.5, args={"candidate": "a"}),
    ]
    trace = chrome_trace(spans, name="optimize")
    assert trace["traceEvents"][0]["args"] == {"name": "optimize"}
    assert trace["traceEvents"][-1]["ts"] == 2e6
    with pytest.raises(ValueError, match="start_s"):
        Span(name="x", track="y", start_s=-1, seconds=0)
