"""``farthing route attach``: a route of outcomes alone, followed by a real server over chat end points and models."""

from __future__ import annotations

import csv
import json
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import real_server as running
from click.testing import CliRunner
from end_points import answering
from small_tiers import CLASSES, WORDS, write_requests, write_text_tier, write_tier

import farthing as ft
from farthing.cli.main import cli
from farthing.core.route.policies import FixedTier, PreRoute
from farthing.core.route.routes import Route, ScoreSpec, policy_of
from farthing.core.route.scoring.all_scores import compute
from farthing.core.route.scoring.row_scores import row_score
from farthing.errors import FarthingError, InputError
from farthing.load.route.files import read_predictor
from farthing.load.serve.models import served_models
from farthing.store.artefacts import check_artefact
from farthing.store.ledger import read_ledger
from farthing.store.routes import write_route

SMALL, LARGE = "acme/small:8x7b", "large"


def texts(n: int, seed: int) -> list[str]:
    """Short ones, which the small tier suffices for, and long ones with digits, which it does not."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(n):
        hard = rng.random() < 0.4
        words = rng.choice(WORDS, size=rng.integers(8, 24) if hard else rng.integers(1, 8))
        found.append(f"{seed}.{k} " + " ".join(words) + ("? ü" if hard else ""))
    return found


def outcomes(path: Path, small: str = SMALL, *, column: str = "", seed: int = 0) -> Path:
    """A table of outcomes of 3,000 texts; ``column`` holds a good score as the table's own."""
    rng = np.random.default_rng([seed, 1])
    head = ["request_id", "text"] + [f"{what}:{tier}" for tier in (small, LARGE) for what in ("quality", "cost_usd")]
    with path.open("w", newline="") as f:
        out = csv.writer(f)
        out.writerow(head + ([column] if column else []))
        for k, text in enumerate(texts(3000, seed)):
            right = rng.random() < (0.5 if "?" in text else 0.98)
            row = [f"{seed}.{k}", text, int(right), 1e-4, int(rng.random() < 0.97), 1e-2]
            out.writerow(row + ([right + rng.normal(0, 0.05)] if column else []))
    return path


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A route that rests on outcomes, without places."""
    folder = tmp_path_factory.mktemp("outcomes")
    task = ft.RouteTask(source=outcomes(folder / "o.csv"), settings={"max_loss": "3%"})
    report = ft.route_calibrate(task, options=ft.RunOptions(output_dir=folder / "route"))
    assert report.route.chosen is not None
    return folder / "route"


@pytest.fixture
def route(bare: Path, tmp_path: Path) -> Path:
    shutil.copytree(bare, tmp_path / "route")
    return tmp_path / "route"


@pytest.fixture
def chat() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A chat end point of two models, each of which repeats the text under its own name; what it was asked."""
    asked: list[tuple[str, str]] = []
    lock = threading.Lock()

    def reply(path: str, document: Any) -> tuple[int, Any]:
        if document is None:
            return 200, {"data": []}
        text = document["messages"][-1]["content"]
        with lock:
            asked.append((document["model"], text))
        used = {"prompt_tokens": len(text), "completion_tokens": 2}
        said = f"{document['model']} says {text}"
        return 200, {"choices": [{"message": {"content": said}}], "usage": used}

    with answering(reply) as url:
        yield f"{url}/v1/chat/completions", asked


def offline(folder: Path, asked: list[str]) -> tuple[np.ndarray, list[str]]:
    """Scores and tiers as they come out of the texts alone, by the code that calibrated."""
    found = ft.read_route(folder / "route.yaml")
    assert found.chosen is not None
    policy = policy_of(found.ladder[found.chosen].policy)
    if isinstance(policy, FixedTier):
        return np.full(len(asked), np.nan), [policy.tier] * len(asked)
    assert isinstance(policy, PreRoute)
    spec = next(s for s in found.scores if s.name == policy.score)
    values = compute(spec, (), asked, read_predictor(spec, folder))
    return values, [policy.tiers[sum(value < x for x in policy.thresholds)] for value in values]


def infer(served: running.Served, words: list[str]) -> dict[str, Any]:
    body = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [len(words)], "data": words}]}
    status, said = served.request("POST", "/v2/models/auto/infer", body)
    assert status == 200, said
    return said


