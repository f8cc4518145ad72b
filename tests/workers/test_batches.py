"""Nobody gets another's answer: requests at once, of models that mix their rows and of models that do not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from driven_pool import ask, fake, pooled, run
from echo_models import echo_model

from farthing.machine.clock import MonotonicClock
from farthing.nouns import PipelineSpec
from farthing.pipelines.made_up import GUESSES, random_tensors
from farthing.plugins import find
from farthing.serve.admin.live import live_document
from farthing.serve.greeting import model_line
from farthing.serve.protocol.documents import model_config, model_metadata
from farthing.serve.telemetry.metrics import Metrics
from farthing.wire.requests import Answer, Problem
from serving.coupled import COUPLED, INDEPENDENT, write_graph


def asked(path: Path, n: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Requests that nobody has tried before, each with its answer alone."""
    session = find("engines", "onnxruntime").load(path, precision="fp32", threads=1, device="cpu", options={})
    feeds = random_tensors(session.inputs, n, GUESSES[-1], np.random.default_rng(77))
    return [(one, session.run(one)) for one in feeds]


async def all_at_once(path: Path, inline: str, n: int = 40) -> Any:
    """The model as it was served; every answer was its own."""
    async with pooled() as pool:
        model = await pool.start(fake(engine="onnxruntime", path=path, options={}, inline=inline))
        requests = asked(path, n)
        outcomes = await asyncio.gather(*(ask(model, *one.values()) for one, _ in requests))
        for (_, want), outcome in zip(requests, outcomes, strict=True):
            assert isinstance(outcome, Answer), outcome
            for spec, found in zip(model.outputs, outcome.outputs, strict=True):
                assert found.shape == want[spec.name].shape
                np.testing.assert_allclose(found, want[spec.name], rtol=1e-4, atol=1e-4)
        return model, [outcome.batch_rows for outcome in outcomes]


@pytest.mark.parametrize("inline", ["never", "always"])
@pytest.mark.parametrize("name", COUPLED)
def test_requests_at_once_to_a_model_that_mixes_its_rows(tmp_path: Path, name: str, inline: str) -> None:
    model, rows = run(all_at_once(write_graph(name, tmp_path), inline))
    assert not model.batched
    assert set(rows) == {1}
    assert model.batching.startswith("one request at a time, because ")
    assert model.batching in model_line(model, inline=inline == "always")
    assert model_metadata(model, Known(model))["properties"] == {"batching": model.batching}
    assert model_config(model)["max_batch_size"] == 0


@pytest.mark.parametrize("inline", ["never", "always"])
@pytest.mark.parametrize("name", INDEPENDENT)
def test_requests_at_once_to_a_model_that_keeps_its_rows_apart(tmp_path: Path, name: str, inline: str) -> None:
    model, rows = run(all_at_once(write_graph(name, tmp_path), inline))
    assert model.batched, model.batching
    assert max(rows) > 1
    assert "2, 3 and 8 requests together are answered as each alone" in model.batching
    assert "one request at a time" not in model_line(model, inline=False)


STILL = {
    "policy": "w = Exp (c)  size = Shape (mean)  still = Expand (w, size)",
    "saturated": "a = Abs (mean)  l = Mul (a, large)  still = Sigmoid (l)",
}
"""By name: an output that is the same for every request, beside one that is not."""


@pytest.mark.parametrize("inline", ["never", "always"])
@pytest.mark.parametrize("name", STILL)
def test_an_output_that_no_request_changes_leaves_the_others_their_batches(
    tmp_path: Path, name: str, inline: str
) -> None:
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]> g (float[batch,3] x) => (float[batch,3] mean, float[batch,3] still)
        <float[3] c = {{1, 2, 3}}, float large = {{1e8}}> {{ mean = Mul (x, c)  {STILL[name]} }}"""
    )
    onnx.save(model, tmp_path / "m.onnx")
    served, rows = run(all_at_once(tmp_path / "m.onnx", inline))
    assert served.batched, served.batching
    assert max(rows) > 1


@pytest.mark.parametrize(("batched", "max_batch", "said"), [(True, 16, True), (False, 16, False), (False, 1, True)])
def test_a_rate_in_batches_is_none_of_requests_alone(batched: bool, max_batch: int, said: bool) -> None:
    model = echo_model(max_batch=max_batch, batched=batched)
    model.spec = replace(model.spec, capacity_rps=1357.0)
    model.batching = "" if batched else "one request at a time, because answers differ"
    assert ("up to 1,357 requests/s" in model_line(model, inline=False)) is said
    (shown,) = live_document(Metrics(MonotonicClock()), [model], None, lambda m: (), None)["models"]
    assert (shown["capacity_rps"] is not None) is said


class Known:
    """The one model there is."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def known(self) -> tuple[Any, ...]:
        return (self._model,)


def test_a_batch_axis_that_is_not_the_first_is_named(tmp_path: Path) -> None:
    model, _ = run(all_at_once(write_graph("sequence-first", tmp_path), "never"))
    assert model.batching.endswith("its batch axis is 1, not 0")


