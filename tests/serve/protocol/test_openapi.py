"""The server's own OpenAPI description against the server, by schemathesis: random requests, right and wrong ones."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from echo_models import Running, echo_model, image_model, many_types, running, text_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from farthing.nouns import TensorSpec
from farthing.serve.limits import Limits
from farthing.serve.protocol.openapi import description

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
)
NAMES = ("echo", "pair", "types", "text", "image")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    pair = echo_model("pair", tuple(TensorSpec(name=n, dtype="float32", shape=(None, 2)) for n in "ab"))
    with running(echo_model(), pair, many_types(), text_model(), image_model()) as server:
        yield server


@pytest.fixture(scope="module")
def base_url(server):
    host, port = server.address
    return f"http://{host}:{port}"


def of_these_models() -> dict[str, Any]:
    """The description with the names of the models that there are, so that requests get past the address."""
    found = description(Limits())
    for path in found["paths"].values():
        for parameter in path.get("parameters", ()):
            if parameter["in"] == "path":
                parameter["schema"] = {"enum": list(NAMES) if parameter["name"] == "model" else ["1"]}
    return found


as_served = schemathesis.openapi.from_dict(description(Limits()))
of_models = schemathesis.openapi.from_dict(of_these_models())
random = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def test_the_server_serves_it(base_url, server):
    with urllib.request.urlopen(f"{base_url}/openapi.json", timeout=10) as answer:
        assert json.load(answer) == json.loads(json.dumps(description(Limits(), server.models.known())))


@pytest.mark.slow
@as_served.parametrize()
@random
def test_it_holds(case, base_url):
    case.call_and_validate(base_url=base_url, checks=CHECKS)


@pytest.mark.slow
@of_models.parametrize()
@random
def test_it_holds_for_models_that_there_are(case, base_url):
    """What is read is answered as well; a request that the description allows can still not fit a model."""
    read = case.method in ("GET", "HEAD")
    case.call_and_validate(base_url=base_url, checks=[*CHECKS, positive_data_acceptance] if read else CHECKS)


@st.composite
def right_requests(draw: st.DrawFn) -> dict[str, Any]:
    """Bodies that fit the model ``echo``: up to eight rows of four numbers, in one list or nested."""
    number = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-(2**20), 2**20)
    rows = draw(st.lists(st.lists(number, min_size=4, max_size=4), min_size=1, max_size=8))
    data = rows if draw(st.booleans()) else [value for row in rows for value in row]
    tensor = {"name": "x", "datatype": "FP32", "shape": [len(rows), 4], "data": data}
    wish = st.sampled_from([{}, {"binary_data": True}, {"binary_data": False}, {"classification": 2}])
    choices = {
        "id": st.text(st.characters(codec="utf-8"), max_size=256),
        "model_name": st.sampled_from(["echo", None]),
        "parameters": st.sampled_from([{}, None, {"priority": 3, "timeout": 10**7}, {"binary_data_output": True}]),
        "outputs": st.none() | st.just([]) | wish.map(lambda found: [{"name": "out_x", "parameters": found}]),
    }
    return {"inputs": [tensor], **draw(st.fixed_dictionaries({}, optional=choices))}


@random
@given(body=right_requests())
def test_right_requests_are_answered_as_described(body, base_url):
    operation = as_served["/v2/models/{model}/infer"]["POST"]
    case = operation.Case(path_parameters={"model": "echo"}, body=body, media_type="application/json")
    answer = case.call(base_url=base_url)
    assert answer.status_code == 200, answer.text
    case.validate_response(answer, checks=CHECKS)
