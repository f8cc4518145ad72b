"""``farthing route calibrate`` and ``evaluate``, end to end on small real tiers."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from small_tiers import texts_and_labels, write_requests, write_text_tier, write_tier

import farthing as ft
from farthing.cli.main import cli, main
from farthing.core.route.judging.reports import CalibrationReport
from farthing.core.route.policies import follow
from farthing.core.route.routes import policy_of
from farthing.core.route.scoring.row_scores import row_score
from farthing.errors import DataError, InputError
from farthing.load.route.files import read_predictor
from farthing.load.route.outcomes import read_outcomes
from farthing.load.serve.models import served_models
from farthing.store.artefacts import check_artefact

QUICK = ft.TierSettings(rounds=6, per_round=5)
PRICES = ("small=0.000001/request", "medium=0.00001/request", "large=0.001/request")


@pytest.fixture(scope="module")
def tiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tiers and requests."""
    folder = tmp_path_factory.mktemp("tiers")
    for name, seen in (("small", 14), ("medium", 19), ("large", 24)):
        write_tier(folder / name / "model.onnx", seen=seen, embedding=name == "small")
    write_requests(folder / "calibrate.npz", 2600, 1)
    write_requests(folder / "test.npz", 800, 2)
    write_requests(folder / "unlabelled.npz", 600, 3, labels=False)
    return folder


def named(folder: Path) -> list[str]:
    return [f"{name}={folder / name / 'model.onnx'}" for name in ("small", "medium", "large")]


def quick(out: Path | None = None) -> ft.RunOptions:
    return ft.RunOptions(output_dir=out, tiers=QUICK)


def task_of(folder: Path, **settings: Any) -> ft.RouteTask:
    return ft.RouteTask(tiers=named(folder), prices=PRICES, settings=settings)


@pytest.fixture(scope="module")
def calibrated(tiers: Path) -> tuple[CalibrationReport, Path]:
    out = tiers / "route"
    report = ft.route_calibrate(task_of(tiers, data=tiers / "calibrate.npz", max_loss="2%"), options=quick(out))
    return report, out


def test_calibrating_writes_a_route_that_holds(calibrated: tuple[CalibrationReport, Path]) -> None:
    report, out = calibrated
    route = report.route
    assert route.verdict.outcome == "met"
    assert route.worth_it
    assert route.saving_frac is not None
    assert route.saving_frac.lo > 0
    assert route.n == report.n_choose == 1300
    assert ft.read_route(out / "route.yaml") == route
    assert {p.name for p in out.iterdir()} >= {"route.yaml", "outcomes.parquet", "route.html"}
    assert (out / "route.yaml").parent.joinpath(route.tiers[0].source).is_file()
    assert all(tier.service_ms is not None for tier in route.tiers)


def test_outcomes_and_weights_reproduce_the_rung(calibrated: tuple[CalibrationReport, Path]) -> None:
    """What is written is what was certified: the proving part, followed again, gives the same figures."""
    report, out = calibrated
    file = read_outcomes(out / "outcomes.parquet")
    parts = [row == "prove" for row in _column(out / "outcomes.parquet", "part")]
    scores = {name.partition("@")[0]: s for name, s in file.matrix.scores.items()}
    costs = {spec.name: spec.cost_usd for spec in report.route.scores}
    used = {n: replace(s, cost_usd=costs.get(n, 0.0)) for n, s in scores.items()}
    matrix = replace(file.matrix, scores=used)
    for rung in report.route.ladder:
        seen = follow(policy_of(rung.policy), matrix)
        rows = np.array(parts)
        assert seen.cost_usd[rows].mean() == pytest.approx(rung.cost_usd)
        reference = matrix.quality[rows, matrix.tier(report.route.reference)].mean()
        assert reference - seen.quality[rows].mean() == pytest.approx(rung.loss_frac.value)


def _column(path: Path, name: str) -> list[Any]:
    from farthing.load.tables import read_table

    return list(read_table(path).columns[name])