def scores_in(ledger: Path) -> list[float]:
    """By the client's own request id; requests without one are left out."""
    rows = [row for row in read_ledger(ledger, "requests").to_pylist() if row["model"] == "auto" and row["request_id"]]
    return [row["route_score"] for row in sorted(rows, key=lambda row: row["request_id"])]


@pytest.mark.slow
def test_chat_end_points_answer_as_the_texts_alone_decide(
    route: Path, chat: tuple[str, list[tuple[str, str]]], tmp_path: Path
) -> None:
    url, asked = chat
    ft.route_attach(route, {SMALL: url, LARGE: url}, chat={SMALL: "little", LARGE: "big"})
    words = texts(120, 5)
    values, tiers = offline(route, words)
    assert set(tiers) == {SMALL, LARGE}
    served = running.start(route, "--ledger", tmp_path / "ledger")
    try:
        for k, (text, tier) in enumerate(zip(words, tiers, strict=True)):
            body = {"id": f"{k:03d}", "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}]}
            status, said = served.request("POST", "/v2/models/auto/infer", body)
            assert status == 200, said
            assert said["parameters"]["route_tier"] == tier
            assert said["outputs"][0]["data"] == [f"{'little' if tier == SMALL else 'big'} says {text}"]
        together = infer(served, words[:12])
        assert together["parameters"]["route_tier"].split(", ") == tiers[:12]
        assert [said.partition(" says ")[2] for said in together["outputs"][0]["data"]] == words[:12]
        assert any("route over" in line for line in served.lines)
    finally:
        assert served.stop() == 0, served.lines
    models = {SMALL: "little", LARGE: "big"}
    assert asked[:120] == [(models[tier], text) for tier, text in zip(tiers, words, strict=True)]
    assert np.array(scores_in(tmp_path / "ledger")).tobytes() == values.tobytes()  # bit for bit


@pytest.mark.parametrize("kind", ["brevity", "logistic"])
def test_a_score_of_the_text_is_one_number_wherever_it_is_computed(bare: Path, kind: str) -> None:
    spec = next((s for s in ft.read_route(bare / "route.yaml").scores if s.kind == kind), None)
    spec = spec or ScoreSpec(name=kind, kind="brevity")
    words = [*texts(2000, 9), "", "?", "ü" * 5000]
    predictor = read_predictor(spec, bare)
    one = row_score(spec, predictor)
    assert spec.from_request
    rows = np.array([one([], text) for text in words])
    assert rows.tobytes() == compute(spec, (), words, predictor).tobytes()


def test_local_models_and_a_chat_end_point_answer_the_same_classes(
    route: Path, tmp_path: Path, chat: tuple[str, list[tuple[str, str]]]
) -> None:
    small = write_text_tier(tmp_path / "models" / "small", seen=14)
    names = [f"class {k}" for k in range(CLASSES)]
    (small / "config.json").write_text(json.dumps({"id2label": dict(enumerate(names))}))

    def reply(path: str, document: Any) -> tuple[int, Any]:
        if document is None:
            return 200, {}
        assert "class 0, class 1" in document["messages"][0]["content"]
        return 200, {"choices": [{"message": {"content": "Class 3."}}]}

    with answering(reply) as url:
        done = ft.route_attach(route, [f"{SMALL}={small}", f"{LARGE}={url}"], chat={LARGE: "big"})
        assert done.route.classes == tuple(names)
        assert done.route.tiers[0].sha256
        words = texts(60, 6)
        _, tiers = offline(route, words)
        served = running.start(route)
        try:
            said = infer(served, words[:8]), [infer(served, [text]) for text in words]
        finally:
            assert served.stop() == 0, served.lines
    assert said[0]["parameters"]["route_tier"].split(", ") == tiers[:8]
    for answer, tier in zip(said[1], tiers, strict=True):
        assert answer["parameters"]["route_tier"] == tier
        assert answer["outputs"][0]["shape"] == [1, CLASSES]
        assert tier == SMALL or answer["outputs"][0]["data"] == [0, 0, 0, 1]


def test_what_attaching_stores_and_what_it_assumes(route: Path, tmp_path: Path) -> None:
    before = ft.read_route(route / "route.yaml")
    small = write_text_tier(tmp_path / "small", seen=10)
    done = ft.route_attach(route, {SMALL: str(small), LARGE: "http://10.0.0.7:8000/v2/models/m"}, timeout={LARGE: "5s"})
    after = ft.read_route(route / "route.yaml")
    assert after == done.route
    assert (after.ladder, after.chosen, after.saving_frac) == (before.ladder, before.chosen, before.saving_frac)
    assert [t.usd_per_request for t in after.tiers] == [t.usd_per_request for t in before.tiers]
    one, other = after.tiers
    assert (route / one.source).resolve() == small.resolve()
    assert (other.kind, other.source, other.model, other.timeout_s) == (
        "open_inference", "http://10.0.0.7:8000", "m", 5.0,
    )  # fmt: skip
    assert after.monitoring.audit_frac == 0
    assert after.monitoring.score_quantiles == before.monitoring.score_quantiles
    said = [text for text in after.assumptions if text.startswith("attached: ")]
    assert "none of them was asked" in said[0] and "what the table says" in said[1] and "not audited" in said[2]
    write_text_tier(small, seen=11)
    with pytest.raises(InputError, match="was changed"):
        served_models([route], cores=1, check=check_artefact)


def test_a_tier_that_has_a_place_keeps_it(route: Path) -> None:
    """Attaching again replaces what is named, and says what is assumed once."""
    ft.route_attach(route, {SMALL: "http://a:1", LARGE: "http://b:1"})
    done = ft.route_attach(route, {LARGE: "http://c:1/v1/chat/completions"}, chat={LARGE: "big"})
    assert [t.source for t in done.route.tiers] == ["http://a:1", "http://c:1/v1"]
    assert done.named == (LARGE,)
    said = [text for text in done.route.assumptions if "none of them was asked" in text]
    assert len(said) == 1 and "http://a:1" in said[0] and "http://c:1" in said[0]


def test_another_folder_gets_all_that_the_route_needs(route: Path, tmp_path: Path) -> None:
    before = (route / "route.yaml").read_bytes()
    small = write_text_tier(tmp_path / "small", seen=10)
    large = write_text_tier(tmp_path / "large", seen=24)
    elsewhere = ft.RunOptions(output_dir=tmp_path / "there" / "served")
    ft.route_attach(route, {SMALL: str(small), LARGE: str(large)}, options=elsewhere)
    assert (route / "route.yaml").read_bytes() == before
    shutil.rmtree(route)
    models = served_models([tmp_path / "there" / "served"], cores=1, check=check_artefact)
    assert [m.name for m in models] == ["acme-small-8x7b", "large", "auto"]
    assert (tmp_path / "there" / "served" / "outcomes.parquet").is_file()


@pytest.mark.parametrize(
    ("places", "more", "said"),
    [
        ({SMALL: "http://a"}, {}, r"no place of the tier 'large'"),
        ({}, {}, r"no place of the tiers 'acme/small:8x7b', 'large'"),
        ({SMALL: "http://a", "larg": "http://b"}, {}, r"no tier 'larg'[\s\S]*acme/small:8x7b, large"),
        ([f"{SMALL}=http://a", f"{SMALL}=http://b", f"{LARGE}=http://c"], {}, "two places"),
        ([SMALL], {}, "write it as TIER=PLACE"),
        ({SMALL: "http://a/v1/chat/completions", LARGE: "http://b"}, {}, r"is not named[\s\S]*--chat acme/small"),
        ({SMALL: "x.onnx", LARGE: "http://b"}, {"chat": {SMALL: "m"}}, "no URL of chat"),
        ({SMALL: "http://a", LARGE: "http://b"}, {"key_env": {SMALL: "K"}}, "no chat model"),
        (
            {SMALL: "http://a/v1", LARGE: "http://b"},
            {"chat": {SMALL: "m"}, "key_env": {SMALL: "K"}},
            "the key in K to http://a/v1 in clear text",
        ),
        ({SMALL: "http://a", LARGE: "http://b"}, {"chat": {"who": "m"}}, "no tier 'who'"),
        ({SMALL: "http://a", LARGE: "http://b"}, {"timeout": {SMALL: "5 parsecs"}}, "--timeout"),
        ({SMALL: "nowhere.onnx", LARGE: "http://b"}, {}, "nowhere"),
        ({SMALL: "http://", LARGE: "http://b"}, {}, "http://host:port"),
        ({SMALL: "http://a:port", LARGE: "http://b"}, {}, "http://host:port"),
        ({SMALL: "http://me:secret@a", LARGE: "http://b"}, {}, "without user names"),
    ],
)
def test_places_that_are_refused(route: Path, places: Any, more: Any, said: str) -> None:
    before = (route / "route.yaml").read_bytes()
    with pytest.raises(FarthingError) as e:
        ft.route_attach(route, places, **more)
    assert re.search(said, f"{e.value.message}\n{e.value.hint}")
    assert (route / "route.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("tier", "said"),
    [
        ("usd_per_request: 0.1", "what a request costs is what the outcomes say"),
        ("usd_per_input_token: 1.0e-6, usd_per_output_token: 4.0e-6, kind: open_inference", "priced by token"),
        ("usd_per_input_token: 1.0e-6, kind: openai", "has usd_per_input_token and no usd_per_output_token"),
        ("embedding: pooled", "no score that is served reads it"),
        ("kind: openai, prompt: 'one of {classes}'", "write their names out"),
    ],
)
def test_what_a_file_of_places_may_not_say(route: Path, tmp_path: Path, tier: str, said: str) -> None:
    file = tmp_path / "tiers.yaml"
    file.write_text(f"schema: farthing/tiers/1\ntiers:\n  - {{name: {LARGE}, source: 'http://b', {tier}}}\n")
    with pytest.raises(FarthingError) as e:
        ft.route_attach(route, {SMALL: "http://a"}, tiers=file)
    assert said in f"{e.value.message}\n{e.value.hint}"


def test_tokens_are_charged_as_stated(route: Path, tmp_path: Path, chat: tuple[str, list[tuple[str, str]]]) -> None:
    url, _ = chat
    base = url.removesuffix("/chat/completions")
    file = tmp_path / "tiers.yaml"
    file.write_text(
        "schema: farthing/tiers/1\ntiers:\n"
        f"  - {{name: '{SMALL}', source: '{base}', kind: openai, model: little}}\n"
        f"  - {{name: {LARGE}, source: '{base}', kind: openai, model: big, prompt: Be brief.,"
        " usd_per_input_token: 0.001, usd_per_output_token: 0.002}\n"
    )
    done = ft.route_attach(route, tiers=file)
    assert any("charged by the tokens" in text for text in done.route.assumptions)
    long = next(text for text, tier in zip(texts(40, 7), offline(route, texts(40, 7))[1], strict=True) if tier == LARGE)
    served = running.start(route, "--ledger", tmp_path / "ledger")
    try:
        infer(served, [long])
    finally:
        served.stop()
    (row,) = [r for r in read_ledger(tmp_path / "ledger", "requests").to_pylist() if r["model"] == "auto"]
    assert row["cost_usage_nusd"] == pytest.approx(1e9 * (0.001 * len(long) + 0.002 * 2))


# — scores that no server can compute ——————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("score:guess", "guess was a column of the table: a server cannot compute it"),
        (f"score:margin@{SMALL}", f"of the answers of {SMALL}: a server lacks it"),
        ("feature:guess", "reads columns of the table (guess)"),
    ],
)
def test_a_score_that_only_the_table_has_is_refused(tmp_path: Path, column: str, said: str) -> None:
    table = outcomes(tmp_path / "o.csv", column=column)
    task = ft.RouteTask(source=table, settings={"max_loss": "3%"})
    report = ft.route_calibrate(task, options=ft.RunOptions(output_dir=tmp_path / "route"))
    assert report.route.chosen is not None
    with pytest.raises(InputError) as e:
        ft.route_attach(tmp_path / "route", {SMALL: "http://a", LARGE: "http://b"})
    assert said in e.value.message
    assert "could be served: calibrate again" in e.value.hint


