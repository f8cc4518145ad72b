from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from exported_nets import NETS, Net

from farthing.engines.onnxruntime import OnnxRuntime
from farthing.engines.pytorch import PyTorch
from farthing.engines.torch_compile import TorchCompile
from farthing.errors import EngineError, InputError, ModelError, TrustError
from farthing.machine.isa import has_bf16


def load(path: Path, precision="fp32", device="cpu", engine=PyTorch, **options):
    return engine().load(path, precision=precision, threads=1, device=device, options=options)


@pytest.mark.parametrize("net", ["conv_net", "transformer"])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("n", [1, 5])
def test_program_and_own_module_answer_as_the_onnx_file(
    net: str, own: bool, n: int, request: pytest.FixtureRequest
) -> None:
    found: Net = request.getfixturevalue(net)
    options = {"import_path": f"{NETS}:{net}", "trust": True} if own else {}
    other = OnnxRuntime().load(found.onnx, precision="fp32", threads=1, device="cpu", options={})
    mine, theirs = load(found.module, **options).run(found.batch(n)), other.run(found.batch(n))
    assert list(mine) == list(theirs)
    for name in mine:
        np.testing.assert_allclose(mine[name], theirs[name], atol=1e-4)


@pytest.mark.skipif(not has_bf16(), reason="no BF16 unit")
@pytest.mark.parametrize("net", ["conv_net", "transformer"])
def test_bf16_is_near(net: str, request: pytest.FixtureRequest) -> None:
    found: Net = request.getfixturevalue(net)
    full, session = load(found.module).run(found.batch(5)), load(found.module, "bf16")
    for _ in range(2):
        half = session.run(found.batch(5))
        for name in full:
            assert half[name].dtype == np.float32
            assert 0 < np.abs(full[name] - half[name]).max() < 0.05


def test_read_only_inputs_and_channels_last(conv_net: Net) -> None:
    feeds = conv_net.batch(2)
    feeds["images"].setflags(write=False)
    want = load(conv_net.module).run(feeds)["output"]
    np.testing.assert_allclose(load(conv_net.module, channels_last=True).run(feeds)["output"], want, atol=1e-5)


def test_operators_sum_up(conv_net: Net) -> None:
    session = load(conv_net.module)
    rows = session.operators(conv_net.batch(2), 2)
    assert sum(o.share_frac for o in rows) == pytest.approx(1)
    assert any("conv" in o.kind for o in rows)
    assert not any(o.mapped for o in rows)
    assert session.device_memory_bytes() is None
    session.close()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".ckpt"])
def test_pickles_are_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(TrustError, match="pickle"):
        load(tmp_path / f"model{suffix}")


def test_own_code_needs_trust(conv_net: Net) -> None:
    for trust in ({}, {"trust": False}, {"trust": "yes"}):
        with pytest.raises(TrustError, match="Python code"):
            load(conv_net.module, import_path=f"{NETS}:conv_net", **trust)


def test_programs_from_elsewhere_need_trust(conv_net: Net, tmp_path: Path) -> None:
    here = tmp_path / "copy"
    shutil.copytree(conv_net.module, here)
    load(here)  # the same content: built here
    with (here / "signature.json").open("a") as f:
        f.write("\n")
    with pytest.raises(TrustError, match="not built on this machine"):
        load(here)
    load(here, trust=True)


def test_faults_are_named(conv_net: Net, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"an nn\.Module"):
        load(conv_net.module, import_path=f"{NETS}:not_a_module", trust=True)
    with pytest.raises(ModelError, match="no weights here"):
        load(conv_net.module, import_path=f"{NETS}:broken", trust=True)
    with pytest.raises(InputError, match="no callable"):
        load(conv_net.module, import_path=f"{NETS}:nothing", trust=True)
    with pytest.raises(ModelError, match=r"signature\.json"):
        load(tmp_path, trust=True)
    shutil.copy(conv_net.module / "signature.json", tmp_path)
    (tmp_path / "module.pt2").write_bytes(b"PK nonsense")
    with pytest.raises(EngineError, match=r"module\.pt2"):
        load(tmp_path, trust=True)
    with pytest.raises(EngineError, match="pytorch failed"):
        load(conv_net.module).run({"images": np.zeros((1, 4, 32, 32), np.float32)})


def test_what_it_does_not_run_is_refused(conv_net: Net) -> None:
    with pytest.raises(EngineError, match="int8"):
        load(conv_net.module, "int8")
    if "cuda:0" not in PyTorch().devices():
        with pytest.raises(EngineError, match="cuda:0"):
            load(conv_net.module, device="cuda:0")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler")
def test_each_load_compiles_anew(conv_net: Net) -> None:
    from torch._dynamo.utils import counters

    want = load(conv_net.module).run(conv_net.batch(3))["output"]
    for _ in range(2):
        counters.clear()
        session = load(conv_net.module, engine=TorchCompile)
        np.testing.assert_allclose(session.run(conv_net.batch(3))["output"], want, atol=1e-4)
        assert counters["stats"]["unique_graphs"] == 1
