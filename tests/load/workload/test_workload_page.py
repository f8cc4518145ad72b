"""docs/workload.md: its files load, and it names every key."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from small_inputs import write_onnx

from farthing.load.fields import FLAGS, sections
from farthing.load.workload.workload import load_workload
from farthing.nouns import LatencyBound

PAGE = (Path(__file__).parents[3] / "docs" / "workload.md").read_text()
FILES = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)


def test_every_key_is_on_the_page() -> None:
    named = set(re.findall(r"`([a-z_0-9]+)`", PAGE))
    for section, keys in sections().items():
        assert not set(keys) - named, section
        assert set(keys) <= set(FLAGS) or section == "calibration"


def test_the_first_file_loads(project: Path) -> None:
    write_onnx(project / "resnet50.onnx")
    (project / "first.yaml").write_text(FILES[0])
    found = load_workload(project / "first.yaml")
    assert (found.name, found.bill.replicas, found.objective.latency) == ("first", 136, LatencyBound(ms=50))


def test_the_long_file_loads(project: Path) -> None:
    model = project / "minilm"
    model.mkdir()
    write_onnx(model / "model.onnx", classes=4)
    (model / "tokenizer.json").write_text("{}")
    rows = [{"question": f"question {k}", "intent": f"intent {k % 4}"} for k in range(60)]
    for name, first in (("questions", 0), ("train", 100)):
        shifted = [{**row, "question": f"{row['question']} {first}"} for row in rows]
        (project / f"{name}.jsonl").write_text("\n".join(map(json.dumps, shifted)))
    (project / "long.yaml").write_text(FILES[1])
    found = load_workload(project / "long.yaml")
    assert found.requests_per_month == 14e9
    assert (found.objective.metric, found.objective.budget_usd_per_month) == ("f1_macro", 7000)
    assert found.calibration is not None
    assert found.pipeline.max_length == 64


@pytest.mark.parametrize("text", re.findall(r"is `(\w+: \{.*?\})`", PAGE))
def test_short_forms_on_the_page_are_sections(text: str) -> None:
    assert text.partition(":")[0] in sections()
