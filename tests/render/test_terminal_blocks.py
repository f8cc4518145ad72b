from __future__ import annotations

import io
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from example_plan import HOSTILE, PLANS, est, measurements, met_plan, offers, profile

from farthing.errors import StalePriceError
from farthing.load.prices import PriceProblem, PriceRow
from farthing.nouns import Baseline, Check, Contention, SavingPart, StandIn, Verdict, Verification
from farthing.render.json import document
from farthing.render.plan import charts, terminal
from farthing.render.screen import console, say

FOLDER = Path("demo")


def text(block, **options) -> str:
    stream = io.StringIO()
    say(console(stream, **options), block)
    return stream.getvalue()


def baseline() -> Baseline:
    plan = met_plan()
    return Baseline(
        workload=plan.workload,
        description=plan.description,
        evaluation=plan.baseline,
        metric="accuracy",
        score_frac=est(0.99, 0.005),
        measurements=measurements(),
        profile=profile("pytorch", "fp32"),
        bill_usd_per_month=10_000.0,
        gap=SavingPart(
            name="right-sizing", usd_per_month=est(625), claimed=False, note="the bill is 7 % above the need"
        ),
        offers=plan.offers,
        assumptions=plan.assumptions,
        provenance=plan.provenance,
        priced_as=plan.priced_as,
        stand_in=plan.stand_in,
        excluded=plan.excluded,
    )


GOLDEN = Path(__file__).parents[1] / "golden" / "terminal"


def test_met_block():
    assert text(terminal.plan_block(met_plan(), FOLDER)) == (GOLDEN / "met.txt").read_text(encoding="utf-8")


def test_the_files_that_are_named_are_those_that_were_written():
    """`report --out` named a report.html that nobody had written."""
    said = text(terminal.plan_block(met_plan(), FOLDER, (Path("a/plan-2026-07-20.yaml"), Path("b/own page.html"))))
    assert "plan         a/plan-2026-07-20.yaml\n" in said
    assert "report       b/own page.html\n" in said
    assert "check it     farthing verify a/plan-2026-07-20.yaml" in said
    assert str(FOLDER) not in said


def test_a_busy_machine_is_on_the_screen():
    busy = replace(met_plan(), contention=Contention(contended=12, of=40))
    assert "busy           others used the cores in 12 of 40 blocks and runs: their intervals are widened" in text(
        terminal.plan_block(busy, FOLDER)
    )
    assert "others used" not in text(terminal.plan_block(met_plan(), FOLDER))


def test_a_bill_without_traffic_is_not_split():
    said = text(terminal.plan_block(PLANS["no_traffic"](), FOLDER))
    assert said == (GOLDEN / "no-traffic.txt").read_text(encoding="utf-8")


def test_terms_nobody_priced_are_not_zero():
    """On the screen, in the picture and for programs."""
    plan = met_plan()
    unpriced = replace(plan, parts=(*plan.parts[:3], replace(plan.parts[3], usd_per_month=None)))
    said = text(terminal.plan_block(unpriced, FOLDER))
    assert "purchase terms not priced" in said
    assert "not priced     reserved terms, data egress, load balancers" in said
    assert "purchase terms 0" not in said
    assert document("plan", unpriced)["parts"][3]["usd_per_month"] is None
    assert "purchase terms: not priced a month" in charts.svg(charts.waterfall(unpriced))


def test_a_gap_to_the_bill_is_on_the_screen():
    plan = met_plan()
    note = "over-provisioning: 70 % of the bill is more than the baseline needs; not credited"
    wide = replace(plan.parts[0], usd_per_month=est(7000), note=note)
    assert note in text(terminal.plan_block(replace(plan, parts=(wide, *plan.parts[1:])), FOLDER))
    assert note not in text(terminal.plan_block(replace(plan, parts=(replace(plan.parts[0], note=note),)), FOLDER))


