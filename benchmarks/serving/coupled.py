"""Models whose first dimension is not a batch, or whose rows change one another; and some whose rows do not."""

from __future__ import annotations

from pathlib import Path

import onnx

__all__ = ["COUPLED", "INDEPENDENT", "write_graph"]

COUPLED = {
    "detector": """(float[batch,5] x) => (int64[boxes,2] y) <float zero = {0}, float[5] bias = {1,0,0,0,0}> {
        sc = Add (x, bias)  hit = Greater (sc, zero)  nz = NonZero (hit)  y = Transpose <perm = [1, 0]> (nz) }""",
    "boxes": """(float[batch,8,4] x, float[batch,2,8] scores) => (int64[boxes,3] y)
        <int64 most = {3}, float iou = {0.5}, float least = {0.1}> {
        y = NonMaxSuppression (x, scores, most, iou, least) }""",
    "sequence-first": """(float[time,batch,3] x) => (float[time,batch,4] y) <int64[1] one = {1}> {
        w = ConstantOfShape <value = float[1] {0.3}> (ws)  r = ConstantOfShape <value = float[1] {0.2}> (rs)
        all, last = RNN <hidden_size = 4> (x, w, r)  y = Squeeze (all, one) }""",
    "batch-norm": """(float[batch,6] x) => (float[batch,6] y) <float tiny = {0.01}> {
        m = ReduceMean <axes = [0], keepdims = 1> (x)  d = Sub (x, m)  q = Mul (d, d)
        v = ReduceMean <axes = [0], keepdims = 1> (q)  t = Add (v, tiny)  s = Sqrt (t)
        n = Div (d, s)  y = Add (n, x) }""",
    "best-of-batch": """(float[batch,6] x) => (float[batch,6] y) <int64[1] one = {1}, float zero = {0}> {
        s = ReduceSum <keepdims = 1> (x, one)  top, at = TopK <axis = 0> (s, one)
        keep = GreaterOrEqual (s, top)  y = Where (keep, x, zero) }""",
    "ranked": """(float[batch,6] x) => (float[batch,6] y, int64[batch,1] order)
        <int64[1] one = {1}, int64[1] zero = {0}> {
        s = ReduceSum <keepdims = 1> (x, one)  shape = Shape (x)  rows = Gather (shape, zero)
        top, order = TopK <axis = 0> (s, rows)  flat = Squeeze (order, one)  y = Gather <axis = 0> (x, flat) }""",
    "ragged": """(float[batch,6] x) => (float[rows,6] y) <float zero = {0}, int64[1] one = {1}> {
        s = ReduceSum <keepdims = 0> (x, one)  keep = Greater (s, zero)  y = Compress <axis = 0> (x, keep) }""",
    "flattened": """(float[batch,3,6] x) => (float[rows,6] y) <int64[2] s = {-1,6}> { y = Reshape (x, s) }""",
    "one-answer": """(float[batch,6] x) => (float[n,6] y) { y = ReduceMax <axes = [0], keepdims = 1> (x) }""",
    "running-sum": """(float[batch,6] x) => (float[batch,6] y) <int64 zero = {0}> { y = CumSum (x, zero) }""",
    "neighbour": """(float[batch,6] x) => (float[batch,6] y)
        <int64[1] zero = {0}, int64[1] one = {1}, int64[1] end = {9999}> {
        first = Slice (x, zero, one, zero)  rest = Slice (x, one, end, zero)
        turned = Concat <axis = 0> (rest, first)  y = Add (x, turned) }""",
    "softmax-over-batch": "(float[batch,6] x) => (float[batch,6] y) { s = Softmax <axis = 0> (x)  y = Add (s, x) }",
    "scaled-by-batch": """(float[batch,6] x) => (float[batch,6] y) {
        a = Abs (x)  m = ReduceMax <keepdims = 1> (a)  y = Div (x, m) }""",
    "leaning-on-mean": """(float[batch,6] x) => (float[batch,6] y) <float little = {0.02}> {
        m = ReduceMean <axes = [0], keepdims = 1> (x)  l = Mul (m, little)  y = Add (x, l) }""",
    "first-four": """(float[batch,6] x) => (float[batch,6] y)
        <int64 zero = {0}, int64 one = {1}, int64 four = {4}, int64[1] front = {0}, int64[1] axis = {1}> {
        shape = Shape (x)  rows0 = Gather (shape, front)  rows = Squeeze (rows0)
        k = Range (zero, rows, one)  early = Less (k, four)  mask = Unsqueeze (early, axis)
        cut = Cast <to = 1> (mask)  y = Mul (x, cut) }""",
    "turned": "(float[batch,6] x) => (float[columns,batch] y) { y = Transpose <perm = [1, 0]> (x) }",
}
"""By name: what is computed. Each has a free first dimension, and none may be put together with another request."""

INDEPENDENT = {
    "rows": """(float[batch,6] x) => (float[batch,6] y) { s = Softmax <axis = 1> (x)  y = Add (s, x) }""",
    "best-of-row": """(float[batch,6] x) => (int64[batch] label, float[batch,6] y) {
        label = ArgMax <axis = 1, keepdims = 0> (x)  y = Identity (x) }""",
    "two-inputs": """(float[batch,6] x, float[batch,6] z) => (float[batch,6] y) { p = Mul (x, z)  y = Sub (p, x) }""",
    "images": """(float[batch,2,8,8] x) => (float[batch,2] y) {
        p = GlobalAveragePool (x)  y = Flatten <axis = 1> (p) }""",
}
"""By name: what may be put together."""
_STORED = {"ws": "int64[3] ws = {1,4,3}", "rs": "int64[3] rs = {1,4,4}"}


def write_graph(name: str, folder: Path) -> Path:
    """Write ``<folder>/<name>.onnx`` and return it."""
    text = (COUPLED | INDEPENDENT)[name]
    if "(ws)" in text:
        text = text.replace("<int64[1]", f"<{_STORED['ws']}, {_STORED['rs']}, int64[1]", 1)
    head = '<ir_version: 8, opset_import: ["" : 17]> '
    model = onnx.parser.parse_model(head + name.replace("-", "_") + " " + text)
    onnx.checker.check_model(model)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    return path
