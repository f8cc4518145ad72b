"""Every score that a route can use, computed for all requests; what is learned is fitted on the choosing part alone.

Scores of a tier's answer: ``max_probability margin negative_entropy`` at a fitted temperature, ``energy`` where it
gives logits, ``logistic`` (a predictor of “this tier suffices” from those four and the text's features) and
``neighbours`` (how often it sufficed on the most similar choosing requests, by its embedding or else its logits).
Of two tiers: ``agreement``. Of the text alone: ``brevity``, ``length`` and, for each tier, a ``logistic`` predictor and
ridges of the signed loss on the text's features and its words, plain and per dollar saved
(:mod:`farthing.core.route.scoring.contents`).

Where costs vary between requests every score has a second form, by expected loss per dollar saved
(:mod:`farthing.core.route.scoring.per_usd`).

“Suffices” means that the tier's answer is at least as good as the reference's: where both are wrong nothing is lost.
On the choosing part learned scores are cross-fitted (five folds; neighbours leave the request itself out), so that
thresholds are not chosen on answers that the predictor knows; on the proving part the predictor fitted on the whole
choosing part is used, which is the one that is served.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.answers import NO_CLASS, TierAnswers
from farthing.core.route.outcomes import Floats
from farthing.core.route.routes import ScoreSpec
from farthing.core.route.scoring import answer_scores as formulas
from farthing.core.route.scoring.contents import Difference, content_scores, word_score
from farthing.core.route.scoring.embeddings import embedding_scores
from farthing.core.route.scoring.per_usd import PerUsdForms, plain_spec
from farthing.core.route.scoring.predictors import (
    Logistic,
    Neighbours,
    chosen_logistic,
    fit_logistic,
    fit_neighbours,
    folds,
)
from farthing.core.route.scoring.ridge import LossRidge
from farthing.core.route.scoring.texts import TEXT_FEATURES, brevity, length, text_features
from farthing.core.route.scoring.trained import Embed, Embedded, PerUsd, Predictor

__all__ = ["ANSWER_FEATURES", "Scored", "compute", "learned_scores", "sufficiency"]

ANSWER_FEATURES = ("max_probability", "margin", "negative_entropy", "energy")
"""Columns of a logistic predictor that come from a tier's answer; the last one only where it gives logits."""
_FORMS_OF_THEIR_OWN = ("brevity", "text_ridge", "word_ridge", "embedding_ridge")
"""Ridges fit the saving beside the loss; a ridge on the length alone is brevity's."""
MOST_NEIGHBOURS = 2000
"""Choosing requests that neighbours are looked up among, at most: the time of a look-up grows with them."""
NEIGHBOURS_ASKED = 20

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """Scores of all requests.

    Attributes:
        specs: How each is computed, in a fixed order.
        values: Shape ``(n,)`` by name; on the choosing part learned ones are cross-fitted.
        predictors: Trained parts by name of the score.
        notes: What could not be offered and why, one sentence each.
    """

    specs: tuple[ScoreSpec, ...] = ()
    values: Mapping[str, Floats] = field(default_factory=dict)
    predictors: Mapping[str, Predictor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def sufficiency(quality: Floats, reference: int) -> Floats:
    """How far each tier suffices, ``min(1, 1 − (reference's quality − the tier's))`` in [0, 1], shape ``(n, k)``."""
    return np.asarray(np.clip(1 - (quality[:, [reference]] - quality), 0.0, 1.0))


def learned_scores(
    answers: Sequence[TierAnswers],
    sufficient: Mapping[str, Floats],
    *,
    truth: Ints | None,
    texts: Sequence[str] | None,
    choose: Ints,
    rng: np.random.Generator,
    differences: Mapping[str, Difference] | None = None,
    embed: Embed | None = None,
) -> Scored:
    """All scores that these requests allow.

    Args:
        answers: Of the tiers below the reference, cheapest first; empty when only outcomes are known.
        sufficient: By tier below the reference, shape ``(n,)``, in [0, 1]; see :func:`sufficiency`.
        truth: Label of each request, −1 for none of the classes; fits temperatures. None keeps them at 1.
        texts: The requests, None when they are no texts.
        choose: Rows of the choosing part; nothing else is fitted on.
        rng: Source of folds and of the requests that neighbours keep.
        differences: What each tier loses and saves, by name; None offers no ridge.
        embed: Vectors of texts, None without an embedder.

    Raises:
        ValueError: when shapes do not match.
    """
    work = _Work(sufficient=sufficient, texts=texts, choose=choose, rng=rng)
    if texts is not None:
        work.of_texts()
        work.of_contents(differences or {}, embed)
    for a in answers:
        work.of_answer(a, truth)
    for one, other in combinations(answers, 2):
        work.of_pair(one, other)
    if texts is not None:
        work.per_usd(differences or {}, text_features(texts))
    return Scored(specs=tuple(work.specs), values=work.values, predictors=work.predictors, notes=tuple(work.notes))


@dataclass
class _Work:
    """Scores as they are added, one after the other."""

    sufficient: Mapping[str, Floats]
    texts: Sequence[str] | None
    choose: Ints
    rng: np.random.Generator
    specs: list[ScoreSpec] = field(default_factory=list)
    values: dict[str, Floats] = field(default_factory=dict)
    predictors: dict[str, Predictor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, spec: ScoreSpec, values: Floats, predictor: Predictor | None = None) -> None:
        self.specs.append(spec)
        self.values[spec.name] = values
        if predictor is not None:
            self.predictors[spec.name] = predictor

    def of_texts(self) -> None:
        assert self.texts is not None
        self.add(ScoreSpec(name="brevity", kind="brevity"), brevity(self.texts))
        self.add(ScoreSpec(name="length", kind="length"), length(self.texts))
        table = text_features(self.texts)
        for tier, good in self.sufficient.items():
            spec = ScoreSpec(name=f"text_logistic({tier})", kind="logistic", features=TEXT_FEATURES)
            self._logistic(spec, table, good)

    def of_contents(self, by_tier: Mapping[str, Difference], embed: Embed | None) -> None:
        assert self.texts is not None
        for found in content_scores(self.texts, by_tier, self.choose, self.rng):
            self.add(found.spec, found.values, found.predictor)
        if embed is not None:
            for found in embedding_scores(embed, self.texts, by_tier, self.choose, self.rng):
                self.add(found.spec, found.values, found.predictor)

    def per_usd(self, by_tier: Mapping[str, Difference], table: Floats) -> None:
        """The second form of every score that has none yet; of scores of the text alone one for each tier."""
        forms = PerUsdForms(table, by_tier, self.choose, self.rng)
        for spec in list(self.specs):
            predictor = self.predictors.get(spec.name)
            if spec.kind in _FORMS_OF_THEIR_OWN or isinstance(predictor, PerUsd):
                continue
            tiers = spec.needs[-1:] or [tier for tier in by_tier if f"({tier})" in spec.name] or list(by_tier)
            for tier in tiers:
                found = forms.of(spec, self.values[spec.name], predictor, tier)
                if found is not None and found[0].name not in self.values:
                    self.add(*found)

    def of_answer(self, a: TierAnswers, truth: Ints | None) -> None:
        if a.table is None:
            self.notes.append(
                f"{a.tier} answers classes without probabilities: no score of its answer, only agreement judges it"
            )
            return
        t = self._temperature(a, truth)
        columns: dict[str, Floats] = {}
        for kind in ANSWER_FEATURES if a.logits else ANSWER_FEATURES[:-1]:
            spec = _of_answer(kind, a, t)
            columns[kind] = compute(spec, [a], None, None)
            self.add(spec, columns[kind])
        features = (*(TEXT_FEATURES if self.texts is not None else ()), *columns)
        table = np.column_stack([*([text_features(self.texts)] if self.texts is not None else []), *columns.values()])
        spec = _of_answer("logistic", a, t, features=features)
        self._logistic(spec, table, self.sufficient[a.tier])
        self._neighbours(a, t)

    def of_pair(self, one: TierAnswers, other: TierAnswers) -> None:
        if (one.table is None) != (other.table is None) or (one.table is not None and one.logits != other.logits):
            self.notes.append(f"{one.tier} and {other.tier} answer in different forms: their agreement is not offered")
            return
        spec = ScoreSpec(
            name=f"agreement({one.tier},{other.tier})",
            kind="agreement",
            needs=(one.tier, other.tier),
            classes=0 if one.table is None else one.table.shape[1],
            logits=one.logits and one.table is not None,
        )
        self.add(spec, compute(spec, [one, other], None, None))

    def _temperature(self, a: TierAnswers, truth: Ints | None) -> float:
        assert a.table is not None
        found = 1.0
        rows = self.choose if truth is None else self.choose[truth[self.choose] != NO_CLASS]
        if truth is not None and a.logits and np.unique(truth[rows]).size > 1:
            found = formulas.fit_temperature(a.table[rows], truth[rows])
        return found

    def _logistic(self, spec: ScoreSpec, table: Floats, good: Floats) -> None:
        known = good[self.choose]
        if (known == known[0]).all():
            self.notes.append(
                f"{spec.name} is not offered: the tier does alike on all {known.size:,} choosing requests"
            )
            return
        fitted = chosen_logistic(table[self.choose], known, self.rng)
        values = fitted.score(table)
        values[self.choose] = self._cross_fitted(table[self.choose], known, fitted)
        self.add(spec, values, fitted)

    def _cross_fitted(self, table: Floats, good: Floats, whole: Logistic) -> Floats:
        """Each fold scored by a predictor that never saw it; the whole one where the others all end alike."""
        found = np.empty(good.size)
        for rows in folds(good.size, self.rng):
            rest = np.setdiff1d(np.arange(good.size), rows)
            alike = rest.size == 0 or (good[rest] == good[rest][0]).all()
            found[rows] = (whole if alike else fit_logistic(table[rest], good[rest], l2=whole.l2)).score(table[rows])
        return found

    def _neighbours(self, a: TierAnswers, temperature: float) -> None:
        space = a.embedding if a.embedding is not None else a.table
        assert space is not None
        kept = self.choose
        if kept.size > MOST_NEIGHBOURS:
            kept = np.sort(self.rng.choice(kept, MOST_NEIGHBOURS, replace=False))
        good = self.sufficient[a.tier]
        if kept.size <= NEIGHBOURS_ASKED or (good[kept] == good[kept][0]).all():
            self.notes.append(f"neighbours({a.tier}) is not offered: too few or too equal choosing requests")
            return
        fitted = _as_stored(fit_neighbours(space[kept], good[kept], k=NEIGHBOURS_ASKED))
        values = fitted.score(space)
        values[kept] = fitted.score(space[kept], leave_one_out=True)
        spec = _of_answer("neighbours", a, temperature, output=a.embedding_output if a.embedding is not None else "")
        self.add(spec, values, fitted)


def _of_answer(
    kind: str, a: TierAnswers, temperature: float, *, features: tuple[str, ...] = (), output: str = ""
) -> ScoreSpec:
    assert a.table is not None
    return ScoreSpec(
        name=f"{kind}({a.tier})",
        kind=kind,  # type: ignore[arg-type]
        needs=(a.tier,),
        temperature=temperature,
        classes=a.table.shape[1],
        logits=a.logits,
        output=output,
        features=features,
    )


def _as_stored(fitted: Neighbours) -> Neighbours:
    """With directions as the file keeps them, in single precision, so that what is served is what was calibrated."""
    return Neighbours(
        directions=fitted.directions.astype(np.float32).astype(np.float64), sufficient=fitted.sufficient, k=fitted.k
    )


def compute(
    spec: ScoreSpec, answers: Sequence[TierAnswers], texts: Sequence[str] | None, predictor: Predictor | None
) -> Floats:
    """A score for all requests, as it is computed in serving.

    Args:
        spec: Which.
        answers: Of the tiers in ``spec.needs``, in their order.
        texts: The requests, where the score reads them.
        predictor: Its trained part, None for a score that has none.

    Raises:
        ValueError: when the answers, texts or predictor that it needs are missing, or it was given with the data.
    """
    if [a.tier for a in answers] != list(spec.needs):
        raise ValueError(f"the score {spec.name} needs the answers of {', '.join(spec.needs) or 'no tier'}")
    if isinstance(predictor, PerUsd):
        plain = compute(plain_spec(spec), answers, texts, predictor.base)
        return predictor.score(plain, text_features(_texts(spec, texts)))
    if spec.kind in _OF_TEXT:
        return _OF_TEXT[spec.kind](_texts(spec, texts))
    if isinstance(predictor, Embedded):
        return predictor.score(_texts(spec, texts))
    if isinstance(predictor, LossRidge) and spec.kind == "word_ridge":
        return np.array([word_score(text, predictor) for text in _texts(spec, texts)])
    if isinstance(predictor, LossRidge) and spec.kind == "text_ridge":
        return predictor.score(_features(spec, answers, texts))
    if spec.kind == "agreement":
        one, other = answers
        if one.table is None or other.table is None:
            return formulas.agreement(one.classes, other.classes)
        return formulas.agreement(_probabilities(spec, one), _probabilities(spec, other))
    if spec.kind == "logistic" and isinstance(predictor, Logistic):
        return predictor.score(_features(spec, answers, texts))
    if spec.kind == "neighbours" and isinstance(predictor, Neighbours):
        space = answers[0].embedding if spec.output else answers[0].table
        if space is None:
            raise ValueError(f"the score {spec.name} reads an output that the tier {answers[0].tier} does not give")
        return predictor.score(space)
    if spec.kind in ANSWER_FEATURES:
        return _of_table(spec.kind, spec, answers[0])
    raise ValueError(f"the score {spec.name} ({spec.kind}) cannot be computed: given with the data, or no weights")


def _features(spec: ScoreSpec, answers: Sequence[TierAnswers], texts: Sequence[str] | None) -> Floats:
    wanted = spec.features or TEXT_FEATURES
    columns: dict[str, Floats] = {}
    if any(name in TEXT_FEATURES for name in wanted):
        columns |= dict(zip(TEXT_FEATURES, text_features(_texts(spec, texts)).T, strict=True))
    columns |= {name: _of_table(name, spec, answers[0]) for name in wanted if name in ANSWER_FEATURES}
    return np.column_stack([columns[name] for name in wanted])


def _of_table(kind: str, spec: ScoreSpec, a: TierAnswers) -> Floats:
    if a.table is None:
        raise ValueError(f"the score {spec.name} needs probabilities, which the tier {a.tier} does not give")
    if kind == "energy":
        return formulas.energy(a.table, temperature=spec.temperature)
    return _OF_PROBABILITIES[kind](_probabilities(spec, a))


_OF_TEXT: Mapping[str, Callable[[Sequence[str]], Floats]] = {"brevity": brevity, "length": length}
_OF_PROBABILITIES: Mapping[str, Callable[[Floats], Floats]] = {
    "max_probability": formulas.max_probability,
    "margin": formulas.margin,
    "negative_entropy": formulas.negative_entropy,
}


def _probabilities(spec: ScoreSpec, a: TierAnswers) -> Floats:
    assert a.table is not None
    return formulas.softmax(a.table, temperature=spec.temperature) if spec.logits else a.table


def _texts(spec: ScoreSpec, texts: Sequence[str] | None) -> Sequence[str]:
    if texts is None:
        raise ValueError(f"the score {spec.name} reads the text of a request, and there are no texts")
    return texts
