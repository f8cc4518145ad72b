"""Opening a run's workbench, and what must be known to repeat it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from farthing.codec import to_plain
from farthing.core.plan.assemble import Market
from farthing.errors import EngineMissingError
from farthing.load.workload.content import changes, content_of, without_paths
from farthing.load.workload.labels import renumbered
from farthing.load.workload.splits import make_splits
from farthing.machine.clock import MonotonicClock
from farthing.machine.hardware import fingerprint, this_machine, usable_cpus, versions
from farthing.machine.quiet import look_at_machine
from farthing.measure.first_sample import check_first_sample
from farthing.measure.workbench import Workbench
from farthing.nouns import Provenance, Splits, Workload
from farthing.plugins import find, plugin_versions
from farthing.ports import Progress
from farthing.runs.market import Arrived, market_of, trace_of
from farthing.runs.options import RunOptions
from farthing.runs.progress import or_silent
from farthing.runs.unexpected import Known, keeping
from farthing.store.folder_lock import only_run_in
from farthing.store.journal import Journal
from farthing.workers.replicas.builder import ModuleSeen, see_module
from farthing.workers.replicas.child import peak_memory_mib

__all__ = ["Opened", "digests_of", "open_bench", "opened", "provenance_of", "say_machine"]

FOLDER = "farthing-out"
"""Where a run of a workload writes when no folder is named."""
_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a run that measures a workload starts from.

    Attributes:
        bench: An open workbench.
        market: Prices of the run's day.
        arrivals: How the arrivals will be found once the baseline is measured.
        splits: Indices into the workload's data.
        out: Output folder.
        workload: As it was given, its labels numbered as a PyTorch module names its classes.
        known: What the verb finds, kept should something unforeseen go wrong.
    """

    bench: Workbench
    market: Market
    arrivals: Arrived
    splits: Splits
    out: Path
    workload: Workload
    known: Known


def open_bench(
    workload: Workload,
    splits: Splits,
    options: RunOptions,
    out: Path,
    tell: Progress,
    *,
    module: ModuleSeen | None = None,
) -> Workbench:
    """A workbench on this machine whose journal lies in ``out``.

    Args:
        workload: What to measure.
        splits: Indices into its data.
        options: How much is measured, with which seed, whether anew; whether the user's own code may run.
        out: Output folder.
        tell: Told what is reused, and why not more is.
        module: The workload's PyTorch module where it was made already; None to make it where there is one.

    Raises:
        FarthingError: when something that belongs to the workload cannot be read, or the journal not be written.
    """
    machine = this_machine()
    digests = digests_of(workload, options, out, module)
    measure = {k: v for k, v in to_plain(options.measure).items() if k != "profiles"}
    about: dict[str, Any] = {
        "content": digests,
        "workload": without_paths(workload),
        "splits": to_plain(splits),
        "settings": {"seed": options.seed_used, **measure},
        "fingerprint": fingerprint(machine),
        "versions": {**versions(), **plugin_versions()},
    }
    journal = Journal(out / "work" / "journal.jsonl", about, {"workload": to_plain(workload)})
    notes = () if options.fresh else earlier_run(journal, about, out)
    if options.fresh:
        journal.forget()
    if journal.resumed and journal.found_at is not None:
        tell("resuming", 1, 1, f"{journal.resumed} steps are there from the run of {journal.found_at:%Y-%m-%d %H:%M}")
    for k, note in enumerate(notes):
        tell(f"earlier run {k + 1}" if k else "earlier run", 1, 1, note)
    return Workbench(
        workload=workload,
        splits=splits,
        settings=options.measure,
        hardware=machine,
        fingerprint=fingerprint(machine),
        out=out,
        journal=journal,
        clock=MonotonicClock(),
        tell=tell,
        started_at=datetime.now(UTC).astimezone(),
        seed=options.seed_used,
        trust=options.trust,
        content=digests,
        notes=notes,
    )


def digests_of(workload: Workload, options: RunOptions, out: Path, module: ModuleSeen | None = None) -> dict[str, str]:
    """Content of a workload, the values of a PyTorch module included, which are read in a child where they were not.

    Raises:
        FarthingError: when something cannot be read, or the module not be made.
    """
    found, seen = content_of(workload), module or _module_of(workload, options, out)
    if seen is not None:
        found[f"weights of {Path(workload.model.path).name}"] = seen.sha256
    return found


def _module_of(workload: Workload, options: RunOptions, out: Path) -> ModuleSeen | None:
    """What a trusted PyTorch module holds, made in a child; None for other models."""
    if workload.model.kind != "torch" or not options.trust:
        return None
    (out / "work").mkdir(parents=True, exist_ok=True)
    return see_module(
        workload.model,
        timeout_s=options.measure.build_timeout_s,
        memory_limit_mib=options.measure.memory_limit_mib,
        run_dir=out / "work",
    )


