"""Arrival traces from tables, logs and monitoring: content, names and values, or the user, tell what a file holds."""

from __future__ import annotations

from farthing.load.traffic.asked import PERIODS, TRACE_KINDS, UNITS, TraceAsked
from farthing.load.traffic.csv_arrivals import CsvArrivals
from farthing.load.traffic.jsonl_arrivals import JsonLinesArrivals
from farthing.load.traffic.parquet_arrivals import ParquetArrivals
from farthing.load.traffic.reading import arrivals_of, read_requests, read_trace

__all__ = [
    "PERIODS",
    "TRACE_KINDS",
    "UNITS",
    "CsvArrivals",
    "JsonLinesArrivals",
    "ParquetArrivals",
    "TraceAsked",
    "arrivals_of",
    "read_requests",
    "read_trace",
]
