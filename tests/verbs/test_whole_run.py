"""The main job on a small real model, from the command line: measured, proven, priced, written, verified, resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import farthing as ft
from farthing.store.measurements import read_measurements

pytestmark = pytest.mark.slow
FARTHING = [str(Path(sys.executable).with_name("farthing"))]
BILL = ["--bill", "10000", "--offer", "aws/m7i.large", "--as-of", "2026-11-24"]


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [*FARTHING, *map(str, arguments)]
    environment = dict(os.environ)  # as Python knows it: readline writes COLUMNS behind its back
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=900, env=environment)


@pytest.fixture(scope="module")
def finished(
    small_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("run")
    done = run(
        "optimize", small_model / "model.onnx", "--labels", small_model / "holdout.npz", *BILL, "--p99", "500ms",
        "--max-drop", "2pt", "--engines", "onnxruntime,openvino", "--variants", "fp32,int8-dynamic", "--rounds", "8",
        "--output-dir", out,
    )  # fmt: skip
    return out, done


def test_the_verdict_is_on_stdout_and_the_status_says_the_same(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, done = finished
    plan = ft.load_plan(out / "plan.yaml")
    assert done.returncode == {"met": 0}.get(plan.verdict.outcome, 3), done.stderr
    assert plan.verdict.outcome.replace("_", " ") in done.stdout
    said = " ".join(done.stdout.split())
    assert "price of 2026-07-20" in said
    assert "stands for aws/m7i.large (Intel Sapphire Rapids" in said
    assert "the arrivals were not stated" in said
    assert "not priced" in said
    assert "screening" in done.stderr
    assert "screening" not in done.stdout
    first, *rest = done.stderr.splitlines()
    assert first.split()[0] == "model"  # what was understood comes first
    machine, look, search = (
        next(k for k, x in enumerate(rest) if x.startswith(w)) for w in ("machine", "first look  ", "accuracy")
    )
    assert machine < look < search
    assert "nothing was served under load or confirmed" in done.stderr
    assert "left in all" in done.stderr


def test_the_plan_is_short_and_its_folder_whole(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out = finished[0]
    assert len((out / "plan.yaml").read_text().splitlines()) <= 150
    assert {f.name for f in (out / "evidence").iterdir()} == {
        "candidates.json", "elsewhere.json", "hours.json", "profiles.json",
    }  # fmt: skip
    assert ft.load_plan(out) == ft.load_plan(out / "plan.yaml")


def test_a_quick_look_is_taken_up_by_the_search(small_model: Path, tmp_path: Path) -> None:
    command = [
        "optimize", small_model / "model.onnx", "--labels", small_model / "holdout.npz", *BILL, "--p99", "500ms",
        "--engines", "onnxruntime", "--variants", "fp32,int8-dynamic", "--rounds", "8", "--output-dir", tmp_path,
    ]  # fmt: skip
    started_s = time.monotonic()
    done = run(*command, "--quick", "--json")
    assert time.monotonic() - started_s <= 180
    assert done.returncode == 3, done.stderr
    look = json.loads(done.stdout)
    assert look["schema"] == "farthing/first-look/1"
    assert look["verdict"]["outcome"] == "unproven"
    assert look["saving_frac"]["lo"] < look["saving_frac"]["value"] < look["saving_frac"]["hi"]
    assert not (tmp_path / "plan.yaml").exists()
    before = (tmp_path / "work" / "journal.jsonl").read_text()
    whole = run(*command)
    assert whole.returncode in (0, 3), whole.stderr
    after = (tmp_path / "work" / "journal.jsonl").read_text()
    assert after.startswith(before)  # nothing that was looked at is measured again
    keys = [json.loads(line)["key"] for line in after.splitlines()[1:]]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("command", [["optimize", "--quick"], ["profile"]])
def test_labels_in_another_order_are_asked_about_by_every_command_that_measures(
    small_model: Path, tmp_path: Path, command: list[str]
) -> None:
    data = dict(np.load(small_model / "holdout.npz"))
    name = next(name for name in data if name.startswith("label"))
    data[name] = (data[name] + 1) % (data[name].max() + 1)
    np.savez(tmp_path / "turned.npz", **data)
    done = run(
        *command, small_model / "model.onnx", "--labels", tmp_path / "turned.npz", *BILL, "--engines", "onnxruntime",
        "--variants", "fp32", "--rounds", "8", "--output-dir", tmp_path / "out",
    )  # fmt: skip
    said = " ".join(done.stdout.split())
    assert "doubtful the baseline is right on " in said, done.stderr
    assert "no more than always answering the most frequent of their" in said


def test_the_plan_adds_up_and_names_its_sources(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    plan = ft.load_plan(finished[0] / "plan.yaml")
    assert plan.chosen is not None
    assert plan.planned_usd_per_month is not None
    saved = sum(p.usd_per_month.value for p in plan.parts if p.usd_per_month)
    assert saved == pytest.approx(plan.bill_usd_per_month - plan.planned_usd_per_month.value, abs=1e-5)
    assert [p.name for p in plan.parts] == ["saving", "purchase terms"]  # a bill alone: not split
    assert plan.parts[1].usd_per_month is None  # no commitment on AWS was read
    assert len(plan.utilisations) == 7
    assert plan.stand_in is not None
    assert plan.saving_frac is not None
    assert all(row.saving_frac and plan.saving_frac.lo <= row.saving_frac.lo for row in plan.utilisations)
    assert all(o.source and o.dated for o in plan.offers)
    assert plan.chosen.accuracy is not None
    assert plan.chosen.accuracy.split == "confirm"
    assert plan.chosen.accuracy.n == 700 - plan.splits["search"]
    assert {e.status for e in plan.evaluations} >= {"baseline", "chosen"}
    assert all(e.reason for e in plan.evaluations if e.status in ("lost", "failed", "infeasible"))
    assert plan.provenance.seconds["parent"] < plan.provenance.seconds["total"]


def test_what_is_left_behind_can_be_read_by_others(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out = finished[0]
    assert {m.scenario for m in read_measurements(out / "measurements.parquet")} == {
        "SingleStream",
        "Offline",
        "Server",
    }
    page = (out / "report.html").read_text()
    assert "http-equiv" in page
    assert 'src="http' not in page


def test_the_plan_verifies_and_a_changed_artefact_does_not(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out = finished[0]
    done = run("verify", out / "plan.yaml", "--json")
    assert done.returncode in (0, 3), done.stderr
    checks = json.loads(done.stdout)["checks"]
    assert [c["unit"] for c in checks] == ["ms", "requests/s", "ms"]
    plan = ft.load_plan(out / "plan.yaml")
    assert plan.chosen is not None
    assert plan.chosen.artefact is not None
    path = out / plan.chosen.artefact.path
    file = path if path.is_file() else sorted(path.iterdir())[0]
    kept = file.read_bytes()
    file.write_bytes(kept + b"0")
    try:
        changed = run("verify", out / "plan.yaml")
    finally:
        file.write_bytes(kept)
    assert changed.returncode == 1
    assert "was changed" in changed.stderr


def test_the_same_command_resumes_without_measuring(
    finished: tuple[Path, subprocess.CompletedProcess[str]], small_model: Path
) -> None:
    out = finished[0]
    before = (out / "work" / "journal.jsonl").read_text()
    again = run(
        "optimize", small_model / "model.onnx", "--labels", small_model / "holdout.npz", *BILL, "--p99", "500ms",
        "--max-drop", "2pt", "--engines", "onnxruntime,openvino", "--variants", "fp32,int8-dynamic", "--rounds", "8",
        "--output-dir", out, "--json",
    )  # fmt: skip
    assert again.returncode in (0, 3), again.stderr
    assert (out / "work" / "journal.jsonl").read_text() == before


def test_a_plan_is_priced_again_for_another_day(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out = finished[0]
    done = run("report", out / "plan.yaml", "--as-of", "2025-03-15")
    assert done.returncode == 0, done.stderr
    old = ft.load_plan(out / "plan-2025-03-15.yaml")
    new = ft.load_plan(out / "plan.yaml")
    assert old.offers[0].dated.isoformat() == "2025-03-02"
    assert old.saving_frac == new.saving_frac
    assert (out / "report-2025-03-15.html").exists()


def test_ctrl_c_keeps_what_was_measured(small_model: Path, tmp_path: Path) -> None:
    command = [
        *FARTHING, "optimize", str(small_model / "model.onnx"), "--labels", str(small_model / "holdout.npz"), *BILL,
        "--engines", "onnxruntime", "--variants", "fp32", "--rounds", "8", "--output-dir", str(tmp_path),
    ]  # fmt: skip
    listen = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 - tests in the background ignore it
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=listen)
    journal = tmp_path / "work" / "journal.jsonl"
    end = time.monotonic() + 300
    while time.monotonic() < end and not (journal.exists() and journal.read_text().count("\n") > 3):
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "resumes" in said
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_nothing_feasible_names_the_nearest(small_model: Path, tmp_path: Path) -> None:
    done = run(
        "optimize", small_model / "model.onnx", "--labels", small_model / "holdout.npz", *BILL, "--p99", "0.001ms",
        "--engines", "onnxruntime", "--variants", "fp32", "--rounds", "8", "--output-dir", tmp_path,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "not met" in done.stdout
    assert "nearest" in done.stdout


def test_profile_names_a_bottleneck_and_writes_a_trace(small_model: Path, tmp_path: Path) -> None:
    done = run(
        "profile", small_model / "model.onnx", "--labels", small_model / "holdout.npz", *BILL, "--utilisation", "40%",
        "--output-dir", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "bottleneck" in done.stdout
    said = " ".join(done.stdout.split())
    assert "stands for aws/m7i.large (Intel Sapphire Rapids" in said
    assert "over-provisioning" in said
    assert "stated 40 %" in said
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