def test_other_proven_policies_that_cannot_be_served_are_left_out(route: Path) -> None:
    found = ft.read_route(route / "route.yaml")
    assert found.chosen is not None
    mine = found.ladder[found.chosen]
    other = replace(mine, policy=replace(mine.policy, scores=("guess",)))
    specs = (*found.scores, ScoreSpec(name="guess", kind="given"))
    changed = replace(found, ladder=(other, *found.ladder), chosen=found.chosen + 1, scores=specs)
    write_route(changed, route / "route.yaml")
    done = ft.route_attach(route, {SMALL: "http://a", LARGE: "http://b"})
    assert (done.route.ladder, done.route.chosen, done.route.scores) == (found.ladder, found.chosen, found.scores)
    assert len(done.left_out) == 1 and "guess" in done.left_out[0]
    served_models([route], cores=1, check=check_artefact)


# — routes whose tiers were run ————————————————————————————————————————————————————————————————————————————————————————


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Route]:
    folder = tmp_path_factory.mktemp("tiers")
    for name, seen in (("small", 18), ("large", 24)):
        write_tier(folder / name / "model.onnx", seen=seen)
    task = ft.RouteTask(
        tiers=[f"{name}={folder / name / 'model.onnx'}" for name in ("small", "large")],
        prices=["small=0.000001/request", "large=0.001/request"],
        settings={"data": write_requests(folder / "calibrate.npz", 900, 1), "max_loss": "5%"},
    )
    quick = ft.TierSettings(rounds=4, per_round=3)
    report = ft.route_calibrate(task, options=ft.RunOptions(output_dir=folder / "route", tiers=quick))
    return folder, report.route


