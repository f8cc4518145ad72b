"""The document that ``farthing route calibrate`` writes and ``farthing serve`` follows: ``route.yaml``.

Plain values only: a policy is named by its form, so that the file can be read by people and by other programs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from farthing.core.route.planned_rate import PlannedRate
from farthing.core.route.policies import Cascade, FixedTier, Policy, PreRoute, Simple, Split
from farthing.nouns import Estimate, Offer, Verdict

__all__ = ["Monitoring", "Route", "RoutedPolicy", "Rung", "ScoreSpec", "Tier", "TierReplicas", "policy_of", "written"]

TierKind = Literal["model", "open_inference", "openai"]
ScoreKind = Literal[
    "max_probability",
    "margin",
    "negative_entropy",
    "energy",
    "agreement",
    "neighbours",
    "logistic",
    "brevity",
    "length",
    "text_ridge",
    "word_ridge",
    "embedding_ridge",
    "embedding_neighbours",
    "given",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TierReplicas:
    """Replicas of a tier that are declared to be there.

    Attributes:
        purchase: ``on_demand`` for those that stay; ``spot`` for those that may vanish.
        count: How many, ≥ 0.
        sla_rps: Rate that one of them sustains within its promise, > 0.
        offer: Price by the hour, None when unknown.
        url: Where they answer; empty for workers of the server that reads the route.
    """

    purchase: Literal["on_demand", "spot"]
    count: int
    sla_rps: float
    offer: Offer | None = None
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One model that requests can go to.

    Attributes:
        name: Within the route, no two alike.
        kind: ``model``: served here; the others are forwarded to a URL that speaks that protocol.
        source: Plan, ONNX file or model folder relative to the route's folder, or the URL.
        model: Its name at the URL; empty where ``source`` says it.
        usd_per_request: What a request costs when this tier answers it at capacity, ≥ 0; the basis of calibration. Of a
            tier that is paid by token the mean over the requests of the calibration.
        usd_per_input_token: Of a token in, ≥ 0; None where tokens are not paid for.
        usd_per_output_token: Of a token out.
        usd_per_cached_input_token: Of a token in that the provider had in its cache; None for the price of any other.
        service_ms: Time of one request alone, None when unknown.
        replicas: Declared; empty where it is billed by request.
        timeout_s: After which the next tier is asked.
        options: Further keys as ``serve.yaml`` takes them (engine, precision, max_batch, instances, threads …).
        sha256: Of the model and its tokenizer when the route was calibrated; empty behind a URL, or when unknown.
    """

    name: str
    kind: TierKind = "model"
    source: str
    model: str = ""
    usd_per_request: float
    usd_per_input_token: float | None = None
    usd_per_output_token: float | None = None
    usd_per_cached_input_token: float | None = None
    service_ms: Estimate | None = None
    replicas: tuple[TierReplicas, ...] = ()
    timeout_s: float = 30.0
    options: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSpec:
    """How a score is computed, the same in calibrating and in serving.

    Attributes:
        name: In policies, for example ``margin(small)``.
        kind: Formula (:mod:`farthing.core.route.scoring`); ``given`` was a column of the data and cannot be served.
        needs: Tiers whose answers it is computed from.
        temperature: Of the logits, > 0.
        classes: Number of classes of the answer, 0 where it needs none.
        logits: Whether the answer holds logits; else probabilities.
        output: Name of the model's output that is read; empty for the first.
        weights: File with the arrays of a trained predictor (``.npz``, relative to the route's folder), or empty.
        features: Names of a logistic predictor's columns, in the order of its weights: those of ``TEXT_FEATURES``,
            then ``max_probability margin negative_entropy energy`` of the answer of the one tier in ``needs``. Empty
            means the text features alone. Of ``text_ridge`` those of ``TEXT_FEATURES`` that it
            reads. Of ``given`` with weights: the file's own features.
        cost_usd: Of computing it once, beyond the tiers it needs, ≥ 0.
        embedder: What makes vectors of texts for it, by name or path; empty where it reads none.
        embedder_sha256: Of that embedder when the route was calibrated.
        per_usd_of: Name of the plain score whose expected loss this one divides by the expected saving, which it reads
            from the request's text (of ``given`` with features from those); empty for plain scores.
    """

    name: str
    kind: ScoreKind
    needs: tuple[str, ...] = ()
    temperature: float = 1.0
    classes: int = 0
    logits: bool = True
    output: str = ""
    weights: str = ""
    features: tuple[str, ...] = ()
    cost_usd: float = 0.0
    embedder: str = ""
    embedder_sha256: str = ""
    per_usd_of: str = ""

    @property
    def servable(self) -> bool:
        """Whether a server can compute it at all: a column of a file of outcomes it cannot."""
        return self.kind != "given"

    @property
    def from_request(self) -> bool:
        """Whether the request alone is enough to compute it: no tier's answer, no column of a file."""
        return self.servable and not self.needs


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedPolicy:
    """A policy as it is written.

    Attributes:
        kind: ``fixed``, ``pre_route`` or ``cascade``.
        tiers: In the order asked.
        scores: None for fixed, one for pre_route, one a tier but the last for cascade.
        thresholds: One a tier but the last.
        share: Of the requests that it is followed on, drawn by a coin over their ids, in (0, 1]; 1 for all.
        otherwise: Tier of the other requests; empty where there are none.
        seed: Of the coin.
    """

    kind: Literal["fixed", "pre_route", "cascade"]
    tiers: tuple[str, ...]
    scores: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()
    share: float = 1.0
    otherwise: str = ""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One certified policy of the ladder; any may be followed at any time within the bound.

    Attributes:
        policy: What to do.
        loss_frac: Mean loss of quality against the reference.
        cost_usd: Mean cost of a request.
        answered_frac: Share of requests answered, by tier.
        called_frac: Share of requests on which the tier ran, by tier.
        score_cost_usd: The part of ``cost_usd`` that no tier causes.
    """

    policy: RoutedPolicy
    loss_frac: Estimate
    cost_usd: float
    answered_frac: Mapping[str, float]
    called_frac: Mapping[str, float]
    score_cost_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """What is watched while the route is followed (:mod:`farthing.core.route.watching.watch`).

    Attributes:
        audit_frac: Share of answers below the reference that the reference answers too, in [0, 1]; 0 for no audits.
        alarm_loss_frac: Share of all requests whose answer differs from the reference's at which the route is not to
            be followed any longer, in (0, 1).
        false_alarm: Probability of ever raising a false alarm, in (0, 0.5].
        score_quantiles: By name of each score that a certified policy looks at first, the chosen policy's before all
            others: its deciles over all calibration requests.
        score_below: Where calibration scores equal a decile: for each decile the share of those that count as below.
        closer_frac: Share audited right after an audit that shows a difference, in [0, 1].
        closer_requests: For so many requests, ≥ 0; None for as many as show half a difference at the alarm's level, 100
            at most, so that closer looks seldom follow from one another.
        calibrated_loss_frac: Share that differed in calibration under the chosen policy, None when unknown.
    """

    audit_frac: float = 0.02
    alarm_loss_frac: float = 0.01
    false_alarm: float = 0.05
    score_quantiles: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    score_below: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    closer_frac: float = 1.0
    closer_requests: int | None = None
    calibrated_loss_frac: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Tiers, scores, certified policies and what they rest on.

    Attributes:
        name: Of the end point's one model.
        verdict: Whether the promise is proven.
        tiers: Cheapest first.
        scores: Those that the ladder names.
        ladder: Certified policies, most careful first.
        chosen: Index of the rung to follow; the reference is followed where the ladder is empty (``None``).
        reference: Tier that losses are counted against; always safe.
        quality: What is compared: ``accuracy`` (labels) or ``agreement`` (with the reference's answers).
        max_loss_frac: Promised largest mean loss.
        confidence: Of the promise.
        by_segment: Promised largest mean loss by segment.
        worth_it: Whether routing is shown to be cheaper than the best single tier.
        saving_frac: Against the cheapest certified single tier, None where nothing that routes is certified.
        n: Requests that certified.
        n_needed: Requests that would settle an unproven verdict.
        method: How it was proven, in words.
        monitoring: What is watched.
        assumptions: Everything that was assumed, in words.
        classes: Of the answers, in the order of the tiers' outputs; empty when unknown.
        currency: ``usd``; or ``cpu_s`` where no price was given and every ``usd`` above stands for CPU-seconds.
        asked: The arguments of the ``farthing route calibrate`` that wrote it, an option and its value each, the
            source without an option (``""``); paths relative to the route's folder. Empty when unknown.
        planned_rate: The rate that it keeps within a latency promise where it was planned, None where none was asked
            for.
    """

    name: str
    verdict: Verdict
    tiers: tuple[Tier, ...]
    scores: tuple[ScoreSpec, ...]
    ladder: tuple[Rung, ...]
    chosen: int | None
    reference: str
    quality: Literal["accuracy", "agreement", "given"]
    max_loss_frac: float
    confidence: float
    by_segment: Mapping[str, float] = field(default_factory=dict)
    worth_it: bool = False
    saving_frac: Estimate | None = None
    n: int = 0
    n_needed: int | None = None
    method: str = ""
    monitoring: Monitoring = Monitoring()
    assumptions: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    currency: Literal["usd", "cpu_s"] = "usd"
    asked: tuple[tuple[str, str], ...] = ()
    planned_rate: PlannedRate | None = None


