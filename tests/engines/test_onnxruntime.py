from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from exported_nets import Net
from onnx import TensorProto, helper, numpy_helper

from farthing.engines.onnx_fusions import fused_nodes
from farthing.engines.onnxruntime import OnnxRuntime
from farthing.errors import EngineError, ModelError
from farthing.models.onnx_files import check_external_data, operator_kinds


def load(path: Path, precision="fp32", threads=1, device="cpu"):
    return OnnxRuntime().load(path, precision=precision, threads=threads, device=device, options={})


def external(folder: Path, location: str) -> Path:
    weights = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    onnx.external_data_helper.set_external_data(weights, location)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"], "m")], "g", [x], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    folder.mkdir(exist_ok=True)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("threads", [1, 2])
def test_answers_any_batch_alike(conv_net: Net, threads: int) -> None:
    session = load(conv_net.onnx, threads=threads)
    five = session.run(conv_net.batch(5))["output"]
    for k in range(5):
        one = session.run({"images": conv_net.batch(5)["images"][k : k + 1]})["output"]
        np.testing.assert_allclose(one[0], five[k], atol=1e-5)
    assert session.inputs[0].shape == (None, 3, 32, 32)
    assert session.outputs[0].dtype == "float32"
    assert session.device_memory_bytes() is None
    session.close()


def test_operators_lead_back_to_the_model(conv_net: Net) -> None:
    rows = load(conv_net.onnx).operators(conv_net.batch(5), 4)
    assert sum(o.share_frac for o in rows) == pytest.approx(1)
    assert {"Conv"} <= {o.kind for o in rows}
    assert all(o.precision == "float" for o in rows if o.kind == "Conv")
    assert all(o.mapped for o in rows if o.kind in ("Conv", "Gemm"))
    assert [o.time_ms for o in rows] == sorted((o.time_ms for o in rows), reverse=True)


def test_what_is_fused_under_a_name_of_its_own_leads_to_all_nodes_in_it(transformer: Net) -> None:
    rows = load(transformer.onnx).operators(transformer.batch(2), 2)
    assert sum(o.share_frac for o in rows if o.mapped) > 0.98
    (first, second) = sorted(o.name for o in rows if o.kind == "SkipLayerNormalization")
    assert all("add" in name.split("+")[-2] and "norm" in name.split("+")[-1] for name in (first, second))
    known = {node.name for node in onnx.load(transformer.onnx).graph.node}
    assert all(set(o.name.split("+")) <= known for o in rows if "+" in o.name)


def test_fusions_that_reach_too_far_are_not_told(tmp_path: Path) -> None:
    """The file that was run has another input: the walk back ends at the model's own."""

    def chain(first: int, name: str) -> Path:
        tensors = [f"t{k}" for k in range(first, 101)]
        nodes = [helper.make_node("Relu", [a], [b], f"n{a}") for a, b in itertools.pairwise(tensors)]
        ends = [helper.make_tensor_value_info(t, TensorProto.FLOAT, [4]) for t in (tensors[0], "t100")]
        model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:]))
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    whole, run = chain(0, "whole.onnx"), onnx.load(chain(96, "part.onnx"))
    fused = helper.make_node("Fused", ["t96"], ["t100"], "fused")
    for inputs, told in ((["t96"], ("nt96", "nt97", "nt98", "nt99")), (["elsewhere"], None)):
        del run.graph.node[:], fused.input[:]
        fused.input.extend(inputs)
        run.graph.node.append(fused)
        onnx.save(run, tmp_path / "run.onnx")
        assert fused_nodes(whole, tmp_path / "run.onnx").get("fused") == told


def test_fused_products_keep_their_node(transformer: Net) -> None:
    rows = load(transformer.onnx).operators(transformer.batch(2), 2)
    assert any(o.name == "node_matmul" and o.kind == "FusedMatMul" and o.mapped for o in rows)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_precisions_it_does_not_compute_are_refused(conv_net: Net, precision: str) -> None:
    with pytest.raises(EngineError, match=rf"is FP32, not {precision.upper()}"):
        load(conv_net.onnx, precision)


