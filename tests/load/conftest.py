"""A workload's whole folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_inputs import write_images, write_onnx

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with everything that the golden workload of version 1 names."""
    write_onnx(tmp_path / "classifier.onnx")
    write_images(tmp_path / "holdout", ["cat", "dog", "owl"] * 30)
    write_images(tmp_path / "train", ["cat", "dog", "owl"] * 10)
    rows = "".join(f"2026-03-01 {h:02}:{m:02}:00,{10 + h}\n" for h in range(24) for m in range(60))
    (tmp_path / "requests-by-minute.csv").write_text("timestamp,requests\n" + rows)
    (tmp_path / "workload.yaml").write_text((GOLDEN / "v1" / "workload.yaml").read_text())
    return tmp_path
