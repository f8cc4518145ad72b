"""A served coin: a request's id decides, alike in every process, and no id draws anew."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from routes import OFFSETS, cascade, margin_of, route_of, rung, tier, write_tier
from running import Served

from farthing.core.route.coins import coin
from farthing.core.route.routes import Monitoring, RoutedPolicy
from farthing.store.routes import write_route

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
    from farthing.load.route_file import read_route

    path = write(tmp_path, RoutedPolicy(kind="fixed", tiers=("small",), share=share, otherwise=otherwise))
    with pytest.raises(SchemaError, match="rung 0"):
        read_route(path)
