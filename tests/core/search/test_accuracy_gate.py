"""A model that only guesses is asked about: labels in another order, or inputs prepared otherwise, end so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from example_plan import met_plan

from farthing.core.search.accuracy_gate import no_better_than_guessing, score
from farthing.plugins import find
from farthing.render.plan.money_words import beside

LABELS = [0.0] * 40 + [1.0] * 35 + [2.0] * 25


def said(right: Callable[[float], float], labels: list[float] = LABELS) -> str:
    outputs = np.eye(3)[[int(right(label)) for label in labels]]
    return no_better_than_guessing(score(outputs, labels, find("metrics", "accuracy")), labels)


def test_a_model_with_its_classes_turned_round_is_asked_about() -> None:
    asked = said(lambda label: (label + 1) % 3)
    assert asked.startswith("the baseline is right on 0.0 % of 100 samples, no more than always answering the most ")
    assert "3 classes (40.0 %)" in asked


@pytest.mark.parametrize("right", [lambda label: label, lambda label: min(label, 1.0)])
def test_a_model_that_knows_something_is_not(right: Callable[[float], float]) -> None:
    assert said(right) == ""


def test_one_answer_for_all_is_guessing_and_one_class_alone_cannot_be() -> None:
    assert "(40.0 %)" in said(lambda label: 0)
    assert said(lambda label: 0, [0.0] * 20) == ""


def test_it_stands_on_the_screen() -> None:
    plan = met_plan()
    asked = said(lambda label: (label + 1) % 3)
    shown = beside(replace(plan, assumptions=(*plan.assumptions, asked)))
    assert ("doubtful", asked) in [(name, text.replace("\u00a0", " ")) for name, text in shown]
    assert "doubtful" not in dict(beside(plan))
