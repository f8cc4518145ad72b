"""Floor and overflow on spot as it was: availability, and the saving beside that of one who knows the histories.

    python benchmarks/spot.py [--histories FOLDER] [--fleets 4,8] [--days 45]

A fixed fleet under steady Poisson requests, bought all on demand, with a floor of 25 % on demand and the rest on spot with
overflow, all on spot, and with the same floor by one who knows the histories; spot costs 40 % of on demand in every zone
(stated, not measured). Machines are looked at every 15 s. Availability is the share of the time in which all replicas that
are wanted take requests. Cases: the lag of a start against the notice.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from farthing.core.scaling.scalers.fixed import FixedScaler
from farthing.core.simulation.rules.compared import Fleet
from farthing.core.simulation.setup import BatchingServer, Promise, Shedding
from farthing.core.simulation.spot.histories import Reclaiming
from farthing.core.simulation.spot.study import WAYS, SpotMarket, SpotRun, run_bought, ways_of
from farthing.load.spot import read_histories
from figures import emit

ASSETS = Path(__file__).parent.parent.parent / "shared" / "assets" / "spot" / "availability" / "1-node"
LOOK_S, USD, SPOT_FRAC, FLOOR_FRAC = 15.0, 1.0, 0.4, 0.25
PROMISE = Promise(latency_s=5.0, deadline_s=5.0, shedding=Shedding())
CASES = (
    (60.0, 30.0, 120.0, 0),
    (60.0, 30.0, 30.0, 0),
    (60.0, 30.0, 30.0, 1),
    (120.0, 60.0, 120.0, 0),
    (120.0, 60.0, 120.0, 1),
)
"""Start, load, notice, spare; the first one is the target's."""
RATE_RPS, SERVICE_S = 0.3, 1.0


def bought(
    n: int, market: SpotMarket, start_s: float, load_s: float, spare: int, length_s: float
) -> dict[str, SpotRun]:
    """A fleet of n, in each way."""
    fleet = Fleet(
        server=BatchingServer(service_s=(SERVICE_S,), sigma=0.1), promise=PROMISE, length_s=length_s, usd_per_hour=USD,
        start_s=start_s, load_s=load_s, initial=n, max_replicas=2 * n + spare,
    )  # fmt: skip
    gaps = np.random.default_rng(n).exponential(1 / (RATE_RPS * n), int(1.1 * length_s * RATE_RPS * n))
    at_s = np.cumsum(gaps)
    at_s = at_s[at_s < length_s]
    return {
        way: run_bought(fleet, market, way, buying, lambda: FixedScaler(n, interval_s=LOOK_S), [at_s], 0)
        for way, buying in ways_of(FLOOR_FRAC, spare).items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--histories", type=Path, default=next(iter(sorted(ASSETS.glob("*"))), ASSETS))
    parser.add_argument("--fleets", default="4,8")
    parser.add_argument("--days", type=float, default=45.0)
    args = parser.parse_args()
    histories = read_histories(args.histories)
    for n in map(int, args.fleets.split(",")):
        for k, (start_s, load_s, notice_s, spare) in enumerate(CASES):
            market = SpotMarket(
                histories=histories, usd_per_hour=SPOT_FRAC * USD, reclaiming=Reclaiming(notice_s=notice_s)
            )
            runs = bought(n, market, start_s, load_s, spare, args.days * 86_400)
            case = f"{n} replicas, lag {start_s + load_s:g} s, notice {notice_s:g} s, spare {spare}"
            for run in runs.values():
                print(
                    f"  {case}: {run.way:20} saves {1 - run.usd / runs[WAYS[0]].usd:6.1%}, all there {run.full_frac:.3%}, "
                    f"in time {run.attainment_frac:.3%}, taken back {run.reclaimed}, sent on {run.requeued}, lost {run.lost}",
                    file=sys.stderr,
                )
            saving, known = (1 - runs[way].usd / runs[WAYS[0]].usd for way in (WAYS[1], WAYS[3]))
            there = runs[WAYS[1]].full_frac
            first = k == 0
            emit(f"spot/{case}/all there", there, None, None, "frac", "≥ 0.999" if first else None, there >= 0.999 if first else None)  # fmt: skip
            emit(
                f"spot/{case}/saving over that of one who knows", saving / known, None, None, "ratio",
                "≥ 0.9" if first else None, saving / known >= 0.9 if first else None,
                said=[f"saves {saving:.3f}, one who knows {known:.3f}, of at most {(1 - FLOOR_FRAC) * (1 - SPOT_FRAC):.2f}"],
            )  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