def test_dollars_of_a_machine_that_is_like_its_offer_are_no_estimates():
    plan = met_plan()
    alike = StandIn(
        machine="Intel Sapphire Rapids, 1 core of 2 threads", offer="Intel Sapphire Rapids, 1 core of 2 threads"
    )
    said = text(terminal.plan_block(replace(plan, stand_in=alike), FOLDER))
    assert "): alike\n" in said
    assert "≈" not in said
    assert "≈ $305" in text(terminal.plan_block(plan, FOLDER))
    old = text(terminal.plan_block(replace(plan, stand_in=None), FOLDER))
    assert "this machine stands for aws/m7i.large; they were not compared" in old


def test_the_reference_at_half_precision_in_words():
    plan = met_plan()
    assert plan.chosen is not None
    same = replace(plan, best_half=plan.chosen.candidate)
    assert "that is the plan itself" in text(terminal.plan_block(same, FOLDER))
    none = replace(plan, best_half=None, saving_versus_best_half_frac=None)
    assert "none was measured beside the plan" in text(terminal.plan_block(none, FOLDER))
    rows = tuple(e for e in plan.evaluations if e.candidate.variant != "bf16")
    machine = replace(plan.provenance.hardware, isa=("avx512_bf16",))
    tried = replace(none, evaluations=rows, provenance=replace(plan.provenance, hardware=machine))
    assert "none of the engines tried computes in it" in text(terminal.plan_block(tried, FOLDER))


def test_not_met_block():
    lines = text(terminal.plan_block(PLANS["not_met"](), FOLDER)).splitlines()
    assert lines[4] == "✘ not met: no candidate answers within 5 ms at p99 on aws/m7i.large"
    assert lines[5].startswith("  nearest: openvino int8-nncf b1 2×1, p99 7.2 ms [7.0, 7.5] at 715/s, ")
    assert not any("verify" in line for line in lines)


def test_hints_go_to_stderr(capsys):
    terminal.print_plan(PLANS["unproven"](), FOLDER)
    out, err = capsys.readouterr()
    assert "? unproven: INT8 loses 0.75 points on 400 images" in out
    assert "hint" not in out
    assert err == "hint: about 1,400 labelled images would settle it; or allow 3 points with --max-drop 3pt\n"


def test_a_terminal_of_80_columns_holds_every_line():
    for make in PLANS.values():
        assert max(map(len, text(terminal.plan_block(make(), FOLDER), width=80).splitlines())) <= 80


def test_error_block(capsys):
    error = StalePriceError(
        "prices of aws/m7i.large are 412 days old (2025-10-08); the limit is 180 days",
        hint="`farthing prices import FILE`, or --as-of 2025-10-08 to price the past",
    )
    terminal.print_error(error)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "error: prices of aws/m7i.large are 412 days old (2025-10-08); the limit is 180 days\n\n"
        "hint: `farthing prices import FILE`, or --as-of 2025-10-08 to price the past\n"
    )


