"""A new user's own models: each is built once, optimised once, re-priced three ways, and judged.

    pip install --no-deps -r benchmarks/own/requirements.txt
    python benchmarks/own_models.py [--folder own-models] [--only vit,forest-digits] [--build-only] [--by-hand]

Every model lies in a folder of its own with ``workload.yaml``, as a user would have it; ``farthing optimize`` and
``farthing report`` are run on it as commands. What is there is not done again: a case is finished when
``outcome.json`` is there, and a run that was interrupted resumes. Each case prints a line on stderr, the figures go
to standard output.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from figures import emit
from own.cases import CASES, Case
from own.commands import optimised, repriced

FIRST_S, WHOLE_S, MEDIAN_S = 180.0, 600.0, 360.0


def built(case: Case, folder: Path) -> Path:
    """The folder of a case, built anew unless it is complete."""
    if not (folder / "workload.yaml").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        case.build(folder)
    return folder


def outcome(case: Case, folder: Path, *, by_hand: bool) -> dict[str, Any]:
    """What became of a case; read where it is known."""
    path = folder / "outcome.json"
    if path.is_file():
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return known
    found = {"case": case.name, "kind": case.kind, "announced": case.precision, **optimised(folder, by_hand=by_hand)}
    found["label_right"] = found["precision"] == case.precision
    found["repriced"] = repriced(folder) if found["verdict"] else []
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return found


def said(found: dict[str, Any]) -> str:
    """One line on a case."""
    first = "—" if found["first_verdict_s"] is None else f"{found['first_verdict_s']:.0f} s"
    reasons = "; ".join(found["reasons"])[:160]
    label = found["precision"] or "no label"
    return f"  {found['case']:26} {label:5} {found['verdict'] or 'error':9} first {first:>6}, all {found['whole_s']:5.0f} s  {reasons}"


def figures(rows: Sequence[dict[str, Any]]) -> bool:
    """Print the figures; whether all targets are met."""
    firsts = [r["first_verdict_s"] for r in rows if r["first_verdict_s"] is not None]
    wholes = [r["whole_s"] for r in rows]
    prices = [p for r in rows for p in r["repriced"]]
    checked = [r["agrees_by_hand"] for r in rows if r["agrees_by_hand"] is not None]
    lines: list[tuple[str, float, str, str | None, bool | None]] = [
        ("models", len(rows), "count", "≥ 20", len(rows) >= 20),
        ("kinds", len({r["kind"] for r in rows}), "count", "≥ 8", len({r["kind"] for r in rows}) >= 8),
        ("without-verdict", sum(not r["verdict"] for r in rows), "count", "0", all(r["verdict"] for r in rows)),
        ("tracebacks", sum(r["traceback"] for r in rows), "count", "0", not any(r["traceback"] for r in rows)),
        ("wrong-labels", sum(not r["label_right"] for r in rows), "count", "0", all(r["label_right"] for r in rows)),
        ("longest-first-verdict", max(firsts, default=float("nan")), "s", f"≤ {FIRST_S:g}",
         len(firsts) == len(rows) and max(firsts, default=0.0) <= FIRST_S),
        ("longest-run", max(wholes), "s", f"≤ {WHOLE_S:g}", max(wholes) <= WHOLE_S),
        ("median-run", statistics.median(wholes), "s", f"≤ {MEDIAN_S:g}", statistics.median(wholes) <= MEDIAN_S),
        ("repriced", sum(p["status"] in (0, 3) for p in prices), "count", f"{3 * len(rows)}",
         bool(prices) and all(p["status"] in (0, 3) for p in prices) and len(prices) == 3 * len(rows)),
        ("agree-by-hand", sum(checked), "count", f"{len(checked)}" if checked else None, all(checked) if checked else None),
    ]  # fmt: skip
    for name, value, unit, target, met in lines:
        emit(f"own-models/{name}", value, None, None, unit, target, met)
    return all(met is not False for *_, met in lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=Path("own-models"))
    parser.add_argument("--only", default="", help="names joined by commas")
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("--by-hand", action="store_true", help="measure the best configuration by hand as well")
    args = parser.parse_args(argv)
    wanted = set(filter(None, args.only.split(",")))
    unknown = wanted - {case.name for case in CASES}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(c.name for c in CASES)}")
    rows = []
    for case in (c for c in CASES if not wanted or c.name in wanted):
        if case.missing():
            print(f"  {case.name:26} left out: {', '.join(case.missing())} not installed", file=sys.stderr)
            continue
        try:
            folder = built(case, args.folder / case.name)
        except Exception:  # noqa: BLE001 - one that cannot be built here is shown, the others go on
            print(f"  {case.name:26} cannot be built", file=sys.stderr)
            traceback.print_exc()
            continue
        if args.build_only:
            print(f"  {case.name:26} {folder}", file=sys.stderr)
            continue
        rows.append(outcome(case, folder, by_hand=args.by_hand))
        print(said(rows[-1]), file=sys.stderr, flush=True)
    return 0 if not rows or figures(rows) else 3


if __name__ == "__main__":
    raise SystemExit(main())
