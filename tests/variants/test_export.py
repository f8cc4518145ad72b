from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from exported_nets import NETS, Net, images
from onnx import TensorProto, helper, numpy_helper

from farthing.errors import ModelError, TrustError
from farthing.models.onnx_files import check_onnx, input_specs
from farthing.models.torch_code import read_signature
from farthing.nouns import ModelRef
from farthing.plugins import find
from farthing.variants.batch_axis import run_onnx
from farthing.variants.export import resolve_model


def onnx_ref(path: Path) -> ModelRef:
    return ModelRef(kind="onnx", path=str(path))


def single_sample_net(path: Path, *, mixing: bool = False) -> Path:
    """A net for batches of one: convolution, reshape to (1, 8), product; ``mixing`` couples the samples."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal((2, 1, 3, 3)).astype(np.float32), "k"),
        numpy_helper.from_array(rng.standard_normal((8, 3)).astype(np.float32), "w"),
        numpy_helper.from_array(np.array([1, 8]), "target"),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], "conv"),
        helper.make_node("Reshape", ["c", "target"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "w"], ["y0"], "product"),
        helper.make_node("Softmax", ["y0"], ["y"], "last", axis=0 if mixing else 1),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph(nodes, "g", [x], [y], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def samples(n: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.standard_normal((1, 1, 4, 4)).astype(np.float32)} for _ in range(n)]


def test_a_module_becomes_clean_nodes_with_a_free_batch(conv_net: Net) -> None:
    model = check_onnx(conv_net.onnx)
    kinds = sorted(n.op_type for n in model.graph.node)
    assert kinds == ["Add", "Conv", "Conv", "Conv", "Conv", "Gemm", "ReduceMean", "Relu", "Relu", "Relu", "Relu"]
    assert input_specs(model)[0].shape == (None, 3, 32, 32)


def test_a_text_module_has_a_free_length_and_logits_first(transformer: Net) -> None:
    assert [s.shape for s in input_specs(check_onnx(transformer.onnx))] == [(None, None)] * 2
    signature = read_signature(transformer.module)
    assert [s.name for s in signature.outputs] == ["logits", "hidden"]
    assert [s.dtype for s in signature.inputs] == ["int64", "int64"]


def test_a_module_that_fixes_the_batch_keeps_it(tmp_path: Path) -> None:
    ref = resolve_model(ModelRef(kind="torch", path=f"{NETS}:stubborn"), tmp_path, images(2), trust=True)
    assert input_specs(check_onnx(Path(ref.onnx_path or "")))[0].shape == (1, 3, 32, 32)
    assert read_signature(tmp_path / "module").outputs[0].shape == (1, 10)


def test_modules_need_trust_and_examples(tmp_path: Path) -> None:
    ref = ModelRef(kind="torch", path=f"{NETS}:conv_net")
    with pytest.raises(TrustError):
        resolve_model(ref, tmp_path, images(2), trust=False)
    with pytest.raises(ModelError, match="inputs' shape"):
        resolve_model(ref, tmp_path, [], trust=True)
    with pytest.raises(ModelError, match=r"does not take images float32 \(1, 4, 8, 8\)"):
        resolve_model(ref, tmp_path, [{"images": np.zeros((1, 4, 8, 8), np.float32)}] * 2, trust=True)


def test_an_onnx_file_is_copied_unchanged(conv_net: Net, tmp_path: Path) -> None:
    ref = resolve_model(onnx_ref(conv_net.onnx), tmp_path, [], trust=False)
    assert Path(ref.onnx_path or "").read_bytes() == conv_net.onnx.read_bytes()
    again = resolve_model(onnx_ref(Path(ref.onnx_path or "")), tmp_path, [], trust=False)
    assert again.onnx_path == ref.onnx_path


def test_an_optimum_folder_is_found(conv_net: Net, tmp_path: Path) -> None:
    folder = tmp_path / "optimum"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(conv_net.onnx.read_bytes())
    ref = resolve_model(ModelRef(kind="optimum", path=str(folder)), tmp_path / "out", [], trust=False)
    assert Path(ref.onnx_path or "").is_relative_to(tmp_path / "out")


def test_a_fixed_batch_is_freed_when_answers_stay(tmp_path: Path) -> None:
    source, given = single_sample_net(tmp_path / "one.onnx"), samples(3)
    ref = resolve_model(onnx_ref(source), tmp_path / "out", given, trust=False)
    found = Path(ref.onnx_path or "")
    assert input_specs(check_onnx(found))[0].shape == (None, 1, 4, 4)
    alone = np.concatenate([run_onnx(source, s)[0] for s in given])
    together = run_onnx(found, {"x": np.concatenate([s["x"] for s in given])})[0]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_a_batch_that_mixes_samples_stays_fixed(tmp_path: Path) -> None:
    source = single_sample_net(tmp_path / "one.onnx", mixing=True)
    ref = resolve_model(onnx_ref(source), tmp_path / "out", samples(2), trust=False)
    assert Path(ref.onnx_path or "").read_bytes() == source.read_bytes()


def test_external_data_comes_along(tmp_path: Path) -> None:
    source = single_sample_net(tmp_path / "one.onnx")
    model = onnx.load(source)
    big = tmp_path / "big"
    big.mkdir()
    onnx.save(model, big / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=64)
    ref = resolve_model(onnx_ref(big / "model.onnx"), tmp_path / "out", [], trust=False)
    assert sorted(p.name for p in Path(ref.onnx_path or "").parent.iterdir()) == ["model.onnx", "weights.bin"]
    want, got = (run_onnx(p, samples(1)[0])[0] for p in (source, Path(ref.onnx_path or "")))
    np.testing.assert_array_equal(got, want)
    artefact = find("variants", "fp32").build(ref, tmp_path / "out", [])
    assert artefact.path == "model"  # the folder, so that the digest covers the data


@pytest.mark.parametrize("damage", ["cut", "foreign", "empty", "wrong"])
def test_corrupt_files_are_refused(conv_net: Net, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "bad.onnx"
    whole = conv_net.onnx.read_bytes()
    if damage == "wrong":
        model = onnx.load(conv_net.onnx)
        model.graph.node[2].input[0] = "nowhere"
        whole = model.SerializeToString()
    path.write_bytes({"cut": whole[:-3000], "foreign": b"GIF89a" * 99, "empty": b""}.get(damage, whole))
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        resolve_model(onnx_ref(path), tmp_path / "out", [], trust=False)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        resolve_model(onnx_ref(tmp_path / "no.onnx"), tmp_path / "out", [], trust=False)


@pytest.mark.slow
def test_two_exports_are_the_same(conv_net: Net, tmp_path: Path) -> None:
    ref = resolve_model(conv_net.ref, tmp_path, conv_net.examples, trust=True)
    assert Path(ref.onnx_path or "").read_bytes() == conv_net.onnx.read_bytes()
