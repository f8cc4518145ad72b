"""Typos in import paths are found from the source, without running it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from farthing.errors import InputError
from farthing.models.module_names import check_import_path

SOURCE = """
raise SystemExit("this must not run")
import torch.nn as nn
from torch import Tensor
class Net: ...
def load(): ...
async def later(): ...
try:
    from fast import quick
except ImportError:
    quick = None
if True:
    a, (b, *c) = 1, (2, 3)
with open("x") as handle:
    inner: int = 3
MODEL = Net()
"""


@pytest.mark.parametrize(
    "name", ["nn", "Tensor", "Net", "load", "later", "quick", "a", "b", "c", "handle", "inner", "MODEL"]
)
def test_names_that_a_module_binds(tmp_path: Path, name: str) -> None:
    (tmp_path / "net.py").write_text(SOURCE)
    check_import_path(f"{tmp_path / 'net.py'}:{name}", "the model")


@pytest.mark.parametrize(
    ("name", "hint"), [("laod", r"did you mean .*net\.py:load\?"), ("zzzzzz", "it has Net, load"), ("MODELS", "MODEL")]
)
def test_names_that_are_not_there(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / "net.py").write_text(SOURCE)
    with pytest.raises(InputError, match=rf"net\.py has no '{name}'") as e:
        check_import_path(f"{tmp_path / 'net.py'}:{name}", "the model")
    assert re.search(hint, str(e.value.hint))


@pytest.mark.parametrize(
    "more", ["from torch.nn import *", "globals()['x'] = 1", "def __getattr__(name): ...", "setattr(object, 'a', 1)"]
)
def test_names_made_at_run_time_are_left_to_importing(tmp_path: Path, more: str) -> None:
    (tmp_path / "net.py").write_text(f"def load(): ...\n{more}\n")
    check_import_path(f"{tmp_path / 'net.py'}:other", "the model")


def test_no_valid_python_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def load():\n    return (\n")
    with pytest.raises(InputError, match=r"net\.py line \d is no valid Python"):
        check_import_path(f"{tmp_path / 'net.py'}:load", "the metric")


def test_modules_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "nets.py").write_text("def load(): ...\n")
    (tmp_path / "single.py").write_text("def load(): ...\n")
    check_import_path("shop.nets:load", "the model")
    check_import_path("json.decoder:JSONDecoder", "the model")
    check_import_path("math:sqrt", "the model")  # compiled: left to importing it
    for path, said in {
        "shop.nest:load": "there is no module shop.nest",
        "shop.nets:laod": "nets.py has no 'laod'",
        "singel:load": "there is no module singel",
    }.items():
        with pytest.raises(InputError, match=said) as e:
            check_import_path(path, "the model")
        assert "did you mean" in str(e.value.hint)
