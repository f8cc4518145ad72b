"""The simulations live with the benchmarks; their folder goes last on the path, behind the standard library."""

from __future__ import annotations