def test_a_sequence_first_request_is_one_whole_however_long(tmp_path: Path) -> None:
    """Also where one request at a time was asked for: its first dimension is time, not so many rows."""

    async def main() -> None:
        async with pooled() as pool:
            path = write_graph("sequence-first", tmp_path)
            model = await pool.start(fake(engine="onnxruntime", path=path, options={}, max_batch=1))
            assert not model.batched

    run(main())


# — texts and images ———————————————————————————————————————————————————————————————————————————————————


def text_model(folder: Path, kind: str) -> tuple[Path, PipelineSpec]:
    """Mean embedding of a text's tokens: of those that the mask shows, of all with the padding, or token by token."""
    from onnx import numpy_helper
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[PAD]", *(f"w{k}" for k in range(60)), "?"]
    tokenizer = Tokenizer(models.WordLevel({w: k for k, w in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    bodies = {
        "masked": """e = Gather (E, input_ids) f = Cast <to = 1> (attention_mask) m = Unsqueeze (f, last)
            h = Mul (e, m) s = ReduceSum <keepdims = 0> (h, one) c = ReduceSum <keepdims = 0> (m, one) y = Div (s, c)""",
        "padded": "e = Gather (E, input_ids) a = Cast <to = 1> (attention_mask) y = ReduceMean <axes = [1], keepdims = 0> (e)",
        "tokens": "a = Cast <to = 1> (attention_mask) y = Gather (E, input_ids)",
    }
    out = "[batch,n,4] y" if kind == "tokens" else "[batch,4] y"
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]> g (int64[batch,n] input_ids, int64[batch,n] attention_mask)
        => (float{out}) <int64[1] last = {{2}}, int64[1] one = {{1}}> {{ {bodies[kind]} }}"""
    )
    table = np.random.default_rng(0).standard_normal((62, 4)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(table, "E"))
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx", PipelineSpec(kind="text", tokenizer=str(folder / "tokenizer.json"), max_length=64)


def texts(n: int) -> list[str]:
    rng = np.random.default_rng(5)
    return [" ".join(f"w{w}" for w in rng.integers(0, 60, rng.integers(1, 9))) for _ in range(n)]


@pytest.mark.parametrize("inline", ["never", "always"])
@pytest.mark.parametrize(("kind", "batched"), [("masked", True), ("padded", False), ("tokens", False)])
def test_a_text_s_answer_does_not_depend_on_its_batch_mates(
    tmp_path: Path, kind: str, batched: bool, inline: str
) -> None:
    path, pipeline = text_model(tmp_path, kind)

    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(
                fake(engine="onnxruntime", path=path, pipeline=pipeline, options={}, inline=inline)
            )
            assert model.batched is batched, model.batching
            alone = [await ask(model, payloads=[text]) for text in texts(24)]
            together = await asyncio.gather(*(ask(model, payloads=[text], length=3) for text in texts(24)))
            assert (max(o.batch_rows for o in together) > 1) is batched  # type: ignore[union-attr]
            for one, other in zip(alone, together, strict=True):
                assert isinstance(one, Answer)
                assert isinstance(other, Answer), other
                assert one.outputs[0].shape == other.outputs[0].shape
                np.testing.assert_allclose(one.outputs[0], other.outputs[0], rtol=1e-5, atol=1e-6)

    run(main())


@pytest.mark.parametrize("inline", ["never", "always"])
def test_texts_of_one_request_are_answered_one_after_the_other(tmp_path: Path, inline: str) -> None:
    path, pipeline = text_model(tmp_path / "padded", "padded")
    token_path, token_pipeline = text_model(tmp_path / "tokens", "tokens")

    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(
                fake(engine="onnxruntime", path=path, pipeline=pipeline, options={}, inline=inline)
            )
            given = texts(5)
            alone = [await ask(model, payloads=[text]) for text in given]
            both = await ask(model, payloads=given, rows=5)
            assert isinstance(both, Answer), both
            want = np.concatenate([one.outputs[0] for one in alone])  # type: ignore[union-attr]
            np.testing.assert_array_equal(both.outputs[0], want)
            assert model.has_rows
            ragged = await pool.start(
                fake(
                    "ragged", engine="onnxruntime", path=token_path, pipeline=token_pipeline, options={}, inline=inline
                )
            )
            refused = await ask(ragged, payloads=["w1", "w2 w3"], rows=2)
            assert isinstance(refused, Problem)
            assert refused.status == 400
            assert "a request has one text for this model" in refused.message

    run(main())


def test_a_worker_that_is_started_again_knows_what_was_shown(tmp_path: Path) -> None:
    """Nothing is tried anew, and nothing is put together meanwhile."""
    import os
    import signal

    from driven_pool import until

    async def main() -> None:
        async with pooled() as pool:
            path = write_graph("ranked", tmp_path)
            model = await pool.start(fake(engine="onnxruntime", path=path, options={}, inline="never", instances=2))
            before = pool.pids(model)
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            await until(lambda: len(pool.pids(model)) == 2 and not set(before) & set(pool.pids(model)))
            requests = asked(path, 40)
            outcomes = await asyncio.gather(*(ask(model, *one.values()) for one, _ in requests))
            for (_, want), outcome in zip(requests, outcomes, strict=True):
                assert isinstance(outcome, Answer)
                np.testing.assert_allclose(outcome.outputs[0], want["y"], rtol=1e-5)

    run(main())
