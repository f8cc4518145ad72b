"""Other servers beside farthing on the same models: each alone on the server's core, in blocks between farthing's."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from figures import emit
from serving.farthing_server import Farthing
from serving.models import SUBJECTS, Floats, Post, oip_binary_post, oip_json_post
from serving.peers import PEERS, Peer, environment, version
from serving.processes import ask, free_port, replies, running
from serving.wrk import Load, press

__all__ = ["compare"]

_BLOCKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """One peer beside farthing, and what its answers must be."""

    peer: Peer
    ours: Farthing
    core: int
    client_core: int
    seconds: float
    expected: dict[str, Floats]


def compare(
    names: list[str],
    ours: Farthing,
    models: Path,
    *,
    expected: dict[str, Floats],
    core: int,
    client: int,
    seconds: float,
) -> None:
    """Print one figure for each peer and model; one that does not install or answer is reported as such."""
    for name in names:
        peer = PEERS[name]
        trial = _Trial(peer=peer, ours=ours, core=core, client_core=client, seconds=seconds, expected=expected)
        try:
            _one(trial, environment(peer), models)
        except (RuntimeError, OSError) as e:
            print(f"  {name} cannot be compared here: {e}", file=sys.stderr)
            emit(f"serve/peer/{name}/not comparable here", 0.0, None, None, "count", None, None)


def _one(trial: _Trial, home: Path, models: Path) -> None:
    peer, port = trial.peer, free_port()
    log = models / f"{peer.name}.log"
    env = dict(peer.env) | {"MODELS": str(models)}
    with running(
        peer.words(home, port, models),
        cores=[trial.core],
        ready=lambda: replies(port, peer.ready),
        log=log,
        env=env,
        timeout_s=peer.patience_s,
    ):
        for subject in ("mlp", "conv"):
            x = SUBJECTS[subject].sample()
            post = peer.posts[subject](x)
            _check(trial, port, post, subject)
            own = oip_json_post(subject, x) if peer.like == "json" and subject == "mlp" else oip_binary_post(subject, x)
            for connections in peer.connections[subject]:
                blocks = _blocks(trial, port, post, own, connections)
                _show(trial, f"{peer.name} {version(peer, home)}", subject, connections, *blocks)


def _check(trial: _Trial, port: int, post: Post, subject: str) -> None:
    status, headers, body = ask(port, post)
    if status != 200:
        raise RuntimeError(f"{subject}: status {status}: {body[:200]!r}")
    if not np.allclose(trial.peer.answer(headers, body), trial.expected[subject], rtol=1e-3, atol=1e-3):
        raise RuntimeError(f"{subject}: its answer is not the model's")


def _blocks(trial: _Trial, port: int, post: Post, own: Post, connections: int) -> tuple[list[Load], list[Load]]:
    """Pairs of blocks, the peer first in one and second in the next."""
    url = f"http://127.0.0.1:{port}"
    press(url, post, connections=connections, seconds=1, core=trial.client_core)
    theirs: list[Load] = []
    ours: list[Load] = []
    for k in range(_BLOCKS):
        pair = [(url, post, theirs), (trial.ours.url, own, ours)]
        for at, body, found in pair[::-1] if k % 2 else pair:
            found.append(press(at, body, connections=connections, seconds=trial.seconds, core=trial.client_core))
    return theirs, ours


def _show(trial: _Trial, named: str, subject: str, connections: int, theirs: list[Load], ours: list[Load]) -> None:
    """Its rate, and farthing's over it with the range over pairs; no ratio where it answered nothing in a block."""
    failed = sum(load.failed for load in theirs)
    if failed:
        print(f"  {named}: {failed} requests failed on {subject}", file=sys.stderr)
    rates = [load.rps for load in theirs]
    several = len(trial.peer.connections[subject]) > 1
    figure = f"serve/peer/{named}/{subject}" + (f" at {connections} connections" if several else "")
    emit(f"{figure} requests/s", float(np.median(rates)), min(rates), max(rates), "1/s", None, None)
    if min(rates) == 0:
        print(f"  {named}: no answer in a block of {trial.seconds:.0f} s on {subject}", file=sys.stderr)
        return
    ratios = [a.rps / b.rps for a, b in zip(ours, theirs, strict=True)]
    form = trial.peer.like if subject == "mlp" else "binary"
    emit(
        f"{figure}, farthing ({form}) over it", float(np.median(ratios)), min(ratios), max(ratios), "ratio", None, None
    )
