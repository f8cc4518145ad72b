from __future__ import annotations

import base64
import hashlib
import html
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from example_plan import HOSTILE, PLANS, met_plan, not_met_plan

from farthing.render.plan.report import plan_html, report_html
from farthing.render.plan.sentences import headline

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on unbalanced tags."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.texts.append(" " if tag in ("td", "th", "dd", "dt") else "")
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if not self.stack or self.stack[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).replace("\u00a0", " ").replace("\u2060", "").split())


@pytest.mark.parametrize("name", PLANS)
def test_one_balanced_page_under_a_megabyte(page, name):
    text = page(name)
    parsed = Page(text)
    assert len(text.encode()) < 1_000_000
    assert " ".join(headline(PLANS[name]()).split()) in parsed.text
    assert [t for t, _ in parsed.tags].count("h1") == 1
    ids = [a["id"] for _, a in parsed.tags if "id" in a]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", PLANS)
def test_nothing_is_loaded_from_anywhere(page, name):
    for tag, attributes in Page(page(name)).tags:
        assert tag not in ("img", "iframe", "object", "embed", "base", "form", "a") or attributes.get(
            "href", "#"
        ).startswith("#")
        for key in ("src", "srcset", "data", "action", "poster", "xlink:href"):
            assert key not in attributes
        if tag == "link":
            assert attributes["href"] == "data:,"
    styles = re.findall(r"<style>(.*?)</style>", page(name), re.S)
    assert "url(" not in styles[0]
    assert "@import" not in styles[0]


@pytest.mark.parametrize("name", PLANS)
def test_policy_allows_exactly_the_pages_own_style_and_script(page, name):
    text = page(name)
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1])
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
        assert len(found) == 1
        digest = base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    for _, attributes in Page(text).tags:
        assert not [key for key in attributes if key.startswith("on") or key == "style"]


def test_hostile_names_stay_text(page):
    parsed = Page(page("hostile"))
    assert [t for t, _ in parsed.tags].count("script") == 1
    assert " ".join(HOSTILE.split()) in parsed.text
    assert any(HOSTILE in (a.get("aria-label") or "") for _, a in parsed.tags)


def test_sections_stand_in_order(page):
    order = re.findall(r'<h2 id="([\w-]+)"', page("met"))
    assert order == [
        "h-saving",
        "h-latency",
        "h-hours",
        "h-operators",
        "h-candidates",
        "h-accuracy",
        "h-assumed",
        "h-elsewhere",
        "h-repeat",
    ]
    assert page("met").index("<h1>") < page("met").index('id="picture"') < page("met").index('id="h-saving"')


@pytest.mark.parametrize(
    "piece",
    [
        "This machine (AMD Zen 5, 2 cores of 1 thread, 23.5 GiB) stands for aws/m7i.large (Intel Sapphire Rapids, 1 core of 2 threads, 8 GiB): not alike (AMD Zen 5 here, Intel Sapphire Rapids there, amx_bf16 amx_int8 only there,",
        "if the cores here are whole ones, dollars may be up to 2 × as high. Every dollar above assumes that.",
        "Against the best BF16 engine, openvino: 61 % cheaper [59, 63].",
        "AWS price list us-east-1, publication 2026-07-20T19:02:11Z",
        "Not priced: data egress, load balancers, storage beyond the instance, support and taxes.",
        "Nobody measured on these. The cost is estimated by the rule given",
        "≈ $283 [198, 368] capacity in proportion to cores of the same family",
        "farthing optimize demo/workload.yaml --seed 7 --output-dir demo",
        "openvino 2025.2.0",
        "child start 33 s",
        "child ended by signal 9 after 41 s; memory limit 4 GiB",
        "bound by compute",
        "The shaded one stands for 3 candidates that cannot be told apart.",
        "Sizes: calibrate 300, search 200, confirm 700.",
        "(shown, not credited)",
        "peak memory of the parent 212 MiB",
    ],
)
def test_met_page_says(page, piece):
    text = Page(page("met")).text
    assert piece.replace("child start 33 s", "child start 33 s") in text


def test_not_met_page_says_what_is_nearest_and_what_to_do(page):
    text = Page(page("not_met")).text
    assert "Nearest: openvino int8-nncf b1 2×1, p99 7.2 ms [7.0, 7.5]" in text
    assert "Hint: --p99 7.5ms" in text
    assert "Nothing is planned, so nothing is saved." in text
    assert "<code>farthing prices list --isa avx512_vnni</code>" in page("not_met")


def test_unproven_page_says_how_many_samples_would_settle_it(page):
    assert "would take 1,400 samples or more to settle" in Page(page("unproven")).text


