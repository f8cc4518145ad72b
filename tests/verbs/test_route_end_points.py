"""A route whose large tier answers behind a URL and is paid by request."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

sys.path.append(str(Path(__file__).parents[1]))
import farthing as ft
from farthing.core.route.reports import CalibrationReport
from farthing.errors import MeasureError
from farthing.measure.tier_answers import RunSettings
from route_tiers import write_requests, write_tier

QUICK = RunSettings(rounds=6, per_round=5)
N = 300


class EndPoint(ThreadingHTTPServer):
    """Answers with a real model and counts what it is asked; out of order from ``breaks_at`` on."""

    def __init__(self, model: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self.asked = 0
        self.breaks_at: int | None = None
        self._lock = threading.Lock()

    def counted_out(self) -> bool:
        """Count one request; whether it comes too late."""
        with self._lock:
            self.asked += 1
            return self.breaks_at is not None and self.asked >= self.breaks_at


class Handler(BaseHTTPRequestHandler):
    server: EndPoint

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        (x,) = self.server.session.get_inputs()
        self._say(200, {"inputs": [{"name": x.name, "datatype": "FP32", "shape": [-1, *x.shape[1:]]}]})

    def do_POST(self) -> None:
        document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.counted_out():
            self._say(402, {"error": "no more money"})
            return
        x = document["inputs"][0]
        row = np.array(x["data"], dtype=np.float32).reshape(x["shape"])
        y = self.server.session.run(None, {x["name"]: row})[0]
        self._say(200, {"outputs": [{"name": "y", "shape": list(y.shape), "data": y.ravel().tolist()}]})

    def _say(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def end_point(tmp_path: Path) -> Iterator[EndPoint]:
    server = EndPoint(write_tier(tmp_path / "large" / "model.onnx", seen=24))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_run_that_broke_off_pays_only_for_what_it_lacks(end_point: EndPoint, tmp_path: Path) -> None:
    small = write_tier(tmp_path / "small" / "model.onnx", seen=20)
    data, out = write_requests(tmp_path / "q.npz", N, 1), tmp_path / "route"

    def calibrate() -> CalibrationReport:
        return ft.route_calibrate(
            tiers=[f"small={small}", f"large=http://127.0.0.1:{end_point.server_port}/v2/models/m"],
            prices=("small=0.000001/request", "large=0.001/request"),
            data=data, max_loss="20%", output_dir=out, run=QUICK,
        )  # fmt: skip

    end_point.breaks_at = 201
    with pytest.raises(MeasureError, match="no more money"):
        calibrate()
    assert [path.name for path in out.rglob("*") if path.is_file()] == ["answers-large.jsonl"]
    before, end_point.breaks_at, end_point.asked = 200, None, 0
    report = calibrate()
    assert report.route.n == N // 2
    assert end_point.asked == N - (before - 1) + 1  # one is asked at the beginning of each run, to see that it is there
    assert not (out / "work").exists()
    assert (out / "route.yaml").is_file()
    end_point.asked = 0
    calibrate()
    assert end_point.asked == N + 1
