from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exported_nets import Net

from farthing.codec import to_plain
from farthing.errors import EngineError
from farthing.models.digests import digest
from farthing.nouns import ModelRef
from farthing.plugins import find
from farthing.ports import Variant
from farthing.variants import qdq

ALL = ("fp32", "int8-dynamic", "int8-nncf", "int8-qdq", "torch-module")


def answers(engine: str, path: Path, precision: str, feeds: dict[str, np.ndarray]) -> np.ndarray:
    session = find("engines", engine).load(path, precision=precision, threads=1, device="cpu", options={})
    rows = session.operators(feeds, 2)
    assert sum(o.share_frac for o in rows) == pytest.approx(1)
    return next(iter(session.run(feeds).values()))


@pytest.mark.parametrize("name", ALL)
def test_each_is_a_variant(name: str) -> None:
    variant = find("variants", name)
    assert isinstance(variant, Variant)
    assert variant.name == name
    assert variant.missing() is None


@pytest.mark.parametrize(
    ("net", "name"),
    [(n, v) for n in ("conv_net", "transformer") for v in ALL if (n, v) != ("conv_net", "int8-dynamic")],
)
def test_answers_stay_near_on_every_engine(net: str, name: str, request: pytest.FixtureRequest) -> None:
    found: Net = request.getfixturevalue(net)
    artefact = find("variants", name).build(found.ref, found.out, iter(found.examples))
    path = found.out / artefact.path
    assert artefact.variant == name
    assert artefact.sha256 == digest(path)
    assert artefact.size_mib > 0
    for engine in (e for e in artefact.engines if e != "torch-compile"):
        for n in (1, 5):
            want = answers("onnxruntime", found.onnx, "fp32", found.batch(n))
            got = answers(engine, path, artefact.precision, found.batch(n))
            allowed = 0.08 if artefact.precision == "int8" else 1e-4
            assert np.linalg.norm(got - want) <= allowed * np.linalg.norm(want)


@pytest.mark.parametrize("name", ["int8-qdq", "int8-nncf"])
def test_convolutions_really_run_in_int8(conv_net: Net, name: str) -> None:
    variant = find("variants", name)
    path = conv_net.out / variant.build(conv_net.ref, conv_net.out, iter(conv_net.examples)).path
    engine = find("engines", variant.engines[0])
    session = engine.load(path, precision="int8", threads=1, device="cpu", options={})
    rows = [o for o in session.operators(conv_net.batch(5), 2) if "Conv" in o.kind]
    assert {o.precision for o in rows} <= {"uint8", "i8"}
    assert sum(o.name.count("node_Conv") > 0 for o in rows) == 4


@pytest.mark.parametrize("name", ["int8-dynamic", "int8-qdq", pytest.param("int8-nncf", marks=pytest.mark.slow)])
def test_building_twice_gives_the_same_bytes(transformer: Net, tmp_path: Path, name: str) -> None:
    """In processes of their own, as builds run: NNCF numbers its nodes by process."""
    code = (
        "import json, sys; import numpy as np; from pathlib import Path\n"
        "from farthing.codec import from_plain; from farthing.nouns import ModelRef\n"
        "from farthing.plugins import find\n"
        "ref, out, n = from_plain(ModelRef, json.loads(sys.argv[1])), Path(sys.argv[2]), 8\n"
        "rng = np.random.default_rng(3)\n"
        "feeds = [{'input_ids': rng.integers(0, 60, (1, 9)), 'attention_mask': np.ones((1, 9), dtype=np.int64)}"
        " for _ in range(n)]\n"
        f"print(find('variants', {name!r}).build(ref, out, feeds).sha256)"
    )
    command = [sys.executable, "-c", code, json.dumps(to_plain(transformer.ref))]
    runs = [subprocess.Popen([*command, str(tmp_path / k)], stdout=subprocess.PIPE, text=True) for k in "ab"]
    seen = [run.communicate(timeout=120)[0].split() for run in runs]
    assert [len(s) for s in seen] == [1, 1]  # nothing but the digest is printed
    assert seen[0] == seen[1]


@pytest.mark.parametrize("name", ["int8-dynamic", "int8-qdq", "int8-nncf"])
def test_nothing_is_ever_written_beside_the_model(transformer: Net, tmp_path: Path, name: str) -> None:
    """Not even for a moment: the folder may be read-only, and another build may be reading it."""
    folder = tmp_path / "users"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(transformer.onnx.read_bytes())
    before = folder.stat().st_mtime_ns
    ref = replace(transformer.ref, onnx_path=str(folder / "model.onnx"))
    find("variants", name).build(ref, tmp_path / "out", transformer.examples)
    assert folder.stat().st_mtime_ns == before
    assert [p.name for p in folder.iterdir()] == ["model.onnx"]


def test_the_best_of_three_calibrations_is_kept(conv_net: Net, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    losses = iter([qdq._Loss(differ_frac=d, error_frac=0.1) for d in (0.2, 0.0, 0.1)])
    monkeypatch.setattr(qdq, "_loss", lambda want, got: next(losses))
    artefact = find("variants", "int8-qdq").build(conv_net.ref, tmp_path, conv_net.examples)
    assert "99.99th percentile: 0.0% of their answers differ" in artefact.note


def test_builds_that_cannot_help_say_so(conv_net: Net, transformer: Net, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="1 beside 4 convolutions"):
        find("variants", "int8-dynamic").build(conv_net.ref, tmp_path, [])
    for name in ("int8-qdq", "int8-nncf"):
        with pytest.raises(EngineError, match="calibration data"):
            find("variants", name).build(conv_net.ref, tmp_path, [])
    quantized = find("variants", "int8-dynamic").build(transformer.ref, tmp_path, [])
    again = ModelRef(kind="onnx", path="q.onnx", onnx_path=str(tmp_path / quantized.path))
    with pytest.raises(EngineError, match="quantized already"):
        find("variants", "int8-qdq").build(again, tmp_path, transformer.examples)
    with pytest.raises(EngineError, match="no PyTorch module"):
        find("variants", "torch-module").build(again, tmp_path, [])
