"""Cases about HTTP itself: framing, smuggling, slowness, compression, addresses."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from functools import cache

from farthing.conformance.cases import BROKEN, FINE, REFUSED, Case
from farthing.conformance.target import Target

__all__ = ["address_cases", "compression_cases", "fine_cases", "framing_cases", "smuggling_cases"]

_LONG = 200_000
_BOMB_BYTES = 256 * 2**20


def _request(target: Target, *lines: str, body: bytes = b"", version: str = "HTTP/1.1") -> bytes:
    """A request whose head is written by hand."""
    first = f"POST {target.path} {version}"
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1") + body


def _chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def fine_cases(target: Target) -> Iterator[Case]:
    """Well-formed requests that careless servers trip over."""
    body = target.body()
    host = f"Host: {target.host}"
    plain = target.request(body)
    half = len(body) // 2
    yield Case(name="fine: one request", pieces=(plain,), allowed=FINE)
    yield Case(name="fine: byte by byte", pieces=tuple(plain[k : k + 1] for k in range(len(plain))), allowed=FINE)
    yield Case(name="fine: head and body apart", pieces=(plain[: -len(body)], body), allowed=FINE, pause_s=0.05)
    kept = target.request(body, close=False)
    yield Case(name="fine: ten pipelined", pieces=(kept * 9 + plain,), allowed=FINE, answers=10)
    old = target.request(body, version="1.0")
    yield Case(name="fine: HTTP/1.0", pieces=(old,), allowed=FINE)
    json_type, close = "Content-Type: application/json", "Connection: close"
    chunked = _request(
        target, host, json_type, "Transfer-Encoding: chunked", close, body=_chunks(body[:half], body[half:])
    )
    yield Case(name="fine: chunked", pieces=(chunked,), allowed=FINE)
    trailers = chunked[:-2] + b"X-Sum: 1\r\n\r\n"
    yield Case(name="fine: chunked with trailers", pieces=(trailers,), allowed=FINE)
    expecting = target.request(body, "Expect: 100-continue")
    yield Case(name="fine: expects 100", pieces=(expecting[: -len(body)], body), allowed=FINE, pause_s=0.05)
    upper = _request(
        target, f"HOST:{target.host}", "CONTENT-TYPE:application/json", f"CONTENT-LENGTH:{len(body)}", close
    )
    yield Case(name="fine: header names in capitals, no blanks", pieces=(upper + body,), allowed=FINE)
    yield Case(name="fine: blanks around values", pieces=(target.request(body, "X-A: \t b \t"),), allowed=FINE)
    utf8 = target.request(body, "Content-Type: application/json; charset=utf-8")
    yield Case(name="fine: charset", pieces=(utf8,), allowed=FINE)
    spaced = body.replace(b",", b" ,\r\n\t")
    yield Case(name="fine: blanks within JSON", pieces=(target.request(spaced),), allowed=FINE)
    yield Case(name="fine: empty line before", pieces=(b"\r\n" + plain,), allowed=FINE | BROKEN)


def framing_cases(target: Target) -> Iterator[Case]:
    """What is no HTTP, or too long."""
    body = target.body()
    host = f"Host: {target.host}"
    length, close = f"Content-Length: {len(body)}", "Connection: close"
    for name, raw in (
        ("garbage", b"\x00\x01\x02\x03garbage\r\n\r\n"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64))),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("no version", f"GET {target.path}\r\n\r\n".encode()),
        ("version 3.7", _request(target, host, length, close, body=body, version="HTTP/3.7")),
        ("version a text", _request(target, host, length, close, body=body, version="HTTP/x.y")),
        ("a method that there is not", b"INFER / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a method in small letters", b"get /v2 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("CONNECT", b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n"),
        ("bare line feeds", _request(target, host, length, close, body=body).replace(b"\r\n", b"\n")),
        ("a NUL in a header", _request(target, host, length, "X-A: a\x00b", close, body=body)),
        ("a blank before a colon", _request(target, host, length, "X-A : b", close, body=body)),
        ("a header without a colon", _request(target, host, length, "nothing", close, body=body)),
        ("an empty header name", _request(target, host, length, ": b", close, body=body)),
        ("no Host", _request(target, length, close, body=body)),
        ("two Hosts", _request(target, host, "Host: other", length, close, body=body)),
        ("an unknown expectation", target.request(body, "Expect: 200-ok")),
        ("an upgrade to nonsense", target.request(body, "Connection: upgrade", "Upgrade: nonsense", close=False)),
        ("a long address", target.request(b"", method="GET", path="/" + "a" * _LONG, length=None)),
        ("a long header", target.request(body, "X-A: " + "a" * _LONG)),
        ("a long header name", target.request(body, "X" * _LONG + ": a")),
        ("ten thousand headers", target.request(body, *(f"X-{k}: a" for k in range(10_000)))),
    ):
        yield Case(name=f"HTTP: {name}", pieces=(raw,), allowed=BROKEN)
    for name, value in (
        ("negative", "-1"),
        ("a text", "many"),
        ("with a sign", f"+{len(body)}"),
        ("hexadecimal", hex(len(body))),
        ("beyond 64 bits", str(2**64 + len(body))),
        ("a list", f"{len(body)}, {len(body)}"),
        ("a fraction", f"{len(body)}.0"),
        ("a terabyte", str(2**40)),
    ):
        yield Case(name=f"Content-Length {name}", pieces=(target.request(body, length=value),), allowed=BROKEN | {413})
    yield Case(name="no Content-Length", pieces=(_request(target, host, close),), allowed=REFUSED)
    short = target.request(body, length=str(len(body) - 1))
    yield Case(name="Content-Length one short", pieces=(short,), allowed=BROKEN)


def smuggling_cases(target: Target) -> Iterator[Case]:
    """Two readings of one byte stream: none may be accepted."""
    body = target.body()
    host, chunked = f"Host: {target.host}", "Transfer-Encoding: chunked"
    length = f"Content-Length: {len(body)}"
    inner = target.request(body, close=False)
    framed = _chunks(body)
    for name, raw in (
        ("both lengths", _request(target, host, length, chunked, body=framed + inner)),
        ("both lengths, the other order", _request(target, host, chunked, length, body=framed + inner)),
        ("Content-Length 0 and chunked", _request(target, host, "Content-Length: 0", chunked, body=framed)),
        ("two lengths", _request(target, host, length, "Content-Length: 0", body=body)),
        ("two equal lengths", _request(target, host, length, length, body=body)),
        ("two codings", _request(target, host, chunked, "Transfer-Encoding: identity", body=framed)),
        ("chunked twice", _request(target, host, "Transfer-Encoding: chunked, chunked", body=framed)),
        ("chunked not last", _request(target, host, "Transfer-Encoding: chunked, gzip", body=framed)),
        ("an unknown coding", _request(target, host, "Transfer-Encoding: xchunked", body=framed)),
        ("a coding after a tabulator", _request(target, host, "Transfer-Encoding:\x0bchunked", body=framed)),
        ("a folded coding", _request(target, host, "Transfer-Encoding:\r\n chunked", length, body=framed)),
        ("a folded header", _request(target, host, length, "X-A: a\r\n b", body=body)),
        ("a blank before the first header", _request(target, " " + host, length, body=body)),
        ("a line feed within a header", _request(target, host, f"X-A: a\n{length}", chunked, body=framed)),
        ("a carriage return within a header", _request(target, host, f"X-A: a\r{length}", chunked, body=framed)),
        ("chunked in HTTP/1.0", _request(target, host, chunked, body=framed, version="HTTP/1.0")),
    ):
        yield Case(name=f"smuggling: {name}", pieces=(raw,), allowed=BROKEN)
    for name, frame in (
        ("negative", b"-1\r\na\r\n0\r\n\r\n"),
        ("hexadecimal with a prefix", b"0x1\r\n{\r\n0\r\n\r\n"),
        ("no number", b"zz\r\n{\r\n0\r\n\r\n"),
        ("beyond 64 bits", b"1" + b"0" * 16 + b"\r\n{\r\n0\r\n\r\n"),
        ("shorter than the chunk", b"1\r\n{}\r\n0\r\n\r\n"),
        ("after a bare line feed", b"2\n{}\n0\n\n"),
        ("empty", b"\r\n{}\r\n0\r\n\r\n"),
        ("with a blank inside", b"1 2\r\n{}\r\n0\r\n\r\n"),
    ):
        raw = _request(target, host, chunked, "Content-Type: application/json", body=frame)
        yield Case(name=f"chunk size {name}", pieces=(raw,), allowed=BROKEN)


@cache
def _bomb() -> bytes:
    """Blanks that were many."""
    squeezer = zlib.compressobj(1, zlib.DEFLATED, 31)
    blanks = b" " * 2**20
    return b"".join(squeezer.compress(blanks) for _ in range(_BOMB_BYTES // len(blanks))) + squeezer.flush()


def compression_cases(target: Target) -> Iterator[Case]:
    """Compressed bodies, good and bad."""
    body = target.body()
    packed = gzip.compress(body)
    for name, encoding, raw in (("gzip", "gzip", packed), ("deflate", "deflate", zlib.compress(body))):
        request = target.request(raw, f"Content-Encoding: {encoding}")
        yield Case(name=f"fine: {name}", pieces=(request,), allowed=FINE | {415})
    for name, encoding, raw in (
        ("that is none", "gzip", body),
        ("cut off", "gzip", packed[:-9]),
        ("with a wrong sum", "gzip", packed[:-8] + bytes(8)),
        ("followed by more", "gzip", packed + b"more"),
        ("twice, said once", "gzip", gzip.compress(packed)),
        ("empty", "gzip", b""),
        ("that is a bomb", "gzip", _bomb()),
        ("of an unknown kind", "rot13", body),
        ("of two kinds", "gzip, gzip", gzip.compress(packed)),
        ("deflate that is none", "deflate", body),
    ):
        request = target.request(raw, f"Content-Encoding: {encoding}")
        yield Case(name=f"compression {name}", pieces=(request,), allowed=REFUSED)


def address_cases(target: Target) -> Iterator[Case]:
    """Addresses and methods that there are not."""
    body = target.body()
    model = target.path.removesuffix("/infer")
    for path in (
        "/",
        "/v1/models",
        "/v2/models//infer",
        "/v2/models/no-such-model/infer",
        f"{model}/versions/999999/infer",
        f"{model}/versions/x%00y/infer",
        f"{model}/infer/",
        f"{model}/nothing",
        "/v2/../v2/models/../../etc/passwd",
        "/v2/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd/infer",
        "/v2/models/%00/infer",
        "/v2/models/%ff%fe/infer",
        "/v2/models/%zz/infer",
        "/v2/models/" + "a" * 4000 + "/infer",
    ):
        yield Case(name=f"address {path[:50]}", pieces=(target.request(body, path=path),), allowed=REFUSED)
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        request = target.request(b"", method=method, length=None)
        yield Case(
            name=f"{method} infer", pieces=(request,), allowed=REFUSED | ({200, 204} if method == "OPTIONS" else set())
        )
    for path in ("/v2", "/v2/health/live", model):
        yield Case(name=f"POST {path}", pieces=(target.request(b"{}", path=path),), allowed=REFUSED)
    for media_type in ("text/html", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "image/png"):
        request = target.request(body, f"Content-Type: {media_type}")
        yield Case(name=f"Content-Type {media_type}", pieces=(request,), allowed=REFUSED)
