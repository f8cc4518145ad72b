from __future__ import annotations

import json
import re
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


# --- folders that transformers' save_pretrained wrote ---------------------------------------------------------

WEIGHTS = ["model.safetensors", "model-00001-of-00002.safetensors", "pytorch_model.bin", "tf_model.h5"]


def saved(folder: Path, weights: str, **config: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / weights).write_bytes(b"x")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
    (folder / "tokenizer_config.json").write_text("{}")
    return folder


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("named", ["the folder", "its file"])
@pytest.mark.parametrize(
    ("architectures", "made"),
    [
        (["BertForSequenceClassification"], "transformers.BertForSequenceClassification.from_pretrained("),
        (None, "transformers.AutoModel….from_pretrained("),
        (["os.system('x')"], "transformers.AutoModel….from_pretrained("),
        ("Bert", "transformers.AutoModel….from_pretrained("),
    ],
)
def test_weights_by_transformers_are_told_both_ways_out(
    tmp_path: Path, weights: str, named: str, architectures: object, made: str
) -> None:
    folder = saved(tmp_path / "my model", weights, architectures=architectures)
    with pytest.raises(ModelError) as refused:
        model_ref(str(folder if named == "the folder" else folder / weights))
    hint = str(refused.value.hint)
    assert f"optimum-cli export onnx --model '{folder}' '{folder}'-onnx" in hint
    assert f"{made}'{folder}'" in hint
    assert f"--tokenizer '{folder}'" in hint
    assert "name the .onnx file itself" not in hint


def test_other_folders_without_a_graph_are_not_taken_for_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as refused:
        model_ref(str(tmp_path))
    assert "optimum-cli" not in str(refused.value.hint)
    assert "name the .onnx file itself" not in str(refused.value.hint)  # there is none


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["text", "image"])
def test_the_hint_for_weights_by_transformers_works_when_it_is_followed(tmp_path: Path, kind: str) -> None:
    """What load() is to return is taken out of the hint and run; what lies beside it is found."""
    import transformers as hf

    from farthing.models.torch_code import user_module

    folder, ids = tmp_path / "saved", {0: "good", 1: "bad"}
    if kind == "text":
        small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        config = hf.BertConfig(vocab_size=8, id2label=ids, **small)
        hf.BertForSequenceClassification(config).save_pretrained(folder)
        words = {word: k for k, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"))}
        hf.BertTokenizer(vocab=words).save_pretrained(folder)
    else:
        hf.ResNetForImageClassification(
            hf.ResNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1], id2label=ids)
        ).save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps({"size": {"shortest_edge": 32}}))
    with pytest.raises(ModelError) as refused:
        model_ref(str(folder))
    told = r"that returns (transformers\.\w+\.from_pretrained\('.*?'\)) and name (\S+:load)"
    made = re.search(told, str(refused.value.hint))
    assert made is not None
    (folder / "module.py").write_text(f"import transformers\n\n\ndef load():\n    return {made[1]}\n")
    ref = model_ref(made[2], trust=True)
    assert type(user_module(ref.path, trust=True)).__name__ in made[1]
    assert model_classes(ref) == ("good", "bad")
    spec = guess_pipeline(ref, "text" if kind == "text" else "image")
    assert spec.tokenizer == str(folder / "tokenizer.json") if kind == "text" else spec.crop == 32


def test_a_text_module_without_a_tokenizer_is_told_the_flag(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("")
    ref = model_ref("net.py:load", folder=tmp_path, trust=True)
    with pytest.raises(ModelError, match=r"there is no tokenizer\.json") as refused:
        guess_pipeline(ref, "text")
    assert "--tokenizer FOLDER" in str(refused.value.hint)
