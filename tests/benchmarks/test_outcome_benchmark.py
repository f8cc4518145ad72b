"""``benchmarks/routing/outcome_files.py`` on files of other shapes: its lines, and what it refuses in words."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from routing.outcome_files import main

WORDS = ("law court", "sum root", "poem rhyme", "gene cell")


def write(path: Path, n: int, *, tiers: int = 3, texts: bool = True, free: bool = False) -> Path:
    rng = np.random.default_rng(n)
    names = [f"tier{k}" for k in range(tiers)]
    with path.open("w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["request_id", *(["text"] if texts else []), *(f"quality:{t}" for t in names),
                      *(f"cost_usd:{t}" for t in names)])  # fmt: skip
        for i in range(n):
            topic = int(rng.integers(4))
            right = [int(rng.random() < 0.5 + 0.15 * k + 0.1 * (topic == 3)) for k in range(tiers)]
            cost = [0.0 if free and k == 0 else 1e-5 * 8**k * (1 + topic) for k in range(tiers)]
            text = [f"{WORDS[topic]} question {i}"] if texts else []
            out.writerow([f"r{i}", *text, *right, *cost])
    return path


@pytest.mark.parametrize(("tiers", "texts"), [(2, True), (4, False)])
def test_a_file_of_any_number_of_tiers_is_tried(tmp_path: Path, capsys, tiers: int, texts: bool) -> None:
    path = write(tmp_path / "some.csv", 400, tiers=tiers, texts=texts)
    assert main([str(path), "--limits", "2", "--repeats", "1"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(list(line) == ["figure", "value", "lo", "hi", "unit", "target", "met", "hardware"] for line in lines)
    assert [line["figure"].partition(":")[0] for line in lines] == [
        f"outcomes/some/2 points/{what}" for what in ("proven saving", "test saving", "test loss", "against a coin")
    ]
    saving, _, _, coin = lines
    assert saving["value"] > 0.02
    assert coin["figure"].rpartition(": ")[2] in ("better", "not told apart", "worse")
    assert coin["met"] == (not coin["figure"].endswith("worse"))


def test_what_cannot_be_tried_is_refused_in_words_and_the_rest_goes_on(tmp_path: Path, capsys) -> None:
    bad = [
        write(tmp_path / "free.csv", 60, free=True),
        write(tmp_path / "one.csv", 60, tiers=1),
        write(tmp_path / "few.csv", 20),
        tmp_path / "gone.csv",
    ]
    (tmp_path / "unpriced.csv").write_text("request_id,quality:a,quality:b\n1,0,1\n2,1,1\n")
    good = write(tmp_path / "good.csv", 200, texts=False)
    given = [*bad, tmp_path / "unpriced.csv", good]
    assert main([*map(str, given), "--limits", "5", "--repeats", "1"]) == 1
    found = capsys.readouterr()
    assert "outcomes/good/5 points" in found.out
    for said in ("costs 0 for all requests", "there is one tier", "too few for a route", "gone.csv", "no price"):
        assert said in found.err, said
    assert "Traceback" not in found.err
