from __future__ import annotations

import math
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from farthing.errors import InputError
from farthing.load.units import count, duration_ms, fraction, usd

positive = st.floats(min_value=1e-9, max_value=1e15, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("50ms", 50), ("0.05s", 50), ("0.05 s", 50), ("200us", 0.2), ("200µs", 0.2), ("1min", 60_000), ("1e2ms", 100)],
)
def test_durations(text: str, ms: float) -> None:
    assert duration_ms(text, "p99") == ms


@pytest.mark.parametrize(
    ("value", "frac"),
    [("1pt", 0.01), ("1 pt", 0.01), ("1 %", 0.01), (0.01, 0.01), ("95%", 0.95), ("0.7%", 0.007), (0, 0.0), ("100%", 1)],
)
def test_fractions(value: object, frac: float) -> None:
    assert fraction(value, "max_drop") == frac


@pytest.mark.parametrize(
    ("value", "n"),
    [("14B", 14e9), ("460M", 460e6), ("460 M", 460e6), ("10k", 1e4), ("1,000", 1000), (7, 7), ("1e6", 1e6)],
)
def test_counts(value: object, n: float) -> None:
    assert count(value, "per_month") == n


@pytest.mark.parametrize("value", ["$10,000", "10000", "10k USD", 10000, "10_000", "$ 10k"])
def test_dollars(value: object) -> None:
    assert usd(value, "bill") == 10_000


@given(positive)
def test_every_unit_round_trips(x: float) -> None:
    assert duration_ms(f"{x!r}ms", "k") == x
    assume(re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", repr(x)) is None)  # twelve or twelve thousand: asked back
    assert count(repr(x), "k") == x
    assert usd(f"${x!r}", "k") == x
    assert math.isclose(duration_ms(f"{x!r}s", "k"), 1000 * x, rel_tol=1e-15)
    assert math.isclose(count(f"{x!r}M", "k"), 1e6 * x, rel_tol=1e-15)


@given(st.floats(min_value=0, max_value=1, exclude_max=True))
def test_fractions_round_trip(x: float) -> None:
    assert fraction(x, "k") == x
    assert fraction(repr(x), "k") == x
    assert math.isclose(fraction(f"{x!r}%", "k"), x / 100, rel_tol=1e-15, abs_tol=0)


@pytest.mark.parametrize("read", [duration_ms, fraction, count, usd])
@pytest.mark.parametrize("value", ["", "ms", "fifty", "5 5ms", "1e999", math.nan, math.inf, True, None, [], "-1e-400x"])
def test_nonsense_is_refused_with_its_name(read: object, value: object) -> None:
    with pytest.raises(InputError, match=r"objective\.x is"):
        read(value, "objective.x")  # type: ignore[operator]


def test_a_bare_duration_is_refused_with_a_hint() -> None:
    with pytest.raises(InputError, match=r"without a unit") as e:
        duration_ms(50, "objective.p99")
    assert e.value.hint == "did you mean 50ms?"


def test_a_bare_percentage_is_refused_with_a_hint() -> None:
    with pytest.raises(InputError) as e:
        fraction(95, "objective.confidence")
    assert e.value.hint == "did you mean 95%?"


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (duration_ms, "-5ms"),
        (count, "0"),
        (usd, "-$5"),
        (usd, "5 EUR"),
        (fraction, "101%"),
        (fraction, "-1%"),
        (duration_ms, "5h"),
        (count, "5q"),
        (fraction, "5x"),
    ],
)
def test_out_of_range_or_foreign_units_are_refused(read: object, value: str) -> None:
    with pytest.raises(InputError):
        read(value, "k")  # type: ignore[operator]


def test_a_unit_that_may_be_two_is_asked_back() -> None:
    with pytest.raises(InputError, match="unknown unit 'm'") as e:
        duration_ms("50m", "objective.p99")
    assert e.value.hint == "did you mean 50ms or 50min? known: ns, us (µs), ms, s, min"
