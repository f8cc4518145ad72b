from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from example_plan import HOSTILE, est, hostile_plan, met_plan, not_met_plan, profile, unproven_plan

from farthing.nouns import HourlyPlan, Latency, LatencyBound
from farthing.render.drawing import AXIS_PX
from farthing.render.palette import DARK, LIGHT, svg_rules
from farthing.render.plan import charts
from farthing.render.plan.frontier import LETTER_PX, label_place

OF_PLAN = {
    "frontier": charts.frontier,
    "waterfall": charts.waterfall,
    "latency": charts.latency,
    "hours": charts.cost_by_hour,
}


def labels(text: str) -> list[str]:
    marks = ElementTree.fromstring(text).iter()
    return [m.attrib["aria-label"] for m in marks if m.attrib.get("class") == "mark"]


def test_nothing_heavy_is_imported_before_a_chart_is_drawn():
    code = "import sys, farthing.render.plan.charts, farthing.render.plan.report, farthing.render.plan.terminal as t; "
    code += "print(sorted({'altair', 'vl_convert', 'jinja2', 'torch', 'duckdb', 'onnx'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("width", [720, 343])
@pytest.mark.parametrize("name", OF_PLAN)
def test_width_is_kept_and_colours_are_the_palettes(name, width):
    text = charts.svg(OF_PLAN[name](met_plan(), width=width), name=name)
    root = ElementTree.fromstring(text)
    assert abs(float(root.attrib["width"]) - width) <= 12
    colours = {c.lower() for c in re.findall(r'(?:fill|stroke)="(#[0-9a-fA-F]{6})"', text)}
    assert colours <= set(LIGHT.values())
    assert set(re.findall(r'(?:fill|stroke)="([a-z]+)"', text)) <= {"none", "transparent"}


@pytest.mark.parametrize("name", OF_PLAN)
def test_svg_holds_no_style_script_or_link(name):
    text = charts.svg(OF_PLAN[name](hostile_plan()), name="a")
    root = ElementTree.fromstring(text)
    tags = {e.tag.rpartition("}")[2] for e in root.iter()}
    assert tags <= {"svg", "g", "path", "rect", "line", "text", "tspan", "circle", "defs", "clipPath"}
    attributes = {a for e in root.iter() for a in e.attrib}
    assert not {
        a for a in attributes if a.startswith("on") or a in ("style", "href", "{http://www.w3.org/1999/xlink}href")
    }
    ids = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
    assert all(i.startswith("a-") for i in ids)
    used = re.findall(r"url\(#([^)]+)\)", text)
    assert set(used) <= set(ids)


def test_frontier_describes_each_candidate_once_a_panel():
    plan = met_plan()
    said = labels(charts.svg(charts.frontier(plan)))
    chosen = [s for s in said if s.startswith("openvino int8-nncf b8 2×1, chosen")]
    assert len(chosen) == 2
    assert chosen[0].endswith("Cannot be told apart from it: openvino int8-nncf b4 2×1, openvino int8-nncf b16 2×1")
    assert not any(s.startswith("openvino int8-nncf b4 2×1, tied") for s in said)
    grey = [s for s in said if s.startswith("onnxruntime int8-dynamic b8 2×1, infeasible")]
    assert grey[0].endswith("accuracy: loses 4.0 points on 200 images (at most 6.5), allowed 1")
    assert any(s.startswith("pytorch fp32 b1 2×1, baseline, $9,375") for s in said)


def test_frontier_names_the_nearest_when_nothing_is_chosen():
    text = charts.svg(charts.frontier(not_met_plan()))
    assert "nearest: openvino int8-nncf b1 2×1" in text
    assert "promised 5 ms" in text


@pytest.mark.parametrize("at", [0.0, 3.0, 90.0, 140.0, 200.0, 280.0])
@pytest.mark.parametrize(
    "text", ["now: x", "nearest: openvino int8-nncf b1 2×1", "onnxruntime int8-dynamic b32 2×1 + 12 like it"]
)
def test_a_label_is_never_cut_off_on_a_phone(text, at):
    """At 390 px the name of the nearest was cut at the right edge."""
    width = 343 - AXIS_PX - 16
    shown, left = label_place(text, at, width)
    assert left >= -AXIS_PX
    assert left + LETTER_PX * len(shown) <= width + 0.01
    assert shown == text or shown.endswith("…")
    if len(text) < 10 and 10 < at < width - 10:
        assert abs(left - at) <= LETTER_PX * len(text) + 5  # beside its point


def test_an_endless_queue_stretches_no_axis():
    plan = met_plan()
    endless = est(1e9, 0.0)
    rows = tuple(
        replace(e, at_peak=Latency(percentile=0.99, ms=endless)) if e.status == "chosen" else e
        for e in plan.evaluations
    )
    text = charts.svg(charts.frontier(replace(plan, evaluations=rows)))
    assert "000000" not in re.sub(r"#[0-9a-f]{6}", "", text)
    every = tuple(replace(e, at_peak=Latency(percentile=0.99, ms=endless)) for e in plan.evaluations)
    alone = charts.svg(charts.frontier(replace(plan, evaluations=every)))
    assert "cost a month" in alone  # the axis stands below the panel that is left


def test_frontier_without_costs_is_refused():
    plan = met_plan()
    rows = tuple(replace(e, cost_usd_per_month=None) for e in plan.evaluations)
    with pytest.raises(ValueError, match="no candidate has a cost"):
        charts.frontier(replace(plan, evaluations=rows))


def test_frontier_with_neither_accuracy_nor_latency_bound():
    plan = met_plan()
    rows = tuple(replace(e, accuracy=None) for e in plan.evaluations if e.status != "baseline")
    bare = replace(plan, evaluations=rows, objective=replace(plan.objective, latency=None))
    text = charts.svg(charts.frontier(bare))
    assert "promised" not in text
    assert "p99 latency in ms" in text


