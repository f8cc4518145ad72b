"""``farthing serve route.yaml`` from outside: real tiers, HTTP and gRPC."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_server import Served
from small_route import cascade, expected, margin, margin_of, route_of, rung, tier, write_simple, write_tier

from farthing.store.routes import write_route

SURE, UNSURE = [5.0, 0.0, 0.0, 9.0], [0.1, 0.0, 0.05, 9.0]


def ask(
    served: Served, name: str, rows: list[list[float]], *, version: str = "", **parameters: Any
) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(served.host, served.port, timeout=30)
    data = np.asarray(rows, dtype=np.float32)
    body = {
        "id": "r1",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": list(data.shape), "data": data.ravel().tolist()}],
        "parameters": parameters,
    }
    connection.request("POST", f"/v2/models/{name}/infer", json.dumps(body))
    response = connection.getresponse()
    headers = {key.lower(): value for key, value in response.getheaders()}
    answer = json.loads(response.read())
    connection.close()
    return response.status, headers, answer


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from real_server import start

    path = write_simple(tmp_path_factory.mktemp("route"), "small", "medium", "large")
    running = start(path, "--expose-cost")
    yield running
    assert running.stop() == 0, running.lines


def test_each_row_is_answered_by_the_first_tier_that_is_sure(routed: Served) -> None:
    for row, who in ((SURE, "small"), (UNSURE, "large")):
        status, headers, answer = ask(routed, "auto", [row])
        assert status == 200
        assert expected(row, "small", "medium", "large")[0] == who
        assert answer["outputs"][0]["data"] == pytest.approx(expected(row, "small", "medium", "large")[1])
        assert headers["farthing-route-tier"] == answer["parameters"]["route_tier"] == who
        assert headers["farthing-route-rung"] == "0"


def test_score_and_passing_on_are_told(routed: Served) -> None:
    _, headers, answer = ask(routed, "auto", [UNSURE])
    assert headers["farthing-route-score"].startswith("margin(medium)=")
    assert float(headers["farthing-route-score"].partition("=")[2]) == pytest.approx(margin(UNSURE), rel=1e-4)
    assert answer["parameters"]["route_passed_on"] == "small=score medium=score"
    _, headers, _ = ask(routed, "auto", [SURE])
    assert "farthing-route-passed-on" not in headers


def test_rows_of_one_request_go_their_own_ways(routed: Served) -> None:
    rows = [SURE, UNSURE, [0.0, 9.0, 0.0, 1.0], UNSURE]
    status, headers, answer = ask(routed, "auto", rows)
    assert status == 200
    wanted = [expected(row, "small", "medium", "large") for row in rows]
    assert headers["farthing-route-tier"].split(", ") == [who for who, _ in wanted]
    assert np.reshape(answer["outputs"][0]["data"], (4, 3)) == pytest.approx(np.array([v for _, v in wanted]))


def test_each_tier_answers_by_its_own_name(routed: Served) -> None:
    status, headers, answer = ask(routed, "large", [SURE])
    assert status == 200
    assert answer["outputs"][0]["data"] == pytest.approx([1005.0, 1000.0, 1000.0])
    assert "farthing-route-tier" not in headers


def test_metadata_shows_the_common_answer(routed: Served) -> None:
    status, said = routed.request("GET", "/v2/models/auto")
    assert status == 200
    assert said["platform"] == "farthing_route"
    assert said["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 3]}]
    assert said["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]


def test_openapi_names_the_headers(routed: Served) -> None:
    _, said = routed.request("GET", "/openapi.json")
    headers = said["paths"]["/v2/models/{model}/infer"]["post"]["responses"]["200"]["headers"]
    assert {"Farthing-Route-Tier", "Farthing-Route-Score", "Farthing-Route-Rung", "Farthing-Marginal-Cost"} <= set(
        headers
    )
    assert "parameters" in said["components"]["schemas"]["InferResponse"]["properties"]


def test_marginal_cost_is_told_with_the_costs(routed: Served) -> None:
    import time

    time.sleep(1.2)  # the first tick
    _, headers, _ = ask(routed, "auto", [SURE])
    assert float(headers["farthing-marginal-cost"]) == pytest.approx(1e-7)


def test_grpc_says_the_same(routed: Served) -> None:
    grpc = pytest.importorskip("grpc")
    from farthing.serve.grpc.messages import message

    assert routed.grpc is not None
    asked = message("inference.ModelInferRequest")(model_name="auto")
    asked.inputs.add(name="x", datatype="FP32", shape=[2, 4])
    asked.raw_input_contents.append(np.float32([SURE, UNSURE]).tobytes())
    with grpc.insecure_channel(routed.grpc) as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=message("inference.ModelInferResponse").FromString,
        )
        answer = call(asked, timeout=20)
    assert answer.parameters["route_tier"].string_param == "small, large"
    got = np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(2, 3)
    assert got == pytest.approx(np.array([expected(r, "small", "medium", "large")[1] for r in (SURE, UNSURE)]))


def test_a_route_beside_other_models(tmp_path: Path, tiny: Path, start_server: Any) -> None:
    path = write_simple(tmp_path / "r", "small", "large", name="intents")
    served = start_server(path, tiny)
    assert ask(served, "intents", [UNSURE])[1]["farthing-route-tier"] == "large"
    assert served.infer("tiny", [[1.0, 0.0, 0.0, 0.0]]) == (200, [1.0, 2.0])
    assert any("route over small, large" in line for line in served.lines), served.lines


def test_name_on_the_command_line_is_the_routes(tmp_path: Path, start_server: Any) -> None:
    served = start_server(write_simple(tmp_path, "small", "large"), "--name", "chosen")
    assert ask(served, "chosen", [SURE])[1]["farthing-route-tier"] == "small"
    assert ask(served, "small", [SURE])[0] == 200


def test_unproven_route_asks_the_reference_alone(tmp_path: Path, start_server: Any) -> None:
    write_tier(tmp_path / "small.onnx", 0.0)
    write_tier(tmp_path / "large.onnx", 1000.0)
    route = route_of([tier("small"), tier("large")], [], [], chosen=None)
    served = start_server(write_route(route, tmp_path / "route.yaml"))
    _, headers, answer = ask(served, "auto", [SURE])
    assert headers["farthing-route-tier"] == "large"
    assert headers["farthing-route-rung"] == "reference"
    assert answer["outputs"][0]["data"][0] == pytest.approx(1005.0)


def test_a_new_route_takes_over_on_sighup(tmp_path: Path, start_server: Any) -> None:
    import signal

    path = write_simple(tmp_path, "small", "large")
    served = start_server(path)
    assert ask(served, "auto", [UNSURE])[1]["farthing-route-tier"] == "large"
    eager = route_of(
        [tier("small"), tier("large")], [rung(cascade("small", "large", threshold=0.0))], margin_of("small")
    )
    write_route(eager, path)
    served.send(signal.SIGHUP)
    served.said("reloaded: auto version 1 replaced")
    assert ask(served, "auto", [UNSURE])[1]["farthing-route-tier"] == "small"
