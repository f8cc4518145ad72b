"""Autoscaling controllers against vectors from their own unit tests: ``python benchmarks/autoscaling_vectors.py FOLDER``.

Every ``*.json`` below the folder is judged (those without a ``suite`` are other files); suites that are not known are
listed as skipped. Figures go to standard output, differences (id, key, expected, got) to standard error; the exit
status is 1 when there is one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from figures import emit
from vectors import hpa, keda, knative
from vectors.agreement import Difference, Judge, differences

__all__ = ["JUDGES", "Agreement", "judged", "read"]

SHARED = Path(__file__).parents[2] / "shared" / "assets" / "autoscaling"
JUDGES: dict[str, Judge] = {**hpa.SUITES, **knative.SUITES, **keda.SUITES}
FORMAT = 1


@dataclass(slots=True)
class Agreement:
    """Of one suite: its cases, and how they differ."""

    cases: int = 0
    differing: int = 0
    differences: list[Difference] = field(default_factory=list)


def read(folder: Path) -> list[tuple[Path, Mapping[str, Any]]]:
    """Vector files of a folder and of those below it, by name."""
    found = [(path, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.rglob("*.json"))]
    return [(path, document) for path, document in found if isinstance(document, dict) and "suite" in document]


def judged(documents: Sequence[Mapping[str, Any]]) -> dict[str, Agreement]:
    """By suite, of those that are known."""
    found: dict[str, Agreement] = {}
    for document in documents:
        judge = JUDGES.get(document["suite"])
        if judge is None or document.get("format_version") != FORMAT:
            continue
        of = found.setdefault(document["suite"], Agreement())
        for case in document["cases"]:
            different = differences(judge, case)
            of.cases += 1
            of.differing += bool(different)
            of.differences += different
    return found


def _emit(name: str, cases: int, differing: int) -> None:
    share, said = (cases - differing) / cases if cases else 0.0, [f"{cases - differing} of {cases} cases agree"]
    emit(f"autoscaling/{name}", share, None, None, "frac", "= 1", bool(cases) and not differing, said=said)


def main(folder: Path) -> int:
    """Judge, print, and return the exit status."""
    files = read(folder)
    for path, document in files:
        if document["suite"] not in JUDGES or document.get("format_version") != FORMAT:
            told = f"suite {document['suite']!r}, format {document.get('format_version')}"
            print(f"skipped: {path} ({told})", file=sys.stderr)
    found = judged([document for _, document in files])
    for suite, of in sorted(found.items()):
        for difference in of.differences:
            print(difference, file=sys.stderr)
        _emit(suite, of.cases, of.differing)
    differing = sum(of.differing for of in found.values())
    _emit("all", sum(of.cases for of in found.values()), differing)
    return 1 if differing or not found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED))
