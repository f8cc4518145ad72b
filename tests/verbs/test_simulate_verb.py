"""`farthing simulate` on a recorded plan: the screen and the JSON say the same, and what cannot be is refused first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from farthing.cli.main import cli
from farthing.errors import FarthingError

PLAN = Path(__file__).parent.parent / "golden" / "replay"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours of minutes that swing, and histories of two zones."""
    found = tmp_path_factory.mktemp("simulated")
    rows = (f"2026-11-23T{k // 60:02d}:{k % 60:02d}:00Z,{200 + 100 * (k % 20 > 9)}" for k in range(120))
    (found / "arrivals.csv").write_text("timestamp,count\n" + "\n".join(rows) + "\n")
    for zone, data in (("east-a", [1, 1, 1, 0]), ("east-b", [1, 1, 1, 1])):
        (found / f"{zone}.json").write_text(json.dumps({"metadata": {"gap_seconds": 600}, "data": data}))
    return found


def simulated(folder: Path, *flags: str) -> Result:
    trace = str(folder / "arrivals.csv")
    usual = ["simulate", str(PLAN), "--trace", trace, "--rule", "fixed", "--rule", "cost-aware", "--seeds", "1"]
    return CliRunner().invoke(cli, [*usual, *flags], catch_exceptions=False, env={"COLUMNS": "200"})


@pytest.mark.slow
def test_the_screen_says_what_is_cheapest_beside_one_who_knows(folder: Path) -> None:
    found = simulated(folder)
    assert found.exit_code == 0
    text = " ".join(found.stdout.split())
    assert "is the cheapest that keeps 99.0 %: $" in text
    assert "one who knows all arrivals" in text
    assert "learns" in text or "aims at 0.7 of what may be missed" in text
    assert "refused what would come later than a promise on p99 or above allows" in text
    assert "bought" not in text


def test_json_has_settings_and_the_ways_of_buying(folder: Path) -> None:
    found = simulated(folder, "--json", "--spot", str(folder), "--floor", "0%", "--notice", "30s")
    document = json.loads(found.stdout)
    assert {rule["name"] for rule in document["rules"]} == {"fixed", "cost-aware"}
    assert all(rule["settings"] and 0 <= rule["attainment_frac"]["value"] <= 1 for rule in document["rules"])
    assert document["clairvoyant"]["usd_per_month"]["value"] > 0
    spot = document["spot"]
    assert (spot["zones"], spot["notice_s"], spot["floor_frac"]) == (["east-a", "east-b"], 30.0, 0.0)
    ways = {way["way"]: way for way in spot["ways"]}
    assert ways["all on demand"]["saving_frac"] == 0.0
    assert 0.3 < ways["floor and overflow"]["saving_frac"] < 0.6
    assert spot["said"] == ["histories of 0.7 h are repeated"]


def test_the_busiest_minute_is_kept_closely(folder: Path, tmp_path: Path) -> None:
    found = simulated(folder, "--rule", "fixed", "--chrome-trace", str(tmp_path / "fleet.json"))
    assert found.exit_code == 0
    events = json.loads((tmp_path / "fleet.json").read_text())["traceEvents"]
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    batches = [e for e in events if e["ph"] == "X" and tracks[e["tid"]].endswith("batches")]
    assert sum(int(e["name"].removeprefix("batch of ")) for e in batches) == pytest.approx(300, abs=60)
    assert max(e["ts"] + e["dur"] for e in batches) - min(e["ts"] for e in batches) <= 60.1e6
    ready = [e for e in events if e["name"] == "ready"]
    assert ready
    assert all(e["args"]["pool"] == "on_demand" for e in ready)


@pytest.mark.slow
def test_the_screen_says_what_spot_is_and_costs(folder: Path) -> None:
    text = " ".join(simulated(folder, "--spot", str(folder), "--floor", "0%").stdout.split())
    assert "bought on demand and on spot" in text
    assert "all on demand" in text and "known beforehand" in text
    assert "in 2 zones, as many as their histories had; notice 2 min, no more requests in its last 10 s" in text
    assert "0 % on demand at least" in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--spot", "nowhere"], "nowhere holds no histories"),
        (["--floor", "25", "--spot", "{folder}"], "--floor"),
        (["--rule", "HPA"], "no such rule: HPA"),
        (["--attainment", "99"], "--attainment"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_simulated(folder: Path, flags: list[str], said: str) -> None:
    with pytest.raises(FarthingError, match=said):
        simulated(folder, *(flag.replace("{folder}", str(folder)) for flag in flags))
