"""The census of malformed requests, and fuzzed ones, on farthing and on other servers of the same protocol."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from farthing.conformance.fuzz import fuzz
from farthing.conformance.runner import Finding, alive, run_census
from farthing.conformance.target import Input, Target
from figures import emit
from serving.peers import PEERS, environment, version
from serving.processes import free_port, replies, running

__all__ = ["OIP_PEERS", "hold", "hold_peers"]

OIP_PEERS = ("kserve", "mlserver", "pytriton")
"""Those that speak the Open Inference Protocol."""
_TIMEOUT_S = 10.0
_BAD = ("server error", "wrongly accepted", "wrongly refused", "no answer", "no reason")


def _target(port: int) -> Target:
    """The model ``mlp``, described here: not every server tells its models' inputs."""
    x = Input(name="x", datatype="FP32", dims=(-1, 32))
    return Target(host="127.0.0.1", port=port, model="mlp", inputs=(x,), outputs=("y",))


def hold(name: str, port: int, *, fuzzed: int, judged: bool) -> None:
    """Run the census and ``fuzzed`` mutants; figures by verdict, held against 0 when ``judged``."""
    target = _target(port)
    findings: list[Finding] = run_census(target, timeout_s=_TIMEOUT_S)
    seen = Counter(f.verdict for f in findings)
    for f in findings:
        if judged and not f.good:
            print(f"  {name}: {f.verdict}: {f.name}: {f.statuses}", file=sys.stderr)
    _count(f"{name}/cases", len(findings), judged=False)
    for verdict in _BAD:
        _count(f"{name}/{verdict}", seen[verdict], judged=judged)
    if fuzzed and alive(target):
        report = fuzz(target, fuzzed)
        print(f"  {name}: {report.line()}", file=sys.stderr)
        _count(f"{name}/fuzzed: sent", report.sent, judged=False)
        bad = len(report.server_errors) + len(report.wrongly_accepted) + len(report.unanswered)
        _count(f"{name}/fuzzed: server errors, wrongly accepted, unanswered (up to 20 of each)", bad, judged=judged)
    _count(f"{name}/dead afterwards", not alive(target), judged=judged)


def hold_peers(models: Path, core: int, names: Sequence[str] = OIP_PEERS) -> None:
    """The census alone on other servers; one that does not install or start is reported as such."""
    for name in names:
        peer, port = PEERS[name], free_port()
        try:
            home = environment(peer)
            with running(
                peer.words(home, port, models),
                cores=[core],
                ready=lambda: replies(port, peer.ready),  # noqa: B023 — used within this turn
                log=models / f"{name}.log",
                env=dict(peer.env) | {"MODELS": str(models)},
                timeout_s=peer.patience_s,
            ):
                hold(f"{name} {version(peer, home)}", port, fuzzed=0, judged=False)
        except (RuntimeError, OSError) as e:
            print(f"  {name} cannot be compared here: {e}", file=sys.stderr)
            emit(f"serve-faults/census/{name}/not comparable here", 1, None, None, "count", None, None)


def _count(figure: str, value: int, *, judged: bool) -> None:
    target, met = ("0", value == 0) if judged else (None, None)
    emit(f"serve-faults/census/{figure}", value, None, None, "count", target, met)
