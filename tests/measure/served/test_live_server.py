"""A real ``farthing serve`` under the load generator: what users get is what is measured."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from farthing.codec import to_plain
from farthing.errors import CandidateCrashed, MeasureError
from farthing.measure.served.live_server import LiveServer
from farthing.measure.served.load_generator import request_bytes
from farthing.nouns import Candidate, Dataset, LocalModel
from farthing.store.documents import write_json

SERVICE_MS = 4.0


def document(folder: Path, **more: object) -> Path:
    """A served model of the fake engine, which doubles what it gets in 4 ms a batch."""
    candidate = Candidate(engine="fake", variant="fp32", precision="fp32", max_batch=4)
    model = LocalModel(
        name="doubled", path=Path(__file__), candidate=candidate, options={"service_ms": SERVICE_MS}, **more
    )  # type: ignore[arg-type]
    return write_json(folder / "served.json", "farthing/served-model/1", to_plain(model))


@pytest.fixture(scope="module")
def live(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("live")
    with LiveServer(document(folder), "doubled", dataset, busy_cores=1, run_dir=folder) as found:
        yield found


def test_latency_counts_from_the_schedule_to_the_whole_answer(live: LiveServer) -> None:
    run = live.open_loop(50.0, 100, seed=1)
    assert run.latency_ms.shape == (100,)
    assert np.isfinite(run.latency_ms).all()
    assert run.latency_ms.min() >= SERVICE_MS
    assert run.achieved_rps == pytest.approx(50.0, rel=0.4)
    assert 0 < run.generator_frac < 1
    assert 0 < run.front_frac < 1


def test_the_same_seed_gives_the_same_arrivals_and_another_one_others(live: LiveServer) -> None:
    due = [np.cumsum(np.random.default_rng(k).exponential(1 / 50.0, 100))[-1] for k in (1, 2)]
    assert due[0] != due[1]
    assert live.open_loop(50.0, 100, seed=2).latency_ms.size == 100


def test_beyond_what_it_can_the_queue_shows_in_the_latency(live: LiveServer) -> None:
    full = live.closed_loop(16, 0.5)
    assert 250 < full < 4 / SERVICE_MS * 1000 * 1.05  # batches of four, each 4 ms
    calm, flooded = live.open_loop(0.3 * full, 150, seed=3), live.open_loop(2.0 * full, 600, seed=3)
    assert np.median(flooded.latency_ms) > 3 * np.median(calm.latency_ms)


def test_requests_that_the_server_gives_up_are_infinite(dataset: Dataset, tmp_path: Path) -> None:
    source = document(tmp_path, deadline_s=0.02)
    with LiveServer(source, "doubled", dataset, busy_cores=1, run_dir=tmp_path) as live:
        run = live.open_loop(4000.0, 2000, seed=0)
    assert np.isinf(run.latency_ms).mean() > 0.2
    assert np.isfinite(run.latency_ms).any()


def test_both_processes_end_with_the_block(dataset: Dataset, tmp_path: Path) -> None:
    before = psutil.Process().children(recursive=True)
    with LiveServer(document(tmp_path), "doubled", dataset, busy_cores=1, run_dir=tmp_path):
        children = [c for c in psutil.Process().children(recursive=True) if c not in before]
        assert len(children) >= 2
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_a_server_that_dies_under_load_is_an_error_that_quotes_it(dataset: Dataset, tmp_path: Path) -> None:
    with LiveServer(document(tmp_path), "doubled", dataset, busy_cores=1, run_dir=tmp_path) as live:
        os.kill(live._process.pid, signal.SIGKILL)
        live._process.wait(10)
        with pytest.raises(MeasureError):
            live.closed_loop(4, 0.2)


def test_a_generator_that_dies_is_an_error(dataset: Dataset, tmp_path: Path) -> None:
    with LiveServer(document(tmp_path), "doubled", dataset, busy_cores=1, run_dir=tmp_path) as live:
        assert live._generator is not None
        live._generator.kill()
        with pytest.raises(CandidateCrashed, match="the load generator died"):
            live.open_loop(10.0, 10, seed=0)


def test_a_server_that_cannot_start_says_why(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match=r"ended before it was ready: .*nowhere.onnx"):
        LiveServer(tmp_path / "nowhere.onnx", "x", dataset, busy_cores=1, run_dir=tmp_path)


@pytest.mark.parametrize(
    ("payload", "path", "media_type"),
    [("où?", b"/invocations", b"text/plain"), (b"\x89PNG", b"/invocations", b"application/octet-stream")],
)
def test_texts_and_images_go_as_they_are(payload: str | bytes, path: bytes, media_type: bytes) -> None:
    head, _, body = request_bytes({"name": "m"}, payload).partition(b"\r\n\r\n")
    assert head.startswith(b"POST " + path + b" HTTP/1.1\r\n")
    assert b"Content-Type: " + media_type in head
    assert b"X-Amzn-SageMaker-Target-Model: m" in head
    assert body == (payload.encode() if isinstance(payload, str) else payload)
    assert f"Content-Length: {len(body)}".encode() in head


def test_tensors_go_in_binary_with_the_types_that_the_model_wants() -> None:
    model = {"name": "m", "inputs": [{"name": "x", "datatype": "FP32"}, {"name": "k", "datatype": "INT64"}]}
    sent = request_bytes(model, {"x": np.array([1.0, 2.0]), "k": np.array([3], dtype=np.int32)})
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v2/models/m/infer")
    size = int(next(line for line in head.split(b"\r\n") if line.startswith(b"Inference-Header")).split(b": ")[1])
    said = json.loads(body[:size])
    assert [(i["name"], i["shape"], i["datatype"]) for i in said["inputs"]] == [
        ("x", [1, 2], "FP32"),
        ("k", [1, 1], "INT64"),
    ]
    assert body[size:] == np.array([1, 2], dtype="<f4").tobytes() + np.array([3], dtype="<i8").tobytes()


def test_inputs_that_the_data_lacks_are_named() -> None:
    two = [{"name": "ids", "datatype": "INT64"}, {"name": "mask", "datatype": "INT64"}]
    with pytest.raises(MeasureError, match=r"wants the input mask \(INT64\); the data has ids, x"):
        request_bytes({"name": "m", "inputs": two}, {"ids": np.zeros(1), "x": np.zeros(1)})
