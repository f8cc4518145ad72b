"""Routes from files of outcomes alone, beside a coin of equal cost, on requests that nothing was chosen or proven on.

    python benchmarks/routing/outcome_files.py FILE… [--limits 0.5,1,2] [--repeats 5] [--test-share 0.25]

Any file that `farthing route calibrate` takes: CSV, TSV, JSON Lines or Parquet with ``quality:TIER`` and
``cost_usd:TIER``. A part of each file is drawn for testing, the rest is calibrated on (half to choose, half to prove),
several times over. Printed are means over these repeats: of savings with the least and the greatest, of the rest with
the width of one repeat's interval, since repeats share most of their requests. “Against a coin” is the quality on the
test part beyond that of the best fixed split of the same mean cost: *better* or *worse* where the interval excludes 0.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from farthing.core.route.controls import against_coin, beyond_coin
from farthing.core.route.outcomes import OutcomeMatrix, take
from farthing.core.route.policies import FixedTier, follow
from farthing.core.route.routes import Route, policy_of
from farthing.core.stats.intervals import mean_t
from farthing.errors import DataError, FarthingError
from farthing.load.route.outcomes import OutcomeFile, read_outcomes
from farthing.load.route.settings import RouteSettings
from farthing.load.route.task import RouteTask
from farthing.nouns import Estimate
from farthing.runs.options import RunOptions
from farthing.runs.route.judging import judged_file
from farthing.store.routes import write_outcomes
from farthing.verbs.route.calibrate import route_calibrate
from figures import emit

LIMITS = "0.5,1,2"
REPEATS = 5
TEST_FRAC = 0.25
TARGETS = {("mmlu_pro_dev", 1.0): 0.08}
"""Least proven saving, by name of the file and points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One calibration and its test.

    Attributes:
        saving: Proven: share of the reference's cost on the proving part; 0 where the reference alone is followed.
        loss: Quality of the reference less the route's, on the test part.
        test_saving: On the test part.
        beyond: Quality beyond a coin of equal cost on the test part.
    """

    saving: float
    loss: Estimate
    test_saving: float
    beyond: Estimate


def main(arguments: Sequence[str] | None = None) -> int:
    """Try every file; returns 1 where one could not be read."""
    asked = _parser().parse_args(arguments)
    limits = [float(x) for x in asked.limits.split(",")]
    failed = 0
    for path in asked.files:
        try:
            file = read_outcomes(path)
            _refuse_free(path, file.matrix)
            for points in limits:
                tried = [_tried(file, points, seed, asked.test_share) for seed in range(asked.repeats)]
                _show(path.stem, points, tried)
        except FarthingError as e:
            failed = 1
            print(f"{path}: {e.message}" + (f"\n\nhint: {e.hint}" if e.hint else ""), file=sys.stderr)
    return failed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--limits", default=LIMITS, help="points of quality that may be lost, by commas")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--test-share", type=float, default=TEST_FRAC)
    return parser


def _refuse_free(path: Path, matrix: OutcomeMatrix) -> None:
    """Refuse tiers that cost nothing: no share of 0 can be saved, and a price that is missing is no price.

    Raises:
        DataError: naming the tier.
    """
    free = [tier for tier, usd in zip(matrix.tiers, matrix.cost_usd.mean(axis=0)) if usd <= 0]
    if free or len(matrix.tiers) < 2:
        said = f"the tier {free[0]!r} costs 0 for all requests" if free else f"there is one tier, {matrix.tiers[0]!r}"
        raise DataError(f"{path}: {said}", hint="outcomes of at least two tiers, each with what its requests cost")


def _tried(file: OutcomeFile, points: float, seed: int, test_frac: float) -> Tried:
    """Calibrate on a part of the file, and judge on the rest."""
    n = file.matrix.n
    test = np.zeros(n, dtype=bool)
    test[np.random.default_rng([seed, 17]).permutation(n)[: round(test_frac * n)]] = True
    with tempfile.TemporaryDirectory(prefix="farthing-outcomes-") as folder:
        for name, rows in (("known", ~test), ("test", test)):
            _write_part(file, rows, Path(folder) / f"{name}.parquet")
        task = RouteTask(source=Path(folder) / "known.parquet", settings={"max_loss": f"{points}%"})
        report = route_calibrate(task, options=RunOptions(output_dir=Path(folder) / "route", seed=seed))
        asked = RouteSettings(data=Path(folder) / "test.parquet")
        matrix, _ = judged_file(report.route, Path(folder) / "route", asked, None, None, False)
    return _judged(report.route, matrix)


def _write_part(file: OutcomeFile, rows: np.ndarray, path: Path) -> None:
    """Some requests as a file of their own: outcomes, scores, features and texts."""
    texts = None if file.texts is None else [text for text, kept in zip(file.texts, rows) if kept]
    features = {f"feature:{name}": file.features[rows, k].tolist() for k, name in enumerate(file.feature_names)}
    write_outcomes(path, take(file.matrix, rows), texts=texts, marks=features)


def _judged(route: Route, matrix: OutcomeMatrix) -> Tried:
    policy = FixedTier(tier=route.reference) if route.chosen is None else policy_of(route.ladder[route.chosen].policy)
    routed, dear = follow(policy, matrix), follow(FixedTier(tier=route.reference), matrix)
    saving = 0.0
    if route.chosen is not None and route.saving_frac is not None and route.worth_it:
        saving = route.saving_frac.value
    return Tried(
        saving=saving,
        loss=mean_t(dear.quality - routed.quality, confidence=0.95),
        test_saving=float(1 - routed.cost_usd.mean() / dear.cost_usd.mean()),
        beyond=beyond_coin(routed.quality, routed.cost_usd, matrix, confidence=0.95),
    )


def _show(name: str, points: float, tried: Sequence[Tried]) -> None:
    head = f"outcomes/{name}/{points:g} {'point' if points == 1 else 'points'}"
    _range(f"{head}/proven saving", [t.saving for t in tried], TARGETS.get((name, points)))
    _range(f"{head}/test saving", [t.test_saving for t in tried], None)
    loss = _mean([t.loss for t in tried])
    emit(f"{head}/test loss", loss.value, loss.lo, loss.hi, "frac", f"lo ≤ {points / 100:g}", loss.lo <= points / 100)
    beyond = _mean([t.beyond for t in tried])
    said = against_coin(beyond)
    figure = f"{head}/against a coin: {said}"
    emit(figure, beyond.value, beyond.lo, beyond.hi, "frac of quality", "not worse", said != "worse")


def _range(figure: str, values: Sequence[float], target: float | None) -> None:
    """The mean, with the least and the greatest of the repeats for its interval."""
    mean = float(np.mean(values))
    wanted, met = (None, None) if target is None else (f"≥ {target:g}", mean >= target)
    emit(figure, mean, min(values), max(values), "frac", wanted, met)


def _mean(repeats: Sequence[Estimate]) -> Estimate:
    """Repeats as one: their mean with the width of one repeat's interval, since they share most of the requests."""
    value = float(np.mean([e.value for e in repeats]))
    half = float(np.median([(e.hi - e.lo) / 2 for e in repeats]))
    return Estimate(value=value, lo=value - half, hi=value + half, n=repeats[0].n, method="mean of repeats")


if __name__ == "__main__":
    sys.exit(main())
