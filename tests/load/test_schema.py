from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from farthing.errors import InputError, SchemaError
from farthing.load import schema
from farthing.load.schema import VERSIONS, read_document, stamp

GOLDEN = Path(__file__).parents[1] / "golden"


@dataclass
class Doc:
    folder: Path

    def __call__(self, text: str, name: str = "w.yaml") -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


@pytest.fixture
def doc(tmp_path: Path) -> Doc:
    return Doc(tmp_path)


def test_yaml_and_json_say_the_same(doc: Doc) -> None:
    data = {"schema": "farthing/workload/1", "name": "x", "bill": {"offer": "a/b"}}
    want = {"name": "x", "bill": {"offer": "a/b"}}
    assert read_document(doc(json.dumps(data)), "workload") == want
    assert read_document(doc(json.dumps(data), "w.json"), "workload") == want


def test_a_newer_version_names_both(doc: Doc) -> None:
    with pytest.raises(SchemaError, match=r"version 7 of farthing/plan; this farthing reads up to version 3"):
        read_document(doc("schema: farthing/plan/7"), "plan")


def test_an_older_version_is_migrated_step_by_step(doc: Doc, monkeypatch: pytest.MonkeyPatch) -> None:
    def second(data: dict[str, Any]) -> dict[str, Any]:
        return {"title": data["name"]}

    def third(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "steps": 2}

    monkeypatch.setattr(schema, "VERSIONS", {**VERSIONS, "plan": 3})
    monkeypatch.setattr(schema, "MIGRATIONS", {("plan", 1): second, ("plan", 2): third})
    assert read_document(doc("schema: farthing/plan/1\nname: x"), "plan") == {"title": "x", "steps": 2}
    assert read_document(doc("schema: farthing/plan/3\nname: x"), "plan") == {"name": "x"}


def test_every_older_version_has_a_migration() -> None:
    assert all((kind, n) in schema.MIGRATIONS for kind, newest in VERSIONS.items() for n in range(1, newest))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x", "has no schema"),
        ("schema: 1\nname: x", "unknown schema 1"),
        ("schema: other/plan/1", "unknown schema 'other/plan/1'"),
        ("schema: farthing/plan/0", "unknown schema"),
        ("schema: farthing/plan/1", "is a plan, not a workload"),
    ],
)
def test_foreign_documents_are_refused(doc: Doc, text: str, says: str) -> None:
    with pytest.raises(SchemaError, match=says):
        read_document(doc(text), "workload")


@pytest.mark.parametrize(
    "text",
    [
        "a: [1",
        "- 1",
        "",
        "a: 1\na: 2\nschema: farthing/workload/1",
        "schema: farthing/workload/1\nx: !!python/object/apply:os.system ['true']",
        "[" * 5000,
    ],
)
def test_broken_yaml_is_bad_input(doc: Doc, text: str) -> None:
    with pytest.raises(InputError):
        read_document(doc(text), "workload")


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.yaml"):
        read_document(tmp_path / "none.yaml", "workload")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        read_document(tmp_path / "b.yaml", "workload")


def test_stamp() -> None:
    assert stamp("plan") == "farthing/plan/3"


def test_golden_workload_of_version_1_still_reads() -> None:
    document = read_document(GOLDEN / "v1" / "workload.yaml", "workload")
    assert document["objective"] == {"p99": "50ms", "max_drop": "1pt", "confidence": "95%", "min_saving": "30%"}
