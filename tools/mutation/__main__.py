"""``make mutation``: change one thing in a room that decides, run that room's tests, and say what they did not notice.

Each room's sample is drawn by a seed; results are kept under build/mutation/ by the content of sources and tests, so
that an interrupted run goes on and a changed test is tried anew. The working tree is never touched: mutants live in a
copy of it. A survivor that cannot be noticed is listed with the reason in tests/equivalent_mutants.yaml.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mutants
import trials
import yaml

REPOSITORY = Path(__file__).parents[2]
BUILD = REPOSITORY / "build" / "mutation"
EQUIVALENT = REPOSITORY / "tests" / "equivalent_mutants.yaml"
TARGET_FRAC = 0.85
FIRST_LIMIT_S = 600
"""Processor time that the tests may take unmutated; mutants get twice what they took, and three seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Sources that decide, and the tests that are theirs.

    Attributes:
        name: as on the command line.
        sources: files, relative to ``src/farthing``.
        tests: test files, relative to the repository.
    """

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]


def room(name: str) -> Room:
    """A folder of core with ``tests/core/<folder>``, or one file with every test file that imports it."""
    place = REPOSITORY / "src" / "farthing" / name
    if place.is_dir():
        files = sorted(path for path in place.rglob("*.py") if path.name != "__init__.py")
        tests = sorted((REPOSITORY / "tests" / name).rglob("test_*.py"))
    else:
        files = [place.with_suffix(".py")]
        package, module = name.replace("/", ".").rsplit(".", 1)
        imports = re.compile(rf"farthing\.{package}\.{module}\b|from farthing\.{package} import [^\n]*\b{module}\b")
        every = sorted((REPOSITORY / "tests").rglob("test_*.py"))
        tests = [each for each in every if imports.search(each.read_text())]
    if not files[0].exists():
        raise SystemExit(f"error: no room src/farthing/{name}\nhint: a folder or a file there, as core/stats")
    return Room(
        name=name,
        sources=tuple(str(path.relative_to(REPOSITORY / "src" / "farthing")) for path in files),
        tests=tuple(str(path.relative_to(REPOSITORY)) for path in tests),
    )


def stages(tests: Iterable[str], path: str = "") -> list[list[str]]:
    """Examples, which take seconds, then generated cases and simulations; in each, first who names the module.

    Most mutants are noticed by the first stage, and those that never end are ended by its short limit.
    """
    module = f"farthing.{path.removesuffix('.py').replace('/', '.')}"
    texts = {test: (REPOSITORY / test).read_text() for test in tests}
    ordered = sorted(texts, key=lambda test: (module not in texts[test], test))
    long = [test for test in ordered if "hypothesis" in texts[test] or "simulations" in test]
    return [some for some in ([test for test in ordered if test not in long], long) if some]


def copied() -> Path:
    """A fresh copy of what the tests read, without byte code."""
    tree = BUILD / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    for folder in ("src", "tests", "benchmarks"):
        shutil.copytree(REPOSITORY / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tree)
    return tree


def digest(paths: Iterable[Path]) -> str:
    """Sixteen hexadecimal digits of the files' names and contents."""
    told = hashlib.sha256()
    for path in sorted(paths):
        told.update(f"{path.relative_to(REPOSITORY)}\0".encode() + path.read_bytes() + b"\0")
    return told.hexdigest()[:16]


class Results:
    """Outcomes kept as JSON lines, found again by the content of the file, of the room and of its tests."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def found(self, key: str, state: str, *, killed_before: bool) -> dict[str, Any] | None:
        """The latest result of a mutant in this state; or, if asked for, one that other tests had noticed."""
        for row in reversed(self._rows):
            if row["key"] == key and (row["state"] == state or (killed_before and row["outcome"] != "passed")):
                return row
        return None

    def add(self, row: dict[str, Any]) -> dict[str, Any]:
        """Keep a result."""
        self._rows.append(row)
        with self._path.open("a") as out:
            out.write(json.dumps(row) + "\n")
        return row


def tried(here: Room, tree: Path, results: Results, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Each sampled mutant of a room with its outcome, one after the other."""
    source = REPOSITORY / "src" / "farthing"
    state = digest([*source.rglob("*.py"), *(REPOSITORY / test for test in here.tests)])
    paths = [path for path in here.sources if not asked.only or Path(path).name in asked.only]
    drawn = mutants.sample(source, paths, asked.size, asked.seed)
    limits_s: list[float] = []
    for turn, (mutant, change) in enumerate(drawn, 1):
        key = hashlib.sha256(f"{mutant.path}\0{change.text}".encode()).hexdigest()[:16]
        row = results.found(key, state, killed_before=asked.survivors)
        if row is None:
            limits_s = limits_s or [2 * cpu_s + 3 for cpu_s in unmutated_s(here, tree)]
            trial = trial_of(mutant, change, here, tree, limits_s)
            row = results.add({**asdict(mutant), **asdict(trial), "key": key, "state": state})
        print(f"\r{here.name} {turn}/{len(drawn)}  ", end="", file=sys.stderr, flush=True)
        yield {**row, "line": mutant.line, "was": change.was, "now": change.now}
    print(file=sys.stderr)


