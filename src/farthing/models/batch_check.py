"""Whether requests may share a batch: shown by answering them alone and together, else one at a time.

A free first dimension proves nothing: a detector's is the number of boxes, a sequence-first model's is time, and a
model may normalise or rank over its whole batch. So requests are answered alone first, then in batches of several
sizes; rows and values must be the same. An output that no request has changed shows nothing: a detector that finds no
box in made-up images answers zeros alone and together; unless the graph shows that no request can change it, or that it
follows from one that was changed. Exactly the same values cannot be: sums of floating-point numbers depend on their
order, which kernels choose by the batch's size. How far two answers may lie apart is a :class:`Margin`. Where numbers
of few bits make it wide, the same request must get the same answer beside other mates too, to the margin of FP32: in a
batch of the same size the kernels are the same.

Activations that are quantized as they come (``DynamicQuantizeLinear``) take one step for a whole tensor, so that every
row of a batch moves every other a little. That step depends on the smallest and largest value alone, not on how often
a row is there: batches of the same requests, each as often as one likes and in any order, must give the same answers
as one another, and only the distance to the answer alone gets the wider margin. A model that mixes its rows in any
other way (a mean, a rank, a neighbour) fails the first test; one whose step another's request can widen at will (raw
numbers, which nothing bounds) fails the second.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FEWEST",
    "MARGINS",
    "MOST_ALONE",
    "Apart",
    "Arithmetic",
    "Batching",
    "Margin",
    "Trial",
    "check_batching",
    "check_rows",
    "distances",
]

Arithmetic = Literal["float", "half", "stepped", "dynamic"]
"""FP32; BF16 or FP16; 8 bits with fixed steps; 8 bits with steps that each batch sets."""
Outputs = Sequence[NDArray[Any]]

ENOUGH_S = 0.25
"""Trials beyond the second are run until so much time has passed."""
FEWEST, MOST_ALONE = 3, 16
"""Requests of a trial; the largest batch holds some of them more than once."""
KEPT_BYTES = 64 * 2**20
"""Of answers alone that are kept to compare, but for the fewest."""
_TINY_FRAC = 1e-6
"""Of an output's largest value over all requests: what is smaller counts as that large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """How far an answer may lie from another, relative to the largest value of its row.

    Attributes:
        typical_frac: Of the median answer of a batch.
        most_frac: Of any answer.
    """

    typical_frac: float
    most_frac: float

    def holds(self, distances: Sequence[float]) -> bool:
        """Whether answers lie within it."""
        return max(distances) <= self.most_frac and statistics.median(distances) <= self.typical_frac


MARGINS: Mapping[Arithmetic, Margin] = {
    "float": Margin(typical_frac=1e-5, most_frac=1e-3),
    "half": Margin(typical_frac=1e-2, most_frac=5e-2),
    "stepped": Margin(typical_frac=1e-3, most_frac=5e-2),
    "dynamic": Margin(typical_frac=2e-2, most_frac=1e-1),
}
"""By arithmetic. FP32 rounds to 6e-8, real models stayed within 1e-6 (docs/batches.md); BF16 rounds to 4e-3. With 8
bits a difference in a number's last place can move it by a whole step (1/255 of its tensor's range): that happens to
few answers, so that the median stays far below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """What was shown of a model.

    Attributes:
        alone: Why its requests are answered one at a time, as the end of a sentence; empty when they may share a batch.
        sizes: Batch sizes at which requests together were answered as each alone.
        answers: Rows that were compared.
        worst_frac: Largest distance between two answers that should be alike, relative to the row's largest value.
        dynamic: Whether the wider margin of activations that are quantized over a whole batch was needed.
        one_row: Whether each output has one row for one request.
    """

    alone: str = ""
    sizes: tuple[int, ...] = ()
    answers: int = 0
    worst_frac: float = 0.0
    dynamic: bool = False
    one_row: bool = True

    @property
    def batched(self) -> bool:
        """Whether requests may share a batch."""
        return not self.alone

    @property
    def sentence(self) -> str:
        """For people: what was shown, or why requests do not share a batch."""
        if self.alone:
            return f"one request at a time, because {self.alone}"
        sizes = " and ".join((", ".join(map(str, self.sizes[:-1])), str(self.sizes[-1])))
        shown = f"batched: {sizes} requests together are answered as each alone ({self.answers:,} answers compared, "
        if self.worst_frac == 0:
            return f"{shown}no difference)"
        why = "; activations are quantized over the whole batch" if self.dynamic else ""
        return f"{shown}at most {self.worst_frac:.1g} of an answer's largest value apart{why})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Some requests that may be put together.

    Attributes:
        run: Answers those with the given indices in one batch: an array for each output.
        n: How many there are, ≥ 2.
    """

    run: Callable[[Sequence[int]], Outputs]
    n: int


class Apart(Exception):
    """Together the answers are not what they are alone; the message is the end of a sentence."""


def check_batching(
    trials: Iterable[Trial],
    outputs: Sequence[str],
    most: int,
    *,
    arithmetic: Callable[[], Arithmetic],
    now_s: Callable[[], float],
    explained: Callable[[Collection[str]], Collection[str]] = lambda varied: (),
    seed: int = 0,
) -> Batching:
    """Answer requests alone and together.

    Args:
        trials: The first that the model takes is run at 2, 3 and ``most`` requests, the others at 2 and 3: one of them
            in any case, more as long as time is left. A trial whose first request the model does not take is left out.
        outputs: Their names, for the reason.
        most: Largest batch, ≥ 1.
        arithmetic: How the model computes; asked only where the margin of FP32 is not kept.
        now_s: Monotonic time.
        explained: Outputs that need not vary, given those that have; asked only where some have not.
        seed: Of which requests are put together.
    """
    check = _Check(outputs, arithmetic, explained, seed)
    start_s, refused = now_s(), "there is none"
    for trial in trials:
        if check.tried >= 2 and check.varied and now_s() - start_s > ENOUGH_S:
            break
        sizes = sorted({2, 3, most} - {1} if check.tried == 0 else {2, 3})
        try:
            alone = _alone(trial, max(sizes))
        except Exception as e:  # noqa: BLE001 - whatever an engine raises, these requests are none that it takes
            refused = first_line(e)
            continue
        try:
            check.one(trial, alone, sizes)
        except Apart as e:
            return Batching(alone=str(e), one_row=check.one_row)
    if not check.tried:
        return Batching(alone=f"no made-up request fits it ({refused})", one_row=False)
    return Batching(alone=check.unvaried()) if not check.varied else check.shown()


class _Check:
    """Trials of one model.

    Attributes:
        tried: Trials that were run.
        one_row: Whether each output had one row for each request alone.
    """

    def __init__(
        self,
        outputs: Sequence[str],
        arithmetic: Callable[[], Arithmetic],
        explained: Callable[[Collection[str]], Collection[str]],
        seed: int,
    ) -> None:
        self.tried, self.one_row = 0, False
        self._outputs, self._ask, self._explained = tuple(outputs), arithmetic, explained
        self._rng = np.random.default_rng(seed)
        self._known: Arithmetic = "float"
        self._asked = False
        self._sizes: set[int] = set()
        self._answers, self._worst = 0, 0.0
        self._variety = np.zeros(len(self._outputs))
        self._floating = np.zeros(len(self._outputs), dtype=np.bool_)

    @property
    def varied(self) -> bool:
        """Whether requests have had answers so different that one taken for another is found out, in each output.

        Whole numbers and texts may stay the same (a label) where floating-point numbers stand beside them, and so may
        what the graph explains.
        """
        return bool(self._different().any()) and not self._still()

    def unvaried(self) -> str:
        """Why answers that did not vary enough show nothing, as the end of a sentence."""
        if not self._different().any():
            return "its answers to all made-up requests are alike, which shows nothing"
        return f"output {self._still()[0]} is alike for all made-up requests, which shows nothing"

    def _still(self) -> list[str]:
        """Outputs of floating-point numbers that have not varied and should have."""
        different = self._different()
        still = [self._outputs[k] for k in np.flatnonzero(self._floating & ~different)]
        if not still:
            return still
        explained = self._explained([self._outputs[k] for k in np.flatnonzero(different)])
        return [name for name in still if name not in explained]

    def _different(self) -> NDArray[np.bool_]:
        return self._variety > 2 * MARGINS["float"].most_frac

    def shown(self) -> Batching:
        """All of it."""
        return Batching(
            sizes=tuple(sorted(self._sizes)),
            answers=self._answers,
            worst_frac=self._worst,
            dynamic=self._known == "dynamic",
        )

    def one(self, trial: Trial, alone: Sequence[Outputs], sizes: Sequence[int]) -> None:
        """Hold the requests of a trial together against each alone.

        Raises:
            Apart: when the answers are not alike.
        """
        for answer in alone:
            check_rows(answer, self._outputs, 1)
        self.one_row = True
        self.tried += 1
        self._variety = np.maximum.reduce([self._variety, *(distances(alone[:1], o)[:, 0] for o in alone[1:])])
        self._floating |= [np.asarray(output).dtype.kind == "f" for output in alone[0]]
        for size in sizes:
            rows = [int(k) for k in self._rng.permutation(np.arange(size) % len(alone))]
            self._judge(trial, [alone[k] for k in rows], _run(trial, rows))
            self._sizes.add(size)
            self._answers += size

    def _judge(self, trial: Trial, want: Sequence[Outputs], got: Outputs) -> None:
        check_rows(got, self._outputs, len(want))
        found = distances(want, got)
        rows = found.max(axis=0).tolist()
        if not MARGINS[self._known].holds(rows) and not self._asked:
            self._asked, self._known = True, self._ask()
            if self._known == "dynamic":
                self._check_repeats(trial)
            elif self._known != "float":
                self._check_mates(trial)
        if not MARGINS[self._known].holds(rows):
            output = self._outputs[int(found.max(axis=1).argmax())]
            beside = "another" if len(want) == 2 else f"{len(want) - 1} others"
            raise Apart(f"output {output} of a request beside {beside} is not what it is alone ({_said(max(rows))})")
        self._worst = max(self._worst, *rows)

    def _check_mates(self, trial: Trial) -> None:
        """Hold the answer of a request beside one other against those beside others, in its place."""
        for k, pairs in enumerate((([0, 1], [0, 2], [0, 0]), ([1, 0], [2, 0], [0, 0]))):
            answers = [_run(trial, rows) for rows in pairs]
            for answer in answers:
                check_rows(answer, self._outputs, 2)
            want, *others = [[output[k : k + 1] for output in answer] for answer in answers]
            found = [float(distances([want], other).max()) for other in others]
            if not MARGINS["float"].holds(found):
                raise Apart(f"an answer changes with the request beside it ({_said(max(found))})")

    def _check_repeats(self, trial: Trial) -> None:
        """Hold batches of the same two requests, in other numbers and orders, against one another."""
        both = _run(trial, [0, 1])
        check_rows(both, self._outputs, 2)
        want = [[output[k : k + 1] for output in both] for k in (0, 1)]
        for rows in ([1, 0], [0, 0, 1], [1, 0, 1, 1]):
            got = _run(trial, rows)
            check_rows(got, self._outputs, len(rows))
            found = distances([want[k] for k in rows], got).max(axis=0).tolist()
            if not MARGINS["stepped"].holds(found):
                raise Apart(f"an answer changes when another request is there twice ({_said(max(found))})")


def _alone(trial: Trial, largest: int) -> list[Outputs]:
    """Answers to single requests: as many as the largest batch holds, fewer where they are large."""
    first = trial.run([0])
    fit = KEPT_BYTES // max(1, sum(np.asarray(array).nbytes for array in first))
    n = min(trial.n, max(FEWEST, min(MOST_ALONE, largest, fit)))
    return [first, *(trial.run([k]) for k in range(1, n))]


def _run(trial: Trial, rows: Sequence[int]) -> Outputs:
    try:
        return trial.run(rows)
    except Exception as e:
        raise Apart(f"{len(rows)} requests together fail: {first_line(e)}") from e


def check_rows(answers: Outputs, names: Sequence[str], rows: int) -> None:
    """Pass when each output has a row for each request.

    Raises:
        Apart: when one has not.
    """
    for name, array in zip(names, answers, strict=True):
        if np.ndim(array) == 0 or array.shape[0] != rows:
            who = "one request" if rows == 1 else f"{rows} requests together"
            found = "no rows" if np.ndim(array) == 0 else f"{array.shape[0]:,} rows"
            raise Apart(f"output {name} has {found} for {who}")


def distances(want: Sequence[Outputs], got: Outputs) -> NDArray[np.float64]:
    """How far rows lie from the answers that they should be, relative to the largest value of each.

    Args:
        want: The answer of each row, with one row for each output.
        got: All rows, output by output.

    Returns:
        Shape ``(outputs, rows)``; 0 where both are the same, infinite where shapes differ, where something other than a
        floating-point number does, or where only one is NaN or infinite.
    """
    found = np.zeros((len(got), len(want)))
    for o, output in enumerate(got):
        largest = max(_magnitude(answer[o]) for answer in want)
        for k, answer in enumerate(want):
            found[o, k] = _distance(answer[o], output[k : k + 1], largest)
    return found


def _magnitude(array: NDArray[Any]) -> float:
    if array.dtype.kind != "f" or array.size == 0:
        return 0.0
    sizes = np.abs(array.astype(np.float64))
    return float(np.max(sizes, where=np.isfinite(sizes), initial=0.0))


def _distance(want: NDArray[Any], got: NDArray[Any], largest: float) -> float:
    if want.shape != got.shape or want.dtype != got.dtype:
        return float("inf")
    if want.dtype.kind != "f":
        return 0.0 if np.array_equal(want, got) else float("inf")
    a, b = want.astype(np.float64), got.astype(np.float64)
    there = np.isfinite(a)
    if not np.array_equal(there, np.isfinite(b)) or not np.array_equal(a[~there], b[~there], equal_nan=True):
        return float("inf")
    most = float(np.max(np.abs(np.subtract(a, b, where=there, out=np.zeros_like(a))), initial=0.0))
    scale = max(_magnitude(want), _TINY_FRAC * largest)
    return most / scale if scale else (float("inf") if most else 0.0)


def _said(distance: float) -> str:
    if not np.isfinite(distance):
        return "another shape, label or text"
    return f"{distance:.2g} of its largest value apart"


def first_line(error: BaseException) -> str:
    """What it says, in one line."""
    return next((text.strip() for text in str(error).splitlines() if text.strip()), type(error).__name__)
