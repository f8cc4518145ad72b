"""Small logs and traces in the forms that others write, made up."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

BEGIN = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
"""A Tuesday."""
AGENT = '"-" "Mozilla/5.0 (X11; [bot]) \\"quoted\\" 200"'
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
CLOUDFRONT_FIELDS = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) "
    "cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken"
)


def written(path: Path, lines: Sequence[str]) -> Path:
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def access(at_s: float, path: str = "/v2/models/m/infer", *, offset: str = " +0000", suffix: str = AGENT) -> str:
    """A line of an access log, its time local at that offset."""
    moved = timezone(timedelta(hours=int(offset[1:4]))) if offset else UTC
    moment = (BEGIN + timedelta(seconds=at_s)).astimezone(moved)
    stamp = f"{moment:%d}/{MONTHS[moment.month - 1]}/{moment:%Y:%H:%M:%S}{offset}"
    return f'10.0.0.1 - alice [{stamp}] "POST {path} HTTP/1.1" 200 512 {suffix}'.rstrip()


def cloudfront(end_s: float, took: str = "0.250", stem: str = "/v2/models/m/infer") -> str:
    moment = BEGIN + timedelta(seconds=end_s)
    cells = [
        f"{moment:%Y-%m-%d}", f"{moment:%H:%M:%S}", "FRA56-P1", "1045", "192.0.2.1", "POST", "d111.cloudfront.net", stem,
        "200", "-", "curl/8", "-", "-", "Miss", "abc==", "api.example.org", "https", "345", took,
    ]  # fmt: skip
    return "\t".join(cells)


def load_balancer(
    end_s: float, took_s: float = 0.25, *, created: bool = True, read_s: float = 0.0, path: str = "/v2/models/m/infer"
) -> str:
    """A line of a load balancer, which read the request for ``read_s`` before it began to count."""
    begun_s = end_s - took_s - read_s
    end, start = (f"{BEGIN + timedelta(seconds=s):%Y-%m-%dT%H:%M:%S.%f}Z" for s in (end_s, begun_s))
    line = (
        f"https {end} app/my-lb/50dc6c495c0c9188 192.0.2.1:2817 10.0.0.1:80 0.000 {took_s:.3f} 0.000 200 200 34 366 "
        f'"POST https://api.example.org:443{path} HTTP/1.1" "curl/8 \\"x\\"" TLS_AES_128 TLSv1.3 arn:aws:tg/my'
    )
    rest = f' "Root=1-5833" "api.example.org" "arn:cert" 0 {start} "forward" "-" "-" "10.0.0.1:80" "200" "-" "-"'
    return line + (rest if created else "")


def answer(*series: tuple[dict[str, str], Sequence[float | str | None]], step_s: int = 60, **more: Any) -> str:
    """An answer of Prometheus: labels and values of each series, None for a sample that is not there."""
    result = [
        {
            "metric": labels,
            "values": [[BEGIN.timestamp() + step_s * k, str(v)] for k, v in enumerate(values) if v is not None],
        }
        for labels, values in series
    ]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}, **more})
