"""The live page in a real browser: it draws what the server says, asks nobody else, and no name can script it."""

from __future__ import annotations

import asyncio
import html
import re
import threading
from importlib.resources import files

import pytest
from browser import CHROMIUM, in_browser, words
from live_page_server import Models
from made_up_traffic import RealClock, live_model, request
from made_up_traffic import answer as answered_with

from farthing.render.palette import DARK, LIGHT
from farthing.serve.admin.control import Control
from farthing.serve.telemetry.metrics import Metrics
from farthing.wire.requests import Problem

HOSTILE = "<img src=x onerror=alert(1)></script><script>document.title='owned'</script>"
PAGE = (files("farthing.serve.admin") / "templates" / "live.html").read_text(encoding="utf-8")


def test_the_page_asks_nobody_else():
    addresses = re.findall(r"(?:https?:)?//[\w.-]+", PAGE)
    assert set(addresses) == {"http://www.w3.org"}  # SVG's name space, not an address that is asked
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(| style=| on\w+=", PAGE)
    assert PAGE.count("<script>") == PAGE.count("<style>") == 1


def test_the_page_has_the_colours_of_the_report():
    light, dark = re.findall(r"--ink:[^}]+", PAGE)
    for name in ("ink", "muted", "now", "plan", "band"):
        assert f"--{name}:{LIGHT[name]}" in light
        assert f"--{name}:{DARK[name]}" in dark


class Running:
    """A listener in a thread, fed with some answers."""

    def __init__(self, *models) -> None:
        self.models, clock = models, RealClock()
        self.metrics = Metrics(clock)
        for _ in range(200):
            asked = request(models[0], arrived_s=clock.monotonic_s() - 0.012)
            self.metrics.answered(asked, answered_with(queue_s=0.002, service_s=0.010, batch_rows=4))
        self.metrics.failed(models[0], "http", Problem(503, "busy"), None)
        self.control = Control(Models(*models), self.metrics, workers=lambda m: (11, 12))
        self._loop, self._listens = asyncio.new_event_loop(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.port = 0

    def _run(self) -> None:
        self._loop.run_until_complete(self._start())
        self._loop.run_forever()

    async def _start(self) -> None:
        self.metrics.tick()
        for _ in range(100):
            self.metrics.answered(
                request(self.models[0], arrived_s=self.metrics._now_s() - 0.012), answered_with(batch_rows=4)
            )
        self.port = await self.control.start("127.0.0.1", 0)
        self._listens.set()

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._listens.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.control.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_page_draws_what_the_server_says(tmp_path):
    broken = live_model("new", "2")
    broken.state, broken.reason = "unavailable", "worker died 5 times in 60 s (SIGSEGV), next start in 8 s"
    with Running(live_model(deadline_s=0.05), broken) as running:
        dom, said = in_browser(running.port, tmp_path, "--window-size=360,900")
    assert said == ""
    text = words(dom)
    assert "✘ not ready (1 of 2 models are)" in text
    assert "new version 2: worker died 5 times in 60 s (SIGSEGV), next start in 8 s" in text
    assert "p99 within the deadline of 50 ms" in text
    assert re.search(r"latency p50 p99 [\d.]+ · [\d.]+ ms", text)
    assert re.search(r"batch 4 samples", text)
    assert "1 rejected" in text
    assert "2 of 2 workers ready" in text
    assert (
        "$0.1008 /h aws/m7i.large@us-east-1:on_demand, 2026-07-20 Price of 2026-07-20, read from price list of 2026-07-20."
        in text
    )
    assert re.search(r"cost per 1,000 inferences \$0\.0\d+ \$0\.0\d+ busy only", text)
    assert dom.count("<rect") >= 1
    assert 'aria-label="batches by size since the start: 4: 75"' in dom


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_hostile_names_are_text(tmp_path):
    with Running(live_model(HOSTILE, offer=None)) as running:
        dom, said = in_browser(running.port, tmp_path)
    assert said == ""
    assert HOSTILE in words(dom).replace("&lt;", "<") or html.escape(HOSTILE, quote=False) in dom
    assert "<title>owned" not in dom
    assert "<img" not in dom
    assert "no price is known" in words(dom)
    assert "$" not in words(dom).partition("Rates,")[0]
