"""Counters count what happened, the text is Prometheus' own format, and nobody's key is in it."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from made_up_traffic import OFFER, live_model, request
from made_up_traffic import answer as answered_with

from farthing.serve.admin.live import cost_document, live_document
from farthing.serve.telemetry.counts import EDGES_S, SHOWN_EDGES, quantile_s
from farthing.serve.telemetry.ledger_writer import LedgerState
from farthing.serve.telemetry.metrics import Metrics
from farthing.serve.telemetry.prometheus import metrics_text
from farthing.serve.telemetry.rates import rates_over
from farthing.testing import FakeClock
from farthing.wire.requests import Problem

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"^({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)$")


def parsed(text: str) -> dict[tuple[str, str], float]:
    """Series by name and labels; every line must be of the format's grammar."""
    assert text.endswith("\n")
    series, types, family = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            assert re.match(rf"^# HELP {NAME} [^\n]+$", line)
        elif line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in types, "a family is said once"
            assert kind in ("counter", "gauge", "histogram")
            types[family] = kind
        else:
            match = SAMPLE.match(line)
            assert match, line
            assert match[1].startswith(family), "series follow their family"
            key = (match[1], match[2] or "")
            assert key not in series, f"{key} is there twice"
            series[key] = float(match[3])
    return series


def run(metrics, clock, model, *, seconds=10.0, n=100, service_s=0.010, queue_s=0.002, rows=1, batch_rows=4):
    for _ in range(n):
        clock.sleep(seconds / n)
        asked = request(model, rows=rows, arrived_s=clock.now_s - service_s - queue_s)
        metrics.answered(asked, answered_with(queue_s=queue_s, service_s=service_s, batch_rows=batch_rows))


@pytest.fixture
def clock():
    return FakeClock(1000.0)


@pytest.fixture
def metrics(clock):
    return Metrics(clock)


def test_counters_have_tritons_meaning(metrics, clock):
    model = live_model()
    run(metrics, clock, model, n=3000, rows=2, batch_rows=8)
    for status in (503, 504, 500, 499, 400):
        metrics.failed(model, "grpc", Problem(status, "no"), None)
    metrics.failed(None, "http", Problem(404, "no"), None)
    found = parsed(metrics_text(metrics, [model]))
    of = 'model="resnet",version="1"'
    assert found["nv_inference_request_success", of] == 3000
    assert found["nv_inference_count", of] == 6000
    assert found["nv_inference_exec_count", of] == 750
    assert found["nv_inference_request_duration_us", of] == pytest.approx(3000 * 12_000)
    assert found["nv_inference_queue_duration_us", of] == pytest.approx(3000 * 2_000)
    assert found["nv_inference_compute_infer_duration_us", of] == pytest.approx(3000 * 10_000)
    failures = {
        r: found["nv_inference_request_failure", f'{of},reason="{r}"']
        for r in ("REJECTED", "CANCELED", "BACKEND", "OTHER")
    }
    assert failures == {"REJECTED": 2, "CANCELED": 1, "BACKEND": 1, "OTHER": 1}
    assert found["farthing_problems_total", f'{of},status="500",protocol="grpc"'] == 1
    assert found["farthing_refused_total", 'status="404",protocol="http"'] == 1
    assert found["farthing_shed_requests_total", of] == 2
    assert found["nv_inference_pending_request_count", of] == 0
    assert found["farthing_model_ready", of] == 1


def test_histograms_are_cumulative_and_add_up(metrics, clock):
    model = live_model()
    for service_s in (0.00001, 0.0009, 0.001, 0.03, 200.0):
        run(metrics, clock, model, n=1, seconds=300, service_s=service_s, queue_s=0.0, rows=1, batch_rows=1)
    found = parsed(metrics_text(metrics, [model]))
    buckets = [(k[1], v) for k, v in found.items() if k[0] == "farthing_compute_duration_seconds_bucket"]
    values = [v for _, v in buckets]
    assert values == sorted(values)
    by_edge = {float(re.search(r'le="([^"]+)"', key)[1]): v for key, v in buckets}
    assert (by_edge[0.00001], by_edge[0.001], by_edge[0.05], by_edge[50], by_edge[float("inf")]) == (1, 3, 4, 4, 5)
    assert found["farthing_compute_duration_seconds_count", 'model="resnet",version="1"'] == 5
    assert len(by_edge) == len(SHOWN_EDGES) + 1


