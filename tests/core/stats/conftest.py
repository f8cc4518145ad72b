"""The simulations live with the benchmarks; their folder goes last on the path, behind the standard library."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
