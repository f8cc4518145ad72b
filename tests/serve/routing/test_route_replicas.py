"""Replicas of a tier: which one takes a request, what happens when one vanishes, and which rung the load wants."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop
from made_up_traffic import OFFER
from real_server import Served
from route_without_workers import Bench, ManualClock
from small_route import THRESHOLD, cascade, expected, margin_of, route_of, rung, tier, write_tier

from farthing.core.money.marginal import FleetState
from farthing.core.route.routes import Route, RoutedPolicy, TierReplicas
from farthing.core.route.served import Place
from farthing.serve.routing.calls import Gone
from farthing.serve.routing.load_steering import LoadSteering, RateWindow, price_of
from farthing.store.routes import write_route
from farthing.wire.requests import Answer

SURE, UNSURE = [5.0, 0.0, 0.0, 9.0], [0.1, 0.0, 0.05, 9.0]
SPOT = replace(OFFER, term="spot", usd_per_hour=0.04, interruptions_per_hour=0.02)


def run(main: Any) -> Any:
    return uvloop.run(asyncio.wait_for(main, 30))


def overflowing(clock: Any = None) -> Bench:
    """A large tier that sustains 100 rows/s here, and more on spot."""
    here = Place(model="large", capacity_rps=100.0, count=1, offer=OFFER)
    spot = Place(model="large.1", purchase="spot", capacity_rps=400.0, count=4, offer=SPOT, usd_per_row=1e-7)
    places = {"small": (Place(model="small"),), "large": (here, spot)}
    return Bench("small", "large", places=places, clock=clock or ManualClock())


def test_what_on_demand_cannot_take_goes_to_spot() -> None:
    async def main() -> None:
        clock = ManualClock()
        bench = overflowing(clock)
        for _ in range(2000):  # 200 rows/s for 10 s
            clock.now_s += 0.005
            await bench.ask(UNSURE)
        sent = bench.router.tiers["large"].counts.by_place
        assert sent["large"] == pytest.approx(1000, abs=15)
        assert sent["large.1"] == pytest.approx(1000, abs=15)

    run(main())


def test_below_its_rate_on_demand_takes_all() -> None:
    async def main() -> None:
        clock = ManualClock()
        bench = overflowing(clock)
        for _ in range(500):
            clock.now_s += 0.0125  # 80 rows/s
            await bench.ask(UNSURE)
        assert bench.router.tiers["large"].counts.by_place == {"large": 500}

    run(main())


def test_when_spot_vanishes_on_demand_takes_all_and_nothing_is_lost() -> None:
    async def main() -> None:
        clock = ManualClock()
        bench = overflowing(clock)
        bench.desk("large.1").hold = True
        asked = []
        for _ in range(100):
            clock.now_s += 0.002
            asked.append(bench.ask(UNSURE))
        lost = bench.desk("large.1").held
        assert len(lost) > 40
        bench.gone.add("large.1")
        for call in lost:
            call.reply(call, Gone("the connection was closed"))
        answers = [await one for one in asked]
        assert all(isinstance(a, Answer) and a.outputs[0][0, 0] == pytest.approx(1000.1) for a in answers)
        assert bench.router.tiers["large"].counts.moved == len(lost)
        assert not bench.router.failed

    run(main())


def test_rows_on_spot_are_charged_at_its_price() -> None:
    async def main() -> None:
        bench = overflowing()
        bench.gone.add("large")
        answer = await bench.ask(UNSURE)
        assert isinstance(answer, Answer)
        assert answer.route is not None
        assert answer.route.charged_usd == pytest.approx(1e-7)
        assert answer.route.busy_core_s == pytest.approx(0.001)  # of the small tier here

    run(main())


def test_the_rate_is_that_of_the_last_seconds() -> None:
    window = RateWindow(0.0)
    for second in range(1, 11):
        window.rows += 100
        assert window.tick(float(second)) == pytest.approx(100.0)
    for second in range(11, 16):
        window.tick(float(second))
    assert window.tick(16.0) == 0.0


def fleet_route(*, spot: bool = False) -> Route:
    """Rung 0 asks the large tier for half of all rows, rung 1 for a tenth, rung 2 always."""
    small = tier("small", replicas=(TierReplicas(purchase="on_demand", count=4, sla_rps=1000.0, offer=OFFER),))
    replicas = [TierReplicas(purchase="on_demand", count=2, sla_rps=50.0, offer=OFFER)]
    if spot:
        replicas.append(TierReplicas(purchase="spot", count=1, sla_rps=50.0, offer=SPOT, url="http://127.0.0.1:1"))
    large = tier("large", replicas=tuple(replicas))
    always = RoutedPolicy(kind="fixed", tiers=("large",))
    ladder = [
        rung(always, called={"large": 1.0}),
        rung(cascade("small", "large", threshold=0.9), called={"small": 1.0, "large": 0.5}),
        rung(cascade("small", "large"), called={"small": 1.0, "large": 0.1}),
    ]
    return route_of([small, large], ladder, margin_of("small"), chosen=2)


class Wanted:
    """A scaler that remembers."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int, int]] = []

    def wanted(self, tier: str, on_demand: int, spot: int) -> None:
        self.said.append((tier, on_demand, spot))


