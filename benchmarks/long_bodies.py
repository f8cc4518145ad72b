"""What long bodies take of a server's memory and of everybody's time, over every kind of them in the tests.

    python benchmarks/long_bodies.py          # or: make bench ONLY=long-bodies

Two MiB each: JSON of empty lists, of numbers, of texts with escapes, white space, wrong at the end… Memory counts the
body itself; a step is what the server's thread does before it looks at other connections again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from figures import emit

sys.path.append(str(Path(__file__).parent.parent / "tests" / "helpers"))
from kinds_of_bodies import MOST_REFUSED, MOST_TAKEN, REFUSED, STALL_S, TAKEN, longest_step_s, peak_of, read


def times_its_size(name: str) -> float:
    """Most memory while a body is read, the body's own included, over its size."""
    make, size = read(name)
    peak, _ = peak_of(make)
    return (peak + size) / size


def main() -> None:
    """Measure each body; print the worst of each kind."""
    for kind, names, most in (("refused", REFUSED, MOST_REFUSED), ("taken", TAKEN, MOST_TAKEN)):
        by_name = {name: times_its_size(name) for name in names}
        worst = max(by_name, key=lambda name: by_name[name])
        print(f"{kind}: {worst} takes most", file=sys.stderr)
        emit(
            f"long-bodies/memory of the worst {kind}", by_name[worst], min(by_name.values()), by_name[worst],
            "of its size", f"≤ {most:g}", by_name[worst] <= most,
        )  # fmt: skip
    steps = {name: longest_step_s(read(name)[0]) for name in (*REFUSED, *TAKEN)}
    slowest = max(steps, key=lambda name: steps[name])
    print(f"steps: {slowest} has the longest", file=sys.stderr)
    emit("long-bodies/longest step", 1e3 * steps[slowest], None, None, "ms", "≤ 10", steps[slowest] <= STALL_S)


if __name__ == "__main__":
    main()