def _numbered_by(module: ModuleSeen | None, workload: Workload, tell: Progress) -> Workload:
    """The workload with labels numbered as its module names classes, which is said.

    Raises:
        DataError: when some labels are classes of the module and others not.
    """
    if module is None or not module.classes or workload.holdout.labels is None:
        return workload
    found = renumbered(workload.holdout, module.classes)
    shown = ", ".join(module.classes[:_SHOWN]) + (", …" if len(module.classes) > _SHOWN else "")
    how = f"numbered {found.numbered}" if found.numbered else f"numbered as the module's config.id2label: {shown}"
    tell("labels", 1, 1, how)
    calibration = workload.calibration
    if calibration is not None and calibration.classes == workload.holdout.classes:
        calibration = renumbered(calibration, module.classes)
    return replace(workload, holdout=found, calibration=calibration)


def earlier_run(journal: Journal, about: Mapping[str, Any], out: Path) -> tuple[str, ...]:
    """What cannot be reused of an earlier run and why, in sentences: what changed since, what is damaged."""
    said = []
    if journal.damaged:
        lines = "line" if journal.damaged == 1 else "lines"
        said.append(
            f"{journal.damaged} damaged {lines} of {journal.path} set aside ({journal.damaged_path.name}): "
            "measured anew"
        )
    if journal.other == {}:
        said.append(f"the first line of {journal.path} is damaged, it was set aside: measured anew")
    elif journal.other is not None:
        changed = changes(journal.other, about) or ("what is measured",)
        said.append(f"{_listed(changed)} changed since the last run in {out}: measured anew")
    return tuple(said)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def reuse_of(bench: Workbench) -> tuple[str, ...]:
    """What a finished run took from an earlier one, and why not more, in sentences."""
    journal = bench.journal
    if not journal.reused or journal.found_at is None:
        return bench.notes
    steps = f"{journal.reused} of {journal.reused + journal.done} steps"
    return (f"reused: {steps} from the run of {journal.found_at:%Y-%m-%d %H:%M}", *bench.notes)


@contextlib.contextmanager
def opened(workload: Workload, options: RunOptions, on_progress: Progress | None) -> Iterator[Opened]:
    """Check prices and data before any work starts, then open the workbench; its children end with the block.

    Args:
        workload: What to measure; loading it was the gate for the user's own code, which may run from here on.
        options: All of them but ``trust``.
        on_progress: Told what is going on; None when nobody watches.

    Raises:
        EngineMissingError: when the baseline's engine is not installed here.
        InputError: when this machine cannot stand for the bill's offer, or the bill pays for less than a replica.
        PriceError: when the bill's offer is unknown or its price too old.
        DataError: when there are too few samples, or the first one does not fit the model.
        StoreError: when another run is at work in the output folder, or nothing can be written there.
        UnexpectedError: for a fault of farthing's own; what was measured is written, and the same call goes on from it.
    """
    _check_installed(workload.baseline.engine)
    check_first_sample(workload)
    options, tell = replace(options, trust=True), or_silent(on_progress)
    market = market_of(workload, options.as_of, options.max_price_age_days, this_machine())
    arrivals = trace_of(workload, market)
    for what, words in arrivals.understood():
        tell(what, 1, 1, words)
    _ = _splits(workload, options)
    out = options.folder(FOLDER)
    with only_run_in(out):
        module = _module_of(workload, options, out)
        workload = _numbered_by(module, workload, tell)
        splits = _splits(workload, options)
        with open_bench(workload, splits, options, out, tell, module=module) as bench, keeping(bench) as known:
            say_machine(bench)
            yield Opened(
                bench=bench, market=market, arrivals=arrivals, splits=splits, out=out, workload=workload, known=known
            )


def _splits(workload: Workload, options: RunOptions) -> Splits:
    return make_splits(
        workload.holdout, workload.calibration, workload.search_n, workload.confirm_n, seed=options.seed_used
    )


def say_machine(bench: Workbench) -> None:
    """Say whether others use the machine, before minutes are spent on it."""
    bench.tell("machine", 0, 1, "looking whether others use it")
    bench.tell("machine", 1, 1, look_at_machine(bench.canary, usable_cpus()).words)


def _check_installed(engine: str) -> None:
    pip = find("engines", engine).missing()
    if pip is not None:
        raise EngineMissingError(f"the baseline runs in {engine}, which is not installed here", hint=pip)


def provenance_of(bench: Workbench, command: str) -> Provenance:
    """Command, seed, versions, hardware and where the time went."""
    total, reuse = bench.elapsed_s(), reuse_of(bench)
    if bench.journal.reused:
        bench.tell("reused", 1, 1, reuse[0].removeprefix("reused: "))
    seconds = {k: round(v, 3) for k, v in bench.seconds.items()}
    seconds["parent"] = round(max(0.0, total - sum(seconds.values())), 3)
    seconds["total"] = round(total, 3)
    return Provenance(
        command=command,
        seed=bench.seed,
        versions=versions(),
        hardware=bench.hardware,
        fingerprint=bench.fingerprint,
        started_at=bench.started_at,
        seconds=seconds,
        parent_peak_mib=peak_memory_mib(),
        content=bench.content,
        reuse=reuse,
    )
