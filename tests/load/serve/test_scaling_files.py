"""Scaling files: every key is read, and what is wrong is named before anything is loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from farthing.core.simulation.rules.live import LivePolicy
from farthing.core.simulation.rules.written import NAMES, SETTINGS
from farthing.errors import InputError, SchemaError
from farthing.load.serve.scaling import KEYS, read_scaling

HEAD = "schema: farthing/scaling/1\n"


def read(folder: Path, text: str, day_s: float = 3600.0) -> LivePolicy:
    path = folder / "scale.yaml"
    path.write_text(HEAD + text)
    return read_scaling(path, day_s=day_s)


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    policy = read(
        tmp_path,
        "rule: Ray Serve\ntarget_ongoing_requests: 1.5\ndownscale_delay: 2min\nmodel: tiny\nmin_replicas: 2\n"
        "max_replicas: 6\ninitial: 3\nstart: 5s\nready_within: 20s\nusd_per_hour: $0.05\nminimum_bill: 0\n"
        "promise: 50ms\nattainment: 99.5%\ntime_lapse: 60\nemulated: true\nservice: {1: 20ms, 8: 60ms}\nrate: 40\n"
        "in_flight: 8\n",
    )
    assert policy.rule.name == "Ray Serve"
    assert policy.rule.said == {"target_ongoing_requests": 1.5, "downscale_delay": 120.0}
    assert (policy.model, policy.min_replicas, policy.max_replicas, policy.initial) == ("tiny", 2, 6, 3)
    assert (policy.start_s, policy.ready_within_s, policy.usd_per_hour, policy.minimum_bill_s) == (5.0, 20.0, 0.05, 0.0)
    assert (policy.promise_s, policy.attainment_frac, policy.time_lapse) == (0.05, 0.995, 60.0)
    assert (policy.emulated, policy.service_ms) == (True, {1: 20.0, 8: 60.0})
    assert (policy.rate_rps, policy.in_flight) == (40.0, 8.0)


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    policy = read(tmp_path, "rule: HPA on CPU\nmax_replicas: 4\n")
    assert (policy.min_replicas, policy.initial, policy.start_s, policy.time_lapse) == (1, 1, 0.0, 1.0)
    assert policy.usd_per_hour is None
    assert policy.promise_s is None
    assert policy.rule.value("target") == 0.7
    assert read(tmp_path, "rule: Ray Serve\nmin_replicas: 0\nmax_replicas: 4\n").initial == 1


def test_a_fixed_fleet_needs_its_size_alone(tmp_path: Path) -> None:
    policy = read(tmp_path, "rule: fixed\nreplicas: 3\n")
    assert (policy.min_replicas, policy.max_replicas, policy.initial) == (3, 3, 3)


def test_a_schedule(tmp_path: Path) -> None:
    text = (
        'rule: scheduled\nschedule: [{at: "08:00", min: 2, max: 6}, {at: "20:30:15", min: 1, max: 2}]\n'
        "max_replicas: 6\nwithin: {rule: Ray Serve, target_ongoing_requests: 2}\n"
    )
    rule = read(tmp_path, text).rule
    assert rule.schedule is not None
    assert [(a.at_s, a.min_replicas, a.max_replicas) for a in rule.schedule.actions] == [(28800, 2, 6), (73815, 1, 2)]
    assert rule.within is not None
    assert rule.within.said == {"target_ongoing_requests": 2.0}
    assert rule.start_s == 3600.0
    assert read(tmp_path, text + 'start_at: "00:30"\n').rule.start_s == 1800.0
    short = "rule: scheduled\nschedule: [{at: 0s, min: 1, max: 1}, {at: 60s, min: 2, max: 2}]\nperiod: 2min\n"
    assert read(tmp_path, f"{short}max_replicas: 2\n").rule.schedule is not None


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("max_replicas: 2", "names no rule", "one of fixed"),
        ("rule: HPA\nmax_replicas: 2", "'HPA', which is unknown", "HPA on CPU"),
        ("rule: Ray Serve\nmax_replicas: 2\ntolerance: 1%", "unknown key 'tolerance'", "it takes rule"),
        ("rule: Ray Serve\nmax_replica: 2", "unknown key 'max_replica'", "did you mean max_replicas?"),
        ("rule: Ray Serve", "has no max_replicas", "max_replicas: 4"),
        ("rule: Ray Serve\nmax_replicas: 2.5", "max_replicas in .* is 2.5", None),
        ("rule: Ray Serve\nmax_replicas: true", "max_replicas in .* is True", None),
        ("rule: Ray Serve\nmax_replicas: 2\nmin_replicas: 3", "min_replicas is 3, max_replicas is 2", None),
        ("rule: Ray Serve\nmax_replicas: 2\ninitial: 3", "initial is 3", None),
        ("rule: Ray Serve\nmax_replicas: 2\nstart: 5", "start in .* is 5 without a unit", "5ms"),
        ("rule: Ray Serve\nmax_replicas: 2\ntarget: 0", "target in .* is 0", None),
        ("rule: Ray Serve\nmax_replicas: 2\ntarget: 50%\ntarget_ongoing_requests: 2", "say the same", None),
        ("rule: Ray Serve\nmax_replicas: 2\nattainment: 100%", "less than 100 %", None),
        ("rule: Ray Serve\nmax_replicas: 2\ntime_lapse: 0.5", "time_lapse", None),
        ("rule: Ray Serve\nmax_replicas: 2\nemulated: 1", "true or false", None),
        ("rule: Ray Serve\nmax_replicas: 2\nusd_per_hour: free", "no amount of US dollars", None),
        ("rule: Ray Serve\nmax_replicas: 2\nservice: {1: 5ms}", "service is for emulated workers", "emulated: true"),
        ("rule: Ray Serve\nmax_replicas: 2\nemulated: true\nservice: 5ms", "times by batch size", None),
        ("rule: fixed", "needs replicas", "replicas: 3"),
        ("rule: fixed\nreplicas: 3\nmax_replicas: 4", "has 3 replicas, and max_replicas is 4", None),
        ("rule: scheduled\nmax_replicas: 2", "needs a schedule", None),
        ('rule: scheduled\nmax_replicas: 2\nschedule: [{at: "25:00", min: 1, max: 2}]', "at of schedule", None),
        ("rule: scheduled\nmax_replicas: 2\nschedule: [{at: 0s, min: 2, max: 1}]", "min is 2, max is 1", None),
        (
            "rule: scheduled\nmax_replicas: 2\nschedule: [{at: 5s, min: 1, max: 1}, {at: 1s, min: 1, max: 1}]",
            "rise",
            None,
        ),
        (
            "rule: scheduled\nmax_replicas: 2\nschedule: [{at: 0s, min: 1, max: 1}]\nwithin: {rule: scheduled}",
            "within",
            None,
        ),
        ("rule: Ray Serve\nmax_replicas: 2\nwithin: {rule: fixed}", "unknown key 'within'", None),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str, hint: str | None) -> None:
    with pytest.raises(InputError, match=said) as found:
        read(tmp_path, text)
    assert hint is None or hint in (found.value.hint or "")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scale.yaml"
    path.write_text("schema: farthing/serve/1\nrule: fixed\n")
    with pytest.raises(SchemaError, match="is a serve, not a scaling"):
        read_scaling(path, day_s=0.0)


def test_the_pages_tables_name_every_key_and_every_setting() -> None:
    page = (Path(__file__).parents[3] / "docs" / "serve.md").read_text().partition("## Scaling")[2]
    said = set(re.findall(r"`(\w+)[:`]", page.partition("## Stopping")[0]))
    assert {key for settings in SETTINGS.values() for key in settings} <= said
    assert set(KEYS) <= said
    for name in NAMES:
        assert f"`{name}`" in page
