"""``farthing simulate --hpa`` and ``--keda`` from files to figures, on the series of examples/autoscaling."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from autoscalers import hpa, recorded, written

from farthing.errors import InputError, UnknownOfferError
from farthing.load.scaling.asked import SeriesAsked
from farthing.verbs.dry_run import ControllerFlags, Price, dry_run

EXAMPLE = Path(__file__).parents[2] / "examples" / "autoscaling"
CPU = SeriesAsked(files=[str(EXAMPLE / "cpu.json")])
REQUESTS = SeriesAsked(files=[str(EXAMPLE / "requests.json")])


def test_the_example_on_cpu() -> None:
    price = Price(offer="aws/m7i.large", as_of=date(2026, 11, 24))
    found = dry_run(EXAMPLE / "hpa.yaml", CPU, price=price)
    assert found.replayed.fleet.initial == 5  # as many as there are series at the start
    a = found.accounts
    assert a.fewest is not None
    assert a.always_min.replica_hours < a.decided.replica_hours < a.always_max.replica_hours
    assert found.usd_per_hour is not None
    assert a.decided.usd == pytest.approx(a.decided.replica_hours * found.usd_per_hour)
    assert found.offer is not None
    assert found.offer.name == "aws/m7i.large"
    names = [trap.name for trap in found.traps]
    assert names[0] == "tolerance-band"
    assert {"oscillates", "maximum-reached", "replicas-written-too", "start-longer-than-window"} <= set(names)


def test_the_example_on_requests() -> None:
    found = dry_run(EXAMPLE / "scaledobject.yaml", REQUESTS, kind="keda", price=Price(usd_per_hour=0.1))
    assert found.traps[0].name == "empty-reads-as-zero"
    assert {"window-lags", "cooldown-unused"} <= {trap.name for trap in found.traps}
    assert found.recording.metrics[0].loop == "open"
    assert found.accounts.decided.usd == pytest.approx(found.accounts.decided.replica_hours * 0.1)


def test_without_a_price_there_are_hours_alone() -> None:
    found = dry_run(EXAMPLE / "scaledobject.yaml", REQUESTS, kind="keda")
    assert found.accounts.decided.usd is None
    assert found.usd_per_hour is None


def test_flags_of_the_controller(tmp_path: Path) -> None:
    path = written(tmp_path, hpa(maxReplicas=30))
    series = SeriesAsked(files=[str(recorded(tmp_path, ({}, [1450.0] * 20)))])
    held = dry_run(path, series, initial=14)
    assert held.replayed.passes[-1].after == 14
    finer = dry_run(path, series, initial=14, flags=ControllerFlags(tolerance=0.02, sync_s=30))
    assert finer.replayed.passes[-1].after == 15
    assert len(finer.replayed.passes) == 10


def test_the_initial_number(tmp_path: Path) -> None:
    path = written(tmp_path, hpa(minReplicas=2))
    file = str(recorded(tmp_path, ({}, [100.0] * 20)))
    assert dry_run(path, SeriesAsked(files=[file])).replayed.fleet.initial == 2
    assert dry_run(path, SeriesAsked(files=[file], replicas=7)).replayed.fleet.initial == 7
    assert dry_run(path, SeriesAsked(files=[file], replicas=70)).replayed.fleet.initial == 10
    assert dry_run(path, SeriesAsked(files=[file], replicas=7), initial=3).replayed.fleet.initial == 3


def test_what_is_refused_before_work_starts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="both price a replica"):
        Price(offer="aws/m7i.large", usd_per_hour=1.0)
    with pytest.raises(UnknownOfferError):
        dry_run(EXAMPLE / "hpa.yaml", CPU, price=Price(offer="aws/m7i.lrge"))
    path = written(tmp_path, hpa())
    long = SeriesAsked(files=[str(recorded(tmp_path, ({}, [1.0] * 3), step_s=86400 * 300))])
    with pytest.raises(InputError, match="record a shorter time"):
        dry_run(path, long)
    with pytest.raises(InputError, match="cannot read"):
        dry_run(tmp_path / "nowhere.yaml", CPU)


def test_progress_is_told(tmp_path: Path) -> None:
    told = []
    series = SeriesAsked(files=[str(recorded(tmp_path, ({}, [100.0] * 6000)))])
    dry_run(written(tmp_path, hpa()), series, on_progress=lambda *words: told.append(words))
    assert told == [("replay", 5000, 6000, "")]
