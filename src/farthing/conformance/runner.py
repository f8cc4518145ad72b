"""Runs the cases against a server and judges what came back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from farthing.conformance.cases import Case
from farthing.conformance.http_cases import (
    address_cases,
    compression_cases,
    fine_cases,
    framing_cases,
    smuggling_cases,
)
from farthing.conformance.target import Target
from farthing.conformance.tensor_cases import binary_cases, document_cases, text_cases
from farthing.conformance.wire import Outcome, send

__all__ = ["Finding", "alive", "census", "judge", "run_census"]

Verdict = Literal["as it should be", "server error", "wrongly accepted", "wrongly refused", "no answer", "no reason"]
_MAY_FAIL = frozenset({501, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One case and what the server made of it.

    Attributes:
        name: Of the case.
        verdict: ``as it should be``, or what is wrong: an error of the server's own (5xx but 501, 503, 504), a
            malformed request accepted, a well-formed one refused, no answer in time, a refusal without
            ``{"error": …}``.
        statuses: That came back.
        allowed: That would have been right.
    """

    name: str
    verdict: Verdict
    statuses: tuple[int, ...]
    allowed: tuple[int, ...]

    @property
    def good(self) -> bool:
        """Nothing is wrong."""
        return self.verdict == "as it should be"


def census(target: Target) -> Iterator[Case]:
    """All hand-made cases for a model."""
    if target.json:
        yield from fine_cases(target)
        yield from document_cases(target)
        yield from text_cases(target)
        yield from compression_cases(target)
    yield from binary_cases(target)
    yield from framing_cases(target)
    yield from smuggling_cases(target)
    yield from address_cases(target)


def judge(case: Case, outcome: Outcome) -> Verdict:
    """What is wrong, if anything."""
    statuses = outcome.statuses
    if not statuses:
        return "as it should be" if outcome.ended and 0 in case.allowed else "no answer"
    if any(status >= 500 and status not in _MAY_FAIL | case.allowed for status in statuses):
        return "server error"
    if 200 in case.allowed:
        right = all(status in case.allowed for status in statuses)
        return "as it should be" if right and len(statuses) >= case.answers else "wrongly refused"
    if any(200 <= status < 300 for status in statuses):
        return "wrongly accepted"
    if any(status not in case.allowed and status != 503 for status in statuses):
        return "server error" if max(statuses) >= 500 else "as it should be"
    return "as it should be" if all(map(_says_why, outcome.bodies)) else "no reason"


def _says_why(body: bytes) -> bool:
    try:
        found = json.loads(body)
    except ValueError:
        return False
    return isinstance(found, dict) and isinstance(found.get("error"), str)


def alive(target: Target) -> bool:
    """Whether the server still answers."""
    request = target.request(b"", method="GET", path="/v2/health/live", length=None)
    try:
        return send((target.host, target.port), [request]).statuses == (200,)
    except OSError:
        return False


def run_census(
    target: Target,
    cases: Sequence[Case] | None = None,
    *,
    timeout_s: float = 15.0,
    told: Callable[[Finding], object] | None = None,
) -> list[Finding]:
    """Send every case on a connection of its own.

    Args:
        target: Whom.
        cases: Which; all when None.
        timeout_s: For each.
        told: Called with each finding.
    """
    findings: list[Finding] = []
    for case in census(target) if cases is None else cases:
        try:
            outcome = send(
                (target.host, target.port), case.pieces, pause_s=case.pause_s, timeout_s=timeout_s, answers=case.answers
            )
        except OSError:
            outcome = Outcome(statuses=(), bodies=(), ended=False)
        finding = Finding(
            name=case.name,
            verdict=judge(case, outcome),
            statuses=outcome.statuses,
            allowed=tuple(sorted(case.allowed)),
        )
        findings.append(finding)
        if told is not None:
            told(finding)
    return findings
