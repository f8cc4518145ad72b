"""Tiers that are run: here in child processes, and behind URLs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from end_points import answering
from small_tiers import CLASSES, write_requests, write_tier

from farthing.core.route.answers import NO_CLASS
from farthing.errors import DataError, InputError, MeasureError
from farthing.machine.clock import MonotonicClock
from farthing.measure.route.remote_tiers import RemoteRun, RemoteTier, answers_about, run_remote_tier
from farthing.measure.route.score_time import seconds_of
from farthing.measure.route.tier_answers import TierSettings, run_local_tiers
from farthing.nouns import Candidate, Dataset, LocalModel
from farthing.store.journal import Journal
from farthing.testing import FakeClock

N = 60
QUICK = TierSettings(rounds=6, per_round=4)


def silent(stage: str, done: int, total: int, note: str) -> None:
    """Nobody watches."""


@pytest.fixture
def requests(tmp_path: Path) -> Dataset:
    path = write_requests(tmp_path / "q.npz", N, 0)
    return Dataset(kind="tensor", items=(str(path), "x"), n=N, source=str(path))


def tier(path: Path, name: str = "small", **facts: Any) -> LocalModel:
    candidate = Candidate(engine="onnxruntime", variant="fp32", precision="fp32", max_batch=4)
    return LocalModel(name=name, path=write_tier(path, seen=8, **facts), candidate=candidate)


def test_local_tiers_are_timed_in_turns_and_answer_all(tmp_path: Path, requests: Dataset) -> None:
    models = [tier(tmp_path / "s" / "m.onnx", embedding=True), tier(tmp_path / "l" / "m.onnx", "large")]
    small, large = run_local_tiers(
        models, requests, embeddings=["", ""], run_dir=tmp_path / "run", settings=QUICK, seed=0, tell=silent
    )
    assert small.answers.table is not None
    assert small.answers.table.shape == (N, CLASSES)
    assert small.answers.embedding_output == "embedding"
    assert small.answers.embedding is not None
    assert large.answers.embedding is None
    assert np.array_equal(small.answers.classes, large.answers.classes)  # the same weights
    assert small.service_ms.n == 6
    assert 0 < small.service_ms.value < 100
    assert small.batch == 1


def test_slow_tiers_answer_in_batches(tmp_path: Path, requests: Dataset) -> None:
    settings = replace(QUICK, one_by_one_s=0.0)
    (found,) = run_local_tiers(
        [tier(tmp_path / "m.onnx")], requests, embeddings=[""], run_dir=tmp_path, settings=settings, seed=0, tell=silent
    )
    assert found.batch == 4


@pytest.mark.parametrize(
    ("facts", "embedding", "said"),
    [
        ({"nan": True}, "", "answers of the tier 'small' are not finite"),
        ({}, "pooled", "has no output 'pooled'"),
    ],
)
def test_tiers_that_cannot_be_used(
    tmp_path: Path, requests: Dataset, facts: dict[str, Any], embedding: str, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        run_local_tiers(
            [tier(tmp_path / "m.onnx", **facts)],
            requests,
            embeddings=[embedding],
            run_dir=tmp_path,
            settings=QUICK,
            seed=0,
            tell=silent,
        )


def test_a_tier_that_takes_something_else_is_refused(tmp_path: Path, requests: Dataset) -> None:
    texts = Dataset(kind="text", items=("a", "b"), n=2)
    with pytest.raises(DataError, match="takes tensors alone, the requests are texts"):
        run_local_tiers(
            [tier(tmp_path / "m.onnx")], texts, embeddings=[""], run_dir=tmp_path, settings=QUICK, seed=0, tell=silent
        )


# — behind URLs ——————————————————————————————————————————————————————————————————————————————————————————————————————


TEXTS = Dataset(kind="text", items=tuple(f"text {k}" for k in range(130)), n=130)


def remote(url: str, **facts: Any) -> RemoteTier:
    return RemoteTier(**{"name": "far", "kind": "open_inference", "url": url, "model": "m", **facts})


def oip(path: str, document: Any) -> tuple[int, Any]:
    if path == "/v2/models/m":
        return 200, {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}]}
    k = int(document["inputs"][0]["data"][0].split()[1])
    return 200, {"outputs": [{"name": "y", "shape": [1, 3], "data": [0.0, float(k % 3 == 1), 2.0 * (k % 3 == 2)]}]}


def test_open_inference_answers_in_order() -> None:
    with answering(oip) as url:
        found = run_remote_tier(remote(url), TEXTS, clock=MonotonicClock(), tell=silent)
    assert found.answers.classes.tolist() == [k % 3 for k in range(130)]
    assert found.service_ms.n == 100
    assert found.input_tokens is None


def test_tensors_go_by_their_names(requests: Dataset) -> None:
    seen = []

    def reply(path: str, document: Any) -> tuple[int, Any]:
        if document is None:
            return 200, {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 24]}]}
        seen.append(document["inputs"][0])
        return 200, {"outputs": [{"shape": [1, 2], "data": [0.5, 0.5]}]}

    with answering(reply) as url:
        run_remote_tier(remote(url), requests, clock=MonotonicClock(), tell=silent)
    assert (seen[0]["name"], seen[0]["shape"], seen[0]["datatype"]) == ("x", [1, 24], "FP32")


def chat(path: str, document: Any) -> tuple[int, Any]:
    text = document["messages"][-1]["content"]
    k = int(text.split()[1])
    said = ["Yes", ' "no". ', "I cannot say"][k % 3]
    return 200, {
        "choices": [{"message": {"content": said}}],
        "usage": {"prompt_tokens": 10 + k, "completion_tokens": 2},
    }


def test_chat_answers_names_of_classes_and_counts_tokens() -> None:
    with answering(chat) as url:
        tier = remote(url, kind="openai", classes=("yes", "no"))
        found = run_remote_tier(tier, TEXTS, clock=MonotonicClock(), tell=silent)
    assert found.answers.classes[:3].tolist() == [0, 1, NO_CLASS]
    assert found.answers.table is None
    assert found.input_tokens is not None
    assert found.input_tokens.tolist() == [10.0 + k for k in range(130)]


def test_answers_that_were_paid_for_are_not_asked_for_again(tmp_path: Path) -> None:
    asked: list[str] = []
    breaks_at = 118

    def reply(path: str, document: Any) -> tuple[int, Any]:
        text = document["messages"][-1]["content"]
        asked.append(text)
        return (400, {"error": "no more money"}) if len(asked) == breaks_at else chat(path, document)

    twice = Dataset(kind="text", items=(*TEXTS.items, *TEXTS.items[:20]), n=150)
    with answering(reply) as url:
        tier = remote(url, kind="openai", classes=("yes", "no"))

        def run() -> RemoteRun:
            with Journal(tmp_path / "answers.jsonl", answers_about(tier)) as journal:
                return run_remote_tier(tier, twice, clock=MonotonicClock(), tell=silent, journal=journal)

        with pytest.raises(MeasureError, match="no more money"):
            run()
        refused = asked[breaks_at - 1]
        before = set(asked) - {refused}
        asked.clear()
        breaks_at = 0
        found = run()
        assert before.isdisjoint(asked)
        assert sorted({*asked, *before}) == sorted(TEXTS.items)
        assert len(asked) == len(set(asked))
        again = run_remote_tier(tier, twice, clock=MonotonicClock(), tell=silent)
    assert found.answers.classes.tolist() == again.answers.classes.tolist()
    assert found.input_tokens is not None
    assert found.input_tokens.tolist() == [10.0 + int(text.split()[1]) for text in twice.items]
    assert found.service_ms.n == 100


def test_answers_kept_without_their_times_cost_one_request_more(tmp_path: Path) -> None:
    asked: list[str] = []

    def reply(path: str, document: Any) -> tuple[int, Any]:
        asked.append(document["messages"][-1]["content"])
        return chat(path, document)

    with answering(reply) as url:
        tier = remote(url, kind="openai", classes=("yes", "no"))

        def run(dataset: Dataset) -> RemoteRun:
            with Journal(tmp_path / "answers.jsonl", answers_about(tier)) as journal:
                return run_remote_tier(tier, dataset, clock=MonotonicClock(), tell=silent, journal=journal)

        everything = run(TEXTS)
        asked.clear()
        untimed = Dataset(kind="text", items=TEXTS.items[105:], n=25)
        found = run(untimed)
    assert asked == ["text 105"]
    assert found.service_ms.n == 1
    assert found.answers.classes.tolist() == everything.answers.classes[105:].tolist()


def test_what_a_url_may_not_do(monkeypatch: pytest.MonkeyPatch, requests: Dataset) -> None:
    clock = MonotonicClock()
    broken, bare = (500, {"error": "out of order"}), (200, {"inputs": [{"name": "x", "datatype": "FP32"}]})
    with answering(lambda *_: broken) as url, pytest.raises(MeasureError, match=r"500 .*out of order"):
        run_remote_tier(remote(url), TEXTS, clock=clock, tell=silent)
    with pytest.raises(MeasureError, match="does not answer"):
        run_remote_tier(remote("http://127.0.0.1:9", timeout_s=0.5), TEXTS, clock=clock, tell=silent)
    with answering(lambda *_: bare) as url, pytest.raises(DataError, match="takes no texts or images"):
        run_remote_tier(remote(url), TEXTS, clock=clock, tell=silent)
    with pytest.raises(InputError, match="no tier or label file names them"):
        run_remote_tier(remote("http://h", kind="openai"), TEXTS, clock=clock, tell=silent)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    keyed = remote("http://h", kind="openai", classes=("a", "b"), key_env="NO_SUCH_KEY")
    with pytest.raises(InputError, match="NO_SUCH_KEY"):
        run_remote_tier(keyed, TEXTS, clock=clock, tell=silent)
    with pytest.raises(DataError, match="takes texts, the requests are tensors"):
        run_remote_tier(replace(keyed, key_env=""), requests, clock=clock, tell=silent)


def test_time_of_a_score_is_that_of_the_clock() -> None:
    clock = FakeClock()
    assert seconds_of(lambda s: clock.sleep(s), [0.001, 0.003], clock) == pytest.approx(0.002)
    with pytest.raises(ValueError, match="nothing to call with"):
        seconds_of(lambda _: None, [], clock)
