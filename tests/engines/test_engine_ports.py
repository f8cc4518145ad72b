from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from farthing.engines.operator_times import Event, operator_times
from farthing.plugins import find, names
from farthing.ports import Engine

ALL = ("onnxruntime", "openvino", "pytorch", "torch-compile")


def test_all_are_plug_ins() -> None:
    assert set(ALL) <= set(names("engines"))


@pytest.mark.parametrize("name", ALL)
def test_each_is_an_engine_that_says_what_it_is(name: str) -> None:
    engine = find("engines", name)
    assert isinstance(engine, Engine)
    assert engine.name == name
    assert engine.missing() is None
    assert engine.version()[0].isdigit()
    assert engine.devices()[0] == "cpu"


@pytest.mark.parametrize("name", ALL)
def test_a_missing_back_end_is_a_pip_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert find("engines", name).missing().startswith("pip install ")


def test_asking_imports_no_back_end() -> None:
    code = (
        "import sys; from farthing.plugins import find\n"
        f"for n in {ALL!r}: find('engines', n).missing(), find('engines', n).version()\n"
        "for n in ('fp32', 'torch-module', 'int8-dynamic', 'int8-qdq', 'int8-nncf'): find('variants', n).missing()\n"
        "loaded = {'torch', 'onnx', 'onnxruntime', 'openvino', 'nncf'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_events_are_summed_by_operator() -> None:
    def event(name: str, ms: float) -> Event:
        return Event(name=name, kind="Conv", precision="f32", mapped=True, time_ms=ms)

    rows = operator_times([event("a", 1), event("b", 6), event("a", 3), event("idle", 0)], 2)
    assert [(r.name, r.time_ms, r.share_frac) for r in rows] == [("b", 3, 0.6), ("a", 2, 0.4)]
    assert operator_times([], 3) == []
