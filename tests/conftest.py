"""Fixtures that all rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def assets() -> Path:
    """The shared data; skipped without it, a failure where FARTHING_ASSETS names a folder that lacks it."""
    named = os.environ.get("FARTHING_ASSETS")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "assets"
    if not (folder / "SOURCES.md").exists():
        if named:
            pytest.fail(f"FARTHING_ASSETS={named} has no SOURCES.md: the shared data is missing")
        pytest.skip("shared data not found: set FARTHING_ASSETS")
    return folder
