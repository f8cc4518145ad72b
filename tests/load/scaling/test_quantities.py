"""Kubernetes' quantities, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.load.scaling.quantities import quantity_m


@pytest.mark.parametrize(
    ("text", "thousandths"),
    [
        ("500m", 500), ("50", 50_000), (50, 50_000), (0.5, 500), ("0.5", 500), (".5", 500), ("5.", 5000), ("1k", 10**6),
        ("1Gi", 2**30 * 1000), ("1.5Ki", 1536_000), ("2M", 2 * 10**9), ("1e3", 10**6), ("1E3", 10**6), ("12e-1", 1200),
        ("1E", 10**21), ("1Ei", 2**60 * 1000), ("100n", 1), ("1001u", 2), ("-1", -1000), ("+2", 2000), ("0", 0),
    ],
)  # fmt: skip
def test_quantities(text: object, thousandths: int) -> None:
    assert quantity_m(text) == thousandths


@pytest.mark.parametrize(
    "text", ["", "m", "1 k", "1GB", "1gi", "1K", "1_000", "1,000", "NaN", "inf", "70%", True, None, "１"]
)
def test_what_is_none(text: object) -> None:
    assert quantity_m(text) is None


@given(st.integers(0, 10**12))
def test_thousandths_are_themselves(number: int) -> None:
    assert quantity_m(f"{number}m") == number == quantity_m(f"{number}000u")