def test_a_tier_that_was_run_may_move_but_not_change(calibrated: tuple[Path, Route], tmp_path: Path) -> None:
    folder, before = calibrated
    shutil.copytree(folder / "large", tmp_path / "moved")
    place = {"large": str(tmp_path / "moved" / "model.onnx")}
    done = ft.route_attach(folder / "route", place, options=ft.RunOptions(output_dir=tmp_path / "out"))
    assert done.route.tiers[1].sha256 == before.tiers[1].sha256
    assert done.route.monitoring == before.monitoring
    served_models([tmp_path / "out"], cores=1, check=check_artefact)
    with pytest.raises(InputError, match="was changed"):
        ft.route_attach(folder / "route", {"large": str(folder / "small" / "model.onnx")})
    with pytest.raises(InputError, match="cannot be known"):
        ft.route_attach(folder / "route", {"large": "http://a"})


def test_running_tiers_have_no_quality_of_a_table(route: Path, tmp_path: Path) -> None:
    ft.route_attach(route, {SMALL: "http://a", LARGE: "http://b"})
    (tmp_path / "new.csv").write_text("text,label\n" + "a,b\n" * 50)
    task = ft.RouteTask(source=route / "route.yaml", settings={"data": tmp_path / "new.csv"})
    with pytest.raises(InputError, match="no such quality"):
        ft.route_evaluate(task)
    judged = ft.route_evaluate(replace(task, settings={"data": outcomes(tmp_path / "more.csv", seed=3)}), draws=100)
    assert judged.followed


