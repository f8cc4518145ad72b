"""Small real tiers and a route over them, for tests of the server.

Rows are four numbers. ``small`` answers the first three of them, ``medium`` the same plus 100, ``large`` plus 1000, so
that each answer shows who gave it; the margin of the small one's softmax says how sure it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from farthing.core.route.routes import Monitoring, Route, RoutedPolicy, Rung, ScoreSpec, Tier
from farthing.core.route.scoring import answer_scores as scores
from farthing.nouns import Estimate, Verdict
from farthing.store.routes import write_route

OFFSETS = {"small": 0.0, "medium": 100.0, "large": 1000.0}
THRESHOLD = 0.5


def write_tier(
    path: Path,
    offset: float,
    *,
    slow: int = 0,
    classes: int = 3,
    nan_below: float | None = None,
    swapped: bool = False,
) -> Path:
    """An ONNX file: logits = x[:, :classes] + offset.

    Args:
        path: Of the file.
        offset: Added to every logit.
        slow: Layers of 512 × 512 that change nothing, some 0.1 ms each.
        classes: Of the answer.
        nan_below: Rows whose first number is below answer NaN.
        swapped: The last two classes change places, so that it is right about the first one only.
    """
    pick = np.eye(4, classes, dtype=np.float32)
    if swapped:
        pick[:, [-1, -2]] = pick[:, [-2, -1]]
    nodes = [helper.make_node("MatMul", ["x", "pick"], ["z"])]
    stored = {"pick": pick, "offset": np.float32([offset])}
    last = "z"
    if slow:
        stored["wide"], stored["narrow"] = np.eye(classes, 512, dtype=np.float32), np.eye(512, classes, dtype="f4")
        stored["same"] = np.eye(512, dtype=np.float32)
        nodes.append(helper.make_node("MatMul", [last, "wide"], ["w0"]))
        nodes += [helper.make_node("MatMul", [f"w{k}", "same"], [f"w{k + 1}"]) for k in range(slow)]
        nodes.append(helper.make_node("MatMul", [f"w{slow}", "narrow"], ["narrowed"]))
        last = "narrowed"
    if nan_below is not None:
        stored |= {
            "bound": np.float32([nan_below]),
            "first": np.int64([0]),
            "one": np.int64([1]),
            "axis": np.int64([1]),
        }
        stored["nan"] = np.float32([np.nan])
        nodes += [
            helper.make_node("Slice", ["x", "first", "one", "axis"], ["head"]),
            helper.make_node("Less", ["head", "bound"], ["below"]),
            helper.make_node("Where", ["below", "nan", last], ["holed"]),
        ]
        last = "holed"
    nodes.append(helper.make_node("Add", [last, "offset"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "tier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in stored.items()],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def estimate(value: float) -> Estimate:
    return Estimate(value=value, lo=value, hi=value, n=100, method="made up", source="test")


def rung(policy: RoutedPolicy, *, cost_usd: float = 1e-6, called: Mapping[str, float] | None = None) -> Rung:
    shares = dict(called or dict.fromkeys(policy.tiers, 1.0))
    return Rung(policy=policy, loss_frac=estimate(0.0), cost_usd=cost_usd, answered_frac=shares, called_frac=shares)


def cascade(*tiers: str, threshold: float = THRESHOLD) -> RoutedPolicy:
    return RoutedPolicy(
        kind="cascade",
        tiers=tiers,
        scores=tuple(f"margin({tier})" for tier in tiers[:-1]),
        thresholds=(threshold,) * (len(tiers) - 1),
    )


def margin_of(*tiers: str) -> tuple[ScoreSpec, ...]:
    return tuple(ScoreSpec(name=f"margin({tier})", kind="margin", needs=(tier,), classes=3) for tier in tiers)


def route_of(
    tiers: Sequence[Tier],
    ladder: Sequence[Rung],
    specs: Sequence[ScoreSpec],
    *,
    chosen: int | None = 0,
    name: str = "auto",
    **more: Any,
) -> Route:
    return Route(
        name=name,
        verdict=Verdict(outcome="met" if chosen is not None else "unproven", reasons=("made up",)),
        tiers=tuple(tiers),
        scores=tuple(specs),
        ladder=tuple(ladder),
        chosen=chosen,
        reference=more.pop("reference", tiers[-1].name),
        quality="accuracy",
        max_loss_frac=0.005,
        confidence=0.95,
        monitoring=more.pop("monitoring", Monitoring()),
        classes=("a", "b", "c"),
        **more,
    )


def tier(name: str, source: str = "", **more: Any) -> Tier:
    more.setdefault("usd_per_request", {"small": 1e-7, "medium": 5e-7, "large": 5e-6}.get(name, 1e-6))
    return Tier(name=name, source=source or f"{name}.onnx", **more)


def write_simple(folder: Path, *names: str, **more: Any) -> Path:
    """A cascade over tiers of those names, served here; the path of its route.yaml."""
    for name in names:
        write_tier(folder / f"{name}.onnx", OFFSETS[name])
    route = route_of([tier(n) for n in names], [rung(cascade(*names))], margin_of(*names[:-1]), **more)
    return write_route(route, folder / "route.yaml")


def margin(row: Sequence[float]) -> float:
    return float(scores.margin(scores.softmax(np.float32([row[:3]])))[0])


def expected(row: Sequence[float], *tiers: str, threshold: float = THRESHOLD) -> tuple[str, list[float]]:
    """Who answers a row of a cascade of such tiers, and what."""
    last = len(tiers) - 1
    who = next(t for k, t in enumerate(tiers) if k == last or margin(row) >= threshold)
    return who, [float(np.float32(x) + np.float32(OFFSETS[who])) for x in row[:3]]