def written(policy: Policy) -> RoutedPolicy:
    """A policy as it is written."""
    if isinstance(policy, Split):
        return replace(written(policy.policy), share=policy.share, otherwise=policy.otherwise, seed=policy.seed)
    if isinstance(policy, FixedTier):
        return RoutedPolicy(kind="fixed", tiers=(policy.tier,))
    if isinstance(policy, PreRoute):
        return RoutedPolicy(kind="pre_route", tiers=policy.tiers, scores=(policy.score,), thresholds=policy.thresholds)
    return RoutedPolicy(kind="cascade", tiers=policy.tiers, scores=policy.scores, thresholds=policy.thresholds)


def policy_of(policy: RoutedPolicy) -> Policy:
    """The policy again.

    Raises:
        ValueError: when tiers, scores, thresholds and share do not fit its kind.
    """
    whole = _whole(policy)
    if policy.share == 1 and not policy.otherwise:
        return whole
    if not policy.otherwise:
        raise ValueError(f"a policy for a share of {policy.share:g} needs a tier for the other requests: {policy!r}")
    return Split(policy=whole, share=policy.share, otherwise=policy.otherwise, seed=policy.seed)


def _whole(policy: RoutedPolicy) -> Simple:
    """What is followed on the share."""
    if policy.kind == "fixed" and len(policy.tiers) == 1:
        return FixedTier(tier=policy.tiers[0])
    if policy.kind == "pre_route" and len(policy.scores) == 1:
        return PreRoute(tiers=policy.tiers, score=policy.scores[0], thresholds=policy.thresholds)
    if policy.kind == "cascade":
        return Cascade(tiers=policy.tiers, scores=policy.scores, thresholds=policy.thresholds)
    raise ValueError(f"tiers and scores do not fit a policy of kind {policy.kind!r}: {policy!r}")
