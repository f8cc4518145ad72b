"""Profiles one candidate: its operators' times from the engine, its wall time without the profiler, its roof."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from farthing.core.graphs.costs import node_costs
from farthing.core.graphs.phrases import counted
from farthing.core.graphs.records import NodeRecord, unsigned_weights
from farthing.core.graphs.roofline import build_profile
from farthing.core.graphs.trees import TREE_COMPILERS
from farthing.nouns import Candidate, MachinePeaks, Measurement, OperatorTime, Profile

__all__ = ["ProfiledBlock", "ProfiledOperators", "ProfiledReplica", "ReadGraph", "profile_candidate"]

ReadGraph = Callable[[Mapping[str, tuple[int, ...]]], Sequence[NodeRecord]]
"""From the shapes of a batch's inputs, by name, to the nodes of the model with all shapes worked out."""


class ProfiledBlock(Protocol):
    """What an Offline block must tell: see :class:`farthing.workers.replicas.replica.Block`."""

    @property
    def service_ms(self) -> Sequence[float]:
        """Time of each batch, pipeline included."""
        ...

    @property
    def pipeline_frac(self) -> float:
        """Part of it spent in the pipeline, in [0, 1]."""
        ...


class ProfiledOperators(Protocol):
    """What the engine's profiler told: see :class:`farthing.workers.replicas.replica.OperatorTimes`."""

    @property
    def times(self) -> Sequence[OperatorTime]:
        """Of each operator, averaged over the runs."""
        ...

    @property
    def input_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of the batch that was run, by input name."""
        ...


class ProfiledReplica(Protocol):
    """A running candidate: see :class:`farthing.workers.replicas.replica.Replica`."""

    @property
    def candidate(self) -> Candidate:
        """What runs."""
        ...

    def operators(self, batch: int, repeats: int) -> ProfiledOperators:
        """Per-operator time of one batch, averaged over ``repeats`` runs."""
        ...

    def offline_block(self, batch: int, seconds: float) -> ProfiledBlock:
        """Batches one after the other for some seconds."""
        ...


def profile_candidate(
    replica: ProfiledReplica,
    read_graph: ReadGraph,
    peaks: MachinePeaks,
    *,
    batch: int,
    isa: Sequence[str],
    repeats: int = 20,
    seconds: float = 1.0,
    float_profile: Profile | None = None,
    server: Measurement | None = None,
) -> Profile:
    """Where the time of one batch goes.

    The wall time is the median of a block's batches, run before the profiler is switched on. The graph is read after
    it, with the shapes that the profiled batch really had.

    Args:
        replica: Running; one instance, so that neighbours do not share the bandwidth.
        read_graph: Reads the artefact's ONNX file, or the original where the artefact is none.
        peaks: Of the machine.
        batch: Samples in a batch, ≥ 1.
        isa: The machine's instruction sets.
        repeats: Runs over which operator times are averaged, ≥ 1.
        seconds: Length of the block that gives the wall time, > 0.
        float_profile: The same model and batch in FP32, to say why INT8 is not faster.
        server: Server scenario, to tell whether requests mostly wait.

    Raises:
        MeasureError: when the candidate's process fails.
    """
    block = replica.offline_block(batch, seconds)
    wall_ms = float(np.median(block.service_ms))
    operators = replica.operators(batch, repeats)
    records = read_graph(operators.input_shapes)
    return build_profile(
        replica.candidate,
        batch,
        operators.times,
        node_costs(records),
        peaks,
        wall_ms,
        min(1.0, max(0.0, block.pipeline_frac)) * wall_ms,
        isa,
        float_profile=float_profile,
        server=server,
        findings=_findings(records, replica.candidate),
        compilers=[name for name in TREE_COMPILERS if importlib.util.find_spec(name)],
    )


def _findings(records: Sequence[NodeRecord], candidate: Candidate) -> list[str]:
    unsigned = unsigned_weights(records) if candidate.precision == "int8" else ()
    if not unsigned:
        return []
    return [
        f"{counted(len(unsigned), 'weight', 'is', 'are')} unsigned, while x86 kernels are made for signed ones "
        f"(first: {unsigned[0]}): quantize weights as INT8, not UINT8"
    ]
