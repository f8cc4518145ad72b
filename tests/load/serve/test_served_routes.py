"""A route as the server takes it, and what is refused before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_traffic import OFFER
from small_route import cascade, margin_of, route_of, rung, tier, write_simple, write_tier

from farthing.core.route.routes import Route, RoutedPolicy, ScoreSpec, TierReplicas
from farthing.core.route.scoring.predictors import Logistic
from farthing.core.route.served import RoutedModel, Served, UpstreamModel
from farthing.errors import InputError, SchemaError, TrustError
from farthing.load.serve.models import served_models
from farthing.load.wishes import read_wishes
from farthing.nouns import LocalModel
from farthing.store.artefacts import check_artefact
from farthing.store.routes import write_route, write_weights

SPOT = replace(OFFER, term="spot", usd_per_hour=0.04, interruptions_per_hour=0.02)


def read(path: Path, *, wishes: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Served]:
    found = served_models([path], cores=2, check=check_artefact, wishes=read_wishes(wishes or {}), **more)
    return {model.name: model for model in found}


def route_at(path: Path) -> RoutedModel:
    (route,) = [m for m in read(path).values() if isinstance(m, RoutedModel)]
    return route


def written(folder: Path, route: Route) -> Path:
    for t in route.tiers:
        if t.kind == "model":
            write_tier(folder / f"{t.name}.onnx", 0.0)
    return write_route(route, folder / "route.yaml")


def of_large(**more: Any) -> Route:
    return route_of([tier("small"), tier("large", **more)], [rung(cascade("small", "large"))], margin_of("small"))


def test_tiers_come_first_then_the_route(tmp_path: Path) -> None:
    path = write_simple(tmp_path, "small", "large")
    assert list(read(path)) == ["small", "large", "auto"]
    assert list(read(tmp_path)) == ["small", "large", "auto"]  # its folder
    route = route_at(path)
    assert [place.model for places in route.places.values() for place in places] == ["small", "large"]
    assert route.classes == ("a", "b", "c")
    assert route.origin == path


def test_a_name_is_the_routes_and_other_wishes_its_tiers(tmp_path: Path) -> None:
    found = read(write_simple(tmp_path, "small", "large"), wishes={"name": "mine", "max_batch": 3, "deadline": "50ms"})
    assert list(found) == ["small", "large", "mine"]
    assert found["small"].max_batch == found["mine"].max_batch == 3
    assert found["mine"].deadline_s == 0.05


def test_options_are_those_of_a_serve_file(tmp_path: Path) -> None:
    found = read(written(tmp_path, of_large(options={"instances": "2", "max_batch": "4", "max_delay": "2ms"})))
    large = found["large"]
    assert isinstance(large, LocalModel)
    assert (large.candidate.instances, large.candidate.max_batch) == (2, 4)
    assert large.max_delay_s == 0.002
    assert found["auto"].max_batch == 4
    with pytest.raises(InputError, match="unknown key 'colour' in options of the tier large"):
        read(written(tmp_path, of_large(options={"colour": "red"})))


def test_places_on_demand_come_before_those_on_spot(tmp_path: Path) -> None:
    replicas = (
        TierReplicas(purchase="spot", count=3, sla_rps=40.0, offer=SPOT, url="http://10.0.0.9:8000"),
        TierReplicas(purchase="spot", count=2, sla_rps=30.0),
        TierReplicas(purchase="on_demand", count=1, sla_rps=50.0, offer=OFFER),
    )
    path = written(tmp_path, of_large(replicas=replicas))
    found, places = read(path), route_at(path).places["large"]
    assert [p.model for p in places] == ["large", "large.spot", "large.1"]
    assert [p.purchase for p in places] == ["on_demand", "spot", "spot"]
    assert [p.capacity_rps for p in places] == [50.0, 60.0, 120.0]
    assert [p.usd_per_row for p in places] == [None, None, pytest.approx(0.04 / 3600 / 40)]
    assert found["large.spot"].candidate.instances == 2
    assert found["large"].offer == OFFER
    remote = found["large.1"]
    assert isinstance(remote, UpstreamModel)
    assert (remote.url, remote.remote_name, remote.kind) == ("http://10.0.0.9:8000", "large", "open_inference")


def test_a_tier_with_replicas_elsewhere_alone_is_not_loaded_here(tmp_path: Path) -> None:
    there = TierReplicas(purchase="on_demand", count=1, sla_rps=50.0, url="http://10.0.0.9:8000")
    found = read(written(tmp_path, of_large(replicas=(there,))))
    assert isinstance(found["large"], UpstreamModel)


def keyed(url: str, key_env: str = "HOME_TOKEN", **more: object) -> Route:
    chat = tier("large", url, kind="openai", model="m", options={"key_env": key_env}, **more)
    return route_of([tier("small"), chat], [rung(cascade("small", "large"))], margin_of("small"))


def test_a_route_sends_no_environment_variable_without_the_users_word(tmp_path: Path) -> None:
    path = written(tmp_path, keyed("https://collector.example/v1"))
    for allowed in ({}, {"keys": {"ANOTHER"}}):
        with pytest.raises(TrustError, match=r"the tier large of .*HOME_TOKEN sent to https://collector.example/v1"):
            read(path, **allowed)
    for allowed in ({"keys": {"HOME_TOKEN"}}, {"trust": True}):
        assert read(path, **allowed)["large"].options["key_env"] == "HOME_TOKEN"


@pytest.mark.parametrize("url", ["http://collector.example/v1", "http://10.0.0.7/v1", "http://localhost.example/v1"])
def test_a_key_goes_nowhere_in_clear_text_whoever_is_trusted(tmp_path: Path, url: str) -> None:
    for allowed in ({"keys": {"HOME_TOKEN"}}, {"trust": True}):
        with pytest.raises(InputError, match="in clear text"):
            read(written(tmp_path, keyed(url)), **allowed)
    for near in ("http://127.0.0.1:9/v1", "http://localhost:9/v1", "http://[::1]:9/v1"):
        assert read(written(tmp_path, keyed(near)), keys={"HOME_TOKEN"})["large"].url == near


def test_a_key_does_not_reach_a_replica_elsewhere_either(tmp_path: Path) -> None:
    spare = TierReplicas(purchase="spot", count=1, sla_rps=50.0, url="http://elsewhere.example/v1")
    with pytest.raises(InputError, match=r"elsewhere\.example/v1 in clear text"):
        read(written(tmp_path, keyed("https://api.example/v1", replicas=(spare,))), trust=True)


def test_forwarded_tiers(tmp_path: Path) -> None:
    chat = tier(
        "large", "https://api.example/v1/", kind="openai", model="m", timeout_s=2.0,
        options={"key_env": "KEY", "concurrency": "7", "prompt": "say {classes}"},
    )  # fmt: skip
    route = route_of([tier("small"), chat], [rung(cascade("small", "large"))], margin_of("small"))
    large = read(written(tmp_path, route), keys={"KEY"})["large"]
    assert isinstance(large, UpstreamModel)
    assert (large.url, large.remote_name, large.timeout_s) == ("https://api.example/v1", "m", 2.0)
    assert (large.concurrency, large.classes) == (7, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source": "ftp://x"}, "is forwarded to 'ftp://x'"),
        ({"source": "http://user:pw@x"}, "is forwarded to"),
        ({"options": {"colour": "red"}}, "has the option 'colour'"),
        ({"options": {"concurrency": "0"}}, "concurrency of the tier large is '0'"),
    ],
)
def test_forwards_that_are_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    far = replace(tier("large", "http://x", kind="open_inference"), **change)
    route = route_of([tier("small"), far], [rung(cascade("small", "large"))], margin_of("small"))
    with pytest.raises(InputError, match=said):
        read(written(tmp_path, route))


@pytest.mark.parametrize(
    "given",
    [
        {"usd_per_input_token": 1e-6}, {"usd_per_output_token": 4e-6}, {"usd_per_cached_input_token": 1e-7},
        {"usd_per_input_token": 1e-6, "usd_per_cached_input_token": 1e-7},
    ],
)  # fmt: skip
def test_a_price_of_one_direction_does_not_make_the_other_free(tmp_path: Path, given: dict[str, float]) -> None:
    there: dict[str, Any] = {"source": "http://h/v1", "kind": "openai", "model": "m"}
    both = {"usd_per_input_token": 1e-6, "usd_per_output_token": 4e-6}
    path = written(tmp_path, replace(of_large(**there, **given), classes=("a", "b", "c")))
    with pytest.raises(
        InputError, match=r"the tier 'large' has usd_per_.* and no usd_per_.*_token; a missing price is"
    ):
        read(path)
    route = route_at(written(tmp_path, replace(of_large(**there, **both), classes=("a", "b", "c"))))
    assert route.places["large"][0].usd_per_token == (1e-6, 4e-6)


def test_a_chat_tier_needs_names_of_classes(tmp_path: Path) -> None:
    far = tier("large", "http://x", kind="openai")
    route = replace(route_of([tier("small"), far], [rung(cascade("small", "large"))], margin_of("small")), classes=())
    with pytest.raises(InputError, match="answers names of classes"):
        read(written(tmp_path, route))


def test_a_score_that_was_given_cannot_be_served(tmp_path: Path) -> None:
    policy = RoutedPolicy(kind="pre_route", tiers=("small", "large"), scores=("difficulty",), thresholds=(0.5,))
    given = ScoreSpec(name="difficulty", kind="given")
    route = route_of([tier("small"), tier("large")], [rung(policy)], (given,))
    with pytest.raises(InputError, match="routes by difficulty, a column of the data"):
        read(written(tmp_path, route))
    unused = route_of([tier("small"), tier("large")], [rung(cascade("small", "large"))], (given, *margin_of("small")))
    assert "auto" in read(written(tmp_path, unused))


def test_a_route_of_outcomes_alone_has_no_tiers_to_serve(tmp_path: Path) -> None:
    route = route_of(
        [replace(tier("small"), source=""), tier("large")], [rung(cascade("small", "large"))], margin_of("small")
    )
    with pytest.raises(InputError, match=r"does not say where its tier small is") as e:
        read(written(tmp_path, route))
    assert "small=PLACE large=PLACE" in (e.value.hint or "")


@pytest.mark.parametrize("source", [".", "route.yaml", "../inner"])
def test_a_tier_that_is_a_route_is_refused(tmp_path: Path, source: str) -> None:
    write_simple(tmp_path / "inner", "small", "large", name="other")
    route = route_of([tier("small"), tier("large", source)], [rung(cascade("small", "large"))], margin_of("small"))
    with pytest.raises(InputError, match="has a tier that is itself a route"):
        read(written(tmp_path / "outer", route))


def test_names_that_clash_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="both named small"):
        read(write_simple(tmp_path, "small", "large", name="small"))
    one, two = (write_simple(tmp_path / name, "small", "large", name=name) for name in ("one", "two"))
    with pytest.raises(InputError, match="two models are named small"):
        served_models([one, two], cores=2, check=check_artefact)
    with pytest.raises(InputError, match="the name of a tier"):
        read(written(tmp_path, route_of([tier("sm all", "small.onnx"), tier("large")], [], [], chosen=None)))


def test_trained_scores_and_their_changes(tmp_path: Path) -> None:
    spec = ScoreSpec(name="text", kind="logistic", weights="route.npz")
    policy = RoutedPolicy(kind="pre_route", tiers=("small", "large"), scores=("text",), thresholds=(0.5,))
    path = written(tmp_path, route_of([tier("small"), tier("large")], [rung(policy)], (spec,)))
    with pytest.raises(SchemaError):
        read(path)
    write_weights(tmp_path / "route.npz", {"text": Logistic(weights=np.ones(6), intercept=0.0)})
    before = route_at(path)
    assert isinstance(before.predictors["text"], Logistic)
    assert route_at(path) == before
    write_weights(tmp_path / "route.npz", {"text": Logistic(weights=np.zeros(6), intercept=0.0)})
    assert route_at(path) != before


def test_cpu_seconds_are_no_dollars(tmp_path: Path) -> None:
    there = TierReplicas(purchase="spot", count=1, sla_rps=50.0, url="http://10.0.0.9:8000")
    here = TierReplicas(purchase="on_demand", count=1, sla_rps=50.0)
    path = written(tmp_path, replace(of_large(replicas=(here, there)), currency="cpu_s"))
    (_, spot) = route_at(path).places["large"]
    assert spot.usd_per_row is not None
    assert math.isnan(spot.usd_per_row)


def test_a_missing_tier_is_named(tmp_path: Path) -> None:
    path = write_simple(tmp_path, "small", "large")
    (tmp_path / "large.onnx").unlink()
    with pytest.raises(Exception, match=r"large\.onnx"):
        read(path)
