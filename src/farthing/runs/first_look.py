"""The first look of a run that is open."""

from __future__ import annotations

from collections.abc import Callable

from farthing.codec import to_plain
from farthing.core.plan.first_look import FirstLook
from farthing.core.plan.first_look import first_look as priced
from farthing.errors import FarthingError
from farthing.load.schema import stamp
from farthing.measure.first_look import glimpse
from farthing.runs.opening import Opened
from farthing.store.documents import write_json

__all__ = ["look", "say_first_look"]


FIRST_LOOK = "first-look.json"


def look(run: Opened) -> FirstLook:
    """The first look of a run that is open; first-look.json is written, and what was seen is known to the run.

    Raises:
        FarthingError: when the baseline cannot be measured.
    """
    seen = glimpse(run.bench)
    run.known.found = seen.findings
    rate = seen.findings.sla_rps.get(seen.findings.baseline) or 0.0
    found = priced(
        run.workload,
        seen.findings,
        run.market,
        run.arrivals.at(rate),
        by_utilisation=run.arrivals.by_utilisation(rate),
        score=seen.score,
        doubt=seen.doubt,
        left_out=seen.left_out,
        seconds=seen.seconds,
    )
    write_json(run.out / FIRST_LOOK, stamp("first-look"), to_plain(found))
    return found


def say_first_look(run: Opened, on_first_look: Callable[[FirstLook], object]) -> None:
    """The first look before the search, which does not need it: what nobody foresaw in it costs the look alone.

    Raises:
        FarthingError: when the baseline cannot be measured; what was seen until then stays known.
    """
    try:
        on_first_look(look(run))
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
