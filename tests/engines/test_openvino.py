from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exported_nets import Net

from farthing.engines import openvino as room
from farthing.engines.onnxruntime import OnnxRuntime
from farthing.engines.openvino import OpenVino
from farthing.errors import EngineError
from farthing.machine.isa import has_bf16


def load(path: Path, precision="fp32", device="cpu", **options):
    return OpenVino().load(path, precision=precision, threads=1, device=device, options=options)


@pytest.mark.parametrize("net", ["conv_net", "transformer"])
@pytest.mark.parametrize("n", [1, 5])
def test_answers_as_onnx_runtime_does(net: str, n: int, request: pytest.FixtureRequest) -> None:
    found: Net = request.getfixturevalue(net)
    feeds = found.batch(n)
    other = OnnxRuntime().load(found.onnx, precision="fp32", threads=1, device="cpu", options={})
    mine, theirs = load(found.onnx).run(feeds), other.run(feeds)
    assert list(mine) == list(theirs)
    for name in mine:
        np.testing.assert_allclose(mine[name], theirs[name], atol=1e-5)


@pytest.mark.skipif(not has_bf16(), reason="no BF16 unit")
def test_bf16_is_near_and_not_the_same(conv_net: Net) -> None:
    feeds = conv_net.batch(5)
    full, half = load(conv_net.onnx).run(feeds)["output"], load(conv_net.onnx, "bf16").run(feeds)["output"]
    assert 0 < np.abs(full - half).max() < 0.02
    rows = load(conv_net.onnx, "bf16").operators(feeds, 2)
    assert {o.precision for o in rows if o.kind == "Convolution"} == {"bf16"}


def test_fp32_is_true_fp32(conv_net: Net) -> None:
    rows = load(conv_net.onnx).operators(conv_net.batch(5), 2)
    assert {o.precision for o in rows} == {"f32"}


@pytest.mark.parametrize("n", [1, 5])
def test_operators_carry_the_original_names(conv_net: Net, n: int) -> None:
    rows = load(conv_net.onnx).operators(conv_net.batch(n), 3)
    assert sum(o.share_frac for o in rows) == pytest.approx(1)
    assert sum(o.share_frac for o in rows if o.mapped) > 0.5
    assert all("node_Conv" in o.name for o in rows if o.kind == "Convolution")


def test_a_model_for_one_batch_size_refuses_others(conv_net: Net) -> None:
    session = load(conv_net.onnx, batch=4)
    want = load(conv_net.onnx).run(conv_net.batch(4))["output"]
    np.testing.assert_allclose(session.run(conv_net.batch(4))["output"], want, atol=1e-5)
    with pytest.raises(EngineError, match="not of 3"):
        session.run(conv_net.batch(3))


def test_what_it_cannot_do_is_refused(conv_net: Net, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cuda:0"):
        load(conv_net.onnx, device="cuda:0")
    with pytest.raises(EngineError, match="fp16"):
        load(conv_net.onnx, "fp16")
    with pytest.raises(EngineError, match=r"model\.onnx"):
        load(conv_net.onnx).run({"images": np.zeros((1, 4, 32, 32), np.float32)})
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x07 nonsense")
    with pytest.raises(EngineError, match=r"broken\.onnx"):
        load(broken)
    monkeypatch.setattr(room, "has_bf16", lambda: False)
    with pytest.raises(EngineError, match="BF16"):
        load(conv_net.onnx, "bf16")


def test_telemetry_is_never_imported(conv_net: Net) -> None:
    code = (
        "import sys; from pathlib import Path; from farthing.engines.openvino import OpenVino\n"
        f"OpenVino().load(Path({str(conv_net.onnx)!r}), precision='fp32', threads=1, device='cpu', options={{}})\n"
        "import nncf\n"
        "assert not [m for m in sys.modules if m.startswith('openvino_telemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
