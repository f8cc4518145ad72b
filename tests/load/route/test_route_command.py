"""The command that calibrates a route anew: whole, and read back by the command line as what was given."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from small_route import cascade, margin_of, route_of, rung, tier

from farthing.cli.main import cli
from farthing.cli.route import calibrate, evaluate
from farthing.core.route.routes import Route
from farthing.load.route.command import as_given, calibrate_again, calibration_data, evaluate_again
from farthing.load.route.task import RouteTask

GIVEN: dict[str, Any] = {
    "max_loss": "0.7%", "confidence": "99%", "method": "lost_answers", "procedure": "bonferroni", "seed": 7,
    "choose_share": "40%", "min_saving": "5%", "audit_share": "1%", "name": "my-route", "reference": "large",
    "priced_as": "aws/m7i.large", "text_column": "the question", "label_column": "intent",
    "id_column": "nr", "embedder": "minilm", "p99": "50ms", "free": ("small",),
}  # fmt: skip
"""A value for every option but those of segments, files and tiers."""


def read_back(line: str, command: Any = calibrate) -> dict[str, Any]:
    words = shlex.split(line)
    assert words[0] == cli.name or words[0] == "farthing"
    context = command.make_context("x", words[3:])
    return {key: value for key, value in context.params.items() if value not in (None, (), False)}


def route_with(folder: Path, **more: Any) -> Route:
    settings = {**GIVEN, **more.pop("settings", {})}
    task = RouteTask(
        source=more.pop("source", None),
        tiers=more.pop("tiers", ("small=models/a b/small", "large=http://h:1/v2/models/m")),
        prices=more.pop("prices", ("large=0.1/request",)),
        columns=more.pop("columns", None),
        settings=settings,
    )
    asked = as_given(task, as_of=date(2026, 11, 24), trust=True, out=folder)
    return route_of(
        [tier("small"), tier("large")], [rung(cascade("small", "large"))], margin_of("small"), asked=asked, **more
    )


def test_all_that_was_given_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    route = route_with(tmp_path / "out", settings={"data": "requests.csv", "labels": None})
    found = read_back(calibrate_again(route, Path("out")))
    assert {key: found[key] for key in GIVEN} == GIVEN
    assert found["tiers"] == ("small=models/a b/small", "large=http://h:1/v2/models/m")
    assert found["prices"] == ("large=0.1/request",)
    assert (found["as_of"].date(), found["trust"], found["data"]) == (date(2026, 11, 24), True, "REQUESTS")
    assert found["output_dir"] == Path("NEW")


def test_every_option_of_the_command_can_be_given_and_comes_back() -> None:
    """A new option of the command has to be in this test, or it would be lost on the way."""
    options = {str(p.name) for p in calibrate.params}
    elsewhere = {"source", "tiers", "prices", "columns", "as_of", "trust", "data", "labels", "output_dir", "as_json"}
    levels = {"p50", "p90", "p95", "p999"}  # one of them in the place of p99
    assert options - elsewhere - levels == {*GIVEN, "segment_column", "max_loss_of"}


def test_a_sample_that_was_kept_has_columns_of_its_own(tmp_path: Path) -> None:
    route = route_with(tmp_path, settings={"data": "requests.csv", "labels": "l.csv"})
    found = read_back(calibrate_again(route, tmp_path, kept=tmp_path / "kept" / "auto.csv"))
    assert found["data"] == str(tmp_path / "kept" / "auto.csv")
    assert (found["text_column"], found["label_column"]) == ("text", "label")
    assert "labels" not in found and "id_column" not in found
    assert found["method"] == "lost_answers"


def test_limits_of_segments_need_requests_that_name_them(tmp_path: Path) -> None:
    more = {"max_loss_of": ("a b=1%", "c=2%"), "segment_column": "who"}
    route = route_with(tmp_path, settings=more, by_segment={"a b": 0.01, "c": 0.02})
    found = read_back(calibrate_again(route, tmp_path, kept=tmp_path / "auto.csv"))
    assert found["data"] == "REQUESTS"
    assert (found["max_loss_of"], found["segment_column"]) == (("a b=1%", "c=2%"), "who")


def test_a_tiers_yaml_stays_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    route = route_with(tmp_path / "out", source=Path("conf/tiers.yaml"), tiers=())
    assert read_back(calibrate_again(route, Path("out")))["source"] == Path("conf/tiers.yaml")


def test_judging_has_the_same_columns(tmp_path: Path) -> None:
    found = read_back(evaluate_again(route_with(tmp_path), tmp_path / "route.yaml"), evaluate)
    assert (found["text_column"], found["label_column"], found["id_column"], found["trust"]) == (
        "the question", "intent", "nr", True,
    )  # fmt: skip
    assert found["source"] == tmp_path / "route.yaml"


def test_a_route_that_does_not_say_shows_what_it_knows(tmp_path: Path) -> None:
    route = route_of([tier("small"), tier("large")], [rung(cascade("small", "large"))], margin_of("small"))
    found = read_back(calibrate_again(route, tmp_path))
    assert found["tiers"] == (f"small={tmp_path / 'small.onnx'}", f"large={tmp_path / 'large.onnx'}")
    assert (found["max_loss"], found["confidence"]) == ("0.5%", "95%")


def test_a_route_of_outcomes_wants_another_table(tmp_path: Path) -> None:
    columns = {"acme/small": ("q s", "c"), "large": ("ql", "cl")}
    bare = route_with(tmp_path, source=tmp_path / "o.csv", tiers=(), prices=(), columns=columns)
    found = read_back(calibrate_again(replace(bare, quality="given"), tmp_path))
    assert (found["source"], dict(found["columns"])) == (Path("OUTCOMES"), columns)
    assert "data" not in found and "tiers" not in found


@pytest.mark.parametrize("asked", [True, False])
def test_the_data_of_the_calibration_are_found_again(tmp_path: Path, asked: bool) -> None:
    """From the flags, or from the tiers.yaml, whose paths start at its folder."""
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "tiers.yaml").write_text(
        "schema: farthing/tiers/1\ntiers: [{name: small, source: small/}, {name: large, source: large/}]\n"
        "data: requests.csv\ntext_column: question\nmax_loss: 1%\n"
    )
    more = {"data": tmp_path / "mine.csv"} if asked else {}
    route = route_with(
        tmp_path / "out", source=conf / "tiers.yaml", tiers=(), settings={**more, "text_column": None, "seed": None}
    )
    found = calibration_data(route, tmp_path / "out")
    assert found.data == (tmp_path / "mine.csv" if asked else conf / "requests.csv")
    assert (found.text_column, found.label_column, found.id_column) == ("question", "intent", "nr")
    assert calibration_data(replace(route, asked=()), tmp_path).data is None
