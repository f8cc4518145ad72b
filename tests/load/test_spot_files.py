"""Histories of spot as files, and what is bought at which price: read, or refused by file and value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from farthing.errors import InputError
from farthing.load.spot import SpotAsked, read_histories, spot_market


def written(folder: Path, **zones: object) -> Path:
    for name, data in zones.items():
        (folder / f"{name}.json").write_text(json.dumps({"metadata": {"gap_seconds": 195}, "data": data}))
    return folder


def test_a_folder_is_a_zone_a_file(tmp_path: Path) -> None:
    found = read_histories(written(tmp_path, b=[1, 0], a=[0, 3.0]))
    assert [(h.zone, h.step_s, h.available.tolist()) for h in found] == [("a", 195.0, [0, 3]), ("b", 195.0, [1, 0])]
    assert [h.zone for h in read_histories(tmp_path / "b.json")] == ["b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 0]", "gap_seconds is None"),
        ('{"metadata": {"gap_seconds": 0}, "data": [1]}', "gap_seconds is 0"),
        ('{"metadata": {"gap_seconds": true}, "data": [1]}', "gap_seconds is True"),
        ('{"metadata": {"gap_seconds": 1e999}, "data": [1]}', "gap_seconds is inf"),
        ('{"metadata": {"gap_seconds": 5}, "data": []}', "no list of steps"),
        ('{"metadata": {"gap_seconds": 5}, "data": [1, -1]}', "step 1 of data is -1"),
        ('{"metadata": {"gap_seconds": 5}, "data": [0.5]}', "step 0 of data is 0.5"),
        ('{"metadata": {"gap_seconds": 5}, "data": [NaN]}', "step 0 of data is nan"),
        ('{"metadata": {"gap_seconds": 5}, "data": ["1"]}', "step 0 of data is '1'"),
        ("{", "no readable JSON"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "zone.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"zone\.json") as raised:
        read_histories(file)
    assert said in str(raised.value)
    assert "a file a zone" in str(raised.value.hint)


def test_histories_of_different_length_and_none_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no histories"):
        read_histories(tmp_path)
    with pytest.raises(InputError, match="holds no histories"):
        read_histories(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"different length: a 0\.1 h, b 0\.2 h"):
        read_histories(written(tmp_path, a=[1, 0], b=[1, 0, 1]))


def test_a_price_is_a_share_or_dollars_and_below_on_demand(tmp_path: Path) -> None:
    folder = written(tmp_path, a=[1, 0])
    share, said = spot_market(SpotAsked(histories=folder, price="40%"), 0.1, 200.0)
    assert (share.usd_per_hour, said) == (pytest.approx(0.04), [])
    dollars, said = spot_market(SpotAsked(histories=folder, price="$0.05", notice="30s"), 0.1, 10_000.0)
    assert (dollars.usd_per_hour, dollars.reclaiming.notice_s, dollars.reclaiming.drain_s) == (0.05, 30.0, 10.0)
    assert said == ["histories of 0.1 h are repeated"]
    assert spot_market(SpotAsked(histories=folder, price="40%", notice="5s"), 0.1, 1.0)[0].reclaiming.drain_s == 5.0
    for price in ("$0.1", "100%", "0%"):
        with pytest.raises(InputError, match="--spot-price"):
            spot_market(SpotAsked(histories=folder, price=price), 0.1, 1.0)
    with pytest.raises(InputError, match="--floor"):
        _ = SpotAsked(histories=folder, price="40%", floor="25").floor_frac
