"""What can be served, what it is taken for, and everything that is refused before any work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from served_plans import example_plan, write_plan
from small_inputs import write_onnx

from farthing.errors import (
    EngineMissingError,
    FarthingError,
    InputError,
    ModelError,
    SchemaError,
    StoreError,
    TrustError,
)
from farthing.load.schema import stamp
from farthing.load.serve.models import served_models
from farthing.load.wishes import Wishes, as_name, read_serve_file, read_wishes
from farthing.models.built_here import remember_built_here
from farthing.nouns import LatencyBound, LocalModel, Offer, PipelineSpec, StandIn, Verdict
from farthing.store.artefacts import check_artefact


def served(*sources: Path | str, cores: int = 2, **settings: Any) -> tuple[LocalModel, ...]:
    return served_models(sources, cores=cores, check=check_artefact, **settings)


def serve_file(folder: Path, *models: dict[str, Any]) -> Path:
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump({"schema": "farthing/serve/1", "models": list(models)}))
    return path


def test_an_onnx_file(tmp_path: Path) -> None:
    (model,) = served(write_onnx(tmp_path / "cats & dogs.onnx"))
    assert (model.name, model.version, model.path) == ("cats-dogs", "1", tmp_path / "cats & dogs.onnx")
    assert model.candidate.label == "onnxruntime fp32 b8 2×1"
    assert model.pipeline.kind == "tensor"
    assert (model.deadline_s, model.offer, model.capacity_rps, model.memory_mib) == (None, None, None, None)
    (many,) = served(tmp_path / "cats & dogs.onnx", cores=64)
    assert (many.candidate.instances, many.candidate.threads) == (8, 8)


@pytest.mark.parametrize(
    ("percentile", "deadline_s"), [(0.5, None), (0.9, None), (0.95, None), (0.99, 0.05), (0.999, 0.05)]
)
def test_only_a_promise_for_nearly_every_request_is_a_deadline(
    tmp_path: Path, percentile: float, deadline_s: float | None
) -> None:
    """A median within 50 ms lets half of the requests take longer: a deadline would refuse them."""
    objective = replace(example_plan().objective, latency=LatencyBound(ms=50, percentile=percentile))
    (model,) = served(write_plan(tmp_path / "out", objective=objective))
    assert model.deadline_s == deadline_s
    (wished,) = served(tmp_path / "out", wishes=read_wishes({"deadline": "80ms"}))
    assert wished.deadline_s == 0.08


def test_a_plan_with_its_evidence(tmp_path: Path) -> None:
    for source in (write_plan(tmp_path / "out"), tmp_path / "out"):
        (model,) = served(source)
        assert model.name == "digits-of-hand"
        assert model.path == tmp_path / "out" / "artefacts.onnx"
        assert model.candidate.label == "onnxruntime fp32 b4 2×1"
        assert model.deadline_s == pytest.approx(0.05)
        assert model.memory_mib == 300
        assert set(model.service_ms) >= {1, 8}
        assert model.offer is not None
        assert model.offer.name == example_plan().priced_as
        assert model.capacity_rps is not None


def test_a_plan_on_another_machine_keeps_only_what_still_holds(tmp_path: Path) -> None:
    (model,) = served(write_plan(tmp_path), cores=6)
    assert (model.candidate.instances, model.candidate.threads, model.candidate.max_batch) == (6, 1, 4)
    assert (model.memory_mib, model.offer, model.capacity_rps) == (None, None, None)
    assert model.service_ms
    assert served(tmp_path, cores=1)[0].candidate.instances == 1


def test_a_machine_larger_than_its_offer_is_not_served_at_the_price_of_one(tmp_path: Path) -> None:
    plan = example_plan()
    assert plan.offers[0].usd_per_hour is not None
    many = StandIn(machine="64 cores", offer="2 vCPUs", capacity_factor=2 / 64)
    (model,) = served(write_plan(tmp_path, stand_in=many))
    assert model.offer is not None
    assert model.offer.usd_per_hour == pytest.approx(32 * plan.offers[0].usd_per_hour)


def test_a_price_given_by_the_user_wins(tmp_path: Path) -> None:
    own: Offer = replace(example_plan().offers[0], name="rack/1u")
    (model,) = served(write_plan(tmp_path), cores=6, priced_as=own)
    assert model.offer is own


def test_classes_of_a_plan(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    document = {"schema": stamp("workload-resolved"), "holdout": {"classes": ["cat", "dog"]}}
    (tmp_path / "workload.json").write_text(json.dumps(document))
    assert served(plan)[0].classes == ("cat", "dog")


def test_a_tokenizer_is_found_where_the_plan_was_moved(tmp_path: Path) -> None:
    text = PipelineSpec(kind="text", tokenizer="/home/someone/encoder/tokenizer.json")
    plan = write_plan(tmp_path / "here", pipeline=text)
    with pytest.raises(ModelError, match="tokenizer"):
        served(plan)
    (tmp_path / "here" / "encoder").mkdir()
    tokenizer = tmp_path / "here" / "encoder" / "tokenizer.json"
    tokenizer.write_text("{}")
    assert served(plan)[0].pipeline.tokenizer == str(tokenizer)


def test_a_plan_whose_artefact_was_changed_or_is_gone(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    with (tmp_path / "artefacts.onnx").open("ab") as f:
        f.write(b"\0")
    with pytest.raises(StoreError, match="was changed"):
        served(plan)
    (tmp_path / "artefacts.onnx").unlink()
    with pytest.raises(StoreError, match="is missing"):
        served(plan)


@pytest.mark.parametrize(
    ("verdict", "caution"),
    [
        (Verdict(outcome="met", reasons=("accuracy 0.00 points",)), ""),
        (Verdict(outcome="unproven", reasons=("busy", "more")), "the plan is unproven: busy"),
        (Verdict(outcome="not_met", reasons=("nothing is cheaper than the baseline",)),
         "the plan is not met: nothing is cheaper than the baseline"),
        (Verdict(outcome="not_met"), "the plan is not met"),
    ],
)  # fmt: skip
def test_a_plan_without_proof_is_said_when_it_is_served(tmp_path: Path, verdict: Verdict, caution: str) -> None:
    (model,) = served(write_plan(tmp_path, verdict=verdict))
    assert model.caution == caution


def test_a_plan_that_chose_nothing(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    document = yaml.safe_load(plan.read_text())
    document["chosen"] = None
    plan.write_text(yaml.safe_dump(document))
    with pytest.raises(InputError, match="chose nothing"):
        served(plan)


def write_settings(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(json.dumps(content))


def test_a_model_folder_with_images(tmp_path: Path) -> None:
    folder = tmp_path / "cats"
    folder.mkdir()
    write_onnx(folder / "model.onnx")
    write_settings(folder, "config.json", {"id2label": {"0": "cat", "1": "dog", "2": "owl"}})
    assert served(folder)[0].pipeline.kind == "tensor"
    write_settings(
        folder, "preprocessor_config.json", {"do_resize": True, "size": {"height": 8, "width": 8}, "resample": 3}
    )
    (model,) = served(folder)
    assert (model.name, model.classes) == ("cats", ("cat", "dog", "owl"))
    assert (model.pipeline.kind, model.pipeline.resize, model.pipeline.interpolation) == ("image", 8, "bicubic")


def test_a_model_folder_with_texts(tmp_path: Path) -> None:
    write_onnx(tmp_path / "model.onnx")
    write_settings(tmp_path, "config.json", {"max_position_embeddings": 64})
    write_settings(tmp_path, "tokenizer.json", {})
    (model,) = served(f"words={tmp_path}")
    assert model.name == "words"
    assert (model.pipeline.kind, model.pipeline.max_length) == ("text", 64)
    assert model.pipeline.tokenizer == str(tmp_path / "tokenizer.json")


def test_a_repository_serves_the_newest_version_of_each(tmp_path: Path) -> None:
    for place in ("a/1", "a/2", "a/10", "b/3", "b/old", "notes"):
        (tmp_path / place).mkdir(parents=True)
        if place != "notes":
            write_onnx(tmp_path / place / "model.onnx")
    assert [(m.name, m.version) for m in served(tmp_path)] == [("a", "10"), ("b", "3")]
    assert [(m.name, m.version) for m in served(tmp_path / "a")] == [("a", "10")]
    with pytest.raises(InputError, match="its folders name its models"):
        served(f"x={tmp_path}")


def test_a_serve_file(tmp_path: Path) -> None:
    write_plan(tmp_path / "plans")
    write_onnx(tmp_path / "other.onnx")
    path = serve_file(
        tmp_path,
        {"source": "plans/plan.yaml", "name": "digits", "max_delay": "2ms", "deadline": "none", "max_batch": 2},
        {"source": "other.onnx", "engine": "openvino", "precision": "fp32", "version": 7, "memory": "1GiB"},
        {"source": "other.onnx", "instances": 1, "threads": 2, "deadline": "0.2s"},
    )
    digits, seventh, first = served(path)
    assert (digits.name, digits.max_delay_s, digits.deadline_s, digits.candidate.max_batch) == (
        "digits",
        0.002,
        None,
        2,
    )
    assert (seventh.name, seventh.version, seventh.candidate.engine, seventh.memory_mib) == (
        "other",
        "7",
        "openvino",
        1024,
    )
    assert (first.candidate.instances, first.candidate.threads, first.deadline_s) == (1, 2, 0.2)


def test_flags_win_over_files_and_plans(tmp_path: Path) -> None:
    write_plan(tmp_path / "p")
    path = serve_file(tmp_path, {"source": "p", "max_batch": 2, "max_delay": "3ms"})
    (model,) = served(path, wishes=read_wishes({"max_batch": "16", "deadline": "1s", "name": "mine"}))
    assert (model.name, model.candidate.max_batch, model.max_delay_s, model.deadline_s) == ("mine", 16, 0.003, 1.0)
    assert model.capacity_rps is None
    assert model.service_ms


def test_another_engine_forgets_the_times(tmp_path: Path) -> None:
    (model,) = served(write_plan(tmp_path), wishes=Wishes(engine="openvino"))
    assert model.candidate.engine == "openvino"
    assert (dict(model.service_ms), model.capacity_rps, model.memory_mib) == ({}, None, None)


REFUSED = [
    ({"source": "m.onnx", "engin": "openvino"}, "unknown key 'engin' in models[0]", "did you mean engine?"),
    (
        {"source": "m.onnx", "engine": "openvin"},
        "models[0].engine is 'openvin', which is no engine",
        "did you mean openvino?",
    ),
    ({"source": "m.onnx", "precision": "int4"}, "models[0].precision is 'int4'", None),
    ({"source": "m.onnx", "name": "a/b"}, "models[0].name is 'a/b'", None),
    ({"source": "m.onnx", "name": ".."}, "models[0].name is '..'", None),
    ({"source": "m.onnx", "name": 3}, "models[0].name is 3", None),
    ({"source": "m.onnx", "version": "v1"}, "models[0].version is 'v1'; it must be a whole number", None),
    ({"source": "m.onnx", "version": 0}, "models[0].version is 0", None),
    ({"source": "m.onnx", "max_batch": 0}, "models[0].max_batch is 0", None),
    ({"source": "m.onnx", "max_batch": 1.5}, "models[0].max_batch is 1.5", None),
    ({"source": "m.onnx", "instances": 10**6}, "models[0].instances is 1000000", None),
    ({"source": "m.onnx", "max_delay": 2}, "models[0].max_delay is 2 without a unit", "did you mean 2ms?"),
    ({"source": "m.onnx", "max_delay": "-2ms"}, "models[0].max_delay is '-2ms'", None),
    ({"source": "m.onnx", "deadline": "soon"}, "models[0].deadline is 'soon'", None),
    ({"source": "m.onnx", "memory": 512}, "models[0].memory is 512 without a unit", "did you mean 512MiB?"),
    ({"source": "gone.onnx"}, "there is no model", None),
    ({"source": "net.py:load"}, "is Python code", None),
    ({"source": "weights.pt"}, "is a pickle", None),
    ({"source": ""}, "models[0].source", None),
    ({}, "models[0].source", None),
    ("m.onnx", "models[0] of", None),
]


@pytest.mark.parametrize(("entry", "said", "hint"), REFUSED)
def test_bad_entries_are_refused(tmp_path: Path, entry: Any, said: str, hint: str | None) -> None:
    write_onnx(tmp_path / "m.onnx")
    (tmp_path / "weights.pt").write_bytes(b"\x80\x04K*.")
    with pytest.raises(InputError) as e:
        served(serve_file(tmp_path, entry))
    assert said in e.value.message
    if hint is not None:
        assert e.value.hint == hint


def test_bad_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    for text, said in (
        ("schema: farthing/serve/2\nmodels: []\n", "version 2"),
        ("schema: farthing/serve/1\n", "names no models"),
        ("schema: farthing/serve/1\nmodels: []\n", "names no models"),
        ("schema: farthing/serve/1\nmodels: []\nport: 3\n", "unknown key 'port'"),
        ("schema: farthing/workload/1\nmodel: m.onnx\n", "is a workload, not a plan"),
        ("models: []\n", "has no schema"),
        ("- a\n", "not keys and values"),
    ):
        path.write_text(text)
        with pytest.raises(InputError) as e:
            served(path)
        assert said in e.value.message
    with pytest.raises(SchemaError):
        read_serve_file(write_plan(tmp_path / "p"))


def test_two_models_of_one_name(tmp_path: Path) -> None:
    one, two = write_onnx(tmp_path / "a.onnx"), tmp_path / "b.onnx"
    two.write_bytes(one.read_bytes())
    with pytest.raises(InputError, match="two models are named m version 1"):
        served(f"m={one}", f"m={two}")
    with pytest.raises(InputError, match="--name m would name 2 models"):
        served(one, two, wishes=Wishes(name="m"))
    with pytest.raises(InputError, match="nothing to serve"):
        served()
    with pytest.raises(InputError, match="the name before = is 'a b'"):
        served(f"a b={one}")


def test_a_missing_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from farthing.engines.openvino import OpenVino

    monkeypatch.setattr(OpenVino, "missing", lambda self: "pip install openvino")
    with pytest.raises(EngineMissingError) as e:
        served(write_onnx(tmp_path / "a.onnx"), wishes=Wishes(engine="openvino"))
    assert e.value.hint == "pip install openvino"


def test_native_artefacts_need_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    program = tmp_path / "program"
    program.mkdir()
    (program / "module.pt2").write_bytes(b"zip")
    (program / "signature.json").write_text("{}")
    with pytest.raises(TrustError, match=r"program: .* was not built on this machine"):
        served(program)
    assert served(program, trust=True)[0].trust
    remember_built_here(program)
    (model,) = served(program)
    assert (model.candidate.engine, model.trust) == ("pytorch", False)
    with pytest.raises(InputError, match="onnxruntime cannot load"):
        served(program, wishes=Wishes(engine="onnxruntime"))


def test_an_intermediate_representation_is_for_openvino(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_text("<net/>")
    (model,) = served(f"ir={tmp_path}")
    assert (model.name, model.candidate.engine) == ("ir", "openvino")
    assert served(tmp_path / "model.xml")[0].name == as_name(tmp_path.name)
    with pytest.raises(InputError, match="onnxruntime cannot load"):
        served(tmp_path, wishes=Wishes(engine="onnxruntime"))


def test_every_refusal_is_one_of_ours(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.onnx").write_bytes(b"")
    (tmp_path / "y.txt").write_text("hello")
    for source in (tmp_path / "empty", tmp_path / "x.onnx", tmp_path / "y.txt", tmp_path / "z", "", "=", "a=", "\0"):
        with pytest.raises(FarthingError):
            served(source)
