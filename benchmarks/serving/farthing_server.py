"""``farthing serve`` as its users start it, in a process of its own."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from serving.processes import free_port, replies, running

__all__ = ["Farthing", "farthing", "farthing_of", "write_serve_file"]

_TOKEN = "a-token-for-benchmarks-only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Farthing:
    """A running server.

    Attributes:
        port: HTTP.
        control_port: Metrics, live page and admin.
        process: The parent; its descendants are warm parents and workers.
    """

    port: int
    control_port: int
    process: psutil.Process

    @property
    def url(self) -> str:
        """Of HTTP."""
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> list[psutil.Process]:
        """Processes that hold models: the children of its warm parent."""
        return [p for child in self.process.children() for p in child.children()]

    def metric(self, name: str, **labels: str) -> float:
        """Sum of all samples of ``name`` whose labels include those given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        wanted = [f'{k}="{v}"' for k, v in labels.items()]
        rows = [row.rsplit(" ", 1) for row in text.splitlines() if row.startswith((name + "{", name + " "))]
        return sum(float(value) for head, value in rows if all(w in head for w in wanted))

    def admin(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of one request to the second listener, with the token."""
        connection = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=60)
        headers = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": "application/json"}
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        found = reply.status, reply.read()
        connection.close()
        return found


def write_serve_file(folder: Path, models: Sequence[dict[str, Any]]) -> Path:
    """A serve.yaml with one entry a model."""
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump({"schema": "farthing/serve/1", "models": list(models)}))
    return path


@contextmanager
def farthing(
    folder: Path, models: Sequence[dict[str, Any]], *, inline: str, cores: Sequence[int], options: Sequence[str] = ()
) -> Iterator[Farthing]:
    """Serve ``models`` (entries of a serve.yaml) on free loopback ports, pinned to ``cores``, until the block ends.

    Args:
        folder: Where its files and log go; made when missing.
        models: ``source``, ``name``, ``max_batch`` …
        inline: ``auto``, ``never`` or ``always``.
        cores: That the server and all its processes may use.
        options: Further words of the command line.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = write_serve_file(folder, models)
    with farthing_of(folder, source, inline=inline, cores=cores, options=options) as server:
        yield server


@contextmanager
def farthing_of(
    folder: Path, source: Path, *, inline: str, cores: Sequence[int], options: Sequence[str] = ()
) -> Iterator[Farthing]:
    """The same with what ``farthing serve`` takes: a plan, a model's folder, a serve.yaml or a route.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    port, grpc_port, control_port = free_port(), free_port(), free_port()
    token = folder / "token"
    token.unlink(missing_ok=True)
    token.write_text(_TOKEN)
    token.chmod(0o600)
    command = [str(Path(sys.executable).with_name("farthing")), "serve", str(source)]
    command += ["--port", str(port), "--grpc-port", str(grpc_port), "--metrics-port", str(control_port)]
    command += ["--admin-token-file", str(token), "--inline", inline, *options]
    ready = lambda: replies(port, "/v2/health/ready")  # noqa: E731
    with running(command, cores=cores, ready=ready, log=folder / "farthing.log", timeout_s=60) as process:
        yield Farthing(port=port, control_port=control_port, process=process)
