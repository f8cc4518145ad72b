"""The real clients, unmodified, in environments of their own, against both doors."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop
from echo import Recorder, SomeModels, late_model, late_models

from farthing.machine.clock import MonotonicClock
from farthing.serve.grpc.door import GrpcServer
from farthing.serve.http.server import HttpServer
from farthing.serve.limits import Limits

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parent / "clients"
SOURCES = Path(__file__).parents[2] / "src"
PACKAGES = {
    "tritonclient": ["tritonclient[all]", "ml_dtypes"],
    "tritonclient-old": ["tritonclient[all]==2.41.1", "numpy<2"],
    "kserve": ["kserve"],
}


def client_python(name: str) -> Path:
    """Python of a client's environment, made when there is none yet; the test is skipped where that fails."""
    named = os.environ.get("FARTHING_CLIENT_ENVS")
    folder = (Path(named) if named else Path(tempfile.gettempdir()) / f"farthing-clients-{os.getuid()}") / name
    python, finished = folder / "bin" / "python", folder / "finished"
    if not finished.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES[name]]
        done = subprocess.run(install, capture_output=True, text=True, timeout=900)
        if done.returncode:
            pytest.skip(f"{name} cannot be installed: {done.stderr.strip().splitlines()[-1][:200]}")
        finished.touch()
    return python


@contextmanager
def both_doors() -> Iterator[tuple[str, str]]:
    """Addresses of an HTTP and a gRPC server over echo models, on a loop in another thread."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout=30)

    async def open_doors():
        slow = late_model("slow", ("x", "float32", (None, None)))
        slow.queue.delay_s = 2.0
        models, observer, limits = SomeModels(*late_models(), slow), Recorder(), Limits()
        grpc_server = GrpcServer(models, observer, limits, MonotonicClock())
        http_server = HttpServer(models, observer, limits, MonotonicClock())
        grpc_port = await grpc_server.start("127.0.0.1:0")
        listener = await loop.create_server(http_server.protocol_factory, "127.0.0.1", 0)
        return listener, http_server, grpc_server, grpc_port

    async def close_doors():
        listener.close()
        await asyncio.wait_for(http_server.drain(), 10)
        await grpc_server.drain(1)

    try:
        listener, http_server, grpc_server, grpc_port = run(open_doors())
        yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}", f"127.0.0.1:{grpc_port}"
        run(close_doors())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def findings(python: Path, script: str, *arguments: str) -> dict[str, str]:
    """What a script's checks came to."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCES), "GRPC_VERBOSITY": "ERROR"}
    command = [str(python), str(SCRIPTS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    lines = done.stdout.strip().splitlines()
    assert lines, done.stderr[-3000:]
    return json.loads(lines[-1])


def bad(found: dict[str, str]) -> str:
    """The checks that failed, for people; empty when there are none."""
    return "\n".join(f"— {name}\n{result}" for name, result in found.items() if result != "ok")


MESSAGES = {
    "tritonclient": "tritonclient.grpc.service_pb2",
    "tritonclient-old": "tritonclient.grpc.service_pb2",
    "kserve": "kserve.protocol.grpc.grpc_predict_v2_pb2",
}


@pytest.mark.parametrize(("name", "least"), [("tritonclient", 100), ("tritonclient-old", 100), ("kserve", 65)])
def test_the_client_works_unmodified(name, least):
    python = client_python(name)
    script = "kserve_client.py" if name == "kserve" else "triton_client.py"
    with both_doors() as (http_address, grpc_address):
        found = findings(python, script, http_address, grpc_address)
    assert not bad(found), bad(found)
    assert len(found) >= least


@pytest.mark.parametrize("name", PACKAGES)
def test_its_generated_messages_live_beside_ours_and_agree(name):
    found = findings(client_python(name), "same_process.py", MESSAGES[name])
    assert not bad(found), bad(found)
    assert len(found) >= 20
