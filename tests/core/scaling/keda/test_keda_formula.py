"""Formulas compute, and nothing but numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.scaling.keda.fallback import Fallback
from farthing.core.scaling.keda.formula import composite_m, parse


def value(text: str, **triggers: float | None) -> float | None:
    return parse(text).value(triggers)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("2 ** 3 ** 2", 512),
        ("-2 ** 2", -4),
        ("10 - 4 - 3", 3),
        ("8 / 4 / 2", 1),
        (".5e1 + 1.", 6),
        ("a > 2 ? a : b", 4),
        ("a < b ? 1 : a == 4 && !(b > 9) ? 2 : 3", 2),
        ("not (a > b) or b == 1 ? 5 : 6", 5),
        ("max(a, b, 7)", 7),
        ("min([a, b])", 1),
        ("sum([a, b, 1]) / len([a, b, 1])", 2),
        ("mean([a, b]) + median([a, b, 9])", 6.5),
        ("count([a, b, 3], {# > 1}) > 1 ? 5 : 0", 5),
        ("abs(-a) + ceil(1.2) + floor(1.8) + round(2.5) + int(-1.9) + float(1)", 10),
        ("none ?? a", 4),
        ("(a > 2 ? 1 : 0) + 1", 2),
        ("!(a > 2) == (b > 2) ? 1 : 0", 1),
        ("none ?? none", None),
        ("nil ?? 3", 3),
        ("a ?? b + 1", 5),
        ("true ? 1 : 0", 1),
        ("a != b ? a ^ 2 : 0", 16),
        ("max + 1", 11),
    ],
)
def test_a_formula_is_computed(text: str, expected: float | None) -> None:
    assert value(text, a=4.0, b=1.0, none=None, max=10.0) == expected


def test_names_are_those_of_triggers() -> None:
    assert parse("max(queue, 2) + cpu_1 ?? 3").names == {"queue", "cpu_1"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not understood"),
        ("1 +", "not understood"),
        ("(1", r"needs '\)' at character 3"),
        ("1 2", "needs its end at character 3"),
        ("a % 2", "not understood at character 3"),
        ("__import__(1)", "needs its end"),
        ("a.b", "not understood at character 2"),
        ("f(1)", "needs its end"),
        ("[1][0]", "needs its end"),
        ("lambda: 1", "needs its end"),
        ("a ? 1", "needs ':'"),
        ("count([1], 2)", r"needs '\{'"),
        ("(" * 60 + "1" + ")" * 60, "nested deeper"),
        ("1" + "+1" * 600, "may have 1000 characters"),
    ],
)
def test_what_is_no_formula_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("b + 1", "names b, which is no trigger"),
        ("a + nil", "not with nil"),
        ("a >= 1", "not with True"),
        ("a ? 1 : 2", "must be true or false, not 1.0"),
        ("nil ? 1 : 2", "must be true or false, not nil"),
        ("[a]", "computes with numbers"),
        ("count(a, {# > 1})", "a list is needed, not 1.0"),
        ("count(nil, {# > 1})", "a list is needed, not nil"),
        ("max([])", "cannot be taken"),
        ("abs([1, 2])", "cannot be taken"),
        ("ceil(1 / 0)", "cannot be taken"),
        ("# + 1", "outside of a predicate"),
    ],
)
def test_what_cannot_be_computed_is_said(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        value(text, a=1.0)


def test_the_composite_is_truncated_to_thousandths() -> None:
    assert composite_m(parse("a / 3"), {"a": 10_000}) == 3333
    assert composite_m(parse("-a / 3"), {"a": 10_000}) == -3333
    assert composite_m(parse("a / 0"), {"a": 1}) == 2**63 - 1


def test_a_trigger_beyond_the_threshold_is_nil_where_the_formula_decides() -> None:
    formula, values_m = parse("a ?? b"), {"a": -1000, "b": 5000}
    decides = Fallback(failure_threshold=3, replicas=7, behavior="scalingModifiers")
    assert composite_m(formula, values_m, failures={"a": 4}, fallback=decides, target=2) == 5000
    assert composite_m(formula, values_m, failures={"a": 3}, fallback=decides, target=2) == -1000
    static = Fallback(failure_threshold=3, replicas=7)
    assert composite_m(formula, values_m, failures={"a": 4}, fallback=static, target=2) == -1000


def test_where_all_is_nil_the_fallback_decides_or_it_is_an_error() -> None:
    formula, nothing = parse("a ?? b"), {"a": None, "b": None}
    decides = Fallback(failure_threshold=3, replicas=7, behavior="scalingModifiers")
    assert composite_m(formula, nothing, fallback=decides, target=2.5) == 17_500
    assert composite_m(formula, nothing) is None


@given(st.text(alphabet="ab1.+-*/^?:()[]{}#,<>=!&| ", max_size=60))
def test_any_text_computes_or_is_refused(text: str) -> None:
    try:
        found = value(text, a=2.0, b=None)
    except ValueError:
        return
    assert found is None or isinstance(found, float)


def test_the_longest_sum_is_computed() -> None:
    assert value("1" + "+1" * 499) == 500