def test_batches_are_counted_once_each_whatever_the_requests_in_them(metrics, clock):
    model = live_model()
    run(metrics, clock, model, n=16, rows=1, batch_rows=8)
    run(metrics, clock, model, n=2, rows=4, batch_rows=8)
    found = parsed(metrics_text(metrics, [model]))
    of = 'model="resnet",version="1"'
    assert found["farthing_batch_rows_bucket", f'{of},le="4"'] == 0
    assert found["farthing_batch_rows_bucket", f'{of},le="8"'] == 3
    assert (found["farthing_batch_rows_count", of], found["farthing_batch_rows_sum", of]) == (3, 24)


def test_cost_is_that_of_the_replica_and_absent_without_a_price(metrics, clock):
    model, free = live_model(), live_model("free", offer=None)
    run(metrics, clock, model, seconds=3600)
    found = parsed(metrics_text(metrics, [model]))
    of = f'model="resnet",version="1",offer="{OFFER.key}"'
    assert found["farthing_cost_usd_total", of] == pytest.approx(0.1008, abs=1e-8)
    assert found["farthing_cost_usage_usd_total", of] == pytest.approx(0.1008 / 2 * 0.25 / 3600, abs=1e-8)
    assert found["farthing_replica_cost_usd_total", f'offer="{OFFER.key}"'] == pytest.approx(0.1008)
    run(metrics, clock, free)
    text = metrics_text(metrics, [model, free])
    assert not [line for line in text.splitlines() if 'model="free"' in line and "usd" in line]
    said = cost_document(metrics)
    (without,) = [m for m in said["models"] if m["model"] == "free"]
    assert without["allocation_usd"] is without["usage_usd"] is without["allocation_usd_per_thousand"] is None


def test_busy_models_bear_more_and_idle_time_is_shared(metrics, clock):
    light, heavy = live_model("light"), live_model("heavy")
    for _ in range(10):
        run(metrics, clock, light, n=1, seconds=30, service_s=0.001, batch_rows=1)
        run(metrics, clock, heavy, n=1, seconds=30, service_s=0.009, batch_rows=1)
        metrics.counts()
    light_nusd, heavy_nusd = (metrics.of(m).cost_nusd for m in (light, heavy))
    assert heavy_nusd / light_nusd == pytest.approx(9, rel=1e-3)
    assert light_nusd + heavy_nusd == pytest.approx(600 / 3600 * 0.1008e9, abs=2)


def test_a_reload_under_another_price_keeps_one_series_of_requests_and_two_of_cost(metrics, clock):
    from dataclasses import replace

    old, new = live_model(), live_model(offer=replace(OFFER, term="spot", usd_per_hour=0.04))
    run(metrics, clock, old, n=10)
    run(metrics, clock, new, n=5)
    found = parsed(metrics_text(metrics, [new]))
    assert found["nv_inference_request_success", 'model="resnet",version="1"'] == 15
    assert len([k for k in found if k[0] == "farthing_cost_usd_total"]) == 2


def test_hostile_names_are_escaped_and_user_keys_absent(metrics, clock):
    model = live_model('a"b\\c\nd{}', version="1")
    metrics.answered(request(model, id="id-secret", tenant="tenant-secret"), answered_with())
    metrics.watch("farthing_x", "with a\nline", lambda: [({"name": 'q"'}, 1.5)])
    text = metrics_text(metrics, [model])
    found = parsed(text)
    assert found["nv_inference_request_success", r'model="a\"b\\c\nd{}",version="1"'] == 1
    assert found["farthing_x", r'name="q\""'] == 1.5
    assert "secret" not in text


@pytest.mark.parametrize("q", [0.01, 0.5, 0.9, 0.99])
def test_quantiles_are_within_a_bucket(q):
    seconds = np.random.default_rng(1).lognormal(-5, 1.2, 50_000)
    counts = np.bincount(np.searchsorted(EDGES_S, seconds), minlength=EDGES_S.size + 1)
    assert quantile_s(counts, q) == pytest.approx(np.quantile(seconds, q), rel=0.06)


