from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.errors import DataError
from farthing.load.route.outcomes import read_outcomes

ROWS = [
    {
        "request_id": f"r{i}",
        "text": text,
        "segment": "short" if len(text) < 10 else "long",
        "feature:length": len(text),
        "score:margin@small": 0.9 - 0.2 * i,
        "score:length": -float(len(text)),
        "quality:large": 1,
        "cost_usd:large": 8e-4,
        "quality:small": right,
        "cost_usd:small": 3e-5,
    }
    for i, (text, right) in enumerate([("hello", 1), ("what is my balance?", 0), ("", 1)])
]


def write(path: Path, rows) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as f:
            writer = csv.DictWriter(f, rows[0], delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_reads_the_same(tmp_path: Path, suffix) -> None:
    found = read_outcomes(write(tmp_path / f"outcomes{suffix}", ROWS))
    assert found.matrix.tiers == ("small", "large")
    assert found.matrix.request_ids == ("r0", "r1", "r2")
    assert found.matrix.quality.tolist() == [[1, 1], [0, 1], [1, 1]]
    assert found.matrix.cost_usd.tolist() == [[3e-5, 8e-4]] * 3
    assert found.matrix.segments == ("short", "long", "short")
    assert found.texts == ("hello", "what is my balance?", "")
    assert found.feature_names == ("length",)
    assert found.features[:, 0].tolist() == [5, 19, 0]
    assert found.matrix.scores["margin@small"].needs == ("small",)
    assert found.matrix.scores["length"].needs == ()
    assert found.matrix.scores["margin@small"].values == pytest.approx([0.9, 0.7, 0.5])


def test_the_least_that_is_needed_and_names_of_published_benchmarks(tmp_path: Path) -> None:
    rows = [
        {"sample_id": f"mmlu.{i}", "prompt": "p", "a": True, "a|total_cost": 0.1, "b": 0.5, "b|total_cost": 0.01}
        for i in range(3)
    ]
    path = write(tmp_path / "bench.jsonl", rows)
    found = read_outcomes(path, columns={"a": ("a", "a|total_cost"), "b": ("b", "b|total_cost")})
    assert found.matrix.tiers == ("b", "a")
    assert found.matrix.quality[0].tolist() == [0.5, 1.0]
    assert found.matrix.segments is None
    assert found.features.shape == (3, 0)
    assert found.texts == ("p", "p", "p")


def test_a_score_of_two_tiers(tmp_path: Path) -> None:
    rows = [{**row, "score:agreement@small+large": 1} for row in ROWS]
    found = read_outcomes(write(tmp_path / "o.csv", rows))
    assert found.matrix.scores["agreement@small+large"].needs == ("small", "large")


def broken(i: int = 1, drop: str = "", **changes):
    rows = [dict(row) for row in ROWS]
    rows[i].update(changes)
    return [{k: v for k, v in row.items() if k != drop} for row in rows]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (broken(**{"quality:small": "nan"}), "line 3: quality:small is 'nan', not a finite number"),
        (broken(**{"quality:small": ""}), "line 3: quality:small is '', not a finite number"),
        (broken(**{"quality:small": 1.5}), "line 3: quality:small is 1.5; it must be ≥ 0 and ≤ 1"),
        (broken(**{"cost_usd:large": -1}), "line 3: cost_usd:large is -1; it must be ≥ 0"),
        (broken(**{"cost_usd:large": "inf"}), "not a finite number"),
        (broken(**{"cost_usd:large": "x" * 100_000}), "xxx…, not a finite number"),
        (broken(**{"score:length": "NaN"}), "score:length is 'NaN'"),
        (broken(request_id="r0"), "line 3: the request 'r0' was on line 2 already"),
        (broken(request_id=" "), "line 3: request_id is empty"),
        (broken(segment=""), "line 3: segment is empty"),
        (broken(drop="cost_usd:large"), "no price of the tier 'large'"),
        (broken(drop="quality:large"), "no quality of the tier 'large'"),
        (broken(drop="request_id"), "no column of request ids"),
        ([{"request_id": "a", "right": 1}], "no column quality:TIER"),
        ([{**ROWS[0], "score:x@tiny": 1}], "needs the tier 'tiny'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, rows, said) -> None:
    path = write(tmp_path / "outcomes.csv", rows)
    with pytest.raises(DataError) as caught:
        read_outcomes(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600


def test_missing_values_and_wrong_types_in_jsonl(tmp_path: Path) -> None:
    path = write(tmp_path / "o.jsonl", [ROWS[0], {k: v for k, v in ROWS[1].items() if k != "cost_usd:small"}])
    with pytest.raises(DataError, match="line 2: cost_usd:small is None"):
        read_outcomes(path)
    path = write(tmp_path / "o.jsonl", [{**ROWS[0], "text": 7}])
    with pytest.raises(DataError, match="line 1: text is 7, not a text"):
        read_outcomes(path)
    with pytest.raises(DataError, match="no column 'nope' for the tier 'a'"):
        read_outcomes(path, columns={"a": ("nope", "cost_usd:small")})
    with pytest.raises(DataError, match="no column 'group'"):
        read_outcomes(path, segment_column="group")
    with pytest.raises(DataError, match="there is no file"):
        read_outcomes(tmp_path / "gone.csv")


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1e3), st.floats(0, 1e3)), min_size=1, max_size=8)
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_numbers_survive(tmp_path: Path, numbers) -> None:
    rows = [
        {"id": i, "quality:a": q, "quality:b": p, "cost_usd:a": c, "cost_usd:b": d}
        for i, (q, p, c, d) in enumerate(numbers)
    ]
    found = read_outcomes(write(tmp_path / "o.csv", rows)).matrix
    a = found.tier("a")
    assert found.quality[:, a].tolist() == [q for q, *_ in numbers]
    assert found.cost_usd[:, a].tolist() == [c for _, _, c, _ in numbers]
    assert (np.diff(found.cost_usd.mean(axis=0)) >= -1e-9).all()
