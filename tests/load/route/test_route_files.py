"""route.yaml, tiers.yaml, settings and requests: what is read, and what is refused before any work starts."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from farthing.core.route.outcomes import OutcomeMatrix, Score
from farthing.core.route.routes import Route, RoutedPolicy, Rung, ScoreSpec, Tier
from farthing.core.route.scoring.predictors import Logistic, fit_neighbours
from farthing.errors import DataError, InputError, SchemaError, UnknownOfferError
from farthing.load.route.files import check_tier, read_predictor, read_route, tier_digest
from farthing.load.route.outcomes import read_outcomes
from farthing.load.route.requests import fingerprint_of_text, known_rows, read_requests
from farthing.load.route.settings import RouteSettings, read_settings
from farthing.load.route.tiers import TierPrice, check_tiers, priced, read_tiers_file, tier_of_flag
from farthing.nouns import Candidate, Estimate, LocalModel, Verdict
from farthing.store.routes import write_outcomes, write_route, write_weights


def route(**changes: Any) -> Route:
    policy = RoutedPolicy(
        kind="cascade", tiers=("small", "large"), scores=("margin(small)",), thresholds=(float("-inf"),)
    )
    rung = Rung(
        policy=policy,
        loss_frac=Estimate(value=0.001, lo=-0.001, hi=0.003, n=100, method="exact"),
        cost_usd=1e-6,
        answered_frac={"small": 1.0, "large": 0.0},
        called_frac={"small": 1.0, "large": 0.0},
    )
    facts: dict[str, Any] = {
        "name": "auto",
        "verdict": Verdict(outcome="met"),
        "tiers": tuple(Tier(name=t, source=f"{t}/", usd_per_request=1e-6) for t in ("small", "large")),
        "scores": (ScoreSpec(name="margin(small)", kind="margin", needs=("small",)),),
        "ladder": (rung,),
        "chosen": 0,
        "reference": "large",
        "quality": "accuracy",
        "max_loss_frac": 0.005,
        "confidence": 0.95,
    }
    return Route(**{**facts, **changes})


def test_a_route_survives_its_file(tmp_path: Path) -> None:
    path = write_route(route(), tmp_path / "route.yaml")
    assert path.read_text().startswith("schema: farthing/route/1\n")
    assert read_route(path) == route()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reference": "huge"}, "the reference 'huge' is no tier"),
        ({"chosen": 3}, "chosen is 3; the ladder has 1 rungs"),
        ({"scores": ()}, "rung 0: unknown score 'margin\\(small\\)'"),
        ({"scores": (ScoreSpec(name="margin(small)", kind="margin", needs=("x",)),)}, "needs the unknown tier 'x'"),
        ({"tiers": (Tier(name="large", source="", usd_per_request=0.0),)}, "unknown tier"),
    ],
)
def test_a_route_that_does_not_hang_together_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = write_route(route(**changes), tmp_path / "route.yaml")
    with pytest.raises(SchemaError, match=said):
        read_route(path)


def test_other_files_are_no_routes(tmp_path: Path) -> None:
    path = tmp_path / "route.yaml"
    path.write_text("schema: farthing/plan/1\nx: 1\n")
    with pytest.raises(SchemaError, match="is a plan, not a route"):
        read_route(path)
    path.write_text("schema: farthing/route/1\nname: auto\n")
    with pytest.raises(SchemaError, match="no valid route"):
        read_route(path)


def test_weights_survive_their_file_and_stay_in_the_folder(tmp_path: Path) -> None:
    space = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    found = fit_neighbours(space, np.arange(30) % 2, k=3)
    logistic = Logistic(weights=np.arange(6.0), intercept=-1.5)
    write_weights(tmp_path / "route.npz", {"neighbours(a)": found, "logistic(a)": logistic})
    near = ScoreSpec(name="neighbours(a)", kind="neighbours", needs=("a",), weights="route.npz")
    again = read_predictor(near, tmp_path)
    assert again.score(space) == pytest.approx(found.score(space))  # type: ignore[union-attr]
    odds = read_predictor(ScoreSpec(name="logistic(a)", kind="logistic", weights="route.npz"), tmp_path)
    assert isinstance(odds, Logistic)
    assert odds.intercept == -1.5
    assert read_predictor(ScoreSpec(name="brevity", kind="brevity"), tmp_path) is None
    with pytest.raises(SchemaError, match="has no array 'logistic\\(b\\)/weights'"):
        read_predictor(ScoreSpec(name="logistic(b)", kind="logistic", weights="route.npz"), tmp_path)
    with pytest.raises(SchemaError, match="outside the route's folder"):
        read_predictor(ScoreSpec(name="b", kind="logistic", weights="../route.npz"), tmp_path)
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    with pytest.raises(SchemaError, match="cannot read the weights"):
        read_predictor(ScoreSpec(name="b", kind="logistic", weights="broken.npz"), tmp_path)
    with pytest.raises(SchemaError, match="cannot read the weights"):
        read_predictor(ScoreSpec(name="b", kind="logistic", weights="gone.npz"), tmp_path)


def test_outcomes_survive_their_file(tmp_path: Path) -> None:
    matrix = OutcomeMatrix(
        request_ids=("a", "b"),
        tiers=("small", "large"),
        quality=np.array([[1, 1], [0, 1]]),
        cost_usd=np.array([[1e-9, 1e-6], [1e-9, 1e-6]]),
        segments=("x", "y"),
        scores={"margin(small)": Score(values=np.array([0.5, 0.1]), needs=("small",))},
    )
    path = write_outcomes(tmp_path / "o.parquet", matrix, texts=("one", "two"), marks={"part": ("choose", "prove")})
    found = read_outcomes(path)
    assert found.texts == ("one", "two")
    assert np.array_equal(found.matrix.quality, matrix.quality)
    assert found.matrix.scores["margin(small)@small"].needs == ("small",)


# — tiers ————————————————————————————————————————————————————————————————————————————————————————————————————————————


def test_tiers_of_flags() -> None:
    here, there = tier_of_flag("small=models/s.onnx"), tier_of_flag("large=https://h:8000/v2/models/big")
    assert (here.kind, here.source) == ("model", "models/s.onnx")
    assert (there.kind, there.source, there.model) == ("open_inference", "https://h:8000", "big")
    tiers = priced((here, there), ["large=0.25/Mtoken", "small=$1e-6/request"])
    assert tiers[0].price == TierPrice(usd_per_request=1e-6)
    assert tiers[1].price.usd_per_input_token == pytest.approx(0.25e-6)


@pytest.mark.parametrize(
    ("flags", "prices", "said"),
    [
        (["small"], [], "--tier is 'small'"),
        (["a/b=x"], [], "the name in --tier is 'a/b'"),
        (["a=x", "b=http://"], [], "has the URL"),
        (["a=x"], [], "needs at least two tiers, there are 1"),
        (["a=x", "a=y"], [], "two tiers are named 'a'"),
        (["a=x", "b=http://h"], [], "has no price; a missing price is never taken as 0"),
        (["a=x", "b=http://h"], ["b=0/request"], "must be US dollars > 0"),
        (["a=x", "b=http://h"], ["b=1/day"], "--price is 'b=1/day'"),
        (["a=x", "b=http://h"], ["c=1/request"], "--price names the tier 'c'"),
        (["a=x", "b=http://h"], ["b=1/Mtoken"], "only kind openai says how many tokens"),
    ],
)
def test_tiers_that_are_refused(flags: list[str], prices: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_tiers(priced([tier_of_flag(text) for text in flags], prices))


def tiers_file(folder: Path, text: str) -> Path:
    path = folder / "tiers.yaml"
    path.write_text(f"schema: farthing/tiers/1\n{text}")
    return path


def test_a_tiers_file(tmp_path: Path) -> None:
    text = """
