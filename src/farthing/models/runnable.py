"""Whether the ONNX Runtime that is installed can take a file at all: file format, operator sets, operators."""

from __future__ import annotations

from functools import cache

from farthing.models.graph_content import GraphContent

__all__ = ["foreign_operators", "too_new"]

_SURELY_KNOWN, _SURELY_KNOWN_IR = {"": 22, "ai.onnx.ml": 4, "com.microsoft": 1}, 10
"""Every ONNX Runtime that farthing allows (≥ 1.22) takes these; for newer ones, and for operator sets of other domains,
the installed one is asked."""
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
    """``(what, its version, newest that is taken here)`` of what is too new for the installed ONNX Runtime, or None.

    What it is: ``opset`` for ONNX's own operators, the domain (``ai.onnx.ml``) for others, ``IR version`` for the file.
    """
    for domain, version in content.opsets.items():
        if version > _SURELY_KNOWN.get(domain, 0) and not _takes(_SURELY_KNOWN_IR, domain, version):
            return domain or "opset", version, _newest_opset(domain, version)
    if content.ir_version > _SURELY_KNOWN_IR and not _takes(content.ir_version, "", _SURELY_KNOWN[""]):
        return "IR version", content.ir_version, _newest_ir()
    return None


@cache
def _newest_opset(domain: str, refused: int) -> int:
    """Newest version of an operator set that is taken, by halving what lies below one that is not."""
    taken = _SURELY_KNOWN.get(domain, 0)
    while refused - taken > 1:
        middle = (taken + refused) // 2
        if _takes(_SURELY_KNOWN_IR, domain, middle):
            taken = middle
        else:
            refused = middle
    return taken


@cache
def _newest_ir() -> int:
    newest = _SURELY_KNOWN_IR
    while _takes(newest + 1, "", _SURELY_KNOWN[""]):
        newest += 1
    return newest


@cache
def _takes(ir_version: int, domain: str, version: int) -> bool:
    """Whether ONNX Runtime opens a model of one Identity; it gives the versions that it knows in no other way.

    It takes any version of an operator set that it does not know at all.
    """
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    try:
        ort.InferenceSession(_identity(ir_version, domain, version), settings, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 - whatever it raises, it does not take them
        return False
    return True


def _identity(ir_version: int, domain: str, version: int) -> bytes:
    """A ModelProto whose graph gives its float input x as y, and which asks for one more operator set."""
    float_of_one = _bytes(1, _number(1, 1) + _bytes(2, _bytes(1, _number(1, 1))))
    x, y = (_bytes(1, name) + _bytes(2, float_of_one) for name in (b"x", b"y"))
    node = _bytes(1, b"x") + _bytes(2, b"y") + _bytes(4, b"Identity")
    graph = _bytes(1, node) + _bytes(2, b"g") + _bytes(11, x) + _bytes(12, y)
    own = b"" if domain == "" else _bytes(8, _number(2, _SURELY_KNOWN[""]))
    asked = _bytes(8, _bytes(1, domain.encode()) + _number(2, version))
    return _number(1, ir_version) + _bytes(7, graph) + own + asked


def _number(field: int, value: int) -> bytes:
    return bytes([field << 3]) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low]) if value < 0x80 else bytes([low | 0x80]) + _varint(value >> 7)
