"""Logs of CloudFront and of Application Load Balancers, by their documentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up_logs import BEGIN, CLOUDFRONT_FIELDS, cloudfront, load_balancer, written

from farthing.errors import TraceError
from farthing.load.traffic import (
    CloudFrontArrivals,
    LoadBalancerArrivals,
    TraceAsked,
    arrivals_of,
    read_requests,
    read_trace,
)

HEAD = ["#Version: 1.0", f"#Fields: {CLOUDFRONT_FIELDS}"]


def instants(path: Path, asked: TraceAsked | None = None) -> np.ndarray:
    return np.concatenate([block.at_s for block in read_requests(path, asked) or ()])


def test_cloudfront_requests_came_before_they_ended(tmp_path: Path) -> None:
    lines = [cloudfront(10 * k + 5, "5.000" if k % 2 else "0.000") for k in range(100)]
    path = written(tmp_path / "E2.2026-11-24-08.gz", [*HEAD, *lines])
    assert isinstance(arrivals_of(path), CloudFrontArrivals)
    expected = np.array([10.0 * k + (0 if k % 2 else 5) for k in range(100)])
    assert instants(path) == pytest.approx(expected - expected[0])
    trace = read_trace(path)
    assert trace.start is not None
    assert (trace.start - BEGIN).total_seconds() == 5
    assert "a CloudFront log (100 requests), times with their zone, in whole seconds" in trace.read_as


def test_entries_of_an_hour_in_any_order_and_files_joined(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    first, second = ((rng.permutation(360) * 10 + 3600 * hour).tolist() for hour in (0, 1))
    lines = [*HEAD, *map(cloudfront, first), *HEAD, *map(cloudfront, second)]
    trace = read_trace(written(tmp_path / "x", lines))
    assert list(trace.counts) == [6] * 120
    assert "late, sorted in" in trace.read_as


def test_milliseconds_where_they_were_chosen(tmp_path: Path) -> None:
    head = "#Fields: timestamp(ms) cs-method cs-uri-stem time-taken"
    lines = [f"{1000 * BEGIN.timestamp() + 250 * k + 100:.0f}\tPOST\t/v2/m\t0.100" for k in range(100)]
    path = written(tmp_path / "x", [head, *lines])
    (block,) = read_requests(path) or ()
    assert block.at_s == pytest.approx(np.arange(100) / 4, abs=1e-5)
    assert block.resolution_s == 0


def test_cloudfront_lines_that_are_none(tmp_path: Path) -> None:
    lines = [cloudfront(10 * k) for k in range(100)]
    trace = read_trace(written(tmp_path / "x", [*HEAD, *lines, "half a li", cloudfront(1000).replace("-11-", "-13-")]))
    assert trace.counts.sum() == 100
    assert "2 other lines left out, the first in line 103 ('half a li')" in trace.read_as
    with pytest.raises(TraceError, match=r"line 1: there is no #Fields line before it"):
        CloudFrontArrivals().trace(written(tmp_path / "y", lines))
    with pytest.raises(TraceError, match=r"line 1: no time among its fields: cs-method, sc-status"):
        CloudFrontArrivals().trace(written(tmp_path / "y", ["#Fields: cs-method sc-status", "GET\t200"]))


def test_only_of_cloudfront(tmp_path: Path) -> None:
    lines = [cloudfront(10 * k, stem="/healthz" if k % 2 else "/v2/models/m/infer") for k in range(100)]
    path = written(tmp_path / "x", [*HEAD, *lines])
    assert read_trace(path, TraceAsked(only="POST /v2/models")).counts.sum() == 50
    assert read_trace(path, TraceAsked(only="d111.cloudfront")).counts.sum() == 100


def test_iis_is_no_cloudfront(tmp_path: Path) -> None:
    head = (
        b"#Software: Microsoft Internet Information Services 10.0\n#Version: 1.0\n#Fields: date time s-ip cs-method\n"
    )
    assert not CloudFrontArrivals().holds(head)


@pytest.mark.parametrize("created", [True, False])
def test_load_balancers_say_when_a_request_was_created(tmp_path: Path, created: bool) -> None:
    lines = [load_balancer(10 * k + 3 * (k % 2), 3.0 * (k % 2), created=created) for k in range(100)]
    path = written(tmp_path / "123_elasticloadbalancing_eu-central-1_app.my-lb.log.gz", lines)
    assert isinstance(arrivals_of(path), LoadBalancerArrivals)
    assert instants(path) == pytest.approx(np.arange(100) * 10.0)
    trace = read_trace(path)
    assert trace.start == BEGIN
    assert trace.read_as == "an access log of an AWS Application Load Balancer (100 requests), times with their zone"


def test_when_it_was_created_goes_before_how_long_it_took(tmp_path: Path) -> None:
    lines = [load_balancer(10 * k + 3 * (k % 2), read_s=2.75 + 3.0 * (k % 2)) for k in range(100)]
    assert instants(written(tmp_path / "x", lines)) == pytest.approx(np.arange(100) * 10.0)


@pytest.mark.parametrize(("others", "known"), [(9, True), (10, True), (11, False)])
def test_half_of_the_first_lines_make_a_log_of_a_load_balancer(others: int, known: bool) -> None:
    lines = [*(load_balancer(k) for k in range(10)), *["other"] * others, "the last one may be cut"]
    assert LoadBalancerArrivals().holds("\n".join(lines).encode()) is known


def test_a_request_that_was_never_sent_to_a_target(tmp_path: Path) -> None:
    lines = [load_balancer(10 * k, created=False).replace("0.000 0.250 0.000", "-1 -1 -1") for k in range(100)]
    assert instants(written(tmp_path / "x", lines)) == pytest.approx(np.arange(100) * 10.0)


def test_nodes_write_files_of_their_own(tmp_path: Path) -> None:
    nodes = [[load_balancer(4 * k + node) for k in range(75)] for node in range(4)]
    lines = [line for node in nodes for line in node]
    assert instants(written(tmp_path / "x", lines)) == pytest.approx(np.arange(300))


def test_only_and_other_lines_of_load_balancers(tmp_path: Path) -> None:
    lines = [load_balancer(10 * k, path="/" if k % 2 else "/v2/models/m/infer") for k in range(100)]
    path = written(tmp_path / "x", [*lines, "health check"])
    trace = read_trace(path, TraceAsked(only="/v2/models/"))
    assert trace.counts.sum() == 50
    assert "50 other requests left out; 1 other lines left out, the first in line 101" in trace.read_as
