"""Arrival traces from tables, logs and monitoring: content, names and values, or the user, tell what a file holds."""

from __future__ import annotations

from farthing.load.traffic.asked import PERIODS, TRACE_KINDS, UNITS, TraceAsked
from farthing.load.traffic.csv_arrivals import CsvArrivals
from farthing.load.traffic.jsonl_arrivals import JsonLinesArrivals
from farthing.load.traffic.logs.access_log import AccessLogArrivals
from farthing.load.traffic.logs.cloudfront import CloudFrontArrivals
from farthing.load.traffic.logs.load_balancer import LoadBalancerArrivals
from farthing.load.traffic.parquet_arrivals import ParquetArrivals
from farthing.load.traffic.prometheus.arrivals import PrometheusArrivals
from farthing.load.traffic.published.azure_functions_2019 import AzureFunctions2019Arrivals
from farthing.load.traffic.published.azure_functions_2021 import AzureFunctions2021Arrivals
from farthing.load.traffic.published.azure_llm import AzureLlmArrivals
from farthing.load.traffic.published.burst_gpt import BurstGptArrivals
from farthing.load.traffic.reading import arrivals_of, read_requests, read_trace

__all__ = [
    "PERIODS",
    "TRACE_KINDS",
    "UNITS",
    "AccessLogArrivals",
    "AzureFunctions2019Arrivals",
    "AzureFunctions2021Arrivals",
    "AzureLlmArrivals",
    "BurstGptArrivals",
    "CloudFrontArrivals",
    "CsvArrivals",
    "JsonLinesArrivals",
    "LoadBalancerArrivals",
    "ParquetArrivals",
    "PrometheusArrivals",
    "TraceAsked",
    "arrivals_of",
    "read_requests",
    "read_trace",
]
