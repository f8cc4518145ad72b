"""Example plans, and the page of each, made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from example_plan import PLANS

from farthing.render.plan.report import report_html


@cache
def _page(name: str) -> str:
    return report_html(PLANS[name]())


@pytest.fixture
def page() -> Callable[[str], str]:
    """The report of an example plan by name: met, not_met, unproven, hostile."""
    return _page
