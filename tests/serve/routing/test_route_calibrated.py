"""From calibration to answers: the server does to every request what the certified policy does to it."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_tiers
from real_server import Served
from small_route import cascade, margin_of, route_of, rung, tier

import farthing as ft
from farthing.core.route.policies import follow
from farthing.core.route.routes import Monitoring, RoutedPolicy, ScoreSpec, policy_of
from farthing.load.route.outcomes import read_outcomes
from farthing.load.tables import read_table
from farthing.store.ledger import query_ledger, read_ledger
from farthing.store.routes import write_route

QUICK = ft.TierSettings(rounds=6, per_round=5)
SEEN = {"small": 14, "medium": 19, "large": 24}
UNWATCHED = Monitoring(audit_frac=0.0)
NO_GRPC = ("--port", 0, "--grpc-port", "none", "--metrics-port", 0)


def post(served: Served, inputs: list[dict[str, Any]], name: str = "auto") -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(served.host, served.port, timeout=30)
    connection.request("POST", f"/v2/models/{name}/infer", json.dumps({"inputs": inputs}))
    response = connection.getresponse()
    headers = {key.lower(): value for key, value in response.getheaders()}
    said = json.loads(response.read())
    connection.close()
    return response.status, headers, said


def texts_input(texts: list[str]) -> list[dict[str, Any]]:
    return [{"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts}]


def test_every_request_goes_where_the_certified_policy_sends_it(tmp_path: Path, start_server: Any) -> None:
    tiers = []
    for name, seen in SEEN.items():
        small_tiers.write_tier(tmp_path / name / "model.onnx", seen=seen, embedding=name == "small")
        tiers.append(f"{name}={tmp_path / name / 'model.onnx'}")
    data = small_tiers.write_requests(tmp_path / "calibrate.npz", 2400, 1)
    out = tmp_path / "route"
    task = ft.RouteTask(
        tiers=tiers,
        prices=("small=0.000001/request", "medium=0.00001/request", "large=0.001/request"),
        settings={"data": data, "max_loss": "3%"},
    )
    report = ft.route_calibrate(task, options=ft.RunOptions(output_dir=out, tiers=QUICK))
    route = report.route
    assert route.chosen is not None
    file = read_outcomes(out / "outcomes.parquet")
    scores = {name.partition("@")[0]: score for name, score in file.matrix.scores.items()}
    matrix = replace(file.matrix, scores=scores)
    part = read_table(out / "outcomes.parquet").columns["part"]
    mine = [k for k in range(matrix.n) if part[k] == "prove"][:400]  # learned scores of the others are cross-fitted
    wanted = follow(policy_of(route.ladder[route.chosen].policy), matrix).tier[mine]
    rows = np.load(data)["x"]
    order, n = [int(matrix.request_ids[k].rpartition(" ")[2]) for k in mine], len(mine)
    served = start_server(out / "route.yaml", ports=NO_GRPC)
    got: list[str] = []
    for start in range(0, n, 8):
        batch = rows[order[start : start + 8]]
        tensor = {"name": "x", "datatype": "FP32", "shape": list(batch.shape), "data": batch.ravel().tolist()}
        status, headers, _ = post(served, [tensor], route.name)
        assert status == 200
        got += headers["farthing-route-tier"].split(", ")
    different = sum(a != matrix.tiers[b] for a, b in zip(got, wanted, strict=True))
    assert different <= 2  # engines round otherwise in other batches
    assert len(set(got)) > 1


def text_route(folder: Path, **more: Any) -> Path:
    """A cascade of text tiers, judged by a margin."""
    for name, seen in SEEN.items():
        small_tiers.write_text_tier(folder / name, seen=seen)
    specs = tuple(ScoreSpec(name=f"margin({n})", kind="margin", needs=(n,), classes=4) for n in ("small", "medium"))
    route = route_of([tier(n, n) for n in SEEN], [rung(cascade(*SEEN, threshold=0.5))], specs, **more)
    return write_route(route, folder / "route.yaml")


def test_texts_travel_to_every_tier(tmp_path: Path, start_server: Any) -> None:
    served = start_server(text_route(tmp_path), ports=NO_GRPC)
    texts = [text for text, _ in small_tiers.texts_and_labels(24, 5)]
    answers = {}
    for name in SEEN:
        found = [post(served, texts_input(texts[k : k + 8]), name)[2]["outputs"][0]["data"] for k in (0, 8, 16)]
        answers[name] = np.concatenate([np.reshape(f, (8, 4)) for f in found])
    got, tiers = [], []
    for start in (0, 8, 16):
        status, headers, said = post(served, texts_input(texts[start : start + 8]))
        assert status == 200
        tiers += headers["farthing-route-tier"].split(", ")
        got.append(np.reshape(said["outputs"][0]["data"], (8, 4)))
    assert len(set(tiers)) > 1
    for row, who, k in zip(np.concatenate(got), tiers, range(24), strict=True):
        assert row == pytest.approx(answers[who][k], abs=1e-4)
    status, said = served.request("GET", "/v2/models/auto")
    assert said["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]


@pytest.mark.parametrize("text", ["", "w00 " * 12000, "\u00fc" * 100], ids=["empty", "48 kB", "unknown"])
def test_odd_texts_are_answered(tmp_path: Path, start_server: Any, text: str) -> None:
    served = start_server(text_route(tmp_path), ports=NO_GRPC)
    status, headers, said = post(served, texts_input([text]))
    assert status == 200, said
    assert headers["farthing-route-tier"] in SEEN


def test_a_score_of_the_text_chooses_before_any_tier_runs(tmp_path: Path, start_server: Any) -> None:
    path = text_route(tmp_path)
    policy = RoutedPolicy(kind="pre_route", tiers=("small", "large"), scores=("brevity",), thresholds=(-2.5,))
    route = route_of([tier(n, n) for n in SEEN], [rung(policy)], (ScoreSpec(name="brevity", kind="brevity"),))
    write_route(route, path)
    served = start_server(path, ports=NO_GRPC)
    short, long = "w01 w02", "w01 w02 w03 w04 w05"
    status, headers, _ = post(served, texts_input([long, short, long]))
    assert status == 200
    assert headers["farthing-route-tier"] == "large, small, large"
    assert headers["farthing-route-score"].startswith("brevity=-2.99")


def test_the_ledger_has_tier_score_decision_and_cost(tmp_path: Path, start_server: Any) -> None:
    for name, seen in SEEN.items():
        small_tiers.write_tier(tmp_path / f"{name}.onnx", seen=seen)
    specs = tuple(ScoreSpec(name=f"margin({n})", kind="margin", needs=(n,), classes=4) for n in ("small", "medium"))
    route = route_of([tier(n) for n in SEEN], [rung(cascade(*SEEN, threshold=0.5))], specs, monitoring=UNWATCHED)
    ledger = tmp_path / "ledger"
    served = start_server(
        write_route(route, tmp_path / "route.yaml"),
        "--ledger", ledger, "--priced-as", "aws/m7i.large", "--expose-cost", ports=NO_GRPC,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    tiers, usage_usd = [], 0.0
    for _ in range(60):
        row = rng.normal(size=24).astype(np.float32)
        _, headers, _ = post(served, [{"name": "x", "datatype": "FP32", "shape": [1, 24], "data": row.tolist()}])
        tiers.append(headers["farthing-route-tier"])
        usage_usd += float(headers["farthing-cost"].partition("=")[2].partition(";")[0])
    time.sleep(0.7)
    assert served.stop() == 0
    rows = query_ledger(
        ledger,
        "SELECT tier, route_decision, route_score, cost_allocation_nusd, cost_usage_nusd, audit FROM requests "
        "WHERE model = 'auto' ORDER BY time",
    ).to_pylist()
    assert [row["tier"] for row in rows] == tiers
    assert len(set(tiers)) > 1
    for row in rows:
        assert row["route_score"] is not None
        assert row["audit"] is False
        passed = {"small": "rung 0", "medium": "rung 0: small=score", "large": "rung 0: medium=score small=score"}
        assert row["route_decision"] == passed[row["tier"]]
        assert row["cost_usage_nusd"] >= 0
    assert sum(row["cost_usage_nusd"] for row in rows) / 1e9 == pytest.approx(usage_usd, rel=0.02, abs=2e-9)
    assert len(read_ledger(ledger, "requests")) == 60  # calls of tiers have no rows of their own
    assert sum(row["cost_allocation_nusd"] for row in rows) > sum(row["cost_usage_nusd"] for row in rows)


def test_figures_of_tiers_and_route_share_the_cost_of_the_machine(tmp_path: Path, start_server: Any) -> None:
    for name, seen in SEEN.items():
        small_tiers.write_tier(tmp_path / f"{name}.onnx", seen=seen)
    route = route_of(
        [tier(n) for n in SEEN], [rung(cascade("small", "large", threshold=0.5))], margin_small(), monitoring=UNWATCHED
    )
    path = write_route(route, tmp_path / "route.yaml")
    served = start_server(path, "--priced-as", "aws/m7i.large", ports=NO_GRPC)
    rng = np.random.default_rng(0)
    tiers = []
    for _ in range(40):
        row = rng.normal(size=24).astype(np.float32)
        _, headers, _ = post(served, [{"name": "x", "datatype": "FP32", "shape": [1, 24], "data": row.tolist()}])
        tiers.append(headers["farthing-route-tier"])
    import urllib.request

    with urllib.request.urlopen(f"{served.metrics}/metrics", timeout=10) as response:
        text = response.read().decode()
    counts = {
        name: float(
            next(line for line in text.splitlines() if line.startswith(f'nv_inference_count{{model="{name}"')).split()[
                -1
            ]
        )
        for name in ("auto", "small", "large")
    }
    assert counts == {"auto": 40, "small": 40, "large": tiers.count("large")}
    cost = {
        name: float(
            next(
                line for line in text.splitlines() if line.startswith(f'farthing_cost_usd_total{{model="{name}"')
            ).split()[-1]
        )
        for name in ("auto", "small", "large")
    }
    assert cost["auto"] == 0
    assert cost["small"] > 0
    assert cost["large"] > 0


def margin_small() -> tuple[ScoreSpec, ...]:
    (spec,) = margin_of("small")
    return (ScoreSpec(name=spec.name, kind="margin", needs=("small",), classes=4),)