def test_every_written_score_can_be_served(calibrated: tuple[CalibrationReport, Path]) -> None:
    report, out = calibrated
    for spec in report.route.scores:
        assert spec.cost_usd >= 0
        assert callable(row_score(spec, read_predictor(spec, out)))


def test_the_same_seed_gives_the_same_choice(tiers: Path, calibrated: tuple[CalibrationReport, Path]) -> None:
    task = task_of(tiers, data=tiers / "calibrate.npz", max_loss="2%")
    again = ft.route_calibrate(task, options=quick(tiers / "again"))
    one, two = calibrated[0].route, again.route
    assert [t.name for t in one.tiers] == [t.name for t in two.tiers]
    assert one.ladder[0].loss_frac == two.ladder[0].loss_frac


def test_evaluating_on_new_requests(tiers: Path, calibrated: tuple[CalibrationReport, Path]) -> None:
    report, out = calibrated
    task = ft.RouteTask(source=out / "route.yaml", settings={"data": tiers / "test.npz"})
    found = ft.route_evaluate(task, draws=200, options=quick(tiers / "judged"))
    e = found.evaluation
    assert e.n == 800
    assert e.points[0].policy == policy_of(report.route.ladder[report.route.chosen or 0].policy)
    assert e.points[0].over_random.lo > 0
    assert any("the watch of the loss would compare about" in note and "of 800" in note for note in found.notes)
    assert len(e.points) > len(report.route.ladder)  # the curve of the choosing part
    assert e.points[0].cost_usd.value < e.tiers[-1].cost_usd.value
    assert (tiers / "judged" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert (tiers / "judged" / "curve.svg").read_text().startswith("<svg")
    assert "Content-Security-Policy" in (tiers / "judged" / "evaluation.html").read_text()


def test_a_tier_that_was_changed_is_neither_judged_nor_served(
    tiers: Path, calibrated: tuple[CalibrationReport, Path], tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(calibrated[1], moved / "route")
    for name in ("small", "medium", "large"):
        shutil.copytree(tiers / name, moved / name)
    check = {"cores": 2, "check": check_artefact}
    assert len(served_models([moved / "route" / "route.yaml"], **check)) == 4  # type: ignore[arg-type]
    write_tier(moved / "small" / "model.onnx", seen=15, embedding=True)
    task = ft.RouteTask(source=moved / "route" / "route.yaml", settings={"data": tiers / "test.npz"})
    with pytest.raises(InputError, match=r"'small' .* was changed since the route was calibrated"):
        ft.route_evaluate(task, options=quick())
    with pytest.raises(InputError, match="was changed since the route was calibrated"):
        served_models([moved / "route" / "route.yaml"], **check)  # type: ignore[arg-type]


def test_requests_of_the_calibration_are_refused_or_left_out(
    tiers: Path, calibrated: tuple[CalibrationReport, Path]
) -> None:
    _, out = calibrated
    old, new = np.load(tiers / "calibrate.npz"), np.load(tiers / "test.npz")
    mixed = tiers / "mixed.npz"
    np.savez(mixed, **{k: np.concatenate([old[k][:100], new[k][:400]]) for k in old.files})
    task = ft.RouteTask(source=out / "route.yaml", settings={"data": mixed})
    with pytest.raises(DataError, match=r"100 of 500 requests .* were in the calibration data"):
        ft.route_evaluate(task, options=quick())
    found = ft.route_evaluate(task, drop_known=True, draws=100, options=quick(tiers / "dropped"))
    assert found.evaluation.n == 400
    task = ft.RouteTask(source=out / "route.yaml", settings={"data": tiers / "calibrate.npz"})
    with pytest.raises(DataError, match="all 2,600 requests"):
        ft.route_evaluate(task, drop_known=True, options=quick())


def test_without_labels_and_prices_agreement_and_cpu_time_are_compared(tiers: Path) -> None:
    task = ft.RouteTask(tiers=named(tiers), settings={"data": tiers / "unlabelled.npz", "max_loss": "20%"})
    report = ft.route_calibrate(task, options=quick(tiers / "bare"))
    route = report.route
    assert (route.quality, route.currency) == ("agreement", "cpu_s")
    assert any("no labels" in text for text in route.assumptions)
    assert any("CPU-seconds" in text for text in route.assumptions)
    assert report.judged.evaluation.tiers[-1].cost_usd.value > 0


def test_too_few_requests_are_unproven_with_what_would_settle_it(tiers: Path) -> None:
    path = write_requests(tiers / "few.npz", 200, 4)
    report = ft.route_calibrate(task_of(tiers, data=path, max_loss="0.01%"), options=quick(tiers / "few"))
    assert report.route.verdict.outcome == "unproven"
    assert report.route.chosen is None
    assert report.judged.followed == "always large"
    assert report.route.n_needed is None or report.route.n_needed > 200


def test_when_the_small_tier_costs_as_much_routing_is_not_worth_it(tiers: Path) -> None:
    prices = ("small=0.001/request", "medium=0.001/request", "large=0.001/request")
    task = replace(task_of(tiers, data=tiers / "calibrate.npz", max_loss="2%"), prices=prices)
    report = ft.route_calibrate(task, options=quick(tiers / "dear"))
    assert not report.route.worth_it
    assert "routing is not worth it" in report.route.verdict.reasons[0]


def test_texts_bring_their_own_scores(tiers: Path) -> None:
    for name, seen in (("small", 12), ("large", 24)):
        write_text_tier(tiers / "text" / name, seen=seen)
    rows = texts_and_labels(1000, 5)
    path = tiers / "texts.csv"
    with path.open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["text", "label", "segment"])
        writer.writerows([*((t, y, "short" if len(t) < 20 else "long") for t, y in rows[:-2]), ("", 0, "short")])
    task = ft.RouteTask(
        tiers=[f"{t}={tiers / 'text' / t}" for t in ("small", "large")],
        prices=("small=0.000001/request", "large=0.001/request"),
        settings={"data": path, "max_loss": "5%", "max_loss_of": {"short": "10%"}},
    )
    report = ft.route_calibrate(task, options=quick(tiers / "texts"))
    families = " ".join(c.family for c in report.compared)
    for score in ("brevity", "text_logistic(small)", "logistic(small)", "neighbours(small)", "energy(small)"):
        assert score in families
    assert report.route.by_segment == {"short": 0.1}
    assert any("texts are empty" in note for note in report.route.assumptions)


def test_what_is_refused_before_any_tier_starts(tiers: Path, tmp_path: Path) -> None:
    def run(source: Path | None = None, prices: tuple[str, ...] = PRICES, **given: Any) -> None:
        task = task_of(tiers, **{"data": tiers / "calibrate.npz", **given})
        ft.route_calibrate(replace(task, source=source, prices=prices), options=quick(tmp_path))

    with pytest.raises(InputError, match="no price while others have one"):
        run(prices=PRICES[:1])
    with pytest.raises(InputError, match="none were named"):
        run(data=None)
    with pytest.raises(InputError, match="--reference is 'huge'"):
        run(reference="huge")
    with pytest.raises(DataError, match="no segments"):
        run(max_loss_of={"a": "1%"})
    with pytest.raises(DataError, match="segment '9', which 0 requests have"):
        run(max_loss_of={"9": "1%"}, segment_column="label")
    with pytest.raises(DataError, match="too few for a route"):
        run(data=write_requests(tmp_path / "n.npz", 30, 6))
    np.savez(tmp_path / "one.npz", x=np.zeros((60, 24), np.float32), labels=np.zeros(60, int))
    with pytest.raises(DataError, match="same label"):
        run(data=tmp_path / "one.npz")
    with pytest.raises(InputError, match=r"neither a tiers.yaml nor a file of outcomes"):
        run(source=tiers / "small" / "model.onnx")
    assert not list(tmp_path.glob("route*"))


def test_tiers_that_do_not_belong_together(tiers: Path, tmp_path: Path) -> None:
    write_tier(tmp_path / "other" / "model.onnx", seen=24, classes=6)
    task = ft.RouteTask(
        tiers=[*named(tiers)[:1], f"other={tmp_path / 'other' / 'model.onnx'}"],
        settings={"data": tiers / "unlabelled.npz"},
    )
    with pytest.raises(DataError, match="different numbers of classes"):
        ft.route_calibrate(task, options=quick(tmp_path))
    names = {"a": ("x", "y", "z", "w"), "b": ("x", "y", "z", "v")}
    for tier, labels in names.items():
        write_tier(tmp_path / tier / "model.onnx", seen=24)
        (tmp_path / tier / "config.json").write_text(json.dumps({"id2label": dict(enumerate(labels))}))
    task = replace(task, tiers=[f"{t}={tmp_path / t}" for t in names])
    with pytest.raises(DataError, match="different label sets: only in 'a': 'w'; only in 'b': 'v'"):
        ft.route_calibrate(task, options=quick(tmp_path))


# — outcomes alone ———————————————————————————————————————————————————————————————————————————————————————————————————


def outcomes(path: Path, n: int = 2400, seed: int = 0, first: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    hard = rng.random(n)
    with path.open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["request_id", "text", "q_s", "c_s", "q_l", "c_l", "score:confidence@s", "feature:length"])
        for k in range(n):
            large = int(rng.random() < 0.95)
            small = int(large and rng.random() > 0.4 * hard[k] ** 3)
            row = [f"r{first + k}", f"{first + k} " + "word " * int(1 + 30 * hard[k]), small, 0.001, large, 0.1]
            writer.writerow([*row, 1 - hard[k] + rng.normal(0, 0.05), hard[k]])
    return path


COLUMNS = {"s": ("q_s", "c_s"), "l": ("q_l", "c_l")}


def test_outcomes_alone_are_calibrated_and_judged(tmp_path: Path) -> None:
    path = outcomes(tmp_path / "o.csv")
    task = ft.RouteTask(source=path, columns=COLUMNS, settings={"max_loss": "3%", "reference": "l"})
    report = ft.route_calibrate(task, options=ft.RunOptions(output_dir=tmp_path / "r"))
    assert report.route.verdict.outcome == "met"
    assert report.route.quality == "given"
    assert any("tiers were not run" in text for text in report.route.assumptions)
    families = " ".join(c.family for c in report.compared)
    for score in ("confidence", "brevity", "text_logistic(s)", "feature_logistic(s)"):
        assert score in families
    new = outcomes(tmp_path / "new.csv", seed=1, first=10_000)
    task = ft.RouteTask(source=tmp_path / "r" / "route.yaml", columns=COLUMNS, settings={"data": new})
    found = ft.route_evaluate(task, draws=100)
    assert found.evaluation.n == 2400
    with pytest.raises(DataError, match="were in the calibration data"):
        ft.route_evaluate(replace(task, settings={"data": path}))
    write_requests(tmp_path / "q.npz", 100, 0)
    with pytest.raises(InputError, match="its tiers cannot be run"):
        ft.route_evaluate(replace(task, columns=None, settings={"data": tmp_path / "q.npz"}))


def priced_by_length(path: Path, seed: int, n: int = 3000) -> Path:
    """How sure the small tier is tells how well it answers, the text's length alone what a request costs."""
    rng = np.random.default_rng(seed)
    sure, words = rng.random(n), rng.integers(1, 80, n)
    with path.open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["request_id", "text", "q_s", "c_s", "q_l", "c_l", "score:confidence@s"])
        for k in range(n):
            price = 1e-4 * words[k]
            small = int(rng.random() < 0.5 + 0.45 * sure[k])
            row = [f"{seed}-{k}", f"{seed}-{k} " + "word " * int(words[k]), small, 0.02 * price]
            writer.writerow([*row, int(rng.random() < 0.95), price, sure[k]])
    return path


