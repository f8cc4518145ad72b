"""What a second run in the same folder takes from the first: by content, said, and alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import farthing as ft
from farthing.errors import StoreError
from farthing.load.workload.splits import make_splits
from farthing.load.workload.workload import asked_again
from farthing.machine.hardware import versions
from farthing.measure.workbench import Workbench
from farthing.nouns import Workload
from farthing.runs.opening import digests_of, open_bench
from farthing.store.artefacts import check_artefact
from farthing.store.folder_lock import only_run_in

FARTHING = str(Path(sys.executable).with_name("farthing"))
FLAGS = {"bill": 10_000, "offer": "aws/m7i.large", "baseline_engine": "onnxruntime"}
MEASURE = ft.MeasureSettings(
    engines=("onnxruntime",), variants=("fp32", "int8-dynamic"), block_s=0.02, proof_rounds=8, latency_n=100,
    rate_runs=8, proof_runs=3,
)  # fmt: skip
QUICK = ft.RunOptions(trust=True, measure=MEASURE)


@pytest.fixture
def folder(small_model: Path, tmp_path: Path) -> Path:
    for name in ("model.onnx", "holdout.npz"):
        shutil.copy(small_model / name, tmp_path)
    return tmp_path


def workload(folder: Path) -> Workload:
    return ft.workload_from_flags({"model": str(folder / "model.onnx"), "labels": str(folder / "holdout.npz"), **FLAGS})


def bench(folder: Path, said: list[str], options: ft.RunOptions = QUICK) -> Workbench:
    found = workload(folder)
    splits = make_splits(found.holdout, None, None, None, seed=0)
    return open_bench(found, splits, options, folder / "out", lambda *row: said.append(row[3]))


def other_model(path: Path) -> None:
    """As long, at the same time, with other weights."""
    content, kept = bytearray(path.read_bytes()), path.stat()
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))


def test_the_same_content_is_reused_and_another_is_not_and_both_are_said(folder: Path) -> None:
    said: list[str] = []
    with bench(folder, said) as first:
        first.keep("a", float, "measure", lambda: 1.0)
    assert said == []
    with bench(folder, said) as second:
        assert second.keep("a", float, "measure", lambda: 2.0) == 1.0
    assert said[0].startswith("1 steps are there from the run of 20")
    other_model(folder / "model.onnx")
    said.clear()
    with bench(folder, said) as third:
        assert third.keep("a", float, "measure", lambda: 2.0) == 2.0
    assert said == [f"model.onnx changed since the last run in {folder / 'out'}: measured anew"]
    np.savez(folder / "holdout.npz", **{k: v[::-1] for k, v in np.load(folder / "holdout.npz").items()})
    said.clear()
    with bench(folder, said):
        assert said == [f"holdout.npz changed since the last run in {folder / 'out'}: measured anew"]
    assert len(list((folder / "out" / "work").glob("journal*.jsonl"))) == 3  # the old ones stay


def test_other_prices_and_traffic_measure_nothing_anew(folder: Path) -> None:
    """A trace, another bill, offer or fleet: every step is taken up; another promised latency measures anew."""
    rows = "".join(f"2026-11-02T{h:02}:00:00,{700 * h % 2400}\n" for h in range(24))
    (folder / "trace.csv").write_text("timestamp,count\n" + rows)
    first = workload(folder)
    splits, said = make_splits(first.holdout, None, None, None, seed=0), list[str]()

    def run(asked: Workload) -> Workbench:
        return open_bench(asked, splits, QUICK, folder / "out", lambda *row: said.append(row[3]))

    with run(first) as bench_:
        bench_.keep("a", float, "measure", lambda: 1.0)
    for flags in (
        {"trace": str(folder / "trace.csv")}, {"bill": 5}, {"offer": "aws/c7i.large"}, {"budget": 3, "min_replicas": 2},
        {"replicas": 12, "utilisation": "40%", "fixed_fleet": True}, {"priced_as": "aws/c7i.large"},
    ):  # fmt: skip
        with run(asked_again(first, flags)) as again:
            assert again.keep("a", float, "measure", lambda: 2.0) == 1.0, flags
            assert (again.journal.reused, again.journal.done) == (1, 0)
    said.clear()
    with run(asked_again(first, {"p99": "30ms"})) as other:
        assert other.keep("a", float, "measure", lambda: 2.0) == 2.0
    assert said == [f"workload's objective changed since the last run in {folder / 'out'}: measured anew"]


def test_another_setting_or_version_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with bench(folder, said):
        pass
    monkeypatch.setattr("farthing.runs.opening.versions", lambda: {**versions(), "onnxruntime": "0.1"})
    with bench(folder, said, replace(QUICK, measure=replace(MEASURE, block_s=0.03))):
        pass
    changed = "onnxruntime " + versions()["onnxruntime"] + " → 0.1, setting block_s changed since the last run in "
    assert said == [f"{changed}{folder / 'out'}: measured anew"]


def test_a_moved_folder_resumes(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with bench(folder, []) as first:
        first.keep("a", float, "measure", lambda: 1.0)
        first.resolve()
        first.build("fp32")
    moved = tmp_path_factory.mktemp("elsewhere") / "w"
    folder.rename(moved)
    with bench(moved, []) as second:
        assert second.keep("a", float, "measure", lambda: 2.0) == 1.0
        assert second.resolve().onnx_path == str(moved / "out" / "artefacts" / "model.onnx")
        second.build("fp32")
        assert (second.journal.reused, second.journal.done) == (3, 0)


def test_artefacts_and_answers_that_were_overwritten_are_made_anew(folder: Path) -> None:
    with bench(folder, []) as first:
        first.resolve()
        made = first.build("int8-dynamic")
    path = folder / "out" / made.path
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"\0" if whole[-1] else whole[:-1] + b"\1")
    with bench(folder, []) as second:
        second.resolve()
        again = second.build("int8-dynamic")
        check_artefact(again, folder / "out")
        assert second.journal.done == 1
    (folder / "out" / "artefacts" / "model.onnx").unlink()
    with bench(folder, []) as third:
        third.resolve()
        assert (folder / "out" / "artefacts" / "model.onnx").is_file()


def test_a_plan_keeps_its_artefacts_while_another_run_is_under_way(folder: Path) -> None:
    with bench(folder, []) as first:
        first.resolve()
        old = [first.build("fp32"), first.build("int8-dynamic")]
    other_model(folder / "model.onnx")
    with bench(folder, []) as second:
        second.resolve()
        new = [second.build("fp32"), second.build("int8-dynamic")]
    for artefact in (*old, *new):
        check_artefact(artefact, folder / "out")
    assert {a.path.partition("/")[0] for a in new} == {"build-2"}


NET = """
import torch
from pathlib import Path

