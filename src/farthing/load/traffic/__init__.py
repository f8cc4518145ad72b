"""Arrival traces from CSV: names and values, or the user, tell what the numbers are; what is unclear is asked."""

from __future__ import annotations

from farthing.load.traffic.asked import PERIODS, TRACE_KINDS, UNITS, TraceAsked
from farthing.load.traffic.csv_arrivals import CsvArrivals

__all__ = ["PERIODS", "TRACE_KINDS", "UNITS", "CsvArrivals", "TraceAsked"]