# — the command ————————————————————————————————————————————————————————————————————————————————————————————————————————


def test_the_command_says_where_and_what_is_assumed(route: Path) -> None:
    words = ["route", "attach", str(route), f"{SMALL}=https://a/v1", f"{LARGE}=http://b:8000", "--chat", f"{SMALL}=m"]
    done = CliRunner().invoke(cli, [*words, "--key-env", f"{SMALL}=A_KEY"])
    assert done.exit_code == 0, done.output
    flat = " ".join(done.output.split())
    assert "chat with m, key in A_KEY" in flat and "the model large" in flat
    assert "farthing serve" in flat and "--key-env A_KEY" in flat
    assert "none of them was asked" in flat
    as_json = CliRunner().invoke(cli, [*words, "--json"])
    said = json.loads(as_json.stdout)
    assert said["schema"] == "farthing/route-attached/1"
    assert [tier["kind"] for tier in said["route"]["tiers"]] == ["openai", "open_inference"]


def test_a_route_without_places_says_how_it_gets_them(route: Path) -> None:
    with pytest.raises(InputError) as e:
        served_models([route], cores=1, check=check_artefact)
    assert "farthing route attach" in e.value.hint and f"{SMALL}=PLACE {LARGE}=PLACE" in e.value.hint


def test_a_rate_that_was_planned_for_other_places_is_left_out(tmp_path: Path) -> None:
    from farthing.core.route.attaching import attached
    from farthing.core.route.planned_rate import PlannedRate
    from farthing.core.route.routes import Tier
    from farthing.nouns import LatencyBound, Verdict

    tiers = tuple(Tier(name=name, source=f"{name}/", usd_per_request=1e-6) for name in ("small", "large"))
    rate = PlannedRate(
        bound=LatencyBound(ms=50.0), verdict=Verdict(outcome="not_met"), rate_rps=None, kept_rps=None, headroom=1.1
    )
    route = Route(
        name="auto", verdict=Verdict(outcome="met"), tiers=tiers, scores=(), ladder=(), chosen=None,
        reference="large", quality="given", max_loss_frac=0.01, confidence=0.95, planned_rate=rate,
    )  # fmt: skip
    assert attached(route, tiers, ["small"], ()).route.planned_rate is None
