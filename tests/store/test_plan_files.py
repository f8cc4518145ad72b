"""A plan on disk: what a reviewer reads in ≤ 150 lines, evidence beside it by digest, and a folder that is whole."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from example_plan import HOSTILE, PLANS, met_plan

from farthing.codec import to_plain, to_sparse
from farthing.core.plan.parts import EVIDENCE
from farthing.errors import InputError, SchemaError
from farthing.load.plans import load_plan
from farthing.load.serve.planned import planned
from farthing.load.workload.resolved import load_resolved_workload
from farthing.models.digests import digest
from farthing.nouns import BaselineSpec, Bill, Dataset, ModelRef, PipelineSpec, Plan, Workload
from farthing.runs.outputs import write_plan, write_run
from farthing.store.plan_files import MOST_LINES
from farthing.verbs.report import report

GOLDEN = Path(__file__).parents[1] / "golden"
OLDER = {name: GOLDEN / name / "plan.yaml" for name in ("v1", "v2", "replay")}


def made(name: str) -> Plan:
    return PLANS[name]() if name in PLANS else load_plan(OLDER[name])


def different(a: Any, b: Any, path: str = "plan") -> list[str]:
    """Where two plain values differ by more than the digits that are written."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [d for k in sorted({*a, *b}) for d in different(a.get(k), b.get(k), f"{path}.{k}")]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        return [d for k, (x, y) in enumerate(zip(a, b)) for d in different(x, y, f"{path}[{k}]")]
    if isinstance(a, float) and isinstance(b, float):
        return [] if a == pytest.approx(b, rel=1e-9, abs=1e-12) else [f"{path}: {a} is not {b}"]
    return [] if a == b else [f"{path}: {a!r} is not {b!r}"]


@pytest.mark.parametrize("name", [*PLANS, *OLDER])
def test_a_plan_fits_150_lines_and_comes_back_whole(name: str, tmp_path: Path) -> None:
    plan = made(name)
    path = write_plan(tmp_path / "plan.yaml", plan)
    lines = path.read_text(encoding="utf-8").split("\n")
    assert lines[0] == "schema: farthing/plan/3"
    assert len(lines) <= MOST_LINES == 150
    assert max(map(len, lines)) <= 200
    again = load_plan(path)
    assert not different(to_plain(again), to_plain(plan))
    assert to_sparse(again) == to_sparse(plan)


def test_a_reader_finds_the_verdict_the_choice_and_its_digest(tmp_path: Path) -> None:
    plan = met_plan()
    text = write_plan(tmp_path / "plan.yaml", plan).read_text()
    data = yaml.safe_load(text)
    assert "# ✔ met: " in text
    assert data["verdict"]["outcome"] == "met"
    assert plan.chosen is not None
    assert plan.chosen.artefact is not None
    assert data["chosen"]["artefact"]["sha256"] == plan.chosen.artefact.sha256
    assert data["objective"]["latency"] == {"ms": 50.0, "percentile": 0.99}  # a promise hangs on no default
    assert set(data["evidence"]) == set(EVIDENCE)
    for named in data["evidence"].values():
        assert digest(tmp_path / named["path"]) == named["sha256"]


def test_no_name_breaks_out_of_the_comments(tmp_path: Path) -> None:
    plan = replace(PLANS["hostile"](), description=f"{HOSTILE}\nworkload: other\u2028workload: third\x85x: y")
    text = write_plan(tmp_path / "plan.yaml", plan).read_text()
    assert load_plan(tmp_path / "plan.yaml").workload == plan.workload
    assert sum("workload: " in line for line in text.splitlines() if not line.startswith("#")) <= 4


def test_a_plan_with_a_great_deal_to_say_drops_its_comments_first(tmp_path: Path) -> None:
    said = tuple(f"not tried: engine {k} ({'x' * 200})" for k in range(52))
    text = write_plan(tmp_path / "plan.yaml", replace(met_plan(), assumptions=said)).read_text()
    assert "#" not in text.partition("assumptions")[0]
    assert text.count("\n") <= MOST_LINES