@pytest.mark.parametrize("device", ["cuda:0", "tpu"])
def test_devices_it_does_not_have_are_refused(conv_net: Net, device: str) -> None:
    if device in OnnxRuntime().devices():
        pytest.skip("there is such a device")
    with pytest.raises(EngineError, match=device):
        load(conv_net.onnx, device=device)


def test_inputs_that_do_not_fit_name_the_model(conv_net: Net) -> None:
    with pytest.raises(EngineError, match=r"model\.onnx"):
        load(conv_net.onnx).run({"images": np.zeros((1, 4, 32, 32), np.float32)})


def test_missing_and_corrupt_files(tmp_path: Path, conv_net: Net) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        load(tmp_path / "no.onnx")
    with pytest.raises(ModelError, match=r"model\.onnx"):
        load(tmp_path)
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(conv_net.onnx.read_bytes()[:5000])
    with pytest.raises(EngineError, match=r"cut\.onnx"):
        load(cut)


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    path = external(tmp_path / "m", "w.bin")
    (tmp_path / "m" / "w.bin").write_bytes(np.eye(4, dtype=np.float32).tobytes())
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(load(path).run({"x": x})["y"], x)
    np.testing.assert_array_equal(load(path.parent).run({"x": x})["y"], x)


@pytest.mark.parametrize("how", ["parent", "absolute", "symlink", "hardlink", "missing"])
def test_external_data_cannot_leave_the_folder(tmp_path: Path, how: str) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.eye(4, dtype=np.float32).tobytes())
    location = {"parent": "../secret.bin", "absolute": str(secret)}.get(how, "w.bin")
    path = external(tmp_path / "m", location)
    if how == "symlink":
        (tmp_path / "m" / "w.bin").symlink_to(secret)
    if how == "hardlink":
        os.link(secret, tmp_path / "m" / "w.bin")
    with pytest.raises(ModelError, match="external data"):
        load(path)


def stored_elsewhere(name: str = "w", dims: tuple[int, ...] = (4, 4)) -> onnx.TensorProto:
    """A tensor that lies in a file outside the model's folder."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret.bin")
    return tensor


def sparse(side: str) -> onnx.SparseTensorProto:
    """A sparse tensor one of whose halves lies elsewhere."""
    halves = {
        "values": numpy_helper.from_array(np.ones(1, np.float32), "v"),
        "indices": numpy_helper.from_array(np.zeros(1, np.int64), "i"),
    }
    return onnx.SparseTensorProto(**halves | {side: stored_elsewhere(side, (1,))}, dims=[4])


def constant(**attribute: object) -> onnx.NodeProto:
    node = helper.make_node("Constant", [], ["c"])
    node.attribute.add(**attribute)
    return node


def one() -> onnx.NodeProto:
    return constant(name="value", t=stored_elsewhere(), type="TENSOR")


def graph(*nodes: onnx.NodeProto, initializers: tuple[onnx.TensorProto, ...] = ()) -> onnx.GraphProto:
    return onnx.GraphProto(name="g", node=nodes, initializer=initializers)


def holding(inner: onnx.GraphProto) -> onnx.NodeProto:
    node = helper.make_node("If", ["b"], ["r"])
    node.attribute.add(name="then_branch", g=inner, type="GRAPH")
    return node


def function(*nodes: onnx.NodeProto, **more: object) -> onnx.FunctionProto:
    return onnx.FunctionProto(name="f", domain="d", node=nodes, **more)


def default(**attribute: object) -> list[onnx.AttributeProto]:
    return [onnx.AttributeProto(name="a", **attribute)]


PLACES = {
    "initializer": {"graph": graph(initializers=(stored_elsewhere(),))},
    "sparse initializer": {"graph": onnx.GraphProto(sparse_initializer=[sparse("values")])},
    "attribute": {"graph": graph(one())},
    "attribute's list": {"graph": graph(constant(name="x", tensors=[stored_elsewhere()], type="TENSORS"))},
    "sparse values": {"graph": graph(constant(name="x", sparse_tensor=sparse("values"), type="SPARSE_TENSOR"))},
    "sparse indices": {"graph": graph(constant(name="x", sparse_tensor=sparse("indices"), type="SPARSE_TENSOR"))},
    "sparse list": {"graph": graph(constant(name="x", sparse_tensors=[sparse("values")], type="SPARSE_TENSORS"))},
    "subgraph": {"graph": graph(holding(graph(holding(graph(one())))))},
    "subgraph's initializer": {"graph": graph(holding(graph(initializers=(stored_elsewhere(),))))},
    "function": {"functions": [function(one())]},
    "function's subgraph": {"functions": [function(holding(graph(one())))]},
    "function's subgraph's initializer": {"functions": [function(holding(graph(initializers=(stored_elsewhere(),))))]},
    "function's default": {"functions": [function(attribute_proto=default(t=stored_elsewhere(), type="TENSOR"))]},
    "function's default graph": {"functions": [function(attribute_proto=default(g=graph(one()), type="GRAPH"))]},
    "training": {"training_info": [onnx.TrainingInfoProto(algorithm=graph(one()))]},
}


@pytest.mark.parametrize("place", PLACES)
def test_external_data_is_refused_wherever_a_tensor_may_lie(tmp_path: Path, place: str) -> None:
    path = tmp_path / "m" / "m.onnx"
    path.parent.mkdir()
    path.write_bytes(onnx.ModelProto(ir_version=10, **PLACES[place]).SerializeToString())
    with pytest.raises(ModelError, match="outside the model's folder"):
        check_external_data(path)


def test_operators_are_told_wherever_a_node_may_lie(tmp_path: Path) -> None:
    """An operator that quantizes inside a function's loop decides the margin of a batch, too."""
    inner = graph(helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]))
    for k, fields in enumerate(({"graph": graph(holding(inner))}, {"functions": [function(holding(inner))]})):
        path = tmp_path / f"{k}.onnx"
        path.write_bytes(onnx.ModelProto(ir_version=10, **fields).SerializeToString())
        assert operator_kinds(path) == {"If", "DynamicQuantizeLinear"}


