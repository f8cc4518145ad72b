"""A newcomer's folder: everything that the snippets of README.md and docs/ name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from example_plan import met_plan
from small_inputs import write_images, write_onnx

from farthing.codec import to_plain
from farthing.load.schema import stamp
from farthing.load.workload.workload import load_workload


@pytest.fixture
def newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder while a page's snippets run, with a price folder of its own."""
    write_onnx(tmp_path / "model.onnx")
    (tmp_path / "model.py").write_text("def load(): ...\n")
    write_images(tmp_path / "holdout", ["cat", "dog", "owl"] * 30)
    write_images(tmp_path / "train", ["cat", "dog", "owl"] * 10)
    workload = {
        "schema": "farthing/workload/1",
        "model": "model.onnx",
        "inputs": {"images": "holdout/"},
        "bill": {"offer": "aws/m7i.large", "usd_per_month": 10_000},
    }
    (tmp_path / "workload.yaml").write_text(yaml.safe_dump(workload))
    (tmp_path / "farthing-out").mkdir()
    plan = {"schema": stamp("plan"), **to_plain(met_plan())}
    (tmp_path / "farthing-out" / "plan.yaml").write_text(yaml.safe_dump(plan, allow_unicode=True))
    resolved = {"schema": stamp("workload-resolved"), **to_plain(load_workload(tmp_path / "workload.yaml"))}
    (tmp_path / "farthing-out" / "workload.json").write_text(json.dumps(resolved))
    (tmp_path / "arrivals.csv").write_text("time,requests\n2026-03-01T00:00,60\n2026-03-01T00:01,90\n")
    shutil.copytree(Path(__file__).parents[2] / "examples" / "autoscaling", tmp_path / "examples" / "autoscaling")
    for name in ("outcomes.csv", "route/route.yaml", "route-of-outcomes/route.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FARTHING_HOME", str(tmp_path / "home"))
    return tmp_path
