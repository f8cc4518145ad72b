"""A newcomer's folder: everything that the snippets of README.md and docs/ name."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from example_plan import met_plan
from small_inputs import write_images, write_onnx
from snippets import ROOT

from farthing.codec import to_plain
from farthing.load.schema import stamp
from farthing.load.serve.scaling import read_scaling
from farthing.load.workload.workload import load_workload


@pytest.fixture
def newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder while a page's snippets run, with a price folder of its own."""
    write_onnx(tmp_path / "model.onnx")
    (tmp_path / "model.py").write_text("def load(): ...\n")
    for folder in ("saved", "saved-onnx"):
        (tmp_path / folder).mkdir()
    (tmp_path / "saved" / "module.py").write_text("def load(): ...\n")
    (tmp_path / "saved" / "tokenizer.json").write_text("{}")
    write_onnx(tmp_path / "saved-onnx" / "model.onnx")
    (tmp_path / "saved-onnx" / "tokenizer.json").write_text("{}")
    (tmp_path / "holdout.csv").write_text("text,label\n" + "".join(f"text {k},{k % 2}\n" for k in range(90)))
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
    scaling = re.search(
        r"```yaml\n(schema: farthing/scaling/1\n.*?)```", (ROOT / "docs" / "serve.md").read_text(), re.S
    )
    assert scaling is not None
    (tmp_path / "scale.yaml").write_text(scaling[1])
    assert read_scaling(tmp_path / "scale.yaml", day_s=0.0).rule.name == "Ray Serve"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FARTHING_HOME", str(tmp_path / "home"))
    return tmp_path
