"""What was understood of the arrivals is said before any work, and asked back where it cannot be meant."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from small_inputs import write_images, write_onnx

from farthing.errors import InputError
from farthing.load.workload.workload import workload_from_flags
from farthing.machine.hardware import this_machine
from farthing.runs.market import Arrived, market_of, trace_of

DAY = date(2026, 11, 24)


def arrived(folder: Path, **traffic: str) -> Arrived:
    if not (folder / "model.onnx").exists():
        write_onnx(folder / "model.onnx")
        write_images(folder / "holdout", ["cat", "dog", "owl"] * 4)
    flags = {"model": str(folder / "model.onnx"), "labels": str(folder / "holdout"), "bill": "10000"}
    workload = workload_from_flags({**flags, "offer": "aws/m7i.large", **traffic})
    return trace_of(workload, market_of(workload, DAY, 180, this_machine()))


def trace(folder: Path, counts: list[int], header: str = "time,requests") -> str:
    rows = "".join(f"2026-10-20T{8 + k // 60:02}:{k % 60:02}:00Z,{n}\n" for k, n in enumerate(counts))
    (folder / "t.csv").write_text(f"{header}\n{rows}")
    return str(folder / "t.csv")


def test_a_trace_is_said_with_times_volume_mean_and_peak(tmp_path: Path) -> None:
    said = dict(arrived(tmp_path, trace=trace(tmp_path, [60_000] * 119 + [120_000])).understood())
    assert said["trace"] == "t.csv: counts by step of 60 s (column “requests”), times with their zone"
    assert said["arrivals"] == (
        "2026-10-20 08:00 +00:00 to 2026-10-20 10:00 +00:00 (2 h) · 2.65 B requests a month, mean 1,008/s, "
        "busiest minute 2,000/s"
    )
    assert "is that right?" not in said


def test_a_stated_volume_is_said(tmp_path: Path) -> None:
    said = dict(arrived(tmp_path, per_month="14B", shape="flat").understood())
    assert said["arrivals"].startswith("a flat week as stated, ")
    assert "14 B requests a month, mean 5,327/s" in said["arrivals"]


def test_little_traffic_for_a_large_bill_is_a_question(tmp_path: Path) -> None:
    said = dict(arrived(tmp_path, per_month="540k").understood())
    assert "one request in" in said["is that right?"]


@pytest.mark.parametrize("header", ["time,requests", "time,rps"])
def test_what_cannot_be_is_asked_back_unless_it_was_said(tmp_path: Path, header: str) -> None:
    few = [1, *[0] * 200] if header.endswith("requests") else [10**8] * 60
    path = trace(tmp_path, few, header)
    with pytest.raises(InputError, match=r"t\.csv was read as .* requests a month, and each ") as e:
        arrived(tmp_path, trace=path)
    assert "--trace-kind" in str(e.value.hint)
    kind = {"trace_kind": "counts"} if header.endswith("requests") else {"trace_kind": "rates"}
    assert dict(arrived(tmp_path, trace=path, **kind).understood())["is that right?"]
