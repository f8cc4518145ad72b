"""The two uses of ``farthing simulate``: each takes its own flags, and says which are missing or of the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from autoscalers import hpa, recorded, scaled_object, written
from click.testing import CliRunner

from farthing.cli.main import cli
from farthing.errors import InputError


def test_a_dry_run(tmp_path: Path) -> None:
    manifest, series = written(tmp_path, hpa()), recorded(tmp_path, ({}, [350.0] * 20))
    words = ["simulate", "--hpa", str(manifest), "--prometheus", str(series), "--usd-per-hour", "$0.25"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "it would have taken $" in done.stdout
    more = ["--sync-period", "30s", "--tolerance", "5%", "--start", "10s", "--load", "0s", "--initial", "3", "--json"]
    plain = json.loads(CliRunner().invoke(cli, [*words, *more]).stdout)
    assert plain["fleet"] == {"initial": 3, "start_s": 10.0, "load_s": 0.0, "sync_s": 30.0}
    assert plain["usd_per_hour"] == 0.25


def test_a_dry_run_of_keda(tmp_path: Path) -> None:
    manifest, series = written(tmp_path, scaled_object()), recorded(tmp_path, ({}, [350.0] * 20))
    done = CliRunner().invoke(cli, ["simulate", "--keda", str(manifest), "--prometheus", f"0={series}", "--json"])
    plain = json.loads(done.stdout)
    assert (plain["kind"], plain["changes"][0]["by"], plain["usd_per_hour"]) == ("ScaledObject", "keda", None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "PLAN is missing"),
        (["plan.yaml"], "--trace FILE is missing"),
        (["--trace", "a.csv"], "PLAN is missing"),
        (["--hpa", "a", "--keda", "b"], "one dry run each"),
        (["plan.yaml", "--hpa", "a"], "PLAN compares rules on a plan"),
        (["--hpa", "a", "--trace", "b.csv"], "--trace compares rules on a plan"),
        (["--hpa", "a", "--rule", "fixed"], "--rule compares rules on a plan"),
        (["plan.yaml", "--trace", "b.csv", "--prometheus", "c"], "--prometheus needs --hpa FILE or --keda FILE"),
        (["plan.yaml", "--trace", "b.csv", "--initial", "0"], "--initial needs --hpa FILE"),
        (["--hpa", "a", "--seeds", "3"], "--seeds compares rules on a plan"),
        (["plan.yaml", "--trace", "b.csv", "--tolerance", "5%"], "--tolerance needs --hpa FILE"),
        (["--hpa", "a", "--sync-period", "0s"], "it must be > 0"),
        (["--hpa", "a", "--tolerance", "lots"], "--tolerance is 'lots'"),
        (["--hpa", "a", "--sync-period", "15"], "did you mean 15ms?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refused(words: list[str], said: str) -> None:
    done = CliRunner().invoke(cli, ["simulate", *words])
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)