def spelled_out(raw: bytes, path: tuple[int, ...], extra: int) -> bytes:
    """A message whose field at the end of ``path`` has its tag and length written with ``extra`` bytes too many."""
    out, at = bytearray(), 0
    while at < len(raw):
        begin = at
        tag, at = _varint(raw, at)
        if tag & 7 == 0:
            _, at = _varint(raw, at)
        elif tag & 7 == 2:
            size, at = _varint(raw, at)
            at += size
            if tag >> 3 == path[0]:
                inner = raw[at - size : at] if len(path) == 1 else spelled_out(raw[at - size : at], path[1:], extra)
                more = extra if len(path) == 1 else 0
                out += _long(tag, more) + _long(len(inner), more) + inner
                continue
        else:
            at += {1: 8, 5: 4}[tag & 7]
        out += raw[begin:at]
    return bytes(out)


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (raw[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if raw[at - 1] < 0x80:
            return value, at


def _long(value: int, extra: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    if not extra:
        return bytes([*out, value])
    return bytes([*out, value | 0x80, *[0x80] * (extra - 1), 0])


@pytest.mark.parametrize("extra", [0, 1, 2, 3])
@pytest.mark.parametrize("ahead", [0, 2**20 - 60, 2**20 - 10])
def test_external_data_is_found_however_its_key_is_spelled(tmp_path: Path, extra: int, ahead: int) -> None:
    """The scan looks at bytes, which numbers on the wire have more than one spelling of."""
    path = external(tmp_path / "m", "../secret.bin")
    graph, initializer, external_data, key = 7, 5, 13, 1
    raw = spelled_out(path.read_bytes(), (graph, initializer, external_data, key), extra)
    note = onnx.ModelProto(doc_string="d" * ahead).SerializeToString()  # so that the key lies where two pieces meet
    path.write_bytes(note + raw)
    read = onnx.load(path, load_external_data=False)
    assert read.graph.initializer[0].external_data[0].key == "location"
    with pytest.raises(ModelError, match="outside the model's folder"):
        check_external_data(path)
