"""The live page's section on scaling in a real browser."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, in_browser, words
from live_page_server import Models
from made_up_traffic import RealClock, live_model

from farthing.serve.admin.control import Control
from farthing.serve.telemetry.metrics import Metrics

SCALING: dict[str, Any] = {
    "model": "tiny", "rule": "Knative on concurrency", "settings": {}, "source": "scale.yaml", "emulated": True,
    "time_lapse": 60.0, "interval_s": 2.0, "assumed": [], "min": 1, "max": 6, "start_s": 5.0, "promise_ms": 50.0,
    "attainment_asked": 0.99, "usd_per_hour": 0.05, "offer": None, "at_s": 3600.0, "ready": 3, "starting": 1,
    "leaving": 2, "wanted": 4, "decisions": 1800, "changes": 7,
    "last": {"at_s": 3590.0, "before": 3, "replicas": 4, "reason": "the stable window asks for 4", "ago_s": 10.0},
    "trouble": "", "arrived": 5000, "answered": 4990, "within_promise": 4800, "failed": 10, "attainment": 0.96,
    "rps": 83.3, "in_flight": 12, "replica_seconds": 7200, "usd": 0.1, "step_s": 3,
    "history": {
        "rps": [None, 10.0, 83.3], "in_flight": [0, 2, 12], "ready": [1, 2, 3], "wanted": [1, 3, 4],
        "attainment": [None, 1.0, 0.9], "usd": [0.0, 0.05, 0.1],
    },
}  # fmt: skip


class Figures:
    """Says what it was given."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.said = said

    def tick(self) -> None:
        pass

    def live_document(self) -> dict[str, Any]:
        return self.said

    def document(self) -> dict[str, Any]:
        return self.said


def drawn(tmp_path: Path, said: dict[str, Any], *flags: str) -> tuple[str, str]:
    """The page with a scaling section, and what the browser said about it."""
    loop, ports = asyncio.new_event_loop(), list[int]()
    figures: Any = Figures(said)
    control = Control(Models(live_model("tiny")), Metrics(RealClock()), scaling=figures, wanted=lambda model: 4)
    listens = threading.Event()

    async def start() -> None:
        ports.append(await control.start("127.0.0.1", 0))
        listens.set()

    def work() -> None:
        loop.run_until_complete(start())
        loop.run_forever()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert listens.wait(10)
        return in_browser(ports[0], tmp_path, *flags)
    finally:
        asyncio.run_coroutine_threadsafe(control.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_load_replicas_attainment_and_dollars_are_drawn(tmp_path: Path) -> None:
    dom, said = drawn(tmp_path, SCALING, "--window-size=390,900")
    assert said == ""
    text = words(dom)
    assert "tiny scaling Knative on concurrency, 1 to 6 replicas, a decision each 2 s · emulated" in text
    assert "time lapse: 60 s of the policy’s clock in a second" in text
    assert "load 83.3 /s 12 in flight, 5,000 came since the start 6 min ago highest 83.3 /s" in text
    assert "replicas ready wanted 3 of 4 ready 1 starting, 2 leaving, 7 changes in 1,800 decisions" in text
    assert "answered as promised 96 % ✘ below 99 %, within 50 ms" in text
    assert "cost of the replicas $0.100 7,200 replica-seconds billed at $0.0500/h" in text
    assert "Last change, 10 s ago: 3 → 4, the stable window asks for 4." in text
    assert "scaling.json" in text
    assert re.search(r"of 4 workers ready|asleep: its next request", text)
    assert dom.count("<polyline") >= 4


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_trouble_and_missing_figures_are_said(tmp_path: Path) -> None:
    nothing = {"promise_ms": None, "attainment": None, "usd": None, "usd_per_hour": None, "last": None, "rps": None}
    empty = {name: [] for name in SCALING["history"]}
    dom, said = drawn(tmp_path, {**SCALING, **nothing, "history": empty, "trouble": "KeyError: <b>metric</b>"})
    assert said == ""
    text = words(dom)
    assert "✘ not scaled, replicas stay as they are: KeyError:" in text
    assert "<b>metric" not in dom
    assert "any answer counts: no promise" in text
    assert "no price is known" in text
    assert "No change yet." in text