def net():
    net = torch.nn.Linear(2, 2)
    net.load_state_dict(torch.load(Path(__file__).parent / "weights" / "net.pt", weights_only=True))
    return net
"""


def test_weights_that_a_module_reads_count_wherever_they_lie(folder: Path) -> None:
    import torch

    (folder / "weights").mkdir()
    (folder / "net.py").write_text(NET)
    found = []
    for k in (1.0, 1.0, 2.0):
        torch.save({"weight": torch.full((2, 2), k), "bias": torch.zeros(2)}, folder / "weights" / "net.pt")
        flags = {"model": f"{folder / 'net.py'}:net", "labels": str(folder / "holdout.npz"), "example_shape": "2"}
        found.append(digests_of(ft.workload_from_flags({**FLAGS, **flags}), QUICK, folder / "out"))
    assert found[0] == found[1]
    assert [k for k in found[0] if found[0][k] != found[2][k]] == ["weights of net.py:net"]


def test_a_second_run_is_refused_and_touches_nothing(folder: Path) -> None:
    out = folder / "out"
    with only_run_in(out):
        (out / "work").mkdir()
        (out / "work" / "journal.jsonl").write_text("the first one's\n")
        for verb in (ft.optimize, ft.profile):
            with pytest.raises(StoreError, match=f"another run is at work in .*: process {os.getpid()}"):
                verb(workload(folder), options=replace(QUICK, output_dir=out))
        assert [p.name for p in (out / "work").iterdir()] == ["journal.jsonl"]


def test_routes_have_their_folder_to_themselves_too(folder: Path) -> None:
    rows = "".join(f"r{k},{k % 2},1,0.001,0.01,{k / 100}\n" for k in range(100))
    (folder / "o.csv").write_text("id,quality:s,quality:l,cost_usd:s,cost_usd:l,score:x\n" + rows)
    there = ft.RunOptions(output_dir=folder / "route")
    with only_run_in(folder / "route"), pytest.raises(StoreError, match="another run is at work"):
        ft.route_calibrate(folder / "o.csv", options=there)
    with only_run_in(folder), pytest.raises(StoreError, match="another run is at work"):
        ft.route_evaluate(folder / "o.csv")


@pytest.mark.slow
def test_profiles_belong_to_content(folder: Path) -> None:
    """The whole verb: the same again is reused to the last step, another model is not, and the plan says which."""

    def run() -> ft.Baseline:
        return ft.profile(workload(folder), options=replace(QUICK, output_dir=folder / "out"))

    first, second = run(), run()
    assert first.provenance.reuse == ()
    (said,) = second.provenance.reuse
    n = said.split()[1]
    assert said.startswith(f"reused: {n} of {n} steps from the run of ")
    assert [m.metrics for m in second.measurements] == [m.metrics for m in first.measurements]
    other_model(folder / "model.onnx")
    third = run()
    assert third.provenance.reuse == (f"model.onnx changed since the last run in {folder / 'out'}: measured anew",)
    assert [m.metrics for m in third.measurements] != [m.metrics for m in first.measurements]
    assert third.provenance.content["holdout.npz"] == first.provenance.content["holdout.npz"]
    assert third.provenance.content["model.onnx"] != first.provenance.content["model.onnx"]


@pytest.mark.slow
def test_a_killed_command_leaves_no_lock_and_a_living_one_is_named(folder: Path) -> None:
    command = [
        FARTHING, "profile", str(folder / "model.onnx"), "--labels", str(folder / "holdout.npz"), "--bill", "10000",
        "--offer", "aws/m7i.large", "--as-of", "2026-11-24", "--output-dir", str(folder / "out"),
    ]  # fmt: skip
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    journal, end = folder / "out" / "work" / "journal.jsonl", time.monotonic() + 120
    while time.monotonic() < end and not (journal.exists() and journal.read_text().count("\n") > 1):
        time.sleep(0.05)
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (second.returncode, f"process {first.pid}" in " ".join(second.stderr.split())) == (1, True), second.stderr
    first.send_signal(signal.SIGKILL)
    first.wait()
    third = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, timeout=300)
    assert third.returncode == 0, third.stderr
    assert "steps are there from the run of" in third.stderr
    assert json.loads(third.stdout)["provenance"]["reuse"][0].startswith("reused: ")
