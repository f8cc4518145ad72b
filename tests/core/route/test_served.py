"""What is served: each kind has its own fields, all have what clients see, and none pretends to be another."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import get_args

import pytest
from small_route import cascade, margin_of, route_of, rung, tier

from farthing.codec import from_plain, to_plain
from farthing.core.route.served import Place, RoutedModel, Served, UpstreamModel
from farthing.nouns import Backend, Candidate, Declared, LocalModel

CANDIDATE = Candidate(engine="openvino", variant="int8-nncf", precision="int8", max_batch=8, instances=2)
ROUTE = route_of([tier("small"), tier("large")], [rung(cascade("small", "large"))], margin_of("small"))
MODELS: tuple[Served, ...] = (
    LocalModel(name="here", path=Path("model.xml"), candidate=CANDIDATE),
    UpstreamModel(
        name="there", origin=Path("route.yaml"), max_batch=64, kind="openai", url="http://h/v1", remote_name="m"
    ),
    RoutedModel(
        name="auto",
        origin=Path("route.yaml"),
        max_batch=8,
        route=ROUTE,
        places={name: (Place(model=name),) for name in ("small", "large")},
    ),
)
COMMON = ("name", "version", "pipeline", "classes", "deadline_s", "max_waiting", "max_batch", "origin", "backend")


def of(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}


def test_the_kinds_are_these() -> None:
    assert get_args(Served) == tuple(type(model) for model in MODELS)


def test_each_kind_has_its_own_fields_and_no_others() -> None:
    assert of(UpstreamModel) - of(Declared) == {
        "kind", "url", "remote_name", "timeout_s", "concurrency", "cached_token_frac", "options",
    }  # fmt: skip
    assert of(RoutedModel) - of(Declared) == {"route", "places", "predictors", "digests", "offer"}
    assert not {"path", "candidate", "service_ms", "memory_mib", "inline", "trust"} & (
        of(UpstreamModel) | of(RoutedModel)
    )


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_all_have_what_clients_see(model: Served) -> None:
    assert all(hasattr(model, name) for name in COMMON)
    assert model.backend.max_batch == model.max_batch
    assert model.origin.name in ("model.xml", "route.yaml")


def test_only_a_model_that_runs_here_is_a_candidate() -> None:
    here, there, routed = (model.backend for model in MODELS)
    assert here is CANDIDATE
    assert not isinstance(there, Candidate) and not isinstance(routed, Candidate)
    assert [backend.label for backend in (here, there, routed)] == [
        "openvino int8-nncf b8 2×1", "openai forwarded b64 1×1", "route 2-tiers b8 1×1",
    ]  # fmt: skip


def test_a_backend_is_written_as_a_candidate_is() -> None:
    """Documents that name what was measured have the same keys for a route as for a model."""
    assert list(to_plain(CANDIDATE)) == list(to_plain(MODELS[2].backend))
    assert to_plain(MODELS[2].backend) == {
        "engine": "route", "variant": "2-tiers", "precision": "fp32", "max_batch": 8, "instances": 1, "threads": 1,
        "device": "cpu",
    }  # fmt: skip
    assert asdict(Backend(**asdict(CANDIDATE))) == asdict(CANDIDATE)


def test_a_backend_without_rows_or_workers_is_none() -> None:
    with pytest.raises(ValueError, match=r"Backend: batch, instances, threads ≥ 1"):
        Backend(engine="route", variant="2-tiers", precision="fp32", max_batch=0)


def test_the_document_of_a_local_model_has_these_keys_in_this_order() -> None:
    plain = to_plain(MODELS[0])
    assert list(plain) == [
        "name", "version", "path", "candidate", "pipeline", "classes", "deadline_s", "max_delay_s", "max_waiting",
        "memory_mib", "service_ms", "offer", "capacity_rps", "options", "inline", "trust", "caution", "emulated",
    ]  # fmt: skip
    assert from_plain(LocalModel, plain) == MODELS[0]