tiers:
  - {name: small, source: s/, max_batch: 4, timeout: 20ms, embedding: pooled}
  - {name: llm, source: "https://h/v1/", kind: openai, model: m, usd_per_input_token: 1.0e-7,
     usd_per_output_token: 4.0e-7, key_env: KEY,
     replicas: [{purchase: spot, count: 2, sla_rps: 50, offer: aws/m7i.large}]}
data: q.csv
max-loss: 1%
"""
    found = read_tiers_file(tiers_file(tmp_path, text))
    small, llm = found.tiers
    assert small.source == str(tmp_path / "s/")
    assert small.options == {"max_batch": "4"}
    assert (small.timeout_s, small.embedding) == (0.02, "pooled")
    assert (llm.source, llm.model, llm.options) == ("https://h/v1", "m", {"key_env": "KEY"})
    assert llm.replicas[0].offer is not None
    assert llm.replicas[0].offer.term == "spot"
    settings = read_settings({"max_loss": None}, found.settings, tmp_path)
    assert settings.data == tmp_path / "q.csv"
    assert settings.max_loss_frac == 0.01


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data: x.csv", "names no tiers"),
        ("tiers: [small]", r"tiers\[0\] of .* is 'small'"),
        ("tiers: [{name: a, sauce: x}]", "unknown key 'sauce'"),
        ("tiers: [{name: a}]", r"tiers\[0\].source of .* is None"),
        ("tiers: [{name: a, source: x, kind: triton}]", "kind is 'triton'"),
        ("tiers: [{name: a, source: x, max_batch: 0}]", r"tiers\[0\].max_batch"),
        ("tiers: [{name: a, source: x, usd_per_request: free}]", "must be US dollars > 0"),
        ("tiers: [{name: a, source: x, replicas: [{count: 1}]}]", r"replicas\[0\] is"),
        ("tiers: [{name: a, source: x, replicas: [{count: 1, sla_rps: 5, purchase: rent}]}]", "purchase is 'rent'"),
    ],
)
def test_tiers_files_that_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_tiers_file(tiers_file(tmp_path, text))


def test_an_offer_of_replicas_must_be_known(tmp_path: Path) -> None:
    text = "tiers: [{name: a, source: x, replicas: [{count: 1, sla_rps: 5, offer: aws/none}]}]"
    with pytest.raises(UnknownOfferError):
        read_tiers_file(tiers_file(tmp_path, text))


# — settings and requests ————————————————————————————————————————————————————————————————————————————————————————————


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    file = {"max_loss": "1%", "confidence": "90%", "data": "a.csv", "max_loss_of": {"rare": "5%"}}
    found = read_settings({"max_loss": "0.2pt", "confidence": None, "max_loss_of": ()}, file, tmp_path)
    assert (found.max_loss_frac, found.confidence, found.by_segment) == (0.002, 0.9, {"rare": 0.05})
    assert read_settings({}) == RouteSettings()
    assert read_settings({"max_loss_of": ("a=b=2%",), "method": "lost-answers"}).by_segment == {"a=b": 0.02}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("max_loss", "0%", "--max-loss"),
        ("max_loss", "5", "--max-loss"),
        ("confidence", "40%", "--confidence"),
        ("max_loss_of", ("x",), "write it as SEGMENT=1%"),
        ("method", "magic", "--method is 'magic'"),
        ("audit_share", "200%", "--audit-share"),
        ("maxloss", "1%", "did you mean max_loss"),
        ("name", "a/b", "--name"),
        ("seed", -1, "--seed"),
    ],
)
def test_settings_that_are_refused(key: str, value: object, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_settings({key: value})
    assert said in str(caught.value)


def table(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(rows) + "\n")
    return path


def test_requests_with_ids_segments_and_odd_texts(tmp_path: Path) -> None:
    path = table(
        tmp_path / "q.csv",
        ["id,text,intent,lang", "a,hello,x,en", "b,,y,de", f"c,{'long ' * 25_000},x,en"],
    )
    found = read_requests(path, segment_column="lang", classes=("x", "y"))
    assert found.ids == ("a", "b", "c")
    assert found.own_ids
    assert found.segments == ("en", "de", "en")
    assert found.dataset.labels == (0.0, 1.0, 0.0)
    assert [note[:9] for note in found.notes] == ["1 of 3 te", "1 of 3 te"]
    assert found.fingerprints[0] == fingerprint_of_text("  HELLO ")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["id,text,intent", "a,x,u", "a,y,v"], "was on line 2 already"),
        (["id,text,intent", "a,x,u", ",y,v"], "id is empty"),
        (["text,intent", "x,u", "y,w"], "has the label 'w', which is none of the"),
        (["text,intent", "x,s", "y,w"], "are no class of the tiers: 's', 'w'"),
        (["text,intent", "x,u", "y,u"], "same label"),
    ],
)
def test_requests_that_are_refused(tmp_path: Path, rows: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_requests(table(tmp_path / "q.csv", rows), classes=("u", "v"))


def test_segments_of_tensors_are_their_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.arange(8.0).reshape(4, 2), labels=np.array([0, 1, 1, 0]))
    assert read_requests(tmp_path / "t.npz", segment_column="label").segments == ("0", "1", "1", "0")
    with pytest.raises(DataError, match="has no column 'lang'"):
        read_requests(tmp_path / "t.npz", segment_column="lang")


def test_known_requests_are_found_by_id_and_content() -> None:
    marks = [fingerprint_of_text(t) for t in ("one", "two", "three")]
    assert known_rows(("a", "b", "c"), marks, ("c",), [marks[0]]).tolist() == [True, False, True]
    assert known_rows((), marks, (), [fingerprint_of_text("TWO")]).tolist() == [False, True, False]


def test_written_yaml_is_plain(tmp_path: Path) -> None:
    path = write_route(route(), tmp_path / "route.yaml")
    assert yaml.safe_load(path.read_text())["ladder"][0]["policy"]["thresholds"] == ["-inf"]


def test_a_digest_covers_weights_that_lie_beside_the_model(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.ones((2, 3), dtype=np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    candidate = Candidate(engine="onnxruntime", variant="fp32", precision="fp32")
    served = LocalModel(name="small", path=path, candidate=candidate)
    before = tier_digest(served)
    assert tier_digest(served) == before
    (tmp_path / "weights.bin").write_bytes(np.full((2, 3), 2, dtype=np.float32).tobytes())
    assert tier_digest(served) != before


def test_a_tier_is_what_it_answers_and_older_digests_still_hold(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"1")
    candidate = Candidate(engine="onnxruntime", variant="fp32", precision="fp32")
    served = LocalModel(name="small", path=path, candidate=candidate, classes=("a", "b"))
    tier = Tier(name="small", source="model.onnx", usd_per_request=1.0, sha256=tier_digest(served))
    check_tier(tier, served)
    for other in (
        replace(served, classes=("b", "a")),
        replace(served, pipeline=replace(served.pipeline, mean=(0.5,))),
    ):
        with pytest.raises(InputError, match="was changed since the route was calibrated"):
            check_tier(tier, other)
    old = hashlib.sha256(hashlib.sha256(b"1").hexdigest().encode()).hexdigest()
    check_tier(replace(tier, sha256=old), served)
    path.write_bytes(b"2")
    with pytest.raises(InputError, match="was changed since the route was calibrated"):
        check_tier(replace(tier, sha256=old), served)


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        ("usd_per_cached_input_token: 1.0e-7", "there is no usd_per_input_token"),
        ("usd_per_input_token: 1.0e-7, usd_per_cached_input_token: 2.0e-7", "cached tokens cost no more than others"),
        ("usd_per_input_token: 1.0e-7, usd_per_cached_input_token: '1,0e-8'", "must be US dollars > 0"),
    ],
)
def test_prices_of_cached_tokens(tmp_path: Path, prices: str, said: str) -> None:
    path = tmp_path / "tiers.yaml"
    entry = '{name: llm, source: "https://h/v1", kind: openai, usd_per_output_token: 4.0e-7, %s}'
    path.write_text(f"schema: farthing/tiers/1\ntiers: [{entry % prices}]\n")
    with pytest.raises(InputError, match=said):
        read_tiers_file(path)
    path.write_text(f"schema: farthing/tiers/1\ntiers: [{entry % prices.replace('2.0e-7', '1.0e-8')}]\n")
    if "2.0e-7" in prices:
        assert read_tiers_file(path).tiers[0].price.usd_per_cached_input_token == 1e-8
