"""What can be said of tree ensembles, which no quantisation helps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from farthing.core.graphs.phrases import percent
from farthing.nouns import OperatorTime

__all__ = ["TREES_GAIN_NOTHING", "TREE_COMPILERS", "TREE_KINDS", "tree_remark"]

TREE_KINDS = frozenset({"TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"})
"""ONNX's tree ensembles (https://onnx.ai/onnx/operators/, domain ai.onnx.ml)."""
TREE_COMPILERS = ("lleaves", "treelite", "tl2cgen")
"""Packages that compile trees to machine code; farthing does not run them."""
TREES_GAIN_NOTHING = "it is an ensemble of trees, which compare and do not multiply; batches and threads are what helps"
_WORTH_SAYING_FRAC = 0.3


def tree_remark(operators: Sequence[OperatorTime], installed: Iterable[str] = ()) -> str:
    """Say what helps a model that spends its time in trees; empty for all others.

    Args:
        operators: With their shares.
        installed: Those of :data:`TREE_COMPILERS` that are installed here.
    """
    share = sum(o.share_frac for o in operators if o.kind in TREE_KINDS)
    if share < _WORTH_SAYING_FRAC:
        return ""
    there = tuple(installed)
    compiled = f"{' and '.join(there)}, installed here, compiles" if there else "lleaves or Treelite compile"
    return (
        f"trees take {percent(share)} of the operator time: no quantisation helps them; larger batches and more "
        f"threads do, and {compiled} such ensembles to machine code (measure that beside this)"
    )
