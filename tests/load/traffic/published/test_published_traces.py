"""Traces that others published, by their schemas; Azure LLM 2023 from its files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from made_up_logs import written

from farthing.errors import TraceError
from farthing.load.traffic import (
    AzureFunctions2019Arrivals,
    AzureFunctions2021Arrivals,
    AzureLlmArrivals,
    BurstGptArrivals,
    CsvArrivals,
    TraceAsked,
    arrivals_of,
    read_requests,
    read_trace,
)
from farthing.nouns import ArrivalBlock

LLM = "TIMESTAMP,ContextTokens,GeneratedTokens"
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"
DAY = ",".join(["HashOwner", "HashApp", "HashFunction", "Trigger", *map(str, range(1, 1441))])


def only_block(path: Path, asked: TraceAsked | None = None) -> ArrivalBlock:
    (block,) = read_requests(path, asked) or ()
    return block


@pytest.mark.parametrize(("name", "n"), [("code", 8819), ("conv", 19_366)])
def test_azure_llm_2023_from_its_files(assets: Path, name: str, n: int) -> None:
    path = assets / "traces" / f"AzureLLMInferenceTrace_{name}.csv"
    assert isinstance(arrivals_of(path), AzureLlmArrivals)
    trace, block = read_trace(path), only_block(path)
    assert np.array_equal(trace.counts, CsvArrivals().trace(path).counts)
    assert trace.read_as == f"an Azure LLM inference trace ({n:,} requests), times as they stand"
    assert block.at_s.size == n
    assert block.resolution_s == 0
    assert block.input_tokens is not None
    assert block.output_tokens is not None
    assert (block.input_tokens.min(), block.output_tokens.min()) >= (1, 1)
    rows = [line.split(",") for line in path.read_text(encoding="utf-8-sig").splitlines()[1:]]
    assert int(block.input_tokens[7]) == int(rows[7][1])
    apart = datetime.fromisoformat(rows[-1][0]) - datetime.fromisoformat(rows[0][0])
    assert block.at_s[-1] == pytest.approx(apart.total_seconds(), abs=1e-6)


def test_azure_llm_2024_has_offsets_and_now_and_then_no_fraction(tmp_path: Path) -> None:
    lines = [
        "2024-05-10 00:00:00.009930+00:00,2162,5",
        "2024-05-10 00:00:01+00:00,2399,6",
        "2024-05-10 00:00:01.5+00:00,7,1",
    ]
    path = written(tmp_path / "week.csv.gz", [LLM, *lines])
    block = only_block(path)
    assert block.at_s == pytest.approx([0, 0.99007, 1.49007])
    assert block.input_tokens is not None
    assert block.output_tokens is not None
    assert (block.input_tokens.tolist(), block.output_tokens.tolist()) == ([2162, 2399, 7], [5, 6, 1])
    assert read_trace(path).start == datetime(2024, 5, 10, 0, 0, 0, 9930, tzinfo=UTC)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("later,1,2", r"line 3: 'later' is no time, in what begins like an Azure LLM inference trace"),
        ("2024-05-10 00:00:02,1", "2 values for 3 columns"),
        ("2024-05-10 00:00:02,x,2", "the number of tokens is 'x'"),
        ("2024-05-10 00:00:02,-1,2", "the number of tokens is '-1'"),
        ("2024-05-10 00:00:02,1,1e300", "the number of tokens is '1e300'; it must be a whole number"),
        ("2024-05-10 00:00:02+00:00,1,2", "only some times have an offset"),
        ("2024-05-09 00:00:02,1,2", "is not sorted: line 3"),
    ],
)
def test_rows_that_no_published_file_has(tmp_path: Path, row: str, says: str) -> None:
    with pytest.raises(TraceError, match=says):
        read_trace(written(tmp_path / "x.csv", [LLM, "2024-05-10 00:00:01,1,2", row]))


def test_burst_gpt_counts_from_midnight(tmp_path: Path) -> None:
    rows = [f"{5 + 40 * k},{'GPT-4' if k % 3 else 'ChatGPT'},{100 + k},{k % 5},0,Conversation log" for k in range(60)]
    path = written(tmp_path / "BurstGPT_1.csv", [BURST, *rows])
    assert isinstance(arrivals_of(path), BurstGptArrivals)
    trace, block = read_trace(path), only_block(path)
    assert (trace.start, trace.counts.sum(), trace.step_s) == (None, 60, 60)
    assert trace.read_as == "a BurstGPT trace (60 requests), times in seconds since the start, in whole seconds"
    assert block.at_s.tolist() == [40.0 * k for k in range(60)]
    assert block.resolution_s == 1
    assert block.output_tokens is not None
    assert (block.output_tokens == 0).sum() == 12  # failures arrived too
    one = read_trace(path, TraceAsked(only="ChatGPT"))
    assert one.counts.sum() == 20
    assert "40 other requests left out" in one.read_as


def test_burst_gpt_with_sessions_and_fractions(tmp_path: Path) -> None:
    header = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type"
    rows = [f"{k + 0.25},s{k},1.5,GPT-4,10,20,30,API log" for k in range(20)]
    block = only_block(written(tmp_path / "x.csv", [header, *rows]))
    assert block.resolution_s == 0
    assert block.input_tokens is not None
    assert block.input_tokens.tolist() == [10] * 20


def test_azure_functions_2021_came_before_they_ended(tmp_path: Path) -> None:
    rows = ["a1,f1,5160.142570018768,0.134", "a1,f2,5241.5,42.5", "a2,f1,5161.25,0.25", "a1,f1,5199.5,3599.5"]
    path = written(tmp_path / "AzureFunctionsInvocationTrace.txt", ["app,func,end_timestamp,duration", *rows])
    assert isinstance(arrivals_of(path), AzureFunctions2021Arrivals)
    arrived = sorted((5160.142570018768 - 0.134, 5199.0, 5161.0, 1600.0))
    assert only_block(path).at_s == pytest.approx(np.array(arrived) - 1600)
    trace = read_trace(path)
    assert trace.counts.sum() == 4
    assert "2 requests up to 60 min late" in trace.read_as
    assert only_block(path, TraceAsked(only="a1,f1")).at_s.size == 2


def test_azure_functions_2019_are_added_up_by_day(tmp_path: Path) -> None:
    def row(app: str, trigger: str, minute: int, n: int) -> str:
        return ",".join(["o", app, "f", trigger, *("0" if k != minute else str(n) for k in range(1440))])

    days = [DAY, row("a", "http", 3, 7), row("b", "timer", 3, 2), DAY, row("a", "http", 1439, 5)]
    path = written(tmp_path / "invocations.csv", days)
    assert isinstance(arrivals_of(path), AzureFunctions2019Arrivals)
    trace = read_trace(path)
    assert (trace.step_s, trace.counts.size, trace.counts[3], trace.counts[-1]) == (60, 2880, 9, 5)
    assert "invocations by minute of 3 rows over 2 days, added up" in trace.read_as
    assert read_trace(path, TraceAsked(only="http")).counts.sum() == 12
    assert read_requests(path) is None
    with pytest.raises(TraceError, match="none of its 3 requests has 'queue' in it"):
        read_trace(path, TraceAsked(only="queue"))


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["1"] * 1439, "1443 values for 1444 columns"),
        (["1"] * 1439 + ["2.5"], "a minute holds no whole number"),
        (["1"] * 1439 + ["-2"], "a minute holds -2; invocations are ≥ 0 and ≤ 1,000,000,000"),
        (["1"] * 1439 + ["9" * 30], "a minute holds no whole number"),
        (["0"] * 1440, "has no invocations in 1,440 minutes"),
    ],
)
def test_days_that_are_none(tmp_path: Path, cells: list[str], says: str) -> None:
    with pytest.raises(TraceError, match=says):
        read_trace(written(tmp_path / "x.csv", [DAY, ",".join(["o", "a", "f", "http", *cells])]))


def test_a_header_of_another_trace(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="line 1: there is no column TIMESTAMP"):
        AzureLlmArrivals().trace(written(tmp_path / "x.csv", ["a,b,c", "1,2,3"]))
    with pytest.raises(TraceError, match="line 1: it does not begin with HashOwner"):
        AzureFunctions2019Arrivals().trace(written(tmp_path / "x.csv", ["a,b,c", "1,2,3"]))