def test_a_score_of_the_file_is_followed_per_dollar_saved_and_judged_on_another(tmp_path: Path) -> None:
    task = ft.RouteTask(
        source=priced_by_length(tmp_path / "o.csv", 0), columns=COLUMNS, settings={"max_loss": "4%", "reference": "l"}
    )
    route = ft.route_calibrate(task, options=ft.RunOptions(output_dir=tmp_path / "r")).route
    assert route.chosen is not None
    followed = route.ladder[route.chosen].policy
    assert "confidence_per_usd(s)" in followed.scores
    new = priced_by_length(tmp_path / "new.csv", 1)
    judged = ft.RouteTask(source=tmp_path / "r" / "route.yaml", columns=COLUMNS, settings={"data": new})
    assert ft.route_evaluate(judged, draws=100).evaluation.n == 3000


def test_outcomes_alone_are_judged_on_what_nothing_was_chosen_on(tmp_path: Path) -> None:
    task = ft.RouteTask(source=outcomes(tmp_path / "o.csv"), columns=COLUMNS)
    found = ft.route_evaluate(task, draws=200, options=ft.RunOptions(seed=3))
    assert found.evaluation.n == 1200
    assert found.evaluation.best_single == "l"
    assert found.evaluation.area_gain.lo > 0
    assert found.followed == ""


