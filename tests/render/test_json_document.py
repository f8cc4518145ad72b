from __future__ import annotations

import json

import pytest
from example_plan import PLANS, offers

from farthing.codec import from_plain
from farthing.nouns import Plan
from farthing.render.json import document, plan_json


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_survives_json(name):
    plan = PLANS[name]()
    data = json.loads(json.dumps(plan_json(plan), allow_nan=False))
    assert data.pop("schema") == "farthing/plan/3"
    assert from_plain(Plan, data) == plan


def test_several_nouns_stand_below_their_kind():
    data = document("offers", offers())
    assert list(data) == ["schema", "offers"]
    assert data["offers"][0]["usd_per_hour"] == 0.1008
