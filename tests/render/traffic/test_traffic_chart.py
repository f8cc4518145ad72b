"""The picture of a trace, and its burstiness in words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from xml.etree import ElementTree

import numpy as np
import pytest

from farthing.core.traffic.arrivals.bursts import Bursts, bursts
from farthing.core.traffic.burstiness import Burstiness, burstiness, burstiness_of_counts
from farthing.core.traffic.shapes import day_night
from farthing.nouns import Trace
from farthing.render.numbers import times
from farthing.render.palette import LIGHT
from farthing.render.svg import svg
from farthing.render.traffic.chart import traffic
from farthing.render.traffic.words import burstiness_words

STORM = Bursts(calm_rps=5, burst_rps=50, calm_s=20, burst_s=5)
START = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)


def stormy(length_s: float = 40_000.0) -> tuple[Trace, Burstiness]:
    at_s = np.concatenate(list(bursts(STORM, length_s, seed=1)))
    counts = np.bincount((at_s / 60).astype(int)).astype(float)
    return Trace(name="storm.csv", step_s=60.0, counts=counts, start=START), burstiness(iter([at_s]), length_s)


def labels(text: str) -> list[str]:
    return [m.attrib["aria-label"] for m in ElementTree.fromstring(text).iter() if m.attrib.get("class") == "mark"]


@pytest.mark.parametrize("width", [720, 343])
@pytest.mark.parametrize("name", ["storm", "week"])
def test_its_width_and_its_colours(name: str, width: int) -> None:
    trace = day_night()
    pair = stormy() if name == "storm" else (trace, burstiness_of_counts(trace))
    text = svg(traffic(*pair, width=width), name="traffic")
    assert abs(float(ElementTree.fromstring(text).attrib["width"]) - width) <= 12
    assert {c.lower() for c in re.findall(r'(?:fill|stroke)="(#[0-9a-fA-F]{6})"', text)} <= set(LIGHT.values())


def test_what_it_says() -> None:
    trace, bursty = stormy()
    text = svg(traffic(trace, bursty), name="traffic")
    said = labels(text)
    assert "requests a second: mean, and busiest 1 min of 5 min" in text
    assert "hours from 2026-11-23 08:30 +00:00 on" in text
    assert re.fullmatch(r"after 0 s: [\d.]+ requests/s, busiest 1 min [\d.]+/s", said[0])
    one = bursty.at(1.0)
    assert one is not None
    assert any(
        re.fullmatch(r"windows of 1 s: index of dispersion 2\d\.\d\d, Poisson 0\.99 to 1\.01; busiest .*", s)
        for s in said
    )
    assert len([s for s in said if s.startswith("windows of")]) == len(bursty.by_window)
    assert f"peak {times(one.peak_to_mean)} mean" in text
    assert "Poisson" in text
    assert 'aria-label="Arrivals of storm.csv over 11 h 7 min: rate, and burstiness"' in text


def test_little_is_drawn_by_the_hour_and_short_traces_without_windows() -> None:
    rare = Trace(name="rare", step_s=3600.0, counts=np.array([3.0, 0, 1, 2]))
    text = svg(traffic(rare, burstiness_of_counts(rare)), name="traffic")
    assert "requests a hour" not in text
    assert "requests an hour" in text
    assert "variance by mean" not in text
    assert labels(text)[0] == "after 0 s: 3 requests/h"


def test_a_hostile_name_stays_a_name() -> None:
    trace = Trace(name="\x1b[31m<script>", step_s=60.0, counts=np.arange(1.0, 101.0))
    text = svg(traffic(trace, burstiness_of_counts(trace)), name="traffic")
    assert "<script>" not in text
    assert "\x1b" not in text


def test_burstiness_in_words() -> None:
    _, bursty = stormy()
    said = burstiness_words(bursty)
    assert re.fullmatch(
        r"busiest against mean: second [\d.]+ ×, minute [\d.]+ ×, hour [\d.]+ × · counts vary against Poisson's: "
        r"[\d.]+ × by second, [\d.]+ × by minute, [\d.]+ × by hour",
        said,
    )
    assert burstiness_words(burstiness_of_counts(Trace(name="x", step_s=60.0, counts=np.ones(5)))) == ""
