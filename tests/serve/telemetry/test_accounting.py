"""A real server accounts for every request: metrics, ledger, header and traces agree."""

from __future__ import annotations

import http.client
import http.server
import json
import re
import signal
import threading
import time
import urllib.request
from datetime import timedelta

import pytest
from test_metrics import parsed

from farthing.store.ledger import query_ledger, read_ledger

PRICED = ("--priced-as", "aws/m7i.large", "--expose-cost")
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 4], "data": [0.0] * 8}], "id": "mine"})


def ask(served, n: int, path: str = "/v2/models/tiny/infer") -> list[tuple[int, http.client.HTTPMessage]]:
    connection = http.client.HTTPConnection(served.host, served.port, timeout=30)
    answers = []
    for _ in range(n):
        connection.request("POST", path, BODY, {"Authorization": "Bearer key-of-a-user"})
        response = connection.getresponse()
        response.read()
        answers.append((response.status, response.headers))
    connection.close()
    return answers


def look(served, page: str) -> bytes:
    with urllib.request.urlopen(f"{served.metrics}{page}", timeout=10) as response:
        return response.read()


def by_name(served) -> dict[str, float]:
    """Figures of the one model, by name."""
    found = parsed(look(served, "/metrics").decode())
    return {name: value for (name, labels), value in found.items() if labels.startswith('model="tiny",version="1"')}


def test_metrics_ledger_and_header_agree(start_server, tiny, tmp_path):
    ledger = tmp_path / "ledger"
    served = start_server(tiny, *PRICED, "--ledger", ledger)
    answers = ask(served, 300)
    threads = [threading.Thread(target=ask, args=(served, 100)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ask(served, 5, "/v2/models/none/infer")
    assert {status for status, _ in answers} == {200}
    header = answers[0][1]["Farthing-Cost"]
    assert re.fullmatch(r'usage_usd=[\d.e-]+; offer="aws/m7i.large@us-east-1:on_demand"; dated=[\d-]{10}', header)
    time.sleep(1.5)
    figures, cost = by_name(served), json.loads(look(served, "/cost.json"))
    live = json.loads(look(served, "/live.json"))
    assert figures["nv_inference_request_success"] == 700
    assert figures["nv_inference_count"] == 1400
    assert live["models"][0]["requests"] == 700
    assert live["ledger"]["dropped_rows"] == 0
    assert served.stop() == 0
    rows = read_ledger(ledger, "requests").to_pylist()
    assert len(rows) == 700
    assert {row["request_id"] for row in rows} == {"mine"}
    assert {row["offer"] for row in rows} == {"aws/m7i.large@us-east-1:on_demand"}
    assert len({row["tenant"] for row in rows}) == 1
    assert not any("key-of-a-user" in str(path.read_bytes()) for path in ledger.iterdir())
    (told,) = cost["models"]
    assert sum(r["cost_usage_nusd"] for r in rows) / 1e9 == pytest.approx(told["usage_usd"], abs=3e-9)
    assert sum(r["cost_allocation_nusd"] for r in rows) / 1e9 == pytest.approx(
        told["allocation_usd"], abs=0.1008 / 3600 * 0.01
    )  # metrics and ledger begin to count within ten milliseconds of each other
    (sums,) = query_ledger(
        ledger,
        "SELECT max(p.usd_per_hour) * epoch(max(r.time) - min(p.start)) / 3600 AS lived, "
        "sum(r.cost_allocation_nusd) / 1e9 AS usd FROM requests r JOIN replicas p ON p.replica = r.replica "
        "WHERE p.stop IS NOT NULL",
    ).to_pylist()
    assert sums["usd"] == pytest.approx(sums["lived"], abs=0.1008 / 3600 * 0.01)  # from the start to the last answer
    whats = read_ledger(ledger, "decisions").column("what").to_pylist()
    assert "loaded" in whats
    assert "stopping" in whats
    assert list(ledger.glob("*.journal")) == []


def test_a_killed_server_leaves_all_but_the_last_second(start_server, tiny, tmp_path):
    ledger = tmp_path / "ledger"
    served = start_server(tiny, "--ledger", ledger)
    ask(served, 50)
    time.sleep(1.1)
    served.stop(signal.SIGKILL)
    rows = read_ledger(ledger, "requests").to_pylist()
    assert len(rows) == 50
    assert {row["cost_allocation_nusd"] for row in rows} == {None}
    again = start_server(tiny, "--ledger", ledger)
    again.said("ready")
    ask(again, 1)
    assert again.stop() == 0
    found = read_ledger(ledger, "requests")
    assert found.num_rows == 51
    assert list(ledger.glob("*.journal")) == []
    life = query_ledger(ledger, "SELECT replica, count(stop) AS stops FROM replicas GROUP BY 1 ORDER BY 1").to_pylist()
    assert [row["stops"] for row in life] == [0, 1]
    assert max(found.column("time").to_pylist()) - min(found.column("time").to_pylist()) < timedelta(minutes=2)


def test_a_worker_that_dies_is_counted(start_server, tiny):
    import os

    served = start_server(tiny, "--inline", "never")
    ask(served, 1)
    (pid, *_) = json.loads(look(served, "/live.json"))["models"][0]["workers"]["pids"]
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while by_name(served)["farthing_worker_restarts_total"] < 1:
        assert time.monotonic() < end
        time.sleep(0.1)


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans."""

    bodies: list[bytes]

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_spans_reach_a_collector(start_server, tiny):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    bodies: list[bytes] = []
    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Mine", (Collector,), {"bodies": bodies}))
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    served = start_server(tiny, "--traces", f"http://127.0.0.1:{collector.server_address[1]}/v1/traces")
    connection = http.client.HTTPConnection(served.host, served.port, timeout=30)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    connection.request("POST", "/v2/models/tiny/infer", BODY, {"traceparent": trace})
    assert connection.getresponse().read()
    connection.close()
    assert served.stop() == 0
    collector.shutdown()
    said = b"".join(bodies)
    assert bytes.fromhex(trace.split("-")[1]) in said
    for name in (b"farthing.infer", b"queue", b"batch", b"tiny"):
        assert name in said
