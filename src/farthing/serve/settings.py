"""Where a server listens, whom it trusts, how it stops; checked before anything is loaded."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from farthing.core.simulation.rules.live import LivePolicy
from farthing.errors import InputError
from farthing.serve.limits import Limits

__all__ = ["ServerSettings", "read_api_keys", "read_token", "tls_context"]

_MOST_PORT = 65_535
_SHORTEST_TOKEN = 16
_TRACES_HINT = "--traces http://127.0.0.1:4318/v1/traces"
_LOOPBACK_NAMES = ("localhost", "ip6-localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How a server is set up.

    Attributes:
        host: Address of the public listeners; anything but loopback must be given by the user.
        port: Of HTTP; 0 takes any free one.
        grpc_port: Of gRPC; 0 as above, None for no gRPC.
        metrics_port: Of the second listener (metrics, live page, admin), which is always on loopback; 0 as above, None
            for none.
        tls_cert: PEM file of the certificate chain, None for plain text.
        tls_key: PEM file of its key.
        memory_budget_mib: That all models' workers may take together, None for no bound.
        expose_cost: Answers tell what they cost.
        admin_token: Who shows it may load and unload models; None switches that off.
        api_key_file: Of whose keys clients of the public listeners must show one; None: whoever reaches them may ask.
        ledger: Folder of the ledger, None for none.
        keep_audited: Folder for samples of requests to routes, each with the reference's answer, for a new calibration;
            None (nothing that a client sent is stored) unless the user asks for it.
        traces: Address to which OpenTelemetry spans are sent (OTLP over HTTP), None for no traces.
        notice_s: How long new connections are still taken once the server has said that it is not ready, so that
            load balancers see it; connections end with their next answer meanwhile. Ctrl-C skips it.
        grace_s: How long accepted requests may take once it stops.
        limits: On what clients send.
        scaling: How the worker processes of one model are started and stopped; None for as many as its plan says.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = 8001
    metrics_port: int | None = 8002
    tls_cert: Path | None = None
    tls_key: Path | None = None
    memory_budget_mib: float | None = None
    expose_cost: bool = False
    admin_token: str | None = None
    api_key_file: Path | None = None
    ledger: Path | None = None
    keep_audited: Path | None = None
    traces: str | None = None
    notice_s: float = 1.0
    grace_s: float = 30.0
    limits: Limits = field(default_factory=Limits)
    scaling: LivePolicy | None = None

    def __post_init__(self) -> None:
        if not self.host.strip():
            raise InputError("the host is empty", hint="127.0.0.1 for this machine only, 0.0.0.0 for all addresses")
        ports = [p for p in (self.port, self.grpc_port, self.metrics_port) if p is not None]
        wrong = [p for p in ports if not 0 <= p <= _MOST_PORT]
        if wrong:
            raise InputError(f"port {wrong[0]} does not exist; ports are 0 (any free one) to {_MOST_PORT:,}")
        fixed = [p for p in ports if p]
        if len(set(fixed)) != len(fixed):
            raise InputError(f"HTTP, gRPC and metrics need different ports, not {', '.join(map(str, ports))}")
        if self.traces is not None and not self.traces.startswith(("http://", "https://")):
            raise InputError(f"traces are sent to a URL, not to {self.traces!r}", hint=_TRACES_HINT)
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InputError("TLS needs both --tls-cert and --tls-key")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the public listeners."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host in _LOOPBACK_NAMES


def tls_context(settings: ServerSettings) -> ssl.SSLContext | None:
    """What HTTP encrypts with, None without a certificate.

    Raises:
        InputError: when certificate or key cannot be read or do not belong together.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=_no_password)
    except (OSError, ssl.SSLError) as e:
        said = e.strerror or e.reason if isinstance(e, ssl.SSLError) else e.strerror or str(e)
        raise InputError(f"cannot use the certificate {settings.tls_cert} with {settings.tls_key}: {said}") from e
    return context


def _no_password() -> str:
    raise InputError("the TLS key is encrypted", hint="give a key without a pass phrase; its file should be mode 600")


def read_token(path: Path) -> str:
    """The admin token: the first line of a file that only its owner may read.

    Raises:
        InputError: when it cannot be read, others may read it, or it is shorter than 16 characters.
    """
    return _checked_secret(_read_secret(path, "the admin token").strip(), "the admin token", path)


def read_api_keys(path: Path) -> tuple[str, ...]:
    """The keys of the public listeners: one a line of a file that only its owner may read.

    Raises:
        InputError: when it cannot be read, others may read it, or one is shorter than 16 characters.
    """
    lines = [line.strip() for line in _read_secret(path, "the API keys").splitlines()]
    return tuple(_checked_secret(line, "an API key", path) for line in lines if line) or (
        _checked_secret("", "an API key", path),
    )


def _read_secret(path: Path, what: str) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"cannot read {what} {path}: {e}") from e
    if mode & 0o077:
        raise InputError(f"others may read {what} {path} (mode {mode & 0o777:o})", hint=f"chmod 600 {path}")
    return text


def _checked_secret(text: str, what: str, path: Path) -> str:
    if len(text) < _SHORTEST_TOKEN or not text.isascii() or not text.isprintable() or " " in text:
        raise InputError(
            f"{what} in {path} has {len(text)} characters; it must be one line of {_SHORTEST_TOKEN} or more "
            "printable ASCII characters",
            hint=f"openssl rand -hex 32 > {path}",
        )
    return text
