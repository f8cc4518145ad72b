"""Profiles of candidates on the workbench: one instance each, against the machine's measured peaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from farthing.errors import FarthingError, StoreError
from farthing.machine.hardware import usable_cpus
from farthing.machine.peaks import machine_peaks
from farthing.measure.graphs.graph_reader import read_graph_in_child
from farthing.measure.graphs.operators import ReadGraph, profile_candidate
from farthing.measure.workbench import Workbench
from farthing.nouns import Candidate, MachinePeaks, Measurement, Profile

__all__ = ["profile_all"]


def profile_all(
    bench: Workbench, candidates: Sequence[Candidate], server: Mapping[Candidate, Measurement]
) -> tuple[Profile, ...]:
    """Profile candidates one after the other; one that cannot be profiled is left out, and said so in progress.

    Args:
        bench: Open, with the model resolved.
        candidates: The first in full precision, so that INT8 can be held against it.
        server: Server scenarios, by candidate.
    """
    found: list[Profile] = []
    total = len(candidates) + 1
    bench.tell("profiling", 0, total, "machine peaks")
    peaks = bench.keep("peaks", MachinePeaks, "measure", lambda: machine_peaks(usable_cpus()[:1]))
    for k, c in enumerate(candidates, 1):
        bench.tell("profiling", k, total, c.label)
        try:
            found.append(_profile(bench, c, peaks, found[0] if found else None, server.get(c)))
        except StoreError:  # a full disk is no fault of the candidate
            raise
        except FarthingError as e:
            bench.tell("profiling", k, total, f"{c.label} left out: {e.message}")
    bench.tell("profiling", total, total, "; ".join(f"{p.candidate.engine}: {p.bottleneck}" for p in found))
    return tuple(found)


def _profile(
    bench: Workbench, c: Candidate, peaks: MachinePeaks, full: Profile | None, server: Measurement | None
) -> Profile:
    alone = replace(c, instances=1)

    def run() -> Profile:
        seen = profile_candidate(
            bench.replica(alone),
            _graph_of(bench, c),
            peaks,
            batch=c.max_batch,
            isa=bench.hardware.isa,
            float_profile=full if _comparable(c, full) else None,
            server=server,
        )
        return replace(seen, candidate=c)

    profile = bench.keep(f"profile/{c.key}", Profile, "measure", run)
    bench.retire([])
    return profile


def _comparable(c: Candidate, full: Profile | None) -> bool:
    """Whether an INT8 candidate can be held against that profile: of a model in floats, and of the same batch."""
    return (
        c.precision == "int8" and full is not None and full.candidate.precision != "int8" and full.batch == c.max_batch
    )


def _graph_of(bench: Workbench, c: Candidate) -> ReadGraph:
    """Reads the artefact where it is ONNX, else the original that it was made from."""
    path = bench.out / bench.artefacts[c.variant].path
    if path.suffix != ".onnx":
        assert bench.model is not None
        path = Path(bench.model.onnx_path or bench.model.path)
    return lambda shapes: read_graph_in_child(path, c.max_batch, input_shapes=shapes)