def places_of(route: Route) -> dict[str, tuple[Place, ...]]:
    return {
        t.name: tuple(
            Place(
                model=t.name if not r.url else f"{t.name}.1",
                purchase=r.purchase,
                capacity_rps=r.count * r.sla_rps,
                count=r.count,
                offer=r.offer,
            )
            for r in t.replicas
        )
        for t in route.tiers
    }


def settled(steering: LoadSteering, route: Route, rate_rps: float, now_s: float) -> int | None:
    for _ in range(8):
        now_s += 1.0
        steering.window.rows += round(rate_rps)
        steering.tick(now_s, places_of(route))
    return steering.rung


def test_idle_large_replicas_are_used_and_peaks_fall_to_smaller_tiers() -> None:
    route, scaler = fleet_route(), Wanted()
    steering = LoadSteering(route, scaler, 0.0)
    assert settled(steering, route, 80, 0.0) == 0  # two large replicas sustain 100 rows/s
    assert steering.marginal_usd["large"] == 0.0
    assert settled(steering, route, 150, 10.0) == 1
    assert settled(steering, route, 900, 20.0) == 2
    assert steering.marginal_usd["small"] == 0.0
    assert settled(steering, route, 80, 30.0) == 0
    assert ("large", 2, 0) in scaler.said


def test_a_scaler_is_told_what_the_load_needs() -> None:
    route, scaler = fleet_route(), Wanted()
    steering = LoadSteering(route, scaler, 0.0)
    settled(steering, route, 2000, 0.0)  # a tenth is 200 rows/s: four large replicas, two are there
    assert scaler.said[-1] == ("large", 4, 0)
    assert steering.marginal_usd["large"] > 0


def test_vanished_spot_is_not_counted_on() -> None:
    (_, large) = fleet_route(spot=True).tiers
    route = fleet_route(spot=True)
    there = price_of(large, places_of(route)["large"])
    gone = price_of(large, places_of(route)["large"][:1])
    assert isinstance(there, FleetState)
    assert isinstance(gone, FleetState)
    assert (there.paid_rps, gone.paid_rps) == (150.0, 100.0)


def test_without_prices_by_the_hour_the_choice_stays() -> None:
    route = replace(fleet_route(), tiers=(tier("small"), tier("large")))
    steering = LoadSteering(route, Wanted(), 0.0)
    assert settled(steering, route, 1.0, 0.0) == 2
    assert steering.marginal_usd == {"small": 1e-7, "large": 5e-6}