def test_quantiles_at_the_ends():
    counts = np.zeros(EDGES_S.size + 1, np.int64)
    assert quantile_s(counts, 0.5) is None
    counts[-1] = 3
    assert quantile_s(counts, 0.5) == EDGES_S[-1]
    counts[-1], counts[0] = 0, 1
    assert 0 < quantile_s(counts, 0.5) <= EDGES_S[0]


def test_rates_of_the_last_seconds(metrics, clock):
    model = live_model()
    metrics.of(model)
    metrics.tick()
    assert rates_over(metrics.history(model), 10).rps is None
    for _ in range(130):
        run(metrics, clock, model, seconds=1.0, n=50)
        metrics.failed(model, "http", Problem(503, "busy"), None)
        metrics.tick()
    rates = rates_over(metrics.history(model), 10)
    assert rates.rps == pytest.approx(50)
    assert rates.errors_per_s == pytest.approx(1)
    assert rates.batch == pytest.approx(4)
    assert rates.p50_ms == pytest.approx(12, rel=0.07)
    assert len(metrics.seconds(model)) == 120
    said = live_document(metrics, [model], None, lambda m: (1, 2), None)
    (shown,) = said["models"]
    assert shown["cost"]["usd_per_thousand"] == pytest.approx(0.1008 / 3600 / 50 * 1000, rel=1e-3)
    assert shown["cost"]["model_usd_per_hour"] == pytest.approx(0.1008, rel=1e-3)
    assert shown["batches"] == {"4": 1625}
    used = shown["cost"]["usage_usd_per_thousand"] * 50 * 3600 / 1000
    assert 0 < used < 0.1008
    assert shown["cost"]["idle_usd_per_hour"] == pytest.approx(0.1008 - used, rel=1e-3)


def test_a_replica_that_nobody_asks_costs_what_it_costs(metrics, clock):
    """Two models share it: what one uses is not idle for the other."""
    one, other = live_model(), live_model("other")
    for model in (one, other):
        metrics.of(model)
    metrics.tick()
    first = live_document(metrics, [one, other], None, lambda m: (), None)["models"]
    assert [m["cost"]["idle_usd_per_hour"] for m in first] == [None, None]
    for _ in range(5):
        clock.now_s += 1.0
        metrics.tick()
    quiet = live_document(metrics, [one, other], None, lambda m: (), None)["models"]
    assert [m["cost"]["idle_usd_per_hour"] for m in quiet] == pytest.approx([0.1008, 0.1008])
    for _ in range(60):
        run(metrics, clock, one, seconds=1.0, n=50)
        metrics.tick()
    busy = live_document(metrics, [one, other], None, lambda m: (), None)["models"]
    assert busy[0]["cost"]["idle_usd_per_hour"] == busy[1]["cost"]["idle_usd_per_hour"] < 0.1008


def test_how_the_ledger_goes_is_told(metrics):
    state = LedgerState(
        written_rows=9,
        waiting_rows=2,
        dropped_rows=1,
        failed_writes=3,
        trouble="full",
        damaged_parts=2,
        damaged_rows=61,
    )
    found = parsed(metrics_text(metrics, [], state))
    names = ("rows_total", "waiting_rows", "dropped_rows_total", "failed_writes_total", "trouble")
    assert [found[f"farthing_ledger_{name}", ""] for name in names] == [9, 2, 1, 3, 1]
    assert [found[f"farthing_ledger_damaged_{name}_total", ""] for name in ("parts", "rows")] == [2, 61]


@pytest.mark.slow
def test_prometheus_own_parser_reads_it(metrics, clock, tmp_path):
    """In a throw-away environment; skipped where prometheus_client cannot be installed."""
    where = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", where], check=True)
    python = where / "bin" / "python"
    if subprocess.run([python, "-m", "pip", "install", "-q", "prometheus_client"], check=False).returncode:
        pytest.skip("prometheus_client cannot be installed here")
    model = live_model('a"b\\c\nd')
    run(metrics, clock, model)
    text = metrics_text(metrics, [model])
    script = (
        "import sys\nfrom prometheus_client.parser import text_string_to_metric_families as read\n"
        "print(sum(len(f.samples) for f in read(sys.stdin.read())))"
    )
    done = subprocess.run([python, "-c", script], input=text, capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(parsed(text))
