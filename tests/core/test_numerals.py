"""Signs within sentences: no negative zero, no loss with a minus, and no sentence that writes them by hand."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import farthing
from farthing.codec import to_plain
from farthing.core.numerals import change, ends, loses, number
from farthing.nouns import Estimate

ROOT = Path(farthing.__file__).parent
EXAMPLES = Path(__file__).parents[2] / "examples"
HOMES = {"core/numerals.py", "render/numbers.py"}
NEGATIVE_ZERO = re.compile(r"[-−]0(?:\.0*)?(?![\d.])")


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (0.0075, "loses 0.75 points"),
        (-0.00063, "gains 0.063 points"),
        (0.01, "loses 1.0 point"),
        (0.123, "loses 12.3 points"),
        (-1.0, "gains 100.0 points"),
        (0.0, "loses nothing"),
        (-0.0, "loses nothing"),
        (-1e-9, "gains less than 0.001 points"),
        (2e-5, "loses 0.002 points"),
    ],
)
def test_a_loss_in_words(loss: float, said: str) -> None:
    assert loses(loss) == said


@given(st.floats(-1, 1))
def test_no_word_of_a_loss_has_a_sign(loss: float) -> None:
    said = loses(loss)
    assert not re.search("[-−+]", said)
    assert said.startswith("gains" if loss < 0 else "loses")


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(0, 4))
def test_nothing_is_a_negative_zero(a: float, b: float, decimals: int) -> None:
    for said in (number(a, decimals), change(a, decimals), ends(a, b, decimals), ends(a, b, decimals, scale=-1)):
        assert not NEGATIVE_ZERO.search(said.replace(",", "")), said
    assert change(a, decimals).lstrip("+") == number(a, decimals)


def test_what_was_seen() -> None:
    assert ends(-0.0002, 0.011, 1, scale=100) == "[0.0, 1.1]"
    assert ends(0.0002, -0.011, 1, scale=-100) == "[0.0, 1.1]"
    assert (change(-0.04, 1), change(0.04, 1), change(-0.06, 1), change(0.06, 1)) == ("0.0", "0.0", "−0.1", "+0.1")
    assert number(-math.inf, 1) == "−inf"


def test_json_has_no_negative_zero_either() -> None:
    e = Estimate(value=-0.0, lo=-0.0, hi=0.5, n=1, method="m")
    assert "-0.0" not in json.dumps(to_plain(e))
    assert "-0.0" not in json.dumps(to_plain({"a": [-0.0], "b": (-0.0, 1)}))


# — every sentence of the code ————————————————————————————————————————————————————————————————————————————————————————


def by_hand(source: str) -> Iterator[tuple[int, str]]:
    """Lines of f-strings that write an interval, a sign or a loss themselves."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        before = ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                before = str(part.value)
                continue
            assert isinstance(part, ast.FormattedValue)
            spec = ast.unparse(part.format_spec)[2:-1] if part.format_spec is not None else ""
            fixed = re.fullmatch(r"[+,]*\.\d[f%]", spec) is not None
            if "+" in spec:
                yield node.lineno, "a sign"
            elif fixed and before.endswith("["):
                yield node.lineno, "an interval"
            elif fixed and re.search(r"\b(loses|lost|gains) $", before):
                yield node.lineno, "a loss"
            before = ""


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("f'saves {a:.1f} % [{b:.1f}, {c:.1f}]'", "an interval"),
        ("f'x loses {100 * a:.3f} points'", "a loss"),
        ("f'off by {a:+.1%}'", "a sign"),
        ("f'{a:.1f} ms'", None),
        ("f'[{a}, {b}]'", None),
    ],
)
def test_the_check_of_sentences_finds_them(code: str, found: str | None) -> None:
    assert [kind for _, kind in by_hand(code)] == ([found] if found else [])


def test_no_sentence_writes_signs_or_intervals_by_hand() -> None:
    wrong = [
        f"{path.name}:{line}: {kind}"
        for root in (ROOT, EXAMPLES)
        for path in sorted(root.rglob("*.py"))
        if str(path.relative_to(root)) not in HOMES
        for line, kind in by_hand(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, wrong
