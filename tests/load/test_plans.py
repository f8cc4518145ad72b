from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from example_plan import met_plan

from farthing.codec import to_plain
from farthing.errors import InputError, SchemaError
from farthing.load.plans import load_plan


@pytest.fixture
def plain() -> dict[str, Any]:
    found: dict[str, Any] = to_plain(met_plan())
    return found


def write(folder: Path, content: dict[str, Any], line: str = "farthing/plan/3") -> Path:
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({"schema": line, **content}))
    return path


def test_a_plan_comes_back_as_it_was(tmp_path: Path, plain: dict[str, Any]) -> None:
    assert to_plain(load_plan(write(tmp_path, plain))) == plain


def test_a_changed_plan_names_what_is_wrong(tmp_path: Path, plain: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match="version 4 of farthing/plan"):
        load_plan(write(tmp_path, plain, "farthing/plan/4"))
    with pytest.raises(SchemaError, match="surprise"):
        load_plan(write(tmp_path, {**plain, "surprise": 1}))
    with pytest.raises(SchemaError, match=r"is no valid plan: .*verdict"):
        load_plan(write(tmp_path, {k: v for k, v in plain.items() if k != "verdict"}))
    with pytest.raises(SchemaError, match="is no valid plan"):
        load_plan(
            write(tmp_path, {**plain, "baseline_usd_per_month": {"value": 1, "lo": 2, "hi": 3, "n": 1, "method": ""}})
        )
    with pytest.raises(InputError, match="cannot read"):
        load_plan(tmp_path / "none.yaml")
