"""The model that a plan chose, as the server takes it, with the plan's evidence: times, memory, capacity, price."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from farthing.core.money.stand_in import price_of_machine
from farthing.errors import InputError, ModelError
from farthing.load.plans import load_plan, plan_file
from farthing.load.schema import read_document
from farthing.load.wishes import as_name
from farthing.nouns import Artefact, Candidate, Evaluation, LocalModel, Offer, PipelineSpec, Plan, Verdict

__all__ = ["Check", "fitted", "planned"]

Check = Callable[[Artefact, Path], Path]
"""Finds an artefact below a folder and compares its digest (``farthing.store.artefacts.check_artefact``)."""


def fitted(candidate: Candidate, cores: int) -> Candidate:
    """The candidate with as many workers as this machine has cores for, each with the threads that were measured.

    Args:
        candidate: As planned.
        cores: That this process may use, ≥ 1.
    """
    threads = min(candidate.threads, cores)
    return replace(candidate, threads=threads, instances=max(1, cores // threads))


def planned(path: Path, *, cores: int, check: Check) -> LocalModel:
    """Read a plan and make a model of its choice.

    What was measured for the plan's layout (memory, capacity within the promise, what the machine costs) is kept only
    when the layout fits this machine as it is; service times stay as estimates.

    Args:
        path: plan.yaml, with the output folder beside it.
        cores: That this process may use.
        check: Checks the artefact.

    Raises:
        InputError: when the plan cannot be read, or chose nothing.
        StoreError: when the artefact is missing or was changed.
    """
    path = plan_file(path)
    plan = load_plan(path)
    if plan.chosen is None:
        raise InputError(
            f"{path} chose nothing: {'; '.join(plan.verdict.reasons) or plan.verdict.outcome}",
            hint="serve a model file instead, or run `farthing optimize` with another promise",
        )
    chosen = plan.chosen
    artefact = _artefact(plan, chosen, path)
    candidate = fitted(chosen.candidate, cores)
    as_planned = candidate == chosen.candidate
    return LocalModel(
        name=as_name(plan.workload),
        path=check(artefact, path.parent),
        candidate=candidate,
        pipeline=_pipeline(plan.pipeline, path.parent),
        classes=_classes(path.with_name("workload.json")),
        deadline_s=plan.objective.deadline_s,
        memory_mib=chosen.peak_memory_mib if as_planned else None,
        service_ms={batch: estimate.value for batch, estimate in chosen.service_ms},
        offer=_offer(plan) if as_planned else None,
        capacity_rps=_capacity_rps(chosen) if as_planned else None,
        caution=_caution(plan.verdict),
    )


def _caution(verdict: Verdict) -> str:
    """That the plan did not prove what it was asked for; empty where it did."""
    if verdict.outcome == "met":
        return ""
    reason = f": {verdict.reasons[0]}" if verdict.reasons else ""
    return f"the plan is {verdict.outcome.replace('_', ' ')}{reason}"


def _artefact(plan: Plan, chosen: Evaluation, path: Path) -> Artefact:
    if chosen.artefact is not None:
        return chosen.artefact
    found = next((a for a in plan.artefacts if a.variant == chosen.candidate.variant), None)
    if found is None:
        known = ", ".join(a.variant for a in plan.artefacts) or "none"
        raise ModelError(f"{path} has no artefact {chosen.candidate.variant} (it has {known})")
    return found


def _pipeline(spec: PipelineSpec, folder: Path) -> PipelineSpec:
    """The pipeline with its tokenizer found from the plan's folder, which may have been moved as a whole."""
    if spec.tokenizer is None:
        return spec
    named = Path(spec.tokenizer)
    moved = [folder.joinpath(*named.parts[-n:]) for n in range(min(3, len(named.parts)), 0, -1)]
    places = [folder / named, *moved]  # an absolute path wins over the folder
    found = next((p for p in places if p.is_file()), None)
    if found is None:
        raise ModelError(
            f"the plan's tokenizer {named} is missing",
            hint=f"copy it to {folder / named.name}",
        )
    return replace(spec, tokenizer=str(found.absolute()))


def _classes(workload: Path) -> tuple[str, ...]:
    """Names of the classes from the workload that lies beside a plan, empty without one."""
    if not workload.is_file():
        return ()
    holdout = read_document(workload, "workload-resolved").get("holdout")
    names = holdout.get("classes") if isinstance(holdout, dict) else None
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _offer(plan: Plan) -> Offer | None:
    """What the machine costs that the plan was measured on: as many of the offer as its vCPUs make up."""
    offer = next((o for o in plan.offers if o.name == plan.priced_as), None)
    return None if offer is None else price_of_machine(offer, plan.stand_in)


def _capacity_rps(chosen: Evaluation) -> float | None:
    within_promise = chosen.sla_rps or chosen.capacity_rps
    return None if within_promise is None else within_promise.value
