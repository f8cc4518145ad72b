"""farthing's own commands on the folder of a case, timed from outside; nothing is known of what goes on inside."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import yaml

__all__ = ["optimised", "repriced"]

_FARTHING = [sys.executable, "-c", "from farthing.cli.main import main; main()"]
_FIRST = re.compile(r"^\s*(first look\s+\d+:\d\d|✔|✘|\?)\s", re.MULTILINE)
"""A line that gives a verdict: the first, wide one (``first look  1:02  ≈ …``, not the progress of it), or the last."""
_LONGEST_S = 3600.0
_TRACE_HOURS = 48


def _read(pipe: IO[str], kept: list[str], start_s: float, first_s: list[float]) -> None:
    for line in pipe:
        kept.append(line)
        if not first_s and _FIRST.match(line):
            first_s.append(time.monotonic() - start_s)


def _timed(arguments: list[str]) -> tuple[int, str, str, float | None, float]:
    """Exit status, standard output, standard error, seconds to the first verdict, seconds in all."""
    start_s = time.monotonic()
    first_s: list[float] = []
    out, err = list[str](), list[str]()
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        pipes = ((process.stdout, out), (process.stderr, err))
        readers = [threading.Thread(target=_read, args=(pipe, kept, start_s, first_s)) for pipe, kept in pipes]
        for reader in readers:
            reader.start()
        try:
            status = process.wait(_LONGEST_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            status = process.wait()
        for reader in readers:
            reader.join()
    return status, "".join(out), "".join(err), first_s[0] if first_s else None, time.monotonic() - start_s


def optimised(folder: Path, *, by_hand: bool) -> dict[str, Any]:
    """Run ``farthing optimize`` and read its plan."""
    out = folder / "farthing-out"
    arguments = [*_FARTHING, "optimize", str(folder / "workload.yaml"), "--trust", "--output-dir", str(out)]
    status, said, told, first_s, whole_s = _timed(arguments)
    (folder / "screen.txt").write_text(said + told, encoding="utf-8")
    plan = _plan(out / "plan.yaml")
    verdict = plan.get("verdict") or {}
    return {
        "status": status,
        "verdict": verdict.get("outcome"),
        "reasons": verdict.get("reasons") or [_last_error(told)],
        "precision": _label(plan),
        "first_verdict_s": first_s,
        "whole_s": whole_s,
        "traceback": "Traceback (most recent call last)" in said + told,
        "agrees_by_hand": _by_hand(out / "plan.yaml") if by_hand and verdict else None,
    }


def _plan(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _label(plan: dict[str, Any]) -> str:
    """The precision that is printed for what serves today (``… · INT8 in onnxruntime, one request at a time``)."""
    found = re.search(r"\b(FP32|BF16|FP16|INT8) in ", str(plan.get("description", "")))
    return found[1] if found else ""


def _last_error(told: str) -> str:
    lines = [line for line in told.splitlines() if line.startswith("error")]
    return lines[-1] if lines else "no reason was given"


def _by_hand(plan: Path) -> bool | None:
    """Whether the best configuration by hand beats the plan's by no more than ``benchmarks/optimize.py`` allows."""
    script = Path(__file__).parents[1] / "optimize.py"
    done = subprocess.run([sys.executable, str(script), str(plan)], capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    judged = [row["met"] for row in rows if "by hand" in row["figure"] and row["met"] is not None]
    return all(judged) if judged else None


def repriced(folder: Path) -> list[dict[str, Any]]:
    """The same plan with a bill alone, with a trace, with replicas × utilisation; nothing is measured."""
    plan = folder / "farthing-out" / "plan.yaml"
    trace = folder / "trace.csv"
    rows = [
        f"2026-03-{1 + h // 24:02}T{h % 24:02}:00:00,{2000 + 1500 * (h % 24 in range(8, 20))}"
        for h in range(_TRACE_HOURS)
    ]
    trace.write_text("\n".join(["time,requests", *rows]) + "\n", encoding="utf-8")
    ways = {
        "bill": ["--bill", "25000"],
        "trace": ["--trace", str(trace)],
        "replicas": ["--replicas", "12", "--utilisation", "40%"],
    }
    found = []
    for name, flags in ways.items():
        status, said, told, _, whole_s = _timed(
            [*_FARTHING, "report", str(plan), *flags, "--out", str(folder / f"{name}.html")]
        )
        found.append({"way": name, "status": status, "whole_s": whole_s, "said": (said + told)[-400:]})
    return found