def test_parts_of_a_file_are_kept(tmp_path: Path) -> None:
    path = outcomes(tmp_path / "o.csv")
    first = ft.RouteTask(source=path, columns=COLUMNS, settings={"max_loss": "3%"})
    ft.route_calibrate(first, options=ft.RunOptions(output_dir=tmp_path / "r"))
    task = ft.RouteTask(source=tmp_path / "r" / "outcomes.parquet", settings={"max_loss": "5%"})
    again = ft.route_calibrate(task, options=ft.RunOptions(output_dir=tmp_path / "s", seed=9))
    assert any("parts for choosing and proving are those of the file" in text for text in again.route.assumptions)
    assert _column(tmp_path / "r" / "outcomes.parquet", "part") == _column(tmp_path / "s" / "outcomes.parquet", "part")


def test_outcomes_on_which_nothing_differs(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    rows = "\n".join(f"r{k},1,0.1,1,1" for k in range(60))
    path.write_text(f"id,quality:a,cost_usd:a,quality:b,cost_usd:b\n{rows}\n")
    with pytest.raises(DataError, match="every tier has the quality 1"):
        ft.route_calibrate(path, options=quick(tmp_path))
    with pytest.raises(InputError, match="tiers and prices are those of the file"):
        ft.route_calibrate(ft.RouteTask(source=path, tiers=["a=x"]), options=quick(tmp_path))


# — the command line —————————————————————————————————————————————————————————————————————————————————————————————————


def ran(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_exit_status_and_json(tmp_path: Path) -> None:
    path = outcomes(tmp_path / "o.csv")
    flags = ["--columns", "s=q_s,c_s", "--columns", "l=q_l,c_l", "--out", tmp_path / "r"]
    met = ran("route", "calibrate", path, *flags, "--max-loss", "3%", "--reference", "l", "--json")
    assert met.exit_code == 0, met.output
    said = json.loads(met.stdout)
    assert said["schema"] == "farthing/route-calibration/1"
    assert said["route"]["verdict"]["outcome"] == "met"
    few = outcomes(tmp_path / "few.csv", n=120)
    unproven = ran("route", "calibrate", few, *flags, "--max-loss", "0.1%", "--reference", "l")
    assert unproven.exit_code == 3
    assert "unproven" in unproven.output
    judged = ran("route", "evaluate", path, *flags, "--json", "--draws", "100")
    assert judged.exit_code == 0
    assert json.loads(judged.stdout)["schema"] == "farthing/route-evaluation/1"


def test_bad_input_ends_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["farthing", "route", "calibrate", "--tier", "a=x"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert "needs at least two tiers" in capsys.readouterr().err
