"""Other servers on the same models: how each is installed, started, asked, and what its answers look like."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

import numpy as np

from serving.models import (
    Floats,
    Post,
    floats_after,
    json_post,
    oip_binary_post,
    oip_json_post,
    raw_post,
    upload_post,
)
from serving.processes import free_port

__all__ = ["PEERS", "Peer", "environment", "environment_of", "oip_answer", "version"]

_SCRIPTS = Path(__file__).parents[1] / "peers"
Answer = Callable[[Mapping[str, str], bytes], Floats]
CONNECTIONS = {"mlp": (32,), "conv": (8,)}
"""Usual ones; more where a peer is known to depend on them."""
MakePost = Callable[[Floats], Post]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A server to compare with.

    Attributes:
        name: Of the requirements file under ``peers/`` and, with ``_app.py``, of the script.
        package: Whose version is reported.
        ready: Path that answers 2xx when all models are loaded.
        posts: A request for each model, ``mlp`` and ``conv``, in the fastest form that it documents.
        answer: Reads the floats of a reply.
        like: Farthing's own form nearest to that of ``mlp``: ``binary`` or ``json``.
        command: Words after the interpreter; None for its script with port and folder.
        extra_ports: Further ports that its script takes.
        connections: That ask at the same time, by model.
        patience_s: How long it may take to start.
    """

    name: str
    package: str
    ready: str
    posts: Mapping[str, MakePost]
    answer: Answer
    like: str
    command: Callable[[Path, int], Sequence[str]] | None = None
    extra_ports: int = 0
    connections: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: CONNECTIONS)
    patience_s: float = 90.0
    env: Mapping[str, str] = field(default_factory=dict)

    def words(self, home: Path, port: int, models: Path) -> list[str]:
        """The whole command line."""
        if self.command is not None:
            return list(self.command(home, port))
        ports = [str(free_port()) for _ in range(self.extra_ports)]
        return [str(home / "bin" / "python"), str(_SCRIPTS / f"{self.name}_app.py"), str(port), str(models), *ports]


def _nested(key: str | None) -> Answer:
    def read(_: Mapping[str, str], body: bytes) -> Floats:
        found = json.loads(body)
        return np.asarray(found if key is None else found[key], dtype=np.float32).ravel()

    return read


def _raw(_: Mapping[str, str], body: bytes) -> Floats:
    return floats_after(body, 0)


def oip_answer(headers: Mapping[str, str], body: bytes) -> Floats:
    """The first output of an Open Inference Protocol reply, binary or not."""
    length = headers.get("inference-header-content-length")
    if length is not None:
        head = json.loads(body[: int(length)])
        size = int(head["outputs"][0]["parameters"]["binary_data_size"])
        return floats_after(body[: int(length) + size], int(length))
    return np.asarray(json.loads(body)["outputs"][0]["data"], dtype=np.float32).ravel()


def _bento(home: Path, port: int) -> list[str]:
    command = [str(home / "bin" / "bentoml"), "serve", "bentoml_app:Peer", "--working-dir", str(_SCRIPTS)]
    return [*command, "--host", "127.0.0.1", "--port", str(port)]


_RAW = {name: partial(raw_post, f"/predict/{name}") for name in ("mlp", "conv")}
_OIP_BINARY = {name: partial(oip_binary_post, name) for name in ("mlp", "conv")}
_OIP_JSON = {name: partial(oip_json_post, name) for name in ("mlp", "conv")}
_LIT = {"mlp": partial(json_post, "/predict/mlp", "x"), "conv": partial(upload_post, "/predict/conv", "x")}
_BENTO = {"mlp": partial(json_post, "/mlp", "x"), "conv": partial(raw_post, "/conv")}

PEERS = {
    p.name: p
    for p in (
        Peer(name="uvicorn", package="uvicorn", ready="/ready", posts=_RAW, answer=_raw, like="binary"),
        Peer(
            name="pytriton",
            package="nvidia-pytriton",
            ready="/v2/models/conv/ready",
            posts=_OIP_BINARY,
            answer=oip_answer,
            like="binary",
            extra_ports=1,
            # Its back end brings a libpython of its own patch level; it must be the one of this interpreter.
            env={"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))},
        ),
        Peer(
            name="kserve",
            package="kserve",
            ready="/v2/health/ready",
            posts=_OIP_BINARY,
            answer=oip_answer,
            like="binary",
        ),
        Peer(
            name="mlserver",
            package="mlserver",
            ready="/v2/health/ready",
            posts=_OIP_JSON,
            answer=oip_answer,
            like="json",
            extra_ports=2,
        ),
        Peer(
            name="bentoml",
            package="bentoml",
            ready="/readyz",
            posts=_BENTO,
            answer=_nested(None),
            like="json",
            command=_bento,
            env={"BENTOML_DO_NOT_TRACK": "True"},
        ),
        Peer(
            name="mosec",
            package="mosec",
            ready="/metrics",
            posts=_RAW,
            answer=_raw,
            like="binary",
            connections={"mlp": (8, 32, 128), "conv": (8,)},
        ),
        Peer(name="litserve", package="litserve", ready="/health", posts=_LIT, answer=_nested("y"), like="json"),
        Peer(
            name="ray_serve",
            package="ray",
            ready="/-/healthz",
            posts=_RAW,
            answer=_raw,
            like="binary",
            env={"RAY_USAGE_STATS_ENABLED": "0"},
        ),
    )
}


def environments() -> Path:
    """``$FARTHING_PEER_ENVS``, else a folder under the temporary one that later runs find again."""
    named = os.environ.get("FARTHING_PEER_ENVS")
    return Path(named) if named else Path(tempfile.gettempdir()) / "farthing-peers"


def environment(peer: Peer, *, timeout_s: float = 600.0) -> Path:
    """The peer's own virtual environment; see :func:`environment_of`."""
    return environment_of(peer.name, timeout_s=timeout_s)


def environment_of(name: str, *, timeout_s: float = 600.0) -> Path:
    """The virtual environment of ``peers/NAME.txt``, made when it is not there yet.

    Raises:
        RuntimeError: when it cannot be installed here, with the end of pip's words.
    """
    home = environments() / name
    done = home / "installed.txt"
    requirements = _SCRIPTS / f"{name}.txt"
    wanted = requirements.read_text()
    if done.exists() and done.read_text() == wanted:
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    print(f"  installing {name} into {home}", file=sys.stderr)
    python = str(home / "bin" / "python")
    for command in (
        [sys.executable, "-m", "venv", str(home)],
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)],
    ):
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as e:
            raise RuntimeError(f"not installed within {timeout_s:.0f} s") from e
        if run.returncode:
            raise RuntimeError((run.stdout + run.stderr).strip()[-500:])
    done.write_text(wanted)
    return home


def version(peer: Peer, home: Path) -> str:
    """Of the peer's package as installed."""
    (site,) = home.glob("lib/python3*/site-packages")
    return next((d.version for d in distributions(path=[str(site)]) if d.metadata["Name"].lower() == peer.package), "?")
