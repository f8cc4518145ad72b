"""The contract for readers of arrivals holds for those that come with farthing."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
from made_up_logs import CLOUDFRONT_FIELDS, access, answer, cloudfront, load_balancer

from farthing.plugins import find
from farthing.testing import ArrivalsContract


def text(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"time": [f"2026-11-24T08:0{k}:00Z" for k in range(9)], "requests": [5, 3] * 4 + [1]}), out)
    return out.getvalue()


class TestCsv(ArrivalsContract):
    arrivals = find("arrivals", "csv")
    content = text("time,latency_ms", *(f"2026-11-24T08:00:{k * k:02}Z,{k}" for k in range(8)))


class TestJsonLines(ArrivalsContract):
    arrivals = find("arrivals", "jsonl")
    content = text(*(f'{{"time": "2026-11-24T08:00:{k * k:02}Z"}}' for k in range(8)))


class TestParquet(ArrivalsContract):
    arrivals = find("arrivals", "parquet")
    content = parquet()


class TestAccessLog(ArrivalsContract):
    arrivals = find("arrivals", "access-log")
    content = text(*(access(k * k) for k in range(40)), access(1500))


class TestCloudFront(ArrivalsContract):
    arrivals = find("arrivals", "cloudfront")
    content = text(f"#Fields: {CLOUDFRONT_FIELDS}", *(cloudfront(k, f"{k % 3}.5") for k in range(40)))


class TestLoadBalancer(ArrivalsContract):
    arrivals = find("arrivals", "load-balancer")
    content = text(*(load_balancer(k, k % 3) for k in range(40)))


class TestPrometheus(ArrivalsContract):
    arrivals = find("arrivals", "prometheus")
    content = answer(({"__name__": "http_requests_total"}, range(30))).encode()


class TestAzureLlm(ArrivalsContract):
    arrivals = find("arrivals", "azure-llm")
    content = text(
        "TIMESTAMP,ContextTokens,GeneratedTokens", *(f"2024-05-10 00:00:{k:02}+00:00,{k},1" for k in range(60))
    )


class TestBurstGpt(ArrivalsContract):
    arrivals = find("arrivals", "burst-gpt")
    content = text(
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type",
        *(f"{k * k},GPT-4,{k},0,{k},API log" for k in range(50)),
    )


class TestAzureFunctions2019(ArrivalsContract):
    arrivals = find("arrivals", "azure-functions-2019")
    content = text(
        ",".join(["HashOwner,HashApp,HashFunction,Trigger", *map(str, range(1, 1441))]),
        ",".join(["o,a,f,http", *(str(k % 3) for k in range(1440))]),
    )


class TestAzureFunctions2021(ArrivalsContract):
    arrivals = find("arrivals", "azure-functions-2021")
    content = text("app,func,end_timestamp,duration", *(f"a,f,{100 + 7 * k},{k % 90}" for k in range(60)))
