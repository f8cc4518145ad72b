"""CLINC150 drifting under a route: intents that its cheap tiers never saw, and texts with slips of the finger.

The cheap tiers are distilled once more without the questions of some intents, and the route is calibrated without
them; the large tier knows all of them. All tiers then answer all labelled questions that no tier learned from.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from farthing.core.route.answers import TierAnswers
from farthing.core.route.routes import Route, RoutedPolicy
from farthing.core.route.scoring.all_scores import compute
from farthing.load.route.files import read_predictor, read_route
from farthing.load.route.settings import read_settings
from farthing.load.route.task import RouteKeys, RouteTask
from farthing.load.route.tiers import tier_of_flag
from farthing.measure.route.tier_answers import TierSettings
from farthing.runs.options import RunOptions
from farthing.runs.progress import or_silent
from farthing.runs.route.tiers import answered, found_models, requests_of
from farthing.verbs.route.calibrate import route_calibrate
from routing.watched import Requests

__all__ = ["Kinds", "kinds_of", "read_kinds", "slipped", "write_kinds"]

INTENTS = 15
"""So many of the 150 are withheld."""
LETTERS_A_SLIP = 12
KEYS = "abcdefghijklmnopqrstuvwxyz"
CLINC = Path(__file__).resolve().parents[2] / "examples" / "clinc150"

Question = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """What requests there are under one route.

    Attributes:
        usual: As in calibration.
        unseen: Of the intents that the cheap tiers never saw.
        typos: The usual ones with slips of the finger.
        alarm_loss_frac: At which the route falls back.
        calibrated: Requests that proved it.
        audit_frac: Share that is audited.
    """

    usual: Requests
    unseen: Requests
    typos: Requests
    alarm_loss_frac: float
    calibrated: int
    audit_frac: float


def slipped(text: str, rng: np.random.Generator) -> str:
    """A text with a slip every dozen letters: two swapped, one left out, doubled, or another key."""
    letters = list(text)
    for _ in range(max(1, len(text) // LETTERS_A_SLIP)):
        if len(letters) < 2:
            break
        k, what = int(rng.integers(len(letters) - 1)), rng.integers(4)
        if what == 0:
            letters[k], letters[k + 1] = letters[k + 1], letters[k]
        elif what == 1:
            del letters[k]
        elif what == 2:
            letters.insert(k, letters[k])
        else:
            letters[k] = KEYS[rng.integers(len(KEYS))]
    return "".join(letters)


def kinds_of(demo: Path, seed: int = 0) -> Kinds:
    """Distil, calibrate and ask all tiers; takes minutes.

    Args:
        demo: What ``make route-demo`` left.
        seed: Of everything random.
    """
    sys.path[:0] = [str(CLINC.parent), str(CLINC)]
    import large
    import run
    from data import read_questions

    import assets

    rng = np.random.default_rng(seed)
    questions = read_questions(assets.clinc150(demo / "cache"), seed)
    withheld = set(rng.choice(questions.intents, INTENTS, replace=False).tolist())
    known = replace(
        questions,
        train=[q for q in questions.train if q[1] not in withheld],
        calibrate=[q for q in questions.calibrate if q[1] not in withheld],
    )
    folder = demo / "unseen"
    folder.mkdir(exist_ok=True)
    run.distilled(folder, large.load(demo / "large"), known, seed)
    tiers = [f"small={folder / 'small'}", f"medium={folder / 'medium'}", f"large={demo / 'large' / 'plan.yaml'}"]
    labelled: RouteKeys = {"text_column": "text", "label_column": "intent"}
    pool = questions.calibrate + questions.test
    usual = [q for q in pool if q[1] not in withheld]
    calibrated = _drawn(usual, rng, len(known.calibrate))
    data = _written(folder / "calibrate.csv", calibrated)
    task = RouteTask(tiers=tiers, settings={**labelled, "data": data, "priced_as": run.OFFER, "max_loss": "0.5%"})
    route_calibrate(task, options=RunOptions(output_dir=folder, trust=True))
    route = read_route(folder / "route.yaml")
    kinds = {
        "usual": usual,
        "unseen": [q for q in pool if q[1] in withheld],
        "typos": [(slipped(text, rng), intent) for text, intent in usual],
    }
    found = {
        name: _seen(route, folder, tiers, _written(folder / f"{name}.csv", rows), labelled)
        for name, rows in kinds.items()
    }
    return Kinds(
        **found,
        alarm_loss_frac=route.monitoring.alarm_loss_frac,
        calibrated=route.n,
        audit_frac=route.monitoring.audit_frac,
    )


def _drawn(questions: Sequence[Question], rng: np.random.Generator, n: int) -> list[Question]:
    return [questions[k] for k in rng.choice(len(questions), n, replace=False)]


def _written(path: Path, questions: Sequence[Question]) -> Path:
    with path.open("w", newline="") as f:
        rows = csv.writer(f)
        rows.writerow(("text", "intent"))
        rows.writerows(questions)
    return path


def _seen(route: Route, folder: Path, tiers: Sequence[str], data: Path, columns: RouteKeys) -> Requests:
    """What the watch sees of questions under the route's chosen policy."""
    if route.chosen is None:
        raise SystemExit("the route follows its reference alone: there is nothing to watch")
    named = [tier_of_flag(tier) for tier in tiers]
    models = found_models(named, True)
    requests = requests_of(read_settings({"data": str(data), **columns}), models)
    options = RunOptions(tiers=TierSettings(rounds=6, per_round=2))
    got = answered(named, models, requests, options, or_silent(None), folder)
    policy = route.ladder[route.chosen].policy
    specs = {spec.name: spec for spec in route.scores}
    values = [
        compute(
            specs[name],
            [got.answers[tier] for tier in specs[name].needs],
            requests.texts,
            read_predictor(specs[name], folder),
        )
        for name in policy.scores
    ]
    return _followed(policy, values, got.answers, route.reference)


def _followed(
    policy: RoutedPolicy, values: Sequence[np.ndarray], answers: dict[str, TierAnswers], reference: str
) -> Requests:
    wanted = answers[reference].classes
    n = wanted.size
    if policy.kind == "pre_route":
        stage = sum((values[0] < threshold).astype(int) for threshold in policy.thresholds)
    else:
        stage = np.full(n, len(policy.tiers) - 1)
        for k in range(len(policy.tiers) - 2, -1, -1):
            stage = np.where(values[k] >= policy.thresholds[k], k, stage)
    said = np.stack([answers[tier].classes for tier in policy.tiers])[stage, np.arange(n)]
    below = np.array([tier != reference for tier in policy.tiers])[stage]
    return Requests(score=values[0], below=below, loss=(below & (said != wanted)).astype(float))


def write_kinds(kinds: Kinds, path: Path) -> None:
    """Keep them, so that they need be made only once."""
    arrays = {
        f"{name}/{part}": getattr(getattr(kinds, name), part)
        for name in ("usual", "unseen", "typos")
        for part in ("score", "below", "loss")
    }
    numbers = np.array([kinds.alarm_loss_frac, kinds.calibrated, kinds.audit_frac])
    np.savez_compressed(path, numbers=numbers, **arrays)


def read_kinds(path: Path) -> Kinds:
    """What :func:`write_kinds` kept."""
    with np.load(path) as kept:
        found = {
            name: Requests(**{part: kept[f"{name}/{part}"] for part in ("score", "below", "loss")})
            for name in ("usual", "unseen", "typos")
        }
        alarm, calibrated, audit = kept["numbers"].tolist()
    return Kinds(**found, alarm_loss_frac=alarm, calibrated=int(calibrated), audit_frac=audit)