@pytest.mark.parametrize("part", EVIDENCE)
def test_evidence_that_was_changed_or_is_gone_is_refused(part: str, tmp_path: Path) -> None:
    path = write_plan(tmp_path / "plan.yaml", met_plan())
    file = tmp_path / "evidence" / f"{part}.json"
    kept = file.read_bytes()
    file.write_bytes(kept.replace(b"1", b"2", 1))
    with pytest.raises(InputError, match=rf"{part}\.json was changed: sha256 \w+…, plan\.yaml says"):
        load_plan(path)
    file.unlink()
    with pytest.raises(InputError, match=rf"{part}\.json is missing") as seen:
        load_plan(path)
    assert "copy the whole folder" in seen.value.hint


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"evidence": {"candidates": {"path": "../other.json", "sha256": ""}}}, "evidence lacks hours, profiles"),
        ({"evidence": {key: {"path": "../other.json", "sha256": "0"} for key in EVIDENCE}}, "lies outside"),
        ({"evidence": {key: {"path": "/etc/passwd", "sha256": "0"} for key in EVIDENCE}}, "lies outside"),
        ({"evidence": dict.fromkeys(EVIDENCE, "x")}, "does not fit"),
        ({"evidence": 3}, "evidence is 3"),
        ({"chosen": None}, "does not fit|is no valid plan"),
    ],
)
def test_a_plan_names_evidence_of_its_own_folder_alone(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = write_plan(tmp_path / "plan.yaml", met_plan())
    data = yaml.safe_load(path.read_text()) | change
    path.write_text(yaml.safe_dump(data))
    with pytest.raises((InputError, SchemaError), match=says):
        load_plan(path)


# --- the folder ---------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The folder of a finished run on a text model that lay elsewhere, and was removed since."""
    model, out = tmp_path / "model", tmp_path / "out"
    for name, text in {"tokenizer.json": "{}", "tokenizer_config.json": "{1}", "config.json": "{2}"}.items():
        model.mkdir(exist_ok=True)
        (model / name).write_text(text)
    pipeline = PipelineSpec(kind="text", tokenizer=str(model / "tokenizer.json"))
    plan = replace(met_plan(), pipeline=pipeline)
    assert plan.chosen is not None
    (out / "artefacts").mkdir(parents=True)
    (out / "artefacts" / "m").write_text("weights")
    assert plan.chosen.artefact is not None
    artefact = replace(plan.chosen.artefact, path="artefacts/m", sha256=digest(out / "artefacts" / "m"))
    workload = Workload(
        name="w",
        model=ModelRef(kind="optimum", path=str(model), onnx_path=str(model / "model.onnx")),
        pipeline=pipeline,
        holdout=Dataset(kind="text", items=("a",), n=1, classes=("x", "y")),
        baseline=BaselineSpec(),
        bill=Bill(offer="aws/m7i.large", replicas=1),
        objective=plan.objective,
    )
    written = write_run(out, replace(plan, chosen=replace(plan.chosen, artefact=artefact)), (), workload)
    assert written.pipeline.tokenizer == "pipeline/tokenizer.json"
    shutil.rmtree(model)
    return out


def test_the_folder_is_moved_as_a_whole(finished: Path, tmp_path: Path) -> None:
    moved = finished.rename(tmp_path / "moved")
    assert {f.name for f in (moved / "pipeline").iterdir()} == {
        "tokenizer.json",
        "tokenizer_config.json",
        "config.json",
    }
    served = planned(moved / "plan.yaml", cores=2, check=lambda a, root: root / a.path)
    assert served.pipeline.tokenizer == str((moved / "pipeline" / "tokenizer.json").absolute())
    assert served.classes == ("x", "y")
    workload = load_resolved_workload(moved / "workload.json")
    assert Path(str(workload.pipeline.tokenizer)).read_text() == "{}"
    for file in [f for f in moved.rglob("*") if f.suffix in (".yaml", ".json", ".html")]:
        assert str(tmp_path / "model" / "tokenizer") not in file.read_text(), file


def test_another_tokenizer_is_not_served_in_its_place(finished: Path) -> None:
    (finished / "pipeline" / "tokenizer.json").write_text("{ }")
    with pytest.raises(InputError, match=r"pipeline/tokenizer\.json was changed"):
        planned(finished / "plan.yaml", cores=2, check=lambda a, root: root / a.path)


def test_all_that_a_plan_names_is_there(finished: Path) -> None:
    data = yaml.safe_load((finished / "plan.yaml").read_text())
    assert {"workload.json", "measurements.parquet", "pipeline/tokenizer.json"} <= set(data["files"])
    for name, sha256 in data["files"].items():
        assert digest(finished / name) == sha256
    assert json.loads((finished / "workload.json").read_text())["pipeline"]["tokenizer"] == "pipeline/tokenizer.json"


# --- report -------------------------------------------------------------------------------------------------------


def test_report_takes_a_folder_and_writes_where_it_is_told(finished: Path, tmp_path: Path) -> None:
    (finished / "report.html").unlink()
    plan, page = report(finished)
    assert (plan.workload, page) == (met_plan().workload, finished / "report.html")
    assert page.exists()
    pages = tmp_path / "pages"
    pages.mkdir()
    assert report(finished, pages)[1] == pages / "report.html"
    assert report(finished / "plan.yaml", pages / "own.html")[1] == pages / "own.html"
    assert {f.name for f in pages.iterdir()} == {"report.html", "own.html"}


def test_a_folder_without_a_plan_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no plan\.yaml"):
        report(tmp_path)
