"""The head of an HTTP request: what it asks for, how its body comes, and whether it is refused before the body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from farthing.serve.http.addresses import Address, match
from farthing.serve.limits import Limits
from farthing.serve.protocol.api_keys import ApiKeys
from farthing.serve.protocol.csv_answers import prefers_csv
from farthing.serve.protocol.tenants import tenant_of
from farthing.wire.requests import Problem

__all__ = ["Head", "read_head"]

_ONCE = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"inference-header-content-length",
        b"traceparent",
        b"transfer-encoding",
        b"x-amzn-sagemaker-target-model",
    }
)
_ENCODINGS = {b"": "", b"identity": "", b"gzip": "gzip", b"x-gzip": "gzip", b"deflate": "deflate"}
_FORM = "application/x-www-form-urlencoded"
"""What ``curl -d`` says of any body; read as JSON, as other servers do."""
_INFER_TYPES = frozenset({"", "application/json", "application/octet-stream", _FORM})
_INVOKE_TYPES = frozenset({"", "application/json", "application/octet-stream", "text/csv", "text/plain"})
_OPEN = frozenset({"live", "ready"})
"""Routes that load balancers ask without a key."""
_MAX_DIGITS = 18
_MAX_PATH = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the head of one request says.

    Attributes:
        method: In capitals.
        address: None when the address means nothing here.
        problem: Why the request is refused whatever its body holds; None when the body is wanted.
        allow: Methods of the address, for a 405.
        fatal: The connection cannot go on after this request.
        keep_alive: The client wants to go on.
        old: HTTP/1.0.
        length_bytes: Of the body as sent; None when it is not said (no body, or chunked).
        chunked: The body comes in chunks.
        expect: The client waits for ``100 Continue``.
        encoding: ``gzip``, ``deflate`` or empty.
        media_type: In small letters without parameters.
        json_bytes: Length of the JSON part when raw tensors follow it.
        target_model: SageMaker's choice of a model, empty when none.
        tenant: Salted hash of the caller's credentials, empty when none.
        trace: ``traceparent``.
        csv: The answer is wanted as ``text/csv`` (only of ``/invocations``).
    """

    method: str
    address: Address | None
    problem: Problem | None
    allow: str = ""
    fatal: bool = False
    keep_alive: bool = True
    old: bool = False
    length_bytes: int | None = None
    chunked: bool = False
    expect: bool = False
    encoding: str = ""
    media_type: str = ""
    json_bytes: int | None = None
    target_model: str = ""
    tenant: str = ""
    trace: str | None = None
    csv: bool = False

    @property
    def repeats(self) -> bool:
        """Whether a client may send the very same head again, so that it is worth keeping."""
        return self.problem is None and self.keep_alive and not (self.old or self.chunked or self.expect or self.trace)


class HeadLines:
    """Request line and headers as the parser finds them, within bounds; the parser calls ``on_url`` and ``on_header``.

    Args:
        limits: Bounds.

    Attributes:
        target: Of the request.
        headers: Names and values as sent.
    """

    __slots__ = ("_found_bytes", "_limits", "_sent_bytes", "headers", "target")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.begin()

    def begin(self) -> None:
        """A head begins."""
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self._found_bytes = self._sent_bytes = 0

    def on_url(self, part: bytes) -> None:
        """A part of the request target."""
        self.target += part
        self._count(len(part))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; after the body a trailer, which is counted like one and means nothing."""
        self._count(len(name) + len(value) + 4)
        self.headers.append((name, value))
        if len(self.headers) > self._limits.headers:
            raise Problem(431, f"more than {self._limits.headers} headers")

    def sent(self, size_bytes: int) -> Problem | None:
        """So many bytes came that did not end the head: a problem when the parser holds back too many of them."""
        self._sent_bytes += size_bytes
        return self._too_long() if self._sent_bytes > 2 * self._limits.head_bytes else None

    def _count(self, size_bytes: int) -> None:
        self._found_bytes += size_bytes
        if self._found_bytes > self._limits.head_bytes:
            raise self._too_long()

    def _too_long(self) -> Problem:
        return Problem(431, f"the head is longer than the limit of {self._limits.head_bytes:,} bytes")


def read_head(
    *,
    method: str,
    target: bytes,
    version: str,
    keep_alive: bool,
    headers: Sequence[tuple[bytes, bytes]],
    limits: Limits,
    tenant_salt: bytes | None,
    api_keys: ApiKeys | None = None,
) -> Head:
    """Judge a head.

    Args:
        method: As sent.
        target: Path and query.
        version: ``1.1`` or ``1.0``.
        keep_alive: As the protocol's rules say.
        headers: Names in any case, values.
        limits: Bounds.
        tenant_salt: For the hash of ``Authorization``; None for no tenants.
        api_keys: Of which one must be shown, but to ask whether the server is alive and ready; None for none.
    """
    address = None
    allow, length_bytes, chunked = "", None, False
    try:
        found = _once(headers)
        _check_version(version, found, keep_alive)
        chunked = _is_chunked(found, version)
        length_bytes = int(found[b"content-length"]) if b"content-length" in found else None
        address = _address(target)
        if api_keys is not None and address.name not in _OPEN:
            api_keys.check(found.get(b"authorization", b""))
        if method not in address.methods:
            allow = ", ".join(address.methods)
            raise Problem(405, f"{method[:20]} is not allowed here; {allow} is")
        wanted = _wanted(method, address, version, keep_alive, length_bytes, chunked, found, limits, tenant_salt)
        return replace(wanted, csv=True) if address.name == "invocations" and _wants_csv(headers) else wanted
    except Problem as problem:
        fatal = problem.status in (400, 501, 505) and address is None
        return Head(
            method=method,
            address=address,
            problem=problem,
            allow=allow,
            fatal=fatal or b"expect" in {name.lower() for name, _ in headers},
            keep_alive=keep_alive,
            old=version == "1.0",
            length_bytes=length_bytes,
            chunked=chunked,
        )


def _wanted(
    method: str,
    address: Address,
    version: str,
    keep_alive: bool,
    length_bytes: int | None,
    chunked: bool,
    found: dict[bytes, bytes],
    limits: Limits,
    tenant_salt: bytes | None,
) -> Head:
    media_type = _media_type(found.get(b"content-type", b""))
    encoding = _check_body(method, address, length_bytes, chunked, media_type, found, limits)
    expect = found.get(b"expect", b"").lower()
    if expect not in (b"", b"100-continue"):
        raise Problem(417, "only 100-continue can be expected of this server")
    caller = found.get(b"authorization", b"")
    trace = found.get(b"traceparent")
    return Head(
        method=method,
        address=address,
        problem=None,
        keep_alive=keep_alive,
        old=version == "1.0",
        length_bytes=length_bytes,
        chunked=chunked,
        expect=bool(expect) and version != "1.0",
        encoding=encoding,
        media_type=media_type,
        json_bytes=_json_bytes(found, limits) if address.infers else None,
        target_model=found.get(b"x-amzn-sagemaker-target-model", b"").decode("latin-1"),
        tenant=tenant_of(caller, tenant_salt),
        trace=None if trace is None else trace.decode("latin-1"),
    )


def _wants_csv(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    accept = b",".join(value for name, value in headers if name.lower() == b"accept")
    return bool(accept) and prefers_csv(accept.decode("latin-1"))


def _once(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers that mean something here by their name in small letters; those may be there once only."""
    found: dict[bytes, bytes] = {}
    for raw_name, value in headers:
        name = raw_name.lower()
        if name in _ONCE:
            if name in found:
                raise Problem(400, f"the header {name.decode('latin-1')} is there twice")
            found[name] = value.strip()
    return found


