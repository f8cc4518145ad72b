"""Which candidates there are: engine × variant × precision, then batch size × layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from farthing.nouns import Artefact, BaselineSpec, Candidate, Precision

__all__ = ["BATCHES", "baseline_candidates", "builds", "layouts", "with_batches"]

BATCHES = (1, 2, 4, 8, 16, 32)
"""Batch sizes tried, before the latency bound cuts the list."""

_BF16_ISA = ("avx512_bf16", "amx_bf16", "bf16")
_BF16_ENGINES = ("openvino", "pytorch", "torch-compile")
_BF16_RESIDUALS = ("openvino",)


def layouts(cores: int) -> tuple[tuple[int, int], ...]:
    """Ways to load all cores: ``(instances, threads)`` with instances × threads = cores, most instances first.

    Args:
        cores: Logical processors of a replica, ≥ 1.
    """
    return tuple((cores // threads, threads) for threads in range(1, cores + 1) if cores % threads == 0)


def baseline_candidates(spec: BaselineSpec, cores: int) -> tuple[Candidate, ...]:
    """What serves today on all cores, in every layout; the fastest of them is the baseline.

    A quantised or FP16 model is run as it came; BF16 is computed from FP32.
    """
    full = "fp32" if spec.precision in ("fp32", "bf16") else "original"
    variant = "torch-module" if spec.engine in ("pytorch", "torch-compile") else full
    one = Candidate(engine=spec.engine, variant=variant, precision=spec.precision)
    return with_batches(one, (spec.max_batch,), layouts(cores))


def _precisions(engine: str, artefact: Artefact, isa: Sequence[str]) -> tuple[Precision, ...]:
    """The artefact's own precision, and BF16 where there is a unit for it.

    OpenVINO computes what is left in float of an INT8 model in BF16 when asked: beside INT8 with FP32 residuals it ran
    EfficientNet-Lite0 in batches of 8 1.4 × as fast [1.2, 1.6] (interleaved, on busy cores), MiniLM at the same speed.
    """
    engines = {"fp32": _BF16_ENGINES, "int8": _BF16_RESIDUALS}.get(artefact.precision, ())
    bf16 = engine in engines and any(flag in isa for flag in _BF16_ISA)
    return (artefact.precision, "bf16") if bf16 else (artefact.precision,)


def builds(
    artefacts: Iterable[Artefact], engines: Mapping[str, str | None], isa: Sequence[str], cores: int
) -> tuple[Candidate, ...]:
    """One candidate for each engine, artefact and precision, at batch 1 with one worker a core.

    Args:
        artefacts: What was built.
        engines: Engines to try → None, or the pip command when it is not installed (left out).
        isa: Instruction sets of the machine; BF16 is tried only where there is a unit for it.
        cores: Logical processors of a replica.
    """
    found = [
        Candidate(engine=e, variant=a.variant, precision=p, instances=cores)
        for a in artefacts
        for e in a.engines
        if e in engines and engines[e] is None
        for p in _precisions(e, a, isa)
    ]
    return tuple(sorted(set(found)))


def with_batches(build: Candidate, batches: Sequence[int], shapes: Sequence[tuple[int, int]]) -> tuple[Candidate, ...]:
    """The same build at each batch size and layout."""
    return tuple(
        Candidate(
            engine=build.engine,
            variant=build.variant,
            precision=build.precision,
            device=build.device,
            max_batch=b,
            instances=i,
            threads=t,
        )
        for i, t in shapes
        for b in batches
    )
