"""A followed route under watch: audits, alarms, falling back, resuming, what is kept and shown."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import re
import stat
from dataclasses import replace

import numpy as np
import pytest
import real_server as running
import uvloop
from browser import CHROMIUM, in_browser, words
from route_without_workers import Bench
from small_route import OFFSETS, cascade, margin_of, route_of, rung, tier, write_simple, write_tier
from watched_route import ALL, DECILES, SURE, ask, fetch, until

from farthing.core.money.routed_saving import of_ledger
from farthing.core.route.routes import Monitoring
from farthing.load.route.requests import read_requests
from farthing.serve.routing.audit_samples import AuditSamples
from farthing.serve.routing.audits import RouteAuditor, class_of
from farthing.store.ledger import read_ledger
from farthing.store.routes import write_route
from farthing.wire.requests import Answer, Problem, Request

UNSURE = [0.1, 0.0, 0.0, 0.0]
TOKEN = "0123456789abcdef0123456789abcdef"


def in_loop(test):
    """Run a test on a loop of its own."""

    @functools.wraps(test)
    def run(*args, **more):
        return uvloop.run(asyncio.wait_for(test(*args, **more), 30))

    return run


class Watched(Bench):
    """A router with its auditor."""

    def __init__(self, monitoring: Monitoring, *, kept: AuditSamples | None = None, chosen: int | None = 0) -> None:
        route = route_of(
            [tier("small"), tier("large")], [rung(cascade("small", "large"))], margin_of("small"), chosen=chosen, n=3000
        )
        super().__init__(route=replace(route, monitoring=monitoring))
        self.auditor = RouteAuditor(self.route, self.router.fall_back, kept=kept, rng=random.Random(0))
        self.router._observer = self.router._auditor = self.router._audits.auditor = self.auditor

    def wrong(self) -> None:
        """From now on the small tier names another class than the large one."""
        self.desk("small").damage = lambda outputs: outputs[:, ::-1].copy()

    def asks(self, row: list[float], times: int) -> list[Answer]:
        return [self.ask(row).result() for _ in range(times)]  # desks answer at once


@in_loop
async def test_audits_that_agree_are_counted_and_priced():
    bench = Watched(ALL)
    bench.asks(SURE, 70)
    bench.asks(UNSURE, 30)
    bench.auditor.take_in()
    audits = bench.auditor.audits
    assert (audits.asked, audits.same, audits.differed, audits.missed) == (70, 70, 0, 0)
    assert audits.usd == pytest.approx(70 * 5e-6)
    assert bench.auditor.rows == 100
    assert bench.auditor.state.loss.n == 100
    assert bench.auditor.state.loss.audited == 70
    assert bench.auditor.loss.value == 0
    assert bench.auditor.loss.hi < 0.2
    assert bench.router.fallen is None


@in_loop
async def test_a_route_that_is_wrong_falls_back_and_says_why_and_what_to_do():
    bench = Watched(ALL)
    bench.asks(SURE, 200)
    bench.wrong()
    answers = bench.asks(SURE, 200)
    reason = bench.router.fallen
    assert reason is not None
    assert "answers differ from the reference's" in reason
    assert "farthing route calibrate --tier small=small.onnx --tier large=large.onnx" in reason
    assert "--max-loss 0.5% --confidence 95%" in reason
    assert bench.auditor.alarm.kind == "loss"
    by = [answer.route.decisions[0].tier for answer in answers]
    first = by.index("large")
    assert first <= 12  # lost answers until it fell back
    assert set(by[first:]) == {"large"}
    assert bench.changes[-1][0] == "route_fell_back"


@in_loop
async def test_after_resuming_a_new_watch_begins():
    bench = Watched(ALL)
    bench.wrong()
    bench.asks(SURE, 50)
    assert bench.router.fallen is not None
    bench.desk("small").damage = lambda outputs: outputs
    bench.auditor.renew()
    bench.router.resume()
    answers = bench.asks(SURE, 150)
    assert {a.route.decisions[0].tier for a in answers} == {"small"}
    assert bench.auditor.alarm is None
    assert bench.auditor.loss.value == 0
    bench.wrong()
    bench.asks(SURE, 50)
    assert bench.router.fallen is not None


@in_loop
async def test_scores_that_fall_otherwise_are_an_alarm_without_any_audit():
    m = Monitoring(audit_frac=0.0, score_quantiles={"margin(small)": DECILES})
    bench = Watched(m)
    rng = np.random.default_rng(0)

    def row(margin: float) -> list[float]:
        # the margin of the softmax of (z, 0, −∞) is tanh(z / 2)
        return [float(2 * np.arctanh(min(margin, 0.999999))), 0.0, -1e9, 0.0]

    for x in rng.random(2000):
        bench.ask(row(x)).result()
    bench.auditor.take_in()
    assert bench.router.fallen is None
    assert bench.auditor.state.scores["margin(small)"].n == 2000
    assert bench.auditor.audits.asked == 0
    for k, x in enumerate(rng.random(600)):
        bench.ask(row(x / 3 if k % 2 else x)).result()
    assert bench.auditor.alarm.kind == "score"
    assert "margin(small) no longer falls as in calibration" in bench.router.fallen


@in_loop
async def test_what_is_behind_an_open_audit_waits_for_it():
    bench = Watched(ALL)
    bench.desk("large").hold = True
    bench.asks(SURE, 30)
    bench.auditor.take_in()
    assert bench.auditor.state.loss.n == 0
    assert len(bench.desk("large").held) == 4  # audits do not fill the reference's queue, in which clients wait
    bench.desk("large").hold = False
    bench.desk("large").release()
    bench.auditor.take_in()
    assert bench.auditor.state.loss.n == 30
    assert bench.auditor.audits.same == 30


@in_loop
async def test_an_audit_that_fails_hides_a_loss_and_invents_none():
    bench = Watched(ALL)
    bench.wrong()
    bench.desk("large").refusal = Problem(503, "busy")
    bench.asks(SURE, 40)
    bench.auditor.take_in()
    assert bench.auditor.audits.missed == 40
    assert bench.auditor.state.loss.n == 40
    assert bench.auditor.state.loss.audited == 0
    assert bench.router.fallen is None
    bench.desk("large").refusal = None
    bench.asks(SURE, 40)
    assert bench.router.fallen is not None


@in_loop
async def test_audits_beyond_what_may_wait_are_left_out_and_counted():
    bench = Watched(ALL)
    bench.desk("large").hold = True
    bench.asks(SURE, 300)
    assert bench.auditor.audits.missed == 300 - 256
    bench.desk("large").hold = False
    bench.desk("large").release()
    assert (bench.auditor.audits.same, bench.router._audits.open) == (256, 0)
    bench.auditor.take_in()
    assert bench.auditor.state.loss.n == 300


@in_loop
async def test_the_line_behind_a_slow_audit_does_not_grow_for_ever():
    bench = Watched(ALL)
    bench.desk("large").hold = True
    bench.asks(SURE, 5000)
    assert len(bench.auditor._line) <= 4097
    assert bench.auditor.state.loss.n > 0
    bench.desk("large").hold = False
    bench.desk("large").release()
    bench.auditor.take_in()
    assert bench.auditor.state.loss.n == 5000
    assert not bench.auditor._waiting


@in_loop
async def test_one_difference_makes_it_look_closer_for_a_while():
    bench = Watched(Monitoring(audit_frac=0.05, alarm_loss_frac=0.2, closer_frac=1.0, closer_requests=40))
    assert bench.auditor.audit_frac == 0.05
    bench.wrong()
    while bench.auditor.audits.differed == 0:
        bench.asks(SURE, 1)
    assert bench.auditor.audit_frac == 1.0
    bench.desk("small").damage = lambda outputs: outputs
    before = bench.auditor.audits.asked
    bench.asks(SURE, 400)
    assert bench.auditor.audit_frac == 0.05
    assert 40 <= bench.auditor.audits.asked - before < 150


@in_loop
async def test_a_route_without_a_proven_policy_is_not_watched():
    bench = Watched(ALL, chosen=None)
    bench.wrong()
    bench.asks(SURE, 50)
    bench.auditor.take_in()
    assert bench.auditor.audits.asked == 0
    assert bench.router.fallen is None


def texts(n: int) -> Request:
    return Request(model=None, rows=n, payloads=[f"text {k}, with a comma" for k in range(n)])


def test_kept_requests_can_be_calibrated_on(tmp_path):
    kept = AuditSamples(tmp_path / "kept", ("yes", "no"), "auto", random.Random(0))
    asked = texts(60)
    for k in range(60):
        kept.keep(asked, k, k % 2, 1.0)
    content = kept.content()
    assert kept.content() is None  # nothing new
    kept.write(content)
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.path.parent.stat().st_mode) == 0o700
    found = read_requests(kept.path, classes=("yes", "no"))
    assert found.texts[3] == "text 3, with a comma"
    assert list(found.dataset.labels[:4]) == [0, 1, 0, 1]


def test_what_is_kept_is_never_for_other_eyes_not_even_for_a_moment(tmp_path, monkeypatch):
    kept = AuditSamples(tmp_path / "kept", ("yes", "no"), "auto", random.Random(0))
    seen = set()

    def look(event, args):
        for path in (tmp_path / "kept").glob("**/*") if watching else ():
            with contextlib.suppress(FileNotFoundError):
                seen.add(stat.S_IMODE(path.stat().st_mode))

    watching = True
    old = os.umask(0)
    try:
        for name in ("open", "fdopen", "chmod", "replace", "rename", "fsync"):
            real = getattr(os, name)

            def watched(*args, _real=real, **more):
                look("before", args)
                try:
                    return _real(*args, **more)
                finally:
                    look("after", args)

            monkeypatch.setattr(os, name, watched)
        for k in range(2):
            kept.keep(texts(5), k, 0, 1.0)
            kept.write(kept.content())
    finally:
        watching = False
        os.umask(old)
    assert seen == {0o600}


def test_the_file_of_the_start_before_stays(tmp_path):
    for start in range(3):
        kept = AuditSamples(tmp_path, (), "auto", random.Random(0))
        for k in range(2):
            kept.keep(texts(5), start + k, 0, 1.0)
            kept.write(kept.content())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["auto.csv", "auto.previous.csv"]
    assert "text 2" in (tmp_path / "auto.csv").read_text()
    assert "text 3" in (tmp_path / "auto.csv").read_text()
    assert "text 1" in (tmp_path / "auto.previous.csv").read_text()


def test_a_watch_that_cannot_be_is_refused_when_the_route_is_loaded(tmp_path):
    path = write_simple(tmp_path, "small", "large", monitoring=Monitoring(alarm_loss_frac=1.5), n=3000)
    with pytest.raises(AssertionError, match=r"the route auto cannot be followed.*alarm_loss_frac=1\.5"):
        running.start(path)


def test_tensors_are_kept_too_and_a_share_is_a_share(tmp_path):
    kept = AuditSamples(tmp_path, (), "auto", random.Random(0))
    rows = np.arange(4000, dtype=np.float32).reshape(1000, 4)
    request = Request(model=None, rows=1000, tensors=[rows])
    for k in range(1000):
        kept.keep(request, k, k % 3, 0.1)
    assert 70 < kept.n < 130
    kept.write(kept.content())
    found = read_requests(kept.path)
    assert found.dataset.n == kept.n
    assert set(found.dataset.labels) == {0, 1, 2}


@in_loop
async def test_what_is_kept_is_drawn_alike_whoever_answered(tmp_path):
    m = replace(ALL, audit_frac=0.2, closer_frac=1.0, closer_requests=10**6, alarm_loss_frac=0.9)
    kept = AuditSamples(tmp_path, ("a", "b", "c"), "auto", random.Random(1))
    bench = Watched(m, kept=kept)
    bench.wrong()
    for _ in range(500):
        bench.asks(SURE, 1)
        bench.asks(UNSURE, 1)
    sure = sum(float(values[0]) == 4.0 for values, _ in kept._rows)
    assert 60 < sure < 140  # a fifth of 500, though nearly all of them were audited
    assert 60 < kept.n - sure < 140
    assert {wanted for _, wanted in kept._rows} == {0}  # as the reference says, not as the small tier does


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([np.float32([[1, 3, 2]])], 1),
        ([np.int64([2])], 2),
        ([np.int64([[2]])], 2),
        ([np.float32([[1, np.nan, 2]])], None),
        ([np.array([b"cat"], dtype=object)], None),
        ([], None),
    ],
)
def test_classes_of_answers(outputs, expected):
    assert class_of(Answer(outputs=outputs, queue_s=0, service_s=0, batch_rows=1)) == expected


# — in a real server ————————————————————————————————————————————————————————————————————————————————————————————————


@pytest.fixture
def watched(tmp_path):
    """A server whose small tier is wrong where the third number is large, all of it audited."""
    folder = tmp_path / "route"
    path = write_simple(folder, "small", "large")
    route = route_of([tier("small"), tier("large")], [rung(cascade("small", "large"))], margin_of("small"), n=3000)
    write_route(replace(route, monitoring=ALL), path)
    write_tier(folder / "large.onnx", OFFSETS["large"], swapped=True)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    served = running.start(
        path, "--priced-as", "aws/m7i.large", "--ledger", tmp_path / "ledger", "--admin-token-file", token,
        "--keep-audited", tmp_path / "kept",
    )  # fmt: skip
    yield served
    served.stop()


def metrics_of(served):
    _, body = fetch(served, "/metrics")
    samples = re.findall(r"^(\w+)\{(.*)\} (\S+)$", body.decode(), re.M)
    return {(name, *sorted(re.findall(r'(\w+)="([^"]*)"', labels))): float(value) for name, labels, value in samples}


def test_a_server_watches_falls_back_and_is_resumed(watched, tmp_path):
    ask(watched, SURE, 120)
    route = until(watched, lambda r: r["audits"]["same"] == 120)
    assert route["fallen"] is None
    assert route["loss"]["value"] == 0
    assert [t["name"] for t in route["tiers"]] == ["small", "large"]
    assert route["tiers"][0]["share"] == 1
    assert route["counted"] == {"rows": 120, "audited": 120, "audited_frac": 1.0}
    same = metrics_of(watched)
    assert same["farthing_route_audits_total", ("result", "same"), ("route", "auto")] == 120
    assert same["farthing_route_requests_total", ("route", "auto"), ("tier", "small")] == 120
    assert same["farthing_route_watched_requests", ("route", "auto")] == 120
    assert same["farthing_route_audited_ratio", ("route", "auto")] == 1
    assert same["farthing_route_fallen_back", ("route", "auto")] == 0
    saving = fetch(watched, "/cost.json")[1]["routes"][0]["saving"]
    assert saving["baseline_nusd"] == saving["actual_nusd"] + saving["saved_nusd"]
    parts = [*saving["tiers_nusd"].values(), saving["scores_nusd"], saving["audits_nusd"], saving["idle_nusd"]]
    assert saving["actual_nusd"] == sum(parts)
    assert saving["rows"] == 120
    assert saving["audits_nusd"] > 0
    ask(watched, [0.0, 0.0, 9.0, 0.0], 60)  # the tiers disagree there
    route = until(watched, lambda r: r["fallen"] is not None)
    assert route["alarm"] == "loss"
    assert (
        f"calibrate anew: farthing route calibrate --tier small={tmp_path / 'route' / 'small.onnx'} " in route["fallen"]
    )
    assert str(tmp_path / "kept" / "auto") in route["fallen"]
    assert re.search(r"\(\d+ of \d+ requests audited, 100 %\)", route["fallen"])
    watched.said("route fell back")
    after = metrics_of(watched)
    assert after["farthing_route_alarm", ("route", "auto"), ("test", "loss")] == 1
    assert after["farthing_route_rung", ("route", "auto")] == -1
    status, _ = fetch(watched, "/admin/routes/auto/resume", "POST", {})
    assert status == 401
    proof = {"Authorization": f"Bearer {TOKEN}"}
    assert fetch(watched, "/admin/routes/other/resume", "POST", {}, proof)[0] == 404
    assert fetch(watched, "/admin/routes/auto/resume", "POST", {}, proof) == (200, {"route": "auto", "rung": 0})
    assert fetch(watched, "/admin/routes/auto/resume", "POST", {}, proof)[0] == 409
    assert until(watched, lambda r: r["fallen"] is None)["alarm"] is None
    said = fetch(watched, "/admin/routes/auto/fall-back", "POST", {"reason": "tiers are being changed"}, proof)
    assert said == (200, {"route": "auto", "reason": "tiers are being changed"})
    assert until(watched, lambda r: r["fallen"] is not None)["fallen"] == "tiers are being changed"
    assert watched.stop() == 0
    check_ledger(tmp_path / "ledger", requests=180)
    assert (tmp_path / "kept" / "auto.npz").stat().st_mode & 0o777 == 0o600


def check_ledger(folder, *, requests):
    """Baseline = actual + saved from the rows of the ledger, whose allocation column is the actual cost."""
    kept = [r for r in read_ledger(folder, "requests").to_pylist() if r["model"] == "auto" and r["status"] == 200]
    column = {name: np.array([row[name] for row in kept]) for name in kept[0]}
    found = of_ledger(
        rows=column["rows"],
        tier=column["tier"],
        usage_nusd=column["cost_usage_nusd"],
        allocation_nusd=column["cost_allocation_nusd"],
        is_audit=column["audit"],
        reference_usd_per_row=5e-6,
    )
    assert found.rows == requests
    assert found.baseline_nusd == requests * 5000
    assert found.actual_nusd == column["cost_allocation_nusd"].sum()
    assert found.baseline_nusd == found.actual_nusd + found.saved_nusd
    assert found.audits_nusd == column["cost_usage_nusd"][column["audit"]].sum() > 0
    assert set(found.tiers_nusd) == {"small", "large"}
    decisions = sorted(read_ledger(folder, "decisions").to_pylist(), key=lambda row: row["when"])
    said = [row["what"] for row in decisions if row["what"].startswith("route")]
    assert said == ["route_fell_back", "route_resumed", "route_fell_back"]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_live_page_shows_the_route(watched, tmp_path):
    ask(watched, SURE, 40)
    ask(watched, UNSURE, 10)
    until(watched, lambda r: r["audits"]["same"] == 40)
    port = int(watched.metrics.rpartition(":")[2])
    dom, said = in_browser(port, tmp_path)
    assert said == ""
    text = words(dom)
    assert "auto route follows policy 1 of 1 · promised: at most 0.5 points below always large, 95 % confidence" in text
    assert "who answers 80 · 20 % small · large, of 50" in text
    assert re.search(r"answers that differ from large ’s 0 % 0 to [\d.]+ %, alarm at 1 %, 0 % in calibration", text)
    assert "0 % in calibration, 40 of 50 requests compared (80 %)" in text
    assert "50 looked at, of 50" in text or "no score is watched" in text
    assert "watch ✔ quiet" in text
    assert "40 compared, 0 differ 100 % of answers below large now" in text
    assert re.search(r"saved on work \S?\$[\d.]+ \S+ %", text)
    assert "10 times 10 by score" in text
    ask(watched, [0.0, 0.0, 9.0, 0.0], 40)
    until(watched, lambda r: r["fallen"] is not None)
    dom, said = in_browser(port, tmp_path)
    assert said == ""
    text = words(dom)
    assert "✘ fell back, large answers everything: answers differ from the reference's on" in text
    assert "watch ✘ alarm answers differ too often" in text
