"""A route whose large tier answers behind a URL and is paid by request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from end_points import answering
from small_tiers import write_requests, write_tier

import farthing as ft
from farthing.core.route.judging.reports import CalibrationReport
from farthing.errors import MeasureError

QUICK = ft.TierSettings(rounds=6, per_round=5)
N = 300


class LargeTier:
    """Answers with a real model and counts what it is asked; out of money from ``breaks_at`` on."""

    def __init__(self, model: Path) -> None:
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self._lock = threading.Lock()
        self.asked = 0
        self.breaks_at: int | None = None
        self.url = ""

    def reply(self, _: str, document: Any) -> tuple[int, Any]:
        (x,) = self._session.get_inputs()
        if document is None:
            return 200, {"inputs": [{"name": x.name, "datatype": "FP32", "shape": [-1, *x.shape[1:]]}]}
        with self._lock:
            self.asked += 1
            if self.breaks_at is not None and self.asked >= self.breaks_at:
                return 402, {"error": "no more money"}
        given = document["inputs"][0]
        row = np.array(given["data"], dtype=np.float32).reshape(given["shape"])
        y = self._session.run(None, {x.name: row})[0]
        return 200, {"outputs": [{"name": "y", "shape": list(y.shape), "data": y.ravel().tolist()}]}


@pytest.fixture
def large(tmp_path: Path) -> Iterator[LargeTier]:
    tier = LargeTier(write_tier(tmp_path / "large" / "model.onnx", seen=24))
    with answering(tier.reply) as tier.url:
        yield tier


def test_a_run_that_broke_off_pays_only_for_what_it_lacks(large: LargeTier, tmp_path: Path) -> None:
    small = write_tier(tmp_path / "small" / "model.onnx", seen=20)
    data, out = write_requests(tmp_path / "q.npz", N, 1), tmp_path / "route"

    def calibrate() -> CalibrationReport:
        task = ft.RouteTask(
            tiers=[f"small={small}", f"large={large.url}/v2/models/m"],
            prices=("small=0.000001/request", "large=0.001/request"),
            settings={"data": data, "max_loss": "20%"},
        )
        return ft.route_calibrate(task, options=ft.RunOptions(output_dir=out, tiers=QUICK))

    large.breaks_at = 201
    with pytest.raises(MeasureError, match="no more money"):
        calibrate()
    assert [path.name for path in out.rglob("*") if path.is_file()] == ["answers-large.jsonl"]
    before, large.breaks_at, large.asked = 200, None, 0
    report = calibrate()
    assert report.route.n == N // 2
    assert large.asked == N - (before - 1) + 1  # one is asked at the beginning of each run, to see that it is there
    assert not (out / "work").exists()
    assert (out / "route.yaml").is_file()
    large.asked = 0
    calibrate()
    assert large.asked == N + 1