def unmutated_s(here: Room, tree: Path) -> list[float]:
    """Processor time of each stage of the room's tests as they are; they must pass, or nothing could be told."""
    found = [trials.run(tree, some, FIRST_LIMIT_S) for some in stages(here.tests)]
    for trial in found:
        if trial.outcome != "passed":
            said = f"error: the tests of {here.name} {trial.outcome} without any mutation"
            raise SystemExit(f"{said}\nhint: .venv/bin/python -m pytest {' '.join(here.tests)}")
    return [trial.cpu_s for trial in found]


def trial_of(
    mutant: mutants.Mutant, change: mutants.Change, here: Room, tree: Path, limits_s: Sequence[float]
) -> trials.Trial:
    """Write the mutant into the copy, run the tests up to the first stage that notices, put the original back."""
    target = tree / "src" / "farthing" / mutant.path
    original = target.read_text()
    target.write_text(change.text)
    trial = trials.Trial(outcome="passed", cpu_s=0.0)
    try:
        for some, limit_s in zip(stages(here.tests, mutant.path), limits_s):
            if trial.outcome == "passed":
                trial = trials.run(tree, some, limit_s)
    finally:
        target.write_text(original)
    return trial


def report(here: Room, rows: Sequence[dict[str, Any]], equivalent: dict[tuple[str, str, str], str]) -> bool:
    """Print killed of total per file and the survivors; whether the room's share reaches the target."""
    told = [row for row in rows if (row["path"], row["was"], row["now"]) not in equivalent]
    survivors = [row for row in told if row["outcome"] == "passed"]
    for path in sorted({row["path"] for row in told}):
        outcomes = [row["outcome"] for row in told if row["path"] == path]
        print(f"  {len(outcomes) - outcomes.count('passed'):4} of {len(outcomes):4} killed  {path}")
    for row in sorted(survivors, key=lambda row: (row["path"], row["line"])):
        print(f"  src/farthing/{row['path']}:{row['line']}\n    - {row['was']}\n    + {row['now']}")
    killed, total = len(told) - len(survivors), max(len(told), 1)
    late = sum(row["outcome"] == "timeout" for row in told)
    said = f"{killed} of {len(told)} killed ({killed / total:.0%}; {late} by the time limit)"
    print(f"{here.name}: {said}, {len(rows) - len(told)} equivalent, target {TARGET_FRAC:.0%}")
    return killed / total >= TARGET_FRAC


def equivalents() -> dict[tuple[str, str, str], str]:
    """Mutants that were read and cannot be noticed: ``(path, was, now)`` → why."""
    entries = yaml.safe_load(EQUIVALENT.read_text()) or [] if EQUIVALENT.exists() else []
    return {(each["path"], each["was"], each["now"]): each["why"] for each in entries}


def main() -> int:
    """Parse, try, report."""
    parser = argparse.ArgumentParser(prog="make mutation", description=__doc__)
    parser.add_argument("rooms", nargs="*", default=[], help="as core/stats or measure/under_load; default: all six")
    parser.add_argument("--size", type=int, default=60, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", default=[], help="a source file; several may be named")
    parser.add_argument("--without", action="append", default=[], help="a test file that is left out")
    parser.add_argument("--tests", action="append", default=[], help="a test file: these alone; several may be named")
    parser.add_argument("--survivors", action="store_true", help="do not try again what earlier tests had noticed")
    asked = parser.parse_args()
    os.nice(15)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copy's tests are ended, too
    sys.dont_write_bytecode = True
    tree, results, known, kept = copied(), Results(BUILD / "results.jsonl"), equivalents(), True
    names = asked.rooms or (
        "core/search",
        "core/plan",
        "core/money",
        "core/stats",
        "core/traffic",
        "measure/under_load",
    )
    for here in map(room, names):
        here = replace(here, tests=tuple(test for test in here.tests if Path(test).name not in asked.without))
        here = replace(here, tests=tuple(t for t in here.tests if not asked.tests or Path(t).name in asked.tests))
        if not here.tests:
            print(f"{here.name}: no test names it")
            kept = False
            continue
        kept &= report(here, list(tried(here, tree, results, asked)), known)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
