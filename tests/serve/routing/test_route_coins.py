"""A served coin: a request's id decides, alike in every process, and no id draws anew."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_tiers
from real_server import Served
from small_route import OFFSETS, cascade, margin_of, route_of, rung, tier, write_tier

from farthing.core.route.coins import coin
from farthing.core.route.routes import Monitoring, RoutedPolicy
from farthing.core.route.scoring.contents import Difference, content_scores
from farthing.store.routes import write_route, write_weights

ROW = [0.1, 0.0, 0.05, 9.0]
UNWATCHED = Monitoring(audit_frac=0.0)


def ask(served: Served, request_id: str, rows: int = 1) -> str:
    connection = http.client.HTTPConnection(served.host, served.port, timeout=30)
    body: dict[str, Any] = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [rows, 4], "data": ROW * rows}]}
    if request_id:
        body["id"] = request_id
    connection.request("POST", "/v2/models/auto/infer", json.dumps(body))
    response = connection.getresponse()
    who = response.getheader("Farthing-Route-Tier") or ""
    assert response.status == 200, response.read()
    connection.close()
    return who


def write(folder: Path, policy: RoutedPolicy) -> Path:
    for name, offset in OFFSETS.items():
        write_tier(folder / f"{name}.onnx", offset)
    called = {"small": policy.share, "large": 1 - policy.share}
    route = route_of(
        [tier(n) for n in OFFSETS], [rung(policy, called=called)], margin_of("small"), monitoring=UNWATCHED
    )
    return write_route(route, folder / "route.yaml")


def test_two_servers_send_each_request_the_same_way_as_its_id_says(tmp_path: Path, start_server: Any) -> None:
    policy = RoutedPolicy(kind="fixed", tiers=("small",), share=0.3, otherwise="large", seed=11)
    path = write(tmp_path, policy)
    ids = [f"request {k}" for k in range(80)]
    wanted = ["small" if coin(name, 11) < 0.3 else "large" for name in ids]
    ports = ("--port", 0, "--grpc-port", "none", "--metrics-port", 0)
    for _ in range(2):
        served = start_server(path, ports=ports)
        assert [ask(served, name) for name in ids] == wanted
        assert ask(served, ids[0], rows=3).split(", ") == [wanted[0]] * 3
    seen = Counter(ask(served, "") for _ in range(200))
    assert 20 <= seen["small"] <= 100


def test_a_share_of_a_cascade_is_judged_by_its_score_and_the_rest_is_not(tmp_path: Path, start_server: Any) -> None:
    policy = cascade("small", "large", threshold=-1.0)
    path = write(tmp_path, RoutedPolicy(kind=policy.kind, tiers=policy.tiers, scores=policy.scores,
                                        thresholds=policy.thresholds, share=0.5, otherwise="medium"))  # fmt: skip
    served = start_server(path, ports=("--port", 0, "--grpc-port", "none", "--metrics-port", 0))
    for k in range(40):
        assert ask(served, f"r{k}") == ("small" if coin(f"r{k}", 0) < 0.5 else "medium")


@pytest.mark.parametrize(("share", "otherwise"), [(0.3, "huge"), (0.3, ""), (1.5, "large")])
def test_a_coin_without_a_tier_is_refused(tmp_path: Path, share: float, otherwise: str) -> None:
    from farthing.errors import SchemaError
    from farthing.load.route.files import read_route

    path = write(tmp_path, RoutedPolicy(kind="fixed", tiers=("small",), share=share, otherwise=otherwise))
    with pytest.raises(SchemaError, match="rung 0"):
        read_route(path)


def test_words_and_a_coin_decide_in_the_server_as_in_calibration(tmp_path: Path, start_server: Any) -> None:
    rows = small_tiers.texts_and_labels(160, 3)
    texts, labels = [text for text, _ in rows], np.array([label for _, label in rows])
    loss = (labels == labels[0]).astype(float)
    rng = np.random.default_rng(0)
    by_tier = {"small": Difference(loss=loss, saved=rng.uniform(0.5, 1.5, size=160), reference=np.ones(160))}
    found = {s.spec.name: s for s in content_scores(texts, by_tier, np.arange(100), rng)}
    score = found["word_ridge_per_usd(small)"]
    for name, seen in (("small", 14), ("large", 24)):
        small_tiers.write_text_tier(tmp_path / name, seen=seen)
    write_weights(tmp_path / "route.npz", {score.spec.name: score.predictor})
    threshold = float(np.median(score.values[100:]))
    policy = RoutedPolicy(kind="pre_route", tiers=("small", "large"), scores=(score.spec.name,),
                          thresholds=(threshold,), share=0.7, otherwise="large", seed=2)  # fmt: skip
    specs = (replace(score.spec, weights="route.npz"),)
    route = route_of([tier(n, n) for n in ("small", "large")], [rung(policy)], specs, monitoring=UNWATCHED)
    served = start_server(write_route(route, tmp_path / "route.yaml"),
                          ports=("--port", 0, "--grpc-port", "none", "--metrics-port", 0))  # fmt: skip
    got, wanted = [], []
    for k in range(100, 160):
        connection = http.client.HTTPConnection(served.host, served.port, timeout=30)
        said = {"id": f"q{k}", "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [texts[k]]}]}
        connection.request("POST", "/v2/models/auto/infer", json.dumps(said))
        response = connection.getresponse()
        assert response.status == 200, response.read()
        got.append((response.getheader("Farthing-Route-Tier"), response.getheader("Farthing-Route-Score")))
        connection.close()
        drawn = coin(f"q{k}", 2) < 0.7
        wanted.append("small" if drawn and score.values[k] >= threshold else "large")
        assert (got[-1][1] is not None) == drawn
    assert [who for who, _ in got] == wanted
    assert 10 < wanted.count("small") < 50