def test_waterfall_walks_from_bill_to_plan():
    said = labels(charts.svg(charts.waterfall(met_plan())))
    assert said[0] == "bill today: $10,000 a month"
    assert said[1].startswith("right-sizing: −$625 a month. 136 replicas")
    assert said[1].endswith("Shown, not credited")
    assert said[2].startswith("efficiency: −$8,074 [8,026, 8,122] a month") or "efficiency: −$8,074" in said[2]
    assert said[-1] == "plan: $305 [293, 317] a month"
    with pytest.raises(ValueError, match="nothing is planned"):
        charts.waterfall(not_met_plan())


def test_intervals_that_reach_beyond_the_bill_stay_in_the_picture():
    plan = met_plan()
    wide = replace(plan.parts[0].usd_per_month, lo=-1400.0, hi=1900.0)
    chart = charts.waterfall(replace(plan, parts=(replace(plan.parts[0], usd_per_month=wide), *plan.parts[1:])))
    domain = chart.to_dict()["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert domain[0] == 0
    assert domain[1] > 11_400


def test_those_drawn_as_one_stay_in_the_picture():
    plan = met_plan()
    rows = tuple(
        replace(e, at_peak=Latency(percentile=0.99, ms=est(413))) if e.status == "tied" else e for e in plan.evaluations
    )
    panels = charts.frontier(replace(plan, evaluations=rows)).to_dict()["vconcat"]
    domain = panels[1]["layer"][2]["encoding"]["y"]["scale"]["domain"]
    assert domain[1] > 413


def test_a_part_that_costs_money_is_drawn_to_the_right():
    plan = met_plan()
    dearer = replace(plan.parts[3], usd_per_month=plan.parts[3].usd_per_month.scaled(-1))
    said = labels(charts.svg(charts.waterfall(replace(plan, parts=(*plan.parts[:3], dearer)))))
    assert any(s.startswith("purchase terms: +$100") for s in said)


def test_latency_says_each_percentile_and_the_peak():
    said = labels(charts.svg(charts.latency(met_plan())))
    assert "now, pytorch fp32 b1 2×1: p50 22.9 ms [22.7, 23.1], one request at a time" in said
    assert "planned, openvino int8-nncf b8 2×1: p99 12.2 ms [11.5, 13.0], at 1,654/s" in said
    tail = replace(met_plan(), objective=replace(met_plan().objective, latency=LatencyBound(ms=50, percentile=0.999)))
    assert "p99.9" in charts.svg(charts.latency(tail))
    plan = met_plan()
    assert plan.chosen is not None
    none = replace(plan, baseline=replace(plan.baseline, quantiles_ms=()), chosen=replace(plan.chosen, quantiles_ms=()))
    with pytest.raises(ValueError, match="no latency distribution"):
        charts.latency(none)


def test_a_week_of_a_long_trace_is_drawn():
    plan = met_plan()
    h = plan.hourly
    longer = HourlyPlan(
        mean_rps=h.mean_rps * 2,
        peak_rps=h.peak_rps * 2,
        baseline_replicas=h.baseline_replicas * 2,
        planned_replicas=h.planned_replicas * 2,
        baseline_usd=h.baseline_usd * 2,
        planned_usd=h.planned_usd * 2,
    )
    said = labels(charts.svg(charts.cost_by_hour(replace(plan, hourly=longer))))
    assert len(said) == charts.HOURS_SHOWN
    assert said[0].startswith("day 1, 0:00, ")
    assert "; planned 5, $" in said[0]
    day = replace(
        h,
        **{
            f: getattr(h, f)[:24]
            for f in ("mean_rps", "peak_rps", "baseline_replicas", "planned_replicas", "baseline_usd", "planned_usd")
        },
    )
    assert ">6 h<" in charts.svg(charts.cost_by_hour(replace(plan, hourly=day)))
    with pytest.raises(ValueError, match="no cost by hour"):
        charts.cost_by_hour(replace(plan, hourly=replace(h, baseline_usd=())))


def test_only_now_is_drawn_when_nothing_is_planned():
    said = labels(charts.svg(charts.cost_by_hour(not_met_plan())))
    assert all("planned" not in s for s in said)


def test_operators_name_time_share_and_roofline():
    said = labels(charts.svg(charts.operators(profile())))
    assert len(said) == charts.OPERATORS_SHOWN
    assert said[0] == "/resnet/pooler/Reduce_0, ReduceMean in f32: 0.245 ms, 9.5 % of operator time, roofline unknown"
    assert said[1].endswith("54 % of the roofline")
    with pytest.raises(ValueError, match="no operators"):
        charts.operators(replace(profile(), operators=()))


def test_names_are_escaped():
    text = charts.svg(charts.operators(hostile_plan().profiles[1]))
    assert "<script" not in text
    assert any(s.startswith(HOSTILE) for s in labels(text))


def test_unproven_is_drawn_like_met():
    assert "allowed −1" in charts.svg(charts.frontier(unproven_plan()))


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_colours_can_be_read_on_their_ground(palette):
    paper = _luminance(palette["paper"])
    for name in ("ink", "muted", "now", "plan"):
        light, dark = sorted((_luminance(palette[name]), paper), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, name


def test_each_colour_has_its_custom_property():
    rules = svg_rules()
    assert LIGHT.keys() == DARK.keys()
    assert len(set(LIGHT.values())) == len(LIGHT)
    for name, colour in LIGHT.items():
        assert f'svg [fill="{colour}"]{{fill:var(--c-{name})}}' in rules