def _check_version(version: str, found: dict[bytes, bytes], keep_alive: bool) -> None:
    if version not in ("1.0", "1.1"):
        raise Problem(505, f"HTTP {version} is not spoken here; HTTP 1.1 is")
    if version == "1.1" and not found.get(b"host"):
        raise Problem(400, "HTTP 1.1 needs a Host header")


def _is_chunked(found: dict[bytes, bytes], version: str) -> bool:
    coding = found.get(b"transfer-encoding")
    if coding is None:
        return False
    if b"content-length" in found or version == "1.0":
        raise Problem(400, "Transfer-Encoding goes neither with Content-Length nor with HTTP 1.0")
    if coding.lower() != b"chunked":
        raise Problem(501, "chunked is the only transfer coding here")
    return True


def _address(target: bytes) -> Address:
    path = target.partition(b"?")[0]
    if path.startswith(b"http://"):
        path = b"/" + path[len(b"http://") :].partition(b"/")[2]
    address = match(path.decode("latin-1")) if len(path) <= _MAX_PATH else None
    if address is None:
        raise Problem(404, f"there is nothing at {target[:80].decode('latin-1')}")
    return address


def _media_type(raw: bytes) -> str:
    kind, _, parameters = raw.decode("latin-1").lower().partition(";")
    if "charset=" in parameters and not any(word in parameters for word in ("utf-8", "utf8", "us-ascii")):
        raise Problem(415, "texts are UTF-8 here")
    return kind.strip()


def _check_body(
    method: str,
    address: Address,
    length_bytes: int | None,
    chunked: bool,
    media_type: str,
    found: dict[bytes, bytes],
    limits: Limits,
) -> str:
    """The body's encoding; a problem when no body of that kind or size is wanted."""
    if method != "POST":
        if chunked or length_bytes:
            raise Problem(400, f"a {method} has no body here")
        return ""
    if length_bytes is not None and length_bytes > limits.body_bytes:
        raise Problem(413, f"the body has {length_bytes:,} bytes; the limit is {limits.body_bytes:,}")
    if address.infers:
        if length_bytes is None and not chunked:
            raise Problem(411, "a request with a body says its Content-Length")
        known = _INVOKE_TYPES if address.name == "invocations" else _INFER_TYPES
        picture = address.name == "invocations" and media_type.startswith("image/")
        if media_type not in known and not picture:
            raise Problem(415, f"Content-Type {media_type[:80]} is not read here; application/json is")
    encoding = _ENCODINGS.get(found.get(b"content-encoding", b"").lower())
    if encoding is None:
        raise Problem(415, "Content-Encoding is gzip or deflate here")
    return encoding


def _json_bytes(found: dict[bytes, bytes], limits: Limits) -> int | None:
    raw = found.get(b"inference-header-content-length")
    if raw is None:
        return None
    if not raw.isdigit() or len(raw) > _MAX_DIGITS:
        raise Problem(400, "Inference-Header-Content-Length is a whole number of bytes")
    return int(raw)
