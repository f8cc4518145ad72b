"""``farthing optimize``: the cheapest proven way to serve one model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

from farthing.core.plan.assemble import assemble
from farthing.core.plan.first_look import FirstLook
from farthing.errors import EngineMissingError, FarthingError
from farthing.measure import campaign
from farthing.measure.workbench import Settings
from farthing.nouns import Plan, Workload
from farthing.plugins import Kind, find
from farthing.runs.opening import OnProgress, Opened, opened, provenance_of
from farthing.runs.outputs import write_run
from farthing.verbs.first_look import look

__all__ = ["optimize", "settings_of"]

MLPERF_SINGLE_STREAM, MLPERF_SERVER = 1024, 270_336
"""Fewest queries of MLPerf Inference's SingleStream and Server scenarios (inference rules, table of scenarios)."""


def settings_of(
    *,
    seed: int = 0,
    trust: bool = False,
    engines: str | None = None,
    variants: str | None = None,
    rounds: int | None = None,
    mlperf: bool = False,
    profiles: bool = True,
) -> Settings:
    """Settings from short forms.

    Args:
        seed: Of everything random.
        trust: Whether the user's own code may run.
        engines: Names joined by commas, None for all usual ones.
        variants: As above.
        rounds: Of the final comparison, ≥ 8.
        mlperf: MLPerf's sample counts.
        profiles: Whether the baseline and the choice are taken apart by operator in the end.

    Raises:
        InputError: when an engine or variant is unknown.
        EngineMissingError: when one was named that is not installed.
    """
    usual = Settings(seed=seed, trust=trust)
    chosen = replace(
        usual,
        engines=_known("engines", engines, usual.engines),
        variants=_known("variants", variants, usual.variants),
        proof_rounds=rounds or usual.proof_rounds,
        profiles=profiles,
    )
    return replace(chosen, latency_n=MLPERF_SINGLE_STREAM, server_n=MLPERF_SERVER) if mlperf else chosen


def _known(kind: Kind, text: str | None, usual: tuple[str, ...]) -> tuple[str, ...]:
    wanted = tuple(part.strip() for part in text.split(",")) if text else usual
    for name in wanted:
        pip = find(kind, name).missing()
        if text and pip is not None:
            raise EngineMissingError(f"{name} was asked for and is not installed here", hint=pip)
    return wanted


def optimize(
    workload: Workload,
    *,
    output_dir: Path | str = "farthing-out",
    settings: Settings | None = None,
    as_of: date | None = None,
    max_price_age_days: int = 180,
    fresh: bool = False,
    command: str = "farthing.optimize(…)",
    on_progress: OnProgress = None,
    on_first_look: Callable[[FirstLook], object] | None = None,
) -> Plan:
    """Measure the baseline, search, prove on untouched data, price at the workload's arrivals, write the plan.

    Args:
        workload: What :func:`farthing.load_workload` returns.
        output_dir: Where the plan, the artefacts and the journal go; a run interrupted there resumes.
        settings: How much is measured; the defaults fit a few minutes.
        as_of: Price with the prices of that day instead of today's.
        max_price_age_days: Older prices raise.
        fresh: Measure everything again instead of resuming.
        command: What to print under “how to reproduce”.
        on_progress: Called as ``(stage, done, total, note)``.
        on_first_look: Told the first, wide answer before the long search goes on; None to leave it out. A run that
            resumes in its later stages leaves it out too, and so does one in which something unforeseen happens there.

    Raises:
        FarthingError: for bad input, before any work starts, when another run is at work in ``output_dir``, and when
            the baseline cannot be measured.
    """
    with opened(
        workload,
        output_dir,
        settings,
        as_of=as_of,
        max_price_age_days=max_price_age_days,
        fresh=fresh,
        on_progress=on_progress,
    ) as run:
        if on_first_look is not None and not run.bench.journal.holds("round/race/"):
            _say_first_look(run, workload, on_first_look)
        factor = run.market.capacity_factor  # what one replica of the offer takes this machine takes 1 / factor times
        found = run.known.found = campaign.run(run.bench, lambda rps: run.arrivals.at(rps).scaled(1 / factor))
        rate = found.sla_rps[found.baseline] or 0.0
        sizes = {"calibrate": run.splits.calibrate, "search": run.splits.search, "confirm": run.splits.confirm}
        plan = run.known.plan = assemble(
            workload,
            found,
            run.market,
            run.arrivals.at(rate),
            provenance_of(run.bench, command),
            splits={name: len(rows) for name, rows in sizes.items()},
            assumptions=(*run.arrivals.assumptions(), *found.notes),
            description=run.bench.description(),
            by_utilisation=run.arrivals.by_utilisation(rate),
        )
        return write_run(run.out, plan, found.measurements, workload)


def _say_first_look(run: Opened, workload: Workload, on_first_look: Callable[[FirstLook], object]) -> None:
    """The first look before the search, which does not need it: what nobody foresaw in it costs the look alone.

    Raises:
        FarthingError: when the baseline cannot be measured; what was seen until then stays known.
    """
    try:
        on_first_look(look(run, workload))
    except FarthingError:
        raise
    except Exception as e:  # noqa: BLE001 - a fault of farthing's own here stands in the way of no plan
        run.bench.retire([])
        run.bench.tell(
            "first look", 1, 1,
            f"left out: something that farthing does not foresee went wrong in it ({type(e).__name__}: {e}); "
            "the search goes on",
        )  # fmt: skip
    run.known.found = None
