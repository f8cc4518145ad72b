from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from small_inputs import write_onnx

from farthing.errors import ModelError, TrustError
from farthing.load.signature import onnx_signature
from farthing.load.workload.models import guess_pipeline, model_classes, model_ref
from farthing.nouns import ModelRef


def test_an_onnx_file(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "m.onnx", side=8)
    assert model_ref("m.onnx", folder=tmp_path).onnx_path == str(path)
    found = onnx_signature(path)
    assert found.nodes == 2
    assert [(s.name, s.dtype, s.shape) for s in found.inputs] == [("images", "float32", (None, 3, 8, 8))]
    assert [(s.name, s.shape) for s in found.outputs] == [("logits", (None, 3))]


def test_signatures_agree_with_onnx() -> None:
    models = sorted(Path(onnx.__file__).parent.rglob("light_*.onnx"))
    assert models
    for path in models:
        model, found = onnx.load(path, load_external_data=False), onnx_signature(path)
        weights = {w.name for w in model.graph.initializer}
        assert found.nodes == len(model.graph.node)
        assert [s.name for s in found.inputs] == [i.name for i in model.graph.input if i.name not in weights]
        for spec, value in zip(found.outputs, model.graph.output, strict=True):
            assert spec.shape == tuple(d.dim_value or None for d in value.type.tensor_type.shape.dim)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = write_onnx(tmp_path / "m.onnx").read_bytes()
    cut = tmp_path / "cut.onnx"
    for size in range(1, len(whole)):
        cut.write_bytes(whole[:size])
        with pytest.raises(ModelError, match="no complete ONNX model"):
            onnx_signature(cut)


@pytest.mark.parametrize(
    "content", [b"", b"not a model at all", b"\x80\x04K*.", b"PK\x03\x04" + b"\0" * 99, b"\xff" * 40]
)
def test_foreign_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError):
        model_ref("m.onnx", folder=tmp_path)


def test_missing_models_name_the_nearest(tmp_path: Path) -> None:
    write_onnx(tmp_path / "resnet50.onnx")
    with pytest.raises(ModelError, match="there is no model") as e:
        model_ref("resnet5O.onnx", folder=tmp_path)
    assert str(e.value.hint) == f"did you mean {tmp_path / 'resnet50.onnx'}?"


@pytest.mark.parametrize("name", ["m.pt", "m.pkl", "pytorch_model.bin", "m.safetensors", "m.txt"])
def test_pickles_and_weights_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError) as e:
        model_ref(name, folder=tmp_path)
    assert "file.py:function" in str(e.value.hint)


def test_import_paths_need_trust_and_are_never_run_here(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("raise SystemExit('ran')")
    with pytest.raises(TrustError, match="is Python code that loading would run"):
        model_ref("net.py:load", folder=tmp_path)
    ref = model_ref("net.py:load", folder=tmp_path, trust=True, example_shape=(3, 8, 8))
    assert ref == ModelRef(kind="torch", path=f"{tmp_path / 'net.py'}:load", example_shape=(3, 8, 8))
    assert model_ref("pkg.mod:load", trust=True).path == "pkg.mod:load"
    with pytest.raises(ModelError, match="there is no file"):
        model_ref("nets.py:load", folder=tmp_path, trust=True)


@pytest.mark.parametrize("below", ["", "onnx"])
def test_a_folder_by_optimum(tmp_path: Path, below: str) -> None:
    (tmp_path / below).mkdir(exist_ok=True)
    path = write_onnx(tmp_path / below / "model.onnx")
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"1": "dog", "0": "cat"}}))
    ref = model_ref(str(tmp_path))
    assert (ref.kind, ref.onnx_path) == ("optimum", str(path))
    assert model_classes(ref) == ("cat", "dog")


def test_a_folder_of_several_models_is_ambiguous(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        write_onnx(tmp_path / name)
    with pytest.raises(ModelError, match=r"no model\.onnx \(\.onnx files: a\.onnx, b\.onnx\)"):
        model_ref(str(tmp_path))


def folder_with(tmp_path: Path, **files: object) -> ModelRef:
    write_onnx(tmp_path / "model.onnx")
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return model_ref(str(tmp_path))


def test_pipeline_of_a_resnet_processor(tmp_path: Path) -> None:
    config = {
        "do_resize": True, "size": {"shortest_edge": 256}, "resample": 3, "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224}, "do_normalize": True, "image_mean": [0.5], "image_std": [0.25],
    }  # fmt: skip
    spec = guess_pipeline(folder_with(tmp_path, preprocessor_config=config), "image")
    assert (spec.resize, spec.crop, spec.interpolation, spec.squash) == (256, 224, "bicubic", False)
    assert (spec.mean, spec.std, spec.scale) == ((0.5,), (0.25,), 1 / 255)


def test_pipelines_of_vit_and_convnext_processors(tmp_path: Path) -> None:
    vit = {"do_resize": True, "size": {"height": 224, "width": 224}, "resample": 2}
    spec = guess_pipeline(folder_with(tmp_path, preprocessor_config=vit), "image")
    assert (spec.resize, spec.squash, spec.crop) == (224, True, None)
    convnext = {
        "do_resize": True,
        "size": {"shortest_edge": 224},
        "crop_pct": 0.875,
        "resample": 3,
        "do_rescale": False,
    }
    spec = guess_pipeline(folder_with(tmp_path, preprocessor_config=convnext), "image")
    assert (spec.resize, spec.crop, spec.scale) == (256, 224, 1)
    spec = guess_pipeline(
        folder_with(tmp_path, preprocessor_config={**vit, "size": {"height": 2, "width": 3}}), "image"
    )
    assert (spec.resize, spec.resize_width, spec.squash) == (2, 3, True)


@pytest.mark.parametrize(
    ("config", "settings", "length"),
    [
        ({}, {}, 512),
        ({"max_position_embeddings": 256}, {}, 256),
        ({"max_position_embeddings": 8192}, {"model_max_length": 10**30}, 8192),
        ({"max_position_embeddings": 8192}, {"model_max_length": 1024}, 1024),
        ({"max_position_embeddings": 514, "model_type": "roberta", "pad_token_id": 0}, {}, 513),
        ({"max_position_embeddings": 514, "model_type": "roberta", "pad_token_id": 1}, {}, 512),
        ({"max_position_embeddings": 512}, {"model_max_length": 64}, 64),
    ],
)
def test_longest_sequence(tmp_path: Path, config: object, settings: object, length: int) -> None:
    ref = folder_with(tmp_path, config=config, tokenizer_config=settings, tokenizer={})
    spec = guess_pipeline(ref, "text")
    assert spec.max_length == length
    assert spec.tokenizer == str(tmp_path / "tokenizer.json")


def test_texts_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no tokenizer\.json"):
        guess_pipeline(folder_with(tmp_path), "text")


def test_nothing_beside_the_model_means_defaults(tmp_path: Path) -> None:
    ref = folder_with(tmp_path)
    assert guess_pipeline(ref, "image").mean == (0.0,)
    assert guess_pipeline(ref, "tensor").kind == "tensor"
    assert model_classes(ref) == ()
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json is no readable JSON"):
        model_classes(ref)
