"""A seeded fuzzer: many mutants a second over kept connections, each verdict held against the referee's."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from farthing.conformance.mutations import Mutant, Mutator
from farthing.conformance.referee import acceptable
from farthing.conformance.runner import alive
from farthing.conformance.target import Target
from farthing.conformance.wire import send, split_answers

__all__ = ["FuzzReport", "fuzz"]

_BATCH = 32
_MAY_FAIL = frozenset({501, 503, 504, 505})
_TIMEOUT_S = 10.0
_KEPT = 20
_READ_BYTES = 1 << 18


@dataclass(slots=True, kw_only=True)
class FuzzReport:
    """What a server made of the mutants.

    Attributes:
        sent: How many.
        accepted: Answered with 2xx.
        refused: Answered with 4xx, 501, 503 or 504, or the connection ended where the head was changed.
        server_errors: Examples (at most 20) with other 5xx.
        wrongly_accepted: Examples that were accepted and may not be.
        unanswered: Examples without an answer in time.
        statuses: How often each.
        crashed: The server does not answer any more.
    """

    sent: int = 0
    accepted: int = 0
    refused: int = 0
    server_errors: list[bytes] = field(default_factory=list)
    wrongly_accepted: list[bytes] = field(default_factory=list)
    unanswered: list[bytes] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    crashed: bool = False

    @property
    def good(self) -> bool:
        """Nothing is wrong."""
        return not (self.server_errors or self.wrongly_accepted or self.unanswered or self.crashed)

    def line(self) -> str:
        """For people."""
        return (
            f"{self.sent:,} fuzzed requests: {self.accepted:,} accepted, {self.refused:,} refused, "
            f"{len(self.server_errors)} server errors, {len(self.wrongly_accepted)} wrongly accepted, "
            f"{len(self.unanswered)} unanswered{', CRASHED' if self.crashed else ''}"
        )


def fuzz(target: Target, count: int, seed: int = 0, *, heads_frac: float = 0.05) -> FuzzReport:
    """Send mutants until there were ``count``, or the server is gone.

    Args:
        target: Whom.
        count: Of mutants.
        seed: Equal seeds send equal mutants.
        heads_frac: Share of mutants with a changed head.
    """
    mutator = Mutator(target, seed, heads_frac=heads_frac)
    report = FuzzReport()
    while report.sent < count and not report.crashed:
        batch = [next(mutator) for _ in range(min(_BATCH, count - report.sent))]
        _pipelined(target, [mutant for mutant in batch if mutant.framed], report)
        for mutant in batch:
            if not mutant.framed:
                _alone(target, mutant, report)
        report.sent += len(batch)
    report.crashed = report.crashed or not alive(target)
    return report


def _pipelined(target: Target, waiting: Sequence[Mutant], report: FuzzReport) -> None:
    """Mutants with sound heads, one behind another; what an ended connection left unanswered is sent again."""
    while waiting:
        try:
            answers = _answers(target, waiting)
        except OSError:
            answers = []
        if not answers:
            report.crashed = not alive(target)
            _keep(report.unanswered, waiting[0].raw)
            waiting = waiting[1:]
            if report.crashed:
                return
        for mutant, (status, body) in zip(waiting, answers):
            _judge(target, mutant, status, body, report)
        waiting = waiting[len(answers) :]


def _answers(target: Target, mutants: Sequence[Mutant]) -> list[tuple[int, bytes]]:
    """Answers to as many of them as the server gives on one connection."""
    with socket.create_connection((target.host, target.port), timeout=_TIMEOUT_S) as sock:
        sock.sendall(b"".join(mutant.raw for mutant in mutants))
        found: list[tuple[int, bytes]] = []
        left = b""
        while len(found) < len(mutants):
            try:
                data = sock.recv(_READ_BYTES)
            except OSError:
                break
            if not data:
                break
            more, left = split_answers(left + data)
            found.extend(more)
        return found


def _alone(target: Target, mutant: Mutant, report: FuzzReport) -> None:
    """A mutant with a changed head on a connection of its own; its sender then sends no more."""
    try:
        outcome = send((target.host, target.port), [mutant.raw], timeout_s=_TIMEOUT_S, shut=True)
    except OSError:
        report.crashed = not alive(target)
        return
    if not outcome.statuses and not outcome.ended:
        _keep(report.unanswered, mutant.raw)
    if not outcome.statuses:
        report.refused += 1
    for status, body in zip(outcome.statuses, outcome.bodies):
        _judge(target, mutant, status, body, report)


def _judge(target: Target, mutant: Mutant, status: int, body: bytes, report: FuzzReport) -> None:
    report.statuses[status] = report.statuses.get(status, 0) + 1
    if status >= 500 and status not in _MAY_FAIL:
        _keep(report.server_errors, mutant.raw)
    elif status >= 300:
        report.refused += 1
        if mutant.framed and not _explained(body):
            _keep(report.server_errors, mutant.raw)
    else:
        report.accepted += 1
        if mutant.doomed or (mutant.body is not None and not acceptable(target, mutant.body)):
            _keep(report.wrongly_accepted, mutant.raw)


def _explained(body: bytes) -> bool:
    try:
        return "error" in json.loads(body)
    except (ValueError, TypeError):
        return False


def _keep(examples: list[bytes], raw: bytes) -> None:
    if len(examples) < _KEPT:
        examples.append(raw)