def test_names_are_neither_markup_nor_escape_codes():
    plan = PLANS["hostile"]()
    shown = text(terminal.plan_block(replace(plan, description="\x1b[2J[bold]x[/bold]"), FOLDER))
    assert "\x1b" not in shown
    assert "\\x1b[2J[bold]x[/bold]" in shown
    assert HOSTILE in shown


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_repeats_what_words_say(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = Tty(), Tty()
    say(console(coloured, width=200), terminal.plan_block(met_plan(), FOLDER))
    monkeypatch.setenv("NO_COLOR", "1")
    say(console(plain, width=200), terminal.plan_block(met_plan(), FOLDER))
    assert "\x1b[1;32m" in coloured.getvalue()
    assert "32m" not in plain.getvalue()
    assert "met" in plain.getvalue()


def test_baseline_page(capsys):
    terminal.print_baseline(baseline(), FOLDER)
    out = capsys.readouterr().out
    for piece in (
        "stands for aws/m7i.large (Intel Sapphire Rapids",
        "the arrivals follow a day-night week",
        "not priced     data egress",
        "≈ $",
        "SingleStream",
        "22.9 ms [22.4, 23.4]",
        "machine was busy, intervals are wide",
        "billed a month",
        "the bill is 7 % above the need",
        "and 39 more, 39 % of operator time",
        "FP32 104 GFLOP/s, BF16 822 GFLOP/s, INT8 1,590 GOP/s, memory 11.9 GB/s, one thread, measured",
        "compute: 81 % of the time",
        "demo/trace.json",
    ):
        assert piece in out


def test_baseline_page_without_traffic(capsys):
    gap = SavingPart(name="right-sizing", usd_per_month=None, claimed=False, note="cannot be told apart")
    terminal.print_baseline(replace(baseline(), utilisations=PLANS["no_traffic"]().utilisations, gap=gap), FOLDER)
    out = capsys.readouterr().out
    assert "≈ $2,000–$8,000, at 20 % to 80 % utilisation" in out
    assert "cannot be told apart" in out
    assert "to split it" in out


def test_verification(capsys):
    plan = met_plan()
    assert plan.chosen is not None
    checks = (
        Check(name="service time", unit="ms", planned=est(7.5), seen=est(7.7), limit="within 10 %", outcome="met"),
        Check(
            name="capacity",
            unit="requests/s",
            planned=est(1838),
            seen=est(1500),
            limit="within 10 %",
            outcome="not_met",
        ),
    )
    result = Verification(
        workload="resnet50-digits",
        candidate=plan.chosen.candidate,
        verdict=Verdict(outcome="not_met", reasons=("capacity is 18 % below the plan's",), hint="measure again"),
        checks=checks,
        machine_speed=est(0.97),
        hardware="a41f09c2",
    )
    terminal.print_verification(result)
    out, err = capsys.readouterr()
    assert "7.50 ms [7.35, 7.65]" in out
    assert "1,838 requests/s [1,801, 1,875]" in out
    assert "✘ not met: capacity is 18 % below the plan's" in out
    assert "0.97 × its speed" in out
    assert err == "hint: measure again\n"


def test_offers(capsys):
    terminal.print_offers(offers())
    out, err = capsys.readouterr()
    assert (
        out.splitlines()[1]
        == "aws/m7i.large       us-east-1     on demand          $0.1008/h      2     8         2026-07-20"
    )
    assert err == "6 offers\n"


def test_one_offer_with_its_second_source(capsys):
    first, reserved, *_ = offers()
    rows = (
        PriceRow(offer=first, check_source="another list", check_diff_frac=0.0),
        PriceRow(
            offer=replace(reserved, upfront_usd=300.0),
            check_source="another list",
            check_diff_frac=0.031,
            negotiated=True,
        ),
    )
    terminal.print_offer(rows)
    out = capsys.readouterr().out
    assert "Intel Xeon Platinum 8488C · x86_64" in out
    assert "another list agrees" in out
    assert "$0.0667/h, $300 of it up front" in out
    assert "negotiated; another list differs by 3.1 %" in out
    with pytest.raises(ValueError, match="at least one price"):
        terminal.print_offer(())


def test_problems(capsys):
    terminal.print_problems(())
    out, err = capsys.readouterr()
    assert (out, err) == ("", "✔ every price is positive, dated, sourced and in order\n")
    problem = PriceProblem(key="aws/x@r:spot", dated=date(2026, 7, 20), problem="$1.2/h is above on demand, $1.0/h")
    terminal.print_problems((problem,))
    assert capsys.readouterr().out == (
        "✘ 1 price cannot be used as it is\n  aws/x@r:spot (2026-07-20): $1.2/h is above on demand, $1.0/h\n"
    )


def test_import_and_command_line(capsys):
    terminal.print_import(offers(), Path("own.csv"))
    assert capsys.readouterr().out == "6 prices imported into own.csv\n"
    assert (
        terminal.command_line(["/usr/bin/farthing", "optimize", "my model.onnx"]) == "farthing optimize 'my model.onnx'"
    )