def test_the_router_follows_the_steering() -> None:
    async def main() -> None:
        route = fleet_route()
        bench = Bench(route=route, places=places_of(route))
        assert bench.router.rung == 2
        await asyncio.sleep(1.2)
        assert bench.router.rung == 0  # nothing comes: large replicas are idle
        answer = await bench.ask(SURE)
        assert isinstance(answer, Answer)
        assert answer.route is not None
        assert answer.route.decisions[0].tier == "large"
        assert answer.route.decisions[0].steered
        assert bench.changes[-1][0] == "route_steered"

    run(main())


# — real servers ———————————————————————————————————————————————————————————————————————————————————————————————————


class Clients:
    """Threads that ask all the time; every answer is compared with what it must be."""

    def __init__(self, served: Served, threads: int = 4) -> None:
        self._served, self._stop = served, threading.Event()
        self.right = 0
        self.wrong: list[str] = []
        self.tiers: dict[str, int] = {}
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(k,)) for k in range(threads)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, client: int) -> None:
        rng = np.random.default_rng(client)
        connection = http.client.HTTPConnection(self._served.host, self._served.port, timeout=30)
        while not self._stop.is_set():
            row = [float(x) for x in rng.normal(size=4).astype(np.float32)]
            tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": row}
            connection.request("POST", "/v2/models/auto/infer", json.dumps({"inputs": [tensor]}))
            response = connection.getresponse()
            said = response.read()
            who, wanted = expected(row, "small", "large")
            ok = response.status == 200 and response.headers["Farthing-Route-Tier"] == who
            ok = ok and json.loads(said)["outputs"][0]["data"] == pytest.approx(wanted, abs=1e-3)
            with self._lock:
                self.right += ok
                self.tiers[who] = self.tiers.get(who, 0) + 1
                if not ok:
                    self.wrong.append(f"{response.status} {said[:200]!r}")
        connection.close()


def spot_route(folder: Path, url: str) -> Path:
    """The large tier sustains 20 rows/s here; the rest goes to spot replicas behind a URL."""
    write_tier(folder / "small.onnx", 0.0)
    write_tier(folder / "large.onnx", 1000.0, slow=20)
    large = tier(
        "large",
        replicas=(
            TierReplicas(purchase="on_demand", count=1, sla_rps=20.0),
            TierReplicas(purchase="spot", count=1, sla_rps=1000.0, url=url),
        ),
    )
    route = route_of([tier("small"), large], [rung(cascade("small", "large", threshold=THRESHOLD))], margin_of("small"))
    return write_route(route, folder / "route.yaml")


def test_killing_a_spot_replica_under_load_loses_nothing(tmp_path: Path, start_server: Any) -> None:
    write_tier(tmp_path / "spot" / "large.onnx", 1000.0, slow=20)
    one = ("--grpc-port", "none", "--metrics-port", "none")
    spot = start_server(tmp_path / "spot" / "large.onnx", "--inline", "never", ports=("--port", 0, *one))
    served = start_server(
        spot_route(tmp_path, spot.url),
        "--inline",
        "never",
        ports=("--port", 0, "--grpc-port", "none", "--metrics-port", 0),
    )
    with Clients(served) as clients:
        time.sleep(1.5)
        before, asked = clients.right, count_of(spot)
        spot.process.kill()
        time.sleep(1.0)
        after = clients.right
        again = start_server(
            tmp_path / "spot" / "large.onnx",
            ports=("--port", spot.port, *one),
        )
        end = time.monotonic() + 10
        while not count_of(again) and time.monotonic() < end:
            time.sleep(0.1)
    assert clients.wrong == []
    assert asked > 10
    assert count_of(again) > 0
    assert before > 50
    assert after > before
    assert clients.right > after


def count_of(served: Served) -> int:
    """Rows that a server's large model has answered."""
    status, said = served.request("GET", "/v2/models/large/stats")
    assert status == 200
    return int(said["model_stats"][0]["inference_count"])
