"""The command: what it refuses before any work, and what its flags do."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from real_server import Served, command, write_tiny

from farthing.cli.main import cli
from farthing.errors import FarthingError, InputError, UnknownOfferError

TOKEN = "0123456789abcdef0123456789abcdef"


def refused(*arguments: object) -> FarthingError:
    done = CliRunner().invoke(cli, ["serve", *map(str, arguments)])
    assert isinstance(done.exception, FarthingError), done.exception
    return done.exception


def token_file(folder: Path, text: str = TOKEN, mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_text(text + "\n")
    path.chmod(mode)
    return path


def test_help_says_what_it_takes() -> None:
    done = CliRunner().invoke(cli, ["serve", "--help"])
    assert done.exit_code == 0
    for word in ("plan.yaml", "serve.yaml", "SIGTERM", "--tls-cert", "--ledger", "127.0.0.1"):
        assert word in done.output


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--max-batch", "0"], "max_batch is '0'"),
        (["--max-delay", "3"], "without a unit"),
        (["--deadline", "never"], "deadline is 'never'"),
        (["--name", "a b"], "name is 'a b'"),
        (["--memory-budget", "2"], "--memory-budget is '2' without a unit"),
        (["--grace", "x"], "--grace is 'x'"),
        (["--notice", "1"], "--notice is '1' without a unit"),
        (["--port", "70000"], "port 70000 does not exist"),
        (["--port", "9000", "--grpc-port", "9000"], "need different ports"),
        (["--tls-cert", "c.pem"], "both --tls-cert and --tls-key"),
        (["--tls-cert", "gone.pem", "--tls-key", "gone.key"], "cannot use the certificate gone.pem"),
        (["--admin-token-file", "gone"], "cannot read the admin token gone"),
        (["--host", ""], "the host is empty"),
    ],
)
def test_bad_flags_are_refused(tiny: Path, flags: list[str], said: str) -> None:
    error = refused(tiny, *flags)
    assert isinstance(error, InputError)
    assert said in error.message


def test_a_token_must_be_long_and_private(tmp_path: Path, tiny: Path) -> None:
    assert "others may read" in refused(tiny, "--admin-token-file", token_file(tmp_path, mode=0o644)).message
    assert "has 5 characters" in refused(tiny, "--admin-token-file", token_file(tmp_path, "short")).message


def test_unknown_offers_and_sources(tmp_path: Path, tiny: Path) -> None:
    assert isinstance(refused(tiny, "--priced-as", "aws/m7i.larg"), UnknownOfferError)
    assert "there is no model" in refused(tmp_path / "gone.onnx").message
    assert "two models are named tiny" in refused(tiny, tiny).message


def test_ports_are_numbers_or_none(tiny: Path) -> None:
    done = CliRunner().invoke(cli, ["serve", str(tiny), "--grpc-port", "off"])
    assert done.exit_code == 2
    assert "a number, 0 for any free one, or none" in done.output


def test_exit_status_and_words_of_bad_input(tmp_path: Path) -> None:
    done = subprocess.run(command("serve", tmp_path / "gone.onnx"), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: there is no model")
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_told_before_anything_is_loaded(tiny: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for flag in ("--port", "--metrics-port", "--grpc-port"):
            others = [a for f in ("--port", "--grpc-port", "--metrics-port") if f != flag for a in (f, "0")]
            done = subprocess.run(
                command("serve", tiny, flag, port, *others), capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 2, done.stderr
            assert "cannot listen" in done.stderr
            assert "Traceback" not in done.stderr


def test_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    """The file is whole, its engine refuses it: an error, not a server without a model."""
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    graph = helper.make_graph([helper.make_node("Unheard", ["x"], ["y"], domain="nowhere")], "g", [value], [out])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("nowhere", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "odd.onnx")
    done = subprocess.run(
        command("serve", tmp_path / "odd.onnx", "--port", 0, "--grpc-port", "none", "--metrics-port", "none"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Unheard" in done.stderr
    assert "Traceback" not in done.stderr


def test_interrupt_ends_without_notice(tiny: Path, start_server: Callable[..., Served]) -> None:
    served = start_server(tiny, "--notice", "100s")
    assert served.stop(signal.SIGINT, within_s=20) == 0


def test_doors_can_be_left_out(tiny: Path, start_server: Callable[..., Served]) -> None:
    served = start_server(tiny, ports=("--port", 0, "--grpc-port", "none", "--metrics-port", "none"))
    assert (served.grpc, served.metrics) == (None, None)
    assert served.infer("tiny", [[1, 0, 0, 0]])[0] == 200


def test_priced_with_cost_header_ledger_and_metrics(
    tmp_path: Path, tiny: Path, start_server: Callable[..., Served]
) -> None:
    flags = ("--priced-as", "aws/m7i.large", "--expose-cost", "--ledger", tmp_path / "ledger", "--name", "cents")
    served = start_server(tiny, *flags)
    assert any("cents 1" in line and "/h as aws/m7i.large" in line for line in served.lines)
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]})
    connection = http.client.HTTPConnection(served.host, served.port, timeout=30)
    connection.request("POST", "/v2/models/cents/infer", body)
    response = connection.getresponse()
    response.read()
    connection.close()
    assert (response.getheader("Farthing-Cost") or "").startswith("usage_usd=")
    metrics = urllib.request.urlopen(f"{served.metrics}/metrics", timeout=10).read().decode()
    assert 'nv_inference_request_success{model="cents",version="1"} 1' in metrics
    assert 'farthing_model_workers{model="cents",version="1"}' in metrics
    assert served.stop() == 0
    assert list((tmp_path / "ledger").glob("requests-*.parquet"))


def test_costs_are_not_told_unless_asked(served: Served) -> None:
    connection = http.client.HTTPConnection(served.host, served.port, timeout=30)
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]})
    connection.request("POST", "/v2/models/tiny/infer", body)
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.getheader("Farthing-Cost") is None


def administer(served: Served, what: str, body: dict[str, Any], token: str = TOKEN) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"{served.metrics}/admin/models/tiny/{what}",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read())


def test_admin_swaps_and_unloads(tmp_path: Path, tiny: Path, start_server: Callable[..., Served]) -> None:
    served = start_server(tiny, "--admin-token-file", token_file(tmp_path))
    assert administer(served, "unload", {}, token="f" * 32)[0] == 403
    write_tiny(tiny, 5)
    assert administer(served, "swap", {}) == (200, {"loaded": ["1"], "unloaded": []})
    assert served.infer("tiny", [[1, 0, 0, 0]]) == (200, [5.0, 10.0])
    assert administer(served, "unload", {})[0] == 200
    assert served.infer("tiny", [[1, 0, 0, 0]])[0] == 404
    assert administer(served, "load", {})[0] == 200
    assert served.infer("tiny", [[1, 0, 0, 0]]) == (200, [5.0, 10.0])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"openssl cannot make a certificate here: {made.stderr!r}")
    return cert, key


def test_tls(tiny: Path, certificate: tuple[Path, Path], start_server: Callable[..., Served]) -> None:
    cert, key = certificate
    served = start_server(tiny, "--tls-cert", cert, "--tls-key", key)
    context = ssl.create_default_context(cafile=str(cert))
    with urllib.request.urlopen(f"https://127.0.0.1:{served.port}/v2/health/ready", context=context, timeout=10) as r:
        assert r.status == 200
    import grpc

    channel = grpc.secure_channel(str(served.grpc), grpc.ssl_channel_credentials(cert.read_bytes()))
    grpc.channel_ready_future(channel).result(timeout=20)
    channel.close()
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        served.request("GET", "/v2/health/live")
