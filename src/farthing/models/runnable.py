"""Whether the ONNX Runtime that is installed can take a file at all: file format, operator sets, operators."""

from __future__ import annotations

from functools import cache

from farthing.models.graph_content import GraphContent

__all__ = ["foreign_operators", "too_new"]

_SURELY_KNOWN_OPSET, _SURELY_KNOWN_IR = 22, 10
"""Every ONNX Runtime that farthing allows (≥ 1.22) takes these; for newer ones the installed one is asked."""
_KNOWN_DOMAINS = {"", "ai.onnx.ml", "ai.onnx.preview.training", "ai.onnx.training", "com.microsoft"}
_KNOWN_DOMAINS |= {"com.microsoft.nchwc", "com.microsoft.dml", "com.ms.internal.nhwc"}


def foreign_operators(content: GraphContent) -> dict[str, tuple[str, ...]]:
    """Operators that neither ONNX Runtime nor the file itself defines, by domain."""
    found: dict[str, dict[str, None]] = {}
    for node in content.nodes:
        if node.domain not in _KNOWN_DOMAINS and (node.domain, node.kind) not in content.functions:
            found.setdefault(node.domain, {})[node.kind] = None
    return {domain: tuple(kinds) for domain, kinds in found.items()}


def too_new(content: GraphContent) -> tuple[str, int, int] | None:
    """``(what, its version, newest that is taken here)`` of what is too new for the installed ONNX Runtime, or None."""
    opset = content.opsets.get("", _SURELY_KNOWN_OPSET)
    if opset > _SURELY_KNOWN_OPSET and not _takes(_SURELY_KNOWN_IR, opset):
        return "opset", opset, _newest_opset()
    if content.ir_version > _SURELY_KNOWN_IR and not _takes(content.ir_version, _SURELY_KNOWN_OPSET):
        return "IR version", content.ir_version, _newest_ir()
    return None


@cache
def _newest_opset() -> int:
    newest = _SURELY_KNOWN_OPSET
    while _takes(_SURELY_KNOWN_IR, newest + 1):
        newest += 1
    return newest


@cache
def _newest_ir() -> int:
    newest = _SURELY_KNOWN_IR
    while _takes(newest + 1, _SURELY_KNOWN_OPSET):
        newest += 1
    return newest


def _takes(ir_version: int, opset: int) -> bool:
    """Whether ONNX Runtime opens a model of one Identity; it gives the versions that it knows in no other way."""
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    try:
        ort.InferenceSession(_identity(ir_version, opset), settings, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 - whatever it raises, it does not take them
        return False
    return True


def _identity(ir_version: int, opset: int) -> bytes:
    """A ModelProto whose graph gives its float input x as y."""
    float_of_one = _bytes(1, _number(1, 1) + _bytes(2, _bytes(1, _number(1, 1))))
    x, y = (_bytes(1, name) + _bytes(2, float_of_one) for name in (b"x", b"y"))
    node = _bytes(1, b"x") + _bytes(2, b"y") + _bytes(4, b"Identity")
    graph = _bytes(1, node) + _bytes(2, b"g") + _bytes(11, x) + _bytes(12, y)
    return _number(1, ir_version) + _bytes(7, graph) + _bytes(8, _number(2, opset))


def _number(field: int, value: int) -> bytes:
    return bytes([field << 3]) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low]) if value < 0x80 else bytes([low | 0x80]) + _varint(value >> 7)
