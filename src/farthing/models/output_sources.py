"""What outputs of an ONNX graph are computed from: nothing that a request brings, or one other output, row by row.

Such outputs need not vary to show that requests may share a batch. Only shapes reach a policy's standard deviation
(``exp(log_std)``, as long as the batch): no request's values can be in it. Saturated probabilities are a sigmoid or a
softmax of logits: what is shown of the logits holds for them. Both are told only where the file says so; whatever is
not known (subgraphs, functions, operators of others) counts as reached by every request.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from farthing.errors import ModelError
from farthing.models.graph_content import GraphContent, Node, graph_content
from farthing.models.onnx_files import model_file

__all__ = ["explained_outputs", "needless_to_vary"]

_SUBGRAPHS = frozenset({"If", "Loop", "Scan", "SequenceMap"})
_SIZES = frozenset({"Shape", "Size"})
_FIRST_SETS_SIZE = (
    "BlackmanWindow Compress ConstantOfShape HammingWindow HannWindow ImageDecoder MelWeightMatrix NonMaxSuppression "
    "NonZero Range SequenceAt SplitToSequence StringSplit Unique"
)
_NUMBER_BY_NUMBER = (
    "Abs Acos Acosh Add And Asin Asinh Atan Atanh Cast Ceil Celu Clip Cos Cosh DequantizeLinear Div Elu Equal Erf Exp "
    "Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max "
    "Mean Min Mish Mod Mul Neg Not Or Pow PRelu QuantizeLinear Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh "
    "Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor"
)
_SEVERAL_INPUTS = (
    "BatchNormalization Concat Conv ConvTranspose Einsum Gather GatherElements GatherND Gemm LayerNormalization MatMul "
    "RMSNormalization ScatterElements ScatterND"
)
_SIZED_BY_VALUES = frozenset(_FIRST_SETS_SIZE.split())
"""How much they give depends on what they read first; for others only on the values of later inputs, if at all."""
_PER_VALUE = frozenset(_NUMBER_BY_NUMBER.split())
"""Each number that they give is made of one number of each input."""
_SIZED_BY_SHAPES = _PER_VALUE | frozenset(_SEVERAL_INPUTS.split())
"""Of several inputs, none of whose values sets the size."""
_OVER_CLASSES = frozenset({"LogSoftmax", "Softmax"})
"""Over the batch by mistake they would give 1 (0) throughout for a request alone, less beside others: which shows."""
_SAME = frozenset({"Cast", "DequantizeLinear", "Identity"})


def explained_outputs(path: Path) -> Callable[[Collection[str]], frozenset[str]]:
    """Prepare :func:`needless_to_vary` for what an engine loads; the file is read when it is first asked.

    Where it cannot be read as ONNX, no output is explained.
    """
    read: list[GraphContent | None] = []

    def explained(varied: Collection[str]) -> frozenset[str]:
        if not read:
            read.append(_content(path))
        return frozenset() if read[0] is None else needless_to_vary(read[0], varied)

    return explained


def _content(path: Path) -> GraphContent | None:
    try:
        file = model_file(path, ("model.onnx",))
        return graph_content(file) if file.suffix == ".onnx" else None
    except (ModelError, OSError):
        return None


def needless_to_vary(content: GraphContent, varied: Collection[str]) -> frozenset[str]:
    """Outputs that show nothing by staying the same.

    Args:
        content: Of the model.
        varied: Outputs that requests have changed.

    Returns:
        Of the others those that no input's values reach, and those that are computed number by number (a softmax at
        the end included) from one output that has varied and from what no input reaches.
    """
    reached, writers = _reached(content), _writers(content)
    sources = {name: output for output in varied for name in _same_as(output, writers)}
    return frozenset(
        spec.name
        for spec in content.outputs
        if spec.name not in varied and (spec.name not in reached or _follows(spec.name, reached, writers, sources))
    )


def _writers(content: GraphContent) -> Mapping[str, Node]:
    """The node that writes each tensor; names that are written twice (in functions) are left out."""
    found: dict[str, Node] = {}
    twice = set[str]()
    for node in content.nodes:
        for name in node.outputs:
            twice |= {name} & found.keys()
            found[name] = node
    return {name: node for name, node in found.items() if name not in twice}


def _reached(content: GraphContent) -> frozenset[str]:
    """Tensors in whose values or size there may be something of an input's values.

    An input's shape is none of its values; the shape of what was picked by values (``NonZero``) is.
    """
    written = {name for node in content.nodes for name in node.outputs} | content.stored.keys()
    read = {name for node in content.nodes for name in node.inputs if name}
    values = {spec.name for spec in content.inputs} | (read - written)
    sizes = set[str]()
    known = -1
    while known < len(values) + len(sizes):
        known = len(values) + len(sizes)
        for node in content.nodes:
            in_values, in_sizes = _gives(node, values, sizes)
            values.update(node.outputs if in_values else ())
            sizes.update(node.outputs if in_sizes else ())
    return frozenset(values | sizes)


def _gives(node: Node, values: Collection[str], sizes: Collection[str]) -> tuple[bool, bool]:
    """Whether an input's values reach the values, and the size, of what a node gives."""
    if node.kind in _SUBGRAPHS:
        return True, True
    sized = any(name in sizes for name in node.inputs)
    if node.kind in _SIZES and not node.domain:
        return sized, False
    valued = any(name in values for name in node.inputs)
    if node.domain or node.kind in _SIZED_BY_VALUES:
        return valued or sized, valued or sized
    sets_size = () if node.kind in _SIZED_BY_SHAPES else node.inputs[1:]
    return valued or sized, sized or any(name in values for name in sets_size)


def _same_as(output: str, writers: Mapping[str, Node]) -> list[str]:
    """An output, and the tensors of which it is a copy in another name or type."""
    found = [output]
    while (node := writers.get(found[-1])) is not None and node.kind in _SAME and not node.domain:
        if node.kind == "Cast" and "float" not in node.to:
            break
        found.append(node.inputs[0])
    return found


def _follows(output: str, reached: Collection[str], writers: Mapping[str, Node], sources: Mapping[str, str]) -> bool:
    """Whether an output is computed from one of the sources, number by number, and from nothing else of a request."""
    found, seen = set[str](), set[str]()
    waiting = [_before_softmax(output, writers)]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in reached:
            continue
        seen.add(name)
        if name in sources:
            found.add(sources[name])
            continue
        node = writers.get(name)
        if node is None or node.domain or node.kind not in _PER_VALUE:
            return False
        waiting += node.inputs
    return len(found) == 1


def _before_softmax(output: str, writers: Mapping[str, Node]) -> str:
    """What the softmax reads of which an output is a copy; the output itself where there is none."""
    node = writers.get(_same_as(output, writers)[-1])
    return node.inputs[0] if node is not None and node.kind in _OVER_CLASSES and not node.domain else output
