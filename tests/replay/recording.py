"""Records a small real run, and runs it again from its journal alone.

``python tests/replay/recording.py`` (``make recording``) optimises a small classifier on this machine, with the
journal's numbers cut to six digits before anything is decided on them, and keeps journal and plan below
tests/golden/replay. Only a change of what is measured or decided calls for a new recording.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

import farthing as ft
from farthing.codec import from_plain, to_plain
from farthing.core.plan.assemble import Market, assemble
from farthing.load.schema import stamp
from farthing.machine import hardware
from farthing.machine.clock import MonotonicClock
from farthing.measure import campaign
from farthing.measure.workbench import MeasureSettings, Workbench
from farthing.nouns import Hardware, Plan, Provenance, Splits, Workload
from farthing.runs import opening
from farthing.runs.market import trace_of
from farthing.store import journal
from farthing.store.documents import write_json, write_yaml
from farthing.store.journal import Journal

FOLDER = Path(__file__).parents[1] / "golden" / "replay"
WIDE = 1536
SETTINGS = MeasureSettings(
    engines=("onnxruntime", "openvino"), variants=("fp32", "int8-dynamic"), batches=(1, 2, 4, 8), block_s=0.15,
    proof_rounds=8, latency_n=150, rate_runs=8, proof_runs=3,
)  # fmt: skip


def write_classifier(folder: Path) -> None:
    """A linear classifier through a wide layer, and 360 labelled samples of it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    centres = rng.normal(0, 3, (4, 32))
    spread = np.linalg.qr(rng.normal(size=(WIDE, 32)))[0].T.astype(np.float32)
    weights = {
        "spread": spread,
        "middle": np.eye(WIDE, dtype=np.float32),
        "head": (spread.T @ centres.T).astype(np.float32),
        "bias": (-0.5 * (centres**2).sum(1)).astype(np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "spread"], ["a"], name="widen"),
            helper.make_node("MatMul", ["a", "middle"], ["b"], name="keep"),
            helper.make_node("Gemm", ["b", "head", "bias"], ["y"], name="head"),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    labels = rng.integers(0, 4, 360)
    x = (centres[labels] + rng.normal(0, 1, (360, 32))).astype(np.float32)
    np.savez(folder / "holdout.npz", x=x, labels=labels)


def cut(value: Any) -> Any:
    """Plain data with its floats cut to six digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: cut(v) for k, v in value.items()}
    return [cut(v) for v in value] if isinstance(value, list) else value


class Recorded(Journal):
    """A journal whose artefacts were not kept: what it says of them is believed."""

    def once(self, key: str, kind: Any, compute: Any, *, still: Any = None) -> Any:
        return super().once(key, kind, compute)


def replay(folder: Path, work: Path) -> Plan:
    """The plan that the recording gives: every measurement from the journal, every decision made anew.

    Args:
        folder: With journal.jsonl, workload.json, provenance.json and the answers.
        work: Empty folder to work in.
    """
    (work / "work").mkdir(parents=True)
    for file in (folder / "journal.jsonl", *folder.glob("*.npy")):
        shutil.copy(file, work / "work")
    header = json.loads((folder / "journal.jsonl").read_text().splitlines()[0])
    about = header["what"]
    said = json.loads((folder / "provenance.json").read_text())
    workload = from_plain(Workload, header.get("beside", about)["workload"])
    splits = from_plain(Splits, about["splits"])
    market = from_plain(Market, said["market"])
    provenance = from_plain(Provenance, said["provenance"])
    settings = dict(about["settings"])
    bench = Workbench(
        workload=workload,
        splits=splits,
        seed=settings.pop("seed"),
        settings=from_plain(MeasureSettings, settings),
        hardware=from_plain(Hardware, said["provenance"]["hardware"]),
        fingerprint=about["fingerprint"],
        out=work,
        journal=Recorded(work / "work" / "journal.jsonl", about),
        clock=MonotonicClock(),
        tell=lambda *_: None,
        started_at=provenance.started_at,
        trust=True,
    )
    arrivals = trace_of(workload, market)
    with bench:
        found = campaign.run(bench, arrivals.at)
    rate = found.sla_rps[found.baseline] or 0.0
    return assemble(
        workload,
        found,
        market,
        arrivals.at(rate),
        provenance,
        splits={k: len(getattr(splits, k)) for k in ("calibrate", "search", "confirm")},
        assumptions=(*arrivals.assumptions(), *found.notes),
        description=bench.description(),
        by_utilisation=arrivals.by_utilisation(rate),
    )


def write_journal(path: Path, header: dict[str, Any], *steps: dict[str, Any]) -> None:
    """A journal anew, with the checksums that belong to its lines.

    Args:
        path: Not there yet.
        header: First line of a journal.
        steps: Its other lines.
    """
    with Journal(path, header["what"], header["beside"]) as journal:
        for step in steps:
            journal.once(step["key"], Any, lambda value=step["value"]: value)


def named_versions() -> dict[str, str]:
    """Of farthing alone: a recording is about its decisions, not about one machine's libraries."""
    return {"farthing": hardware.versions()["farthing"]}


def record() -> None:
    """Run, cut, keep."""
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as again:
        folder, out = Path(made), Path(made) / "out"
        write_classifier(folder)
        flags = {"model": str(folder / "model.onnx"), "labels": str(folder / "holdout.npz"), "bill": 10_000}
        workload = ft.workload_from_flags({**flags, "offer": "aws/m7i.large", "p99": "50ms", "max_drop": "2pt"})
        day = date(2026, 11, 24)
        market = opening.market_of(workload, day, 180, hardware.this_machine())
        opening.versions = named_versions  # type: ignore[attr-defined]
        journal.to_plain = lambda noun: cut(to_plain(noun))  # type: ignore[attr-defined]
        options = ft.RunOptions(output_dir=out, as_of=day, command="farthing optimize …", measure=SETTINGS)
        plan = ft.optimize(workload, options=options)
        if plan.chosen is None:
            raise SystemExit(f"nothing was chosen, so the last stages are not in this run: {plan.verdict.reasons[0]}")
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        rows = [json.loads(line) for line in (out / "work" / "journal.jsonl").read_text().splitlines()]
        text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        text = text.replace(str(folder), "/recorded")
        write_journal(FOLDER / "journal.jsonl", *map(json.loads, text.splitlines()))
        for file in (out / "work").glob("answers-*.npy"):
            shutil.copy(file, FOLDER)
        told = {"provenance": to_plain(plan.provenance), "market": to_plain(replace(market, elsewhere=()))}
        write_json(FOLDER / "provenance.json", "farthing/recording/1", told)
        write_yaml(FOLDER / "plan.yaml", stamp("plan"), to_plain(replay(FOLDER, Path(again) / "run")))


if __name__ == "__main__":
    record()
