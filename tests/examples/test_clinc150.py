"""The example on CLINC150: parts that share no text, variations that stay questions, students that export exactly."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "clinc150"))

import data
import large
import students
from augment import neighbours, varied
from classifier import Large
from large import batches

from farthing.load.serve.models import served_models
from farthing.plugins import find
from farthing.store.artefacts import check_artefact

WORDS = ["[PAD]", "[UNK]", "what", "is", "my", "balance", "play", "a", "song", "please"]
INTENTS = ["balance", "music", "other"]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "full.json"
    train = [[f"{intent} question {k}", intent] for intent in ("a", "b") for k in range(30)]
    train += [["Balance  now", "a"], ["twice", "b"], ["twice", "b"]]
    path.write_text(
        json.dumps(
            {
                "train": train,
                "val": [["val one", "a"], ["same as test", "b"]],
                "test": [["balance now", "a"], ["same as test", "b"], ["fine", "b"]],
                "oos_test": [["who are you", "oos"]],
            }
        )
    )
    return path


def plain(part: list[data.Question]) -> set[str]:
    return {" ".join(text.lower().split()) for text, _ in part}


def test_no_text_stands_in_two_parts_and_what_is_left_out_is_counted(questions):
    found = data.read_questions(questions, seed=0)
    parts = [plain(part) for part in (found.train, found.calibrate, found.test)]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert found.dropped["calibrate"] >= 1  # same as test
    assert sum(found.dropped.values()) in (2, 3)  # "Balance  now", "same as test", "twice" unless one was withheld
    assert len(found.test) == 3 and found.out_of_scope == ["who are you"]
    assert found.intents == ["a", "b"]


def test_as_many_of_each_intent_are_withheld(questions):
    found = data.read_questions(questions, seed=1)
    counts = {i: sum(intent == i for _, intent in found.train) for i in found.intents}
    assert all(9 <= n <= 13 for n in counts.values()), counts


def test_the_real_questions(assets):
    found = data.read_questions(assets / "nlp" / "clinc150_data_full.json", seed=0)
    assert (len(found.train), len(found.calibrate), len(found.test)) == (11_995, 6_000, 4_500)
    assert len(found.intents) == 150 and len(found.out_of_scope) == 1_000
    assert not plain(found.train) & (plain(found.calibrate) | plain(found.test))


def test_variations_use_near_words_and_are_never_empty():
    rng = np.random.default_rng(0)
    embedding = rng.standard_normal((40, 8)).astype(np.float32)
    words = [f"w{'abcdefghij'[k % 10]}{'xyzq'[k // 10]}" for k in range(40)]
    near = neighbours(embedding, words, {3, 5, 7})
    assert set(near) == {3, 5, 7} and all(k not in row for k, row in near.items())
    rows = [[3, 5, 7], [5], [7, 3]]
    found = varied(rows, 500, near, rng)
    allowed = {3, 5, 7} | {int(x) for row in near.values() for x in row}
    assert len(found) == 500 and all(row and set(row) <= allowed for row in found)
    assert any(set(row) - {3, 5, 7} for row in found)


def test_batches_hold_every_row_once_and_sort_by_length():
    lengths = np.random.default_rng(1).integers(1, 30, 1000)
    found = list(batches(lengths, 32, np.random.default_rng(2)))
    assert sorted(np.concatenate(found).tolist()) == list(range(1000))
    assert np.mean([np.ptp(lengths[rows]) for rows in found]) < 5


@pytest.fixture(params=["words", "static"])
def student(request) -> students.Student:
    torch.manual_seed(0)
    if request.param == "words":
        made = students.Words(len(WORDS), len(INTENTS))
        torch.nn.init.normal_(made.table.weight[1:])
    else:
        embedding = np.random.default_rng(0).standard_normal((300, 256)).astype(np.float32)
        made = students.Static(embedding, len(INTENTS))
    return made.eval()


@pytest.fixture
def tokenizer() -> Tokenizer:
    made = Tokenizer(models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def test_the_graph_says_what_the_student_says(student, tokenizer, tmp_path):
    students.export(student, tokenizer, INTENTS, tmp_path)
    session = ort.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    ids = torch.tensor([[2, 3, 4, 5, 0, 0], [6, 7, 8, 9, 1, 2], [5, 0, 0, 0, 0, 0]])
    with torch.inference_mode():
        expected = student(ids).numpy()
    (found,) = session.run(None, {"input_ids": ids.numpy()})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    (alone,) = session.run(None, {"input_ids": ids[2:, :1].numpy()})
    np.testing.assert_allclose(alone[0], expected[2], rtol=1e-4, atol=1e-4)  # padding changes nothing


def test_farthing_serves_the_exported_folder(student, tokenizer, tmp_path):
    students.export(student, tokenizer, INTENTS, tmp_path)
    (model,) = served_models([str(tmp_path)], cores=1, check=check_artefact)
    assert model.classes == tuple(INTENTS) and model.pipeline.kind == "text"
    engine = find("engines", model.candidate.engine)
    session = engine.load(model.path, precision="fp32", threads=1, device="cpu", options={})
    pipeline = find("pipelines", "text").open(model.pipeline)
    found = session.run(pipeline(["play a song", "what is my balance please", ""], session.inputs))["logits"]
    assert found.shape == (3, 3) and np.isfinite(found).all()


def test_a_student_learns_its_teachers_answers():
    rng = np.random.default_rng(0)
    ids = [rng.integers(2, 50, rng.integers(2, 8)).tolist() for _ in range(600)]
    teacher = torch.tensor([[2.0 * sum(token % 3 == k for token in row) for k in range(3)] for row in ids])
    student = students.Words(50, 3)
    before = best_chosen(student, ids, teacher)
    students.distil(student, ids, teacher, epochs=30, rate=0.05, seed=0)
    assert best_chosen(student, ids, teacher) > 0.95 > before


def best_chosen(student: students.Student, ids: list[list[int]], teacher: torch.Tensor) -> float:
    answers = students.student_logits(student, ids).argmax(1)
    return float((teacher[torch.arange(len(ids)), answers] == teacher.max(1).values).float().mean())


# — a template for other data ——————————————————————————————————————————————————————————————————————————————————————————


def rows_of(classes: dict[str, int]) -> list[tuple[str, str]]:
    return [(f"{label}, question {k}", label) for label, n in classes.items() for k in range(n)]


@pytest.mark.parametrize("form", ["a.csv", "a.tsv", "a.jsonl", "pairs.json", "rows.json"])
def test_your_own_texts_and_labels(form, tmp_path):
    rows = [*rows_of({"b": 20, "a": 10, "c": 50}), ("B,  question 3", "b")]
    path = tmp_path / form
    kind = path.suffix
    if kind in (".csv", ".tsv"):
        with path.open("w", newline="") as f:
            csv.writer(f, delimiter="\t" if kind == ".tsv" else ",").writerows([("Question", "category"), *rows])
    elif kind == ".jsonl":
        path.write_text("".join(json.dumps({"text": t, "label": own}) + "\n" for t, own in rows))
    else:
        path.write_text(
            json.dumps(rows if form.startswith("pairs") else [{"query": t, "intent": own} for t, own in rows])
        )
    found = data.read_own(path, seed=0)
    assert found.intents == ["a", "b", "c"] and found.out_of_scope == []
    assert [len(part) for part in (found.train, found.calibrate, found.test)] == [40, 24, 16]
    assert found.dropped["train"] == 1
    for part, each in ((found.test, {"a": 2, "b": 4, "c": 10}), (found.calibrate, {"a": 3, "b": 6, "c": 15})):
        assert {label: sum(own == label for _, own in part) for label in "abc"} == each
    assert not plain(found.train) & plain(found.test) and not plain(found.calibrate) & plain(found.test)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "no column of texts"),
        ("text,label\n" + "".join(f"t{k},x\n" for k in range(20)), "one class alone"),
        ("text,label\n" + "".join(f"t{k},{'x' if k else 'y'}\n" for k in range(20)), "'y' has 1 different texts"),
    ],
)
def test_data_that_cannot_be_parted(text, said, tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(SystemExit, match=said):
        data.read_own(path, seed=0)


@pytest.fixture
def trained(tmp_path) -> Path:
    """A large tier of five classes, tiny and not trained at all."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64,
    )  # fmt: skip
    folder = tmp_path / "large"
    model = Large(BertModel(config, add_pooling_layer=False), 5)
    config.save_pretrained(folder / "encoder")
    torch.save(model.state_dict(), folder / "weights.pt")
    return folder


def test_the_large_tier_runs_without_pytorch(trained, tokenizer, tmp_path):
    """As many classes as the weights have, texts cut where it was asked, the same numbers as the module's."""
    model = large.load(trained, "eager")
    assert model.head.out_features == 5
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    classes = [f"c{k}" for k in range(5)]
    large.export(model, classes, tmp_path / "tokenizer.json", tmp_path / "onnx", max_length=6)
    session = ort.InferenceSession(str(tmp_path / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"])
    for ids in ([[2, 3, 4, 5], [6, 7, 0, 0]], [[5]], [[2, 3, 4, 5, 6, 7, 8]] * 3):
        fed = torch.tensor(ids)
        mask = (fed > 0).long()
        with torch.inference_mode():
            expected = model(fed, mask).numpy()
        (found,) = session.run(None, {"input_ids": fed.numpy(), "attention_mask": mask.numpy()})
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    (served,) = served_models([str(tmp_path / "onnx")], cores=1, check=check_artefact)
    assert served.classes == tuple(classes) and served.pipeline.max_length == 6
    cut = large.open_tokenizer(tmp_path / "onnx" / "tokenizer.json", 6)
    assert len(cut.encode("what is my balance play a song please").ids) == 6
