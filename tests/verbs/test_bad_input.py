"""Bad input is refused before work starts: the thing, the value, what to do; status 2 and no stack trace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FARTHING = str(Path(sys.executable).with_name("farthing"))
OFFER = ["--bill", "10000", "--offer", "aws/m7i.large", "--as-of", "2026-11-24"]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([FARTHING, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--offer", "aws/m7i.lrge"], "m7i.lrge"),
        (["--as-of", "2027-11-24"], "days old"),
        (["--p99", "soon"], "soon"),
        (["--max-drop", "150%"], "max_drop"),
        (["--engines", "tensorflow"], "tensorflow"),
        (["--baseline-engine", "pytorch"], "PyTorch"),
        (["--labels", "nowhere/"], "nowhere"),
        (["--bill", "-5"], "bill"),
        (["--bill", "30"], "pays for 0.41 replicas"),
        (["--utilisation", "0%"], "utilisation is 0 %"),
        (["--utilisation", "40%", "--per-month", "5M"], "per_month and the utilisation 40%"),
        (["--offer", "aws/g5.xlarge"], "cannot stand for aws/g5.xlarge"),
    ],
)
def test_flags(small_model: Path, tmp_path: Path, flags: list[str], said: str) -> None:
    done = run(
        "optimize", small_model / "model.onnx", "--labels", small_model / "holdout.npz", *OFFER, *flags,
        "--output-dir", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "artefacts").exists()


def test_a_corrupt_model(small_model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes((small_model / "model.onnx").read_bytes()[:2000])
    done = run(
        "optimize",
        tmp_path / "bad.onnx",
        "--labels",
        small_model / "holdout.npz",
        *OFFER,
        "--output-dir",
        tmp_path / "o",
    )
    assert done.returncode == 2
    assert "bad.onnx" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_runs_code_is_refused_without_trust(tmp_path: Path, small_model: Path) -> None:
    (tmp_path / "net.py").write_text("raise SystemExit('ran')")
    (tmp_path / "w.yaml").write_text(
        f"schema: farthing/workload/1\nmodel: net.py:load\ninputs: {{tensors: {small_model / 'holdout.npz'}}}\n"
        "bill: {usd_per_month: 10000, offer: aws/m7i.large}\n"
    )
    done = run("optimize", tmp_path / "w.yaml", "--output-dir", tmp_path / "o")
    assert done.returncode == 2
    assert "--trust" in done.stderr
    assert "ran" not in done.stdout + done.stderr.replace("Traceback", "").replace("trust", "")