def test_a_plan_with_almost_nothing_still_makes_a_page():
    plan = not_met_plan()
    bare = replace(
        plan,
        nearest=None,
        evaluations=(replace(plan.baseline, cost_usd_per_month=None),),
        baseline=replace(plan.baseline, quantiles_ms=(), accuracy=None),
        hourly=replace(plan.hourly, baseline_usd=(), baseline_replicas=(), mean_rps=(), peak_rps=()),
        profiles=(),
        assumptions=(),
        excluded=(),
        splits={},
    )
    text = Page(report_html(bare)).text
    for piece in (
        "No candidate has a cost",
        "No latency distribution",
        "no cost by hour",
        "Nothing was taken apart by operator",
    ):
        assert piece in text


def test_the_same_plan_makes_the_same_page(page):
    assert report_html(met_plan()) == page("met")


@pytest.mark.parametrize("name", PLANS)
def test_notebook_cell_is_small_and_safe(name):
    text = plan_html(PLANS[name]())
    parsed = Page(text)
    assert len(text) < 4000
    assert {t for t, _ in parsed.tags} <= {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "code"}


def in_browser(path, tmp_path, *flags: str) -> tuple[str, str]:
    """DOM after scripts ran, and what the console said."""
    command = [
        str(CHROMIUM),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--enable-logging=stderr",
        "--dump-dom",
        *flags,
        path.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, "\n".join(said)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("name", ["met", "hostile"])
def test_the_page_runs_in_a_browser_without_complaint(page, name, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page(name), encoding="utf-8")
    dom, said = in_browser(path, tmp_path)
    assert said == ""
    assert " ".join(headline(PLANS[name]()).split()) in Page_text(dom)
    assert '<button type="button">cost a month</button>' in dom
    assert re.search(r'class="mark"[^>]* tabindex="0"', dom)


def Page_text(dom: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", dom)).replace("\u00a0", " ").replace("\u2060", "").split())


ACTIONS = """
addEventListener("load", () => {
  const table = document.querySelector("table.candidates");
  const press = () => table.tHead.querySelectorAll("button")[2].click();
  const first = () => table.tBodies[0].rows[0].cells[0].textContent.trim();
  const last = () => [...table.tBodies[0].rows].at(-1).cells[0].textContent.trim();
  press(); const up = first(), upLast = last(), upSort = table.tHead.rows[0].cells[2].getAttribute("aria-sort");
  press(); const down = first(), downSort = table.tHead.rows[0].cells[2].getAttribute("aria-sort");
  const mark = document.querySelector(".broad .mark[tabindex='0']"); mark.focus();
  const tip = document.getElementById("tip");
  const shown = !tip.hidden && tip.textContent === mark.getAttribute("aria-label");
  mark.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  const moved = document.activeElement !== mark && document.activeElement.classList.contains("mark");
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  document.title = "TEST " + JSON.stringify([up, upSort, upLast, down, downSort, shown, moved, wide]);
});
"""


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_tables_sort_and_marks_are_reached_by_keyboard(page, tmp_path):
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]+>', "", page("met"))
    path = tmp_path / "report.html"
    path.write_text(text.replace("</body>", f"<script>{ACTIONS}</script></body>"), encoding="utf-8")
    dom, said = in_browser(path, tmp_path, "--window-size=1280,900")
    assert said == ""
    title = html.unescape(re.search(r"<title>(TEST [^<]+)</title>", dom)[1])
    assert title == (
        'TEST ["openvino int8-nncf b16 2×1","ascending","torch-compile fp32 b8 2×1",'
        '"pytorch fp32 b1 2×1","descending",true,true,0]'
    )


@pytest.mark.parametrize(
    "piece",
    [
        "met: at least 95.7 % cheaper [95.0, 96.2] than pytorch FP32, one request at a time",
        "saving −$9,360 to −$9,842, not split · purchase terms not priced",
        "purchase terms not priced not priced: no price for a commitment was read",
        "30 % 7.2 B $3,000 [2,970, 3,030] $240 [233, 247] 95.7 % [95.0, 96.2]",
        "to split it requests a month (--per-month), a trace (--trace) or the utilisation (--utilisation)",
        "the arrivals were not stated",
        "Not priced: reserved terms, data egress,",
        "Trace day-night, 4.8 B to 19.2 B requests a month; drawn at 80 % utilisation.",
        "Against the best BF16 or FP16 engine: not known, this processor has no BF16 unit, so none was tried.",
    ],
)
def test_a_page_without_traffic_says_what_holds_and_what_to_bring(page, piece):
    text = Page(page("no_traffic")).text
    assert piece in text
    assert "right-sizing −" not in text
    assert "efficiency −" not in text
