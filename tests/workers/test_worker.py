"""Real workers: what they answer, whose fault a fault is, which row belongs to whom."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driven_pool import ask, fake, mark, pooled, run, tiny_mlp
from exported_nets import Net, conv_net
from PIL import Image

from farthing.errors import EngineError
from farthing.nouns import PipelineSpec
from farthing.plugins import find
from farthing.wire.requests import Answer, LiveModel, Problem
from farthing.workers.inline import KeptTokens
from farthing.workers.placing import INLINE_S

__all__ = ["conv_net"]

FAULTS = {"exception": 555.0}


def value(outcome: Any) -> float:
    assert isinstance(outcome, Answer), outcome
    return float(outcome.outputs[0][0, 0])


def png(level: int, side: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (level, level, level)).save(out, "PNG")
    return out.getvalue()


def image_model(path: Path) -> Path:
    """Mean of each channel of an image."""
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)],
        "means",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def identity(path: Path, kind: int) -> Path:
    import onnx
    from onnx import helper

    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "same",
        [helper.make_tensor_value_info("x", kind, ["n", "m"])],
        [helper.make_tensor_value_info("y", kind, ["n", "m"])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_fault_in_a_batch_is_its_culprit_s_alone() -> None:
    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(fake(options={"service_ms": 1.0, "poison": FAULTS}))
            asked = [ask(model, mark(555.0 if k == 3 else k)) for k in range(8)]
            outcomes = await asyncio.gather(*asked)
            assert [value(o) for k, o in enumerate(outcomes) if k != 3] == [0, 2, 4, 8, 10, 12, 14]
            assert isinstance(outcomes[3], Problem)
            assert outcomes[3].status == 500
            assert outcomes[3].message == "RuntimeError: the kernel said no"
            assert len(pool.pids(model)) == 1

    run(main())


def test_an_answer_with_the_wrong_number_of_rows_is_nobody_s() -> None:
    async def main() -> None:
        async with pooled() as pool:
            # What is tried and warmed up takes some dozens of calls; what comes later is wrong.
            options = {"service_ms": 0.2, "fault": "shape", "fault_after": 200}
            model = await pool.start(fake(max_batch=2, options=options))
            outcomes = [await ask(model, mark(1.0)) for _ in range(200)]
            assert isinstance(outcomes[0], Answer)
            outcome = outcomes[-1]
            assert isinstance(outcome, Problem)
            assert outcome.status == 500
            assert "output y has the shape (2, 2) for 1 rows" in outcome.message

    run(main())


def test_images_are_decoded_in_the_worker_and_a_bad_one_spoils_no_other(tmp_path: Path) -> None:
    async def main() -> None:
        path = image_model(tmp_path / "means.onnx")
        pipeline = PipelineSpec(kind="image", resize=8, crop=8, max_pixels=10_000)
        async with pooled() as pool:
            model = await pool.start(fake(engine="onnxruntime", path=path, pipeline=pipeline, options={}))
            payloads: list[list[bytes]] = [[png(k * 10)] for k in range(6)]
            payloads[2] = [b"no image"]
            payloads[4] = [png(9), png(8, side=200)]
            outcomes = await asyncio.gather(
                *(ask(model, payloads=p, rows=len(p), size_bytes=sum(map(len, p))) for p in payloads)
            )
            for k, outcome in enumerate(outcomes):
                if k in (2, 4):
                    assert isinstance(outcome, Problem)
                    assert outcome.status == 400
                else:
                    assert value(outcome) == pytest.approx(k * 10 / 255, abs=1e-5)
            assert "cannot be decoded" in outcomes[2].message  # type: ignore[union-attr]
            assert "the limit is 10,000" in outcomes[4].message  # type: ignore[union-attr]
            tensor = np.full((1, 3, 8, 8), 0.25, dtype=np.float32)
            assert value(await ask(model, tensor)) == 0.25

    run(main())


@pytest.mark.parametrize("inline", ["never", "always"])
def test_texts_and_numbers_of_all_kinds_come_back_as_they_went(tmp_path: Path, inline: str) -> None:
    from onnx import TensorProto

    kinds: dict[int, Any] = {
        TensorProto.STRING: np.array([["a", "grüß"], ["", "x" * 300]], dtype=object),
        TensorProto.BOOL: np.array([[True, False], [False, False]]),
        TensorProto.FLOAT16: np.array([[1.5, -2], [np.inf, 0]], dtype=np.float16),
        TensorProto.INT64: np.array([[-(2**62), 1], [2, 3]]),
        TensorProto.UINT8: np.array([[0, 255], [7, 9]], dtype=np.uint8),
        TensorProto.DOUBLE: np.array([[0.1, -0.0], [1e300, 5]]),
    }

    async def main() -> None:
        async with pooled() as pool:
            for k, (kind, array) in enumerate(kinds.items()):
                spec = fake(f"m{k}", engine="onnxruntime", path=identity(tmp_path / f"{k}.onnx", kind), options={},
                            inline=inline, precision="fp16" if kind == TensorProto.FLOAT16 else "fp32")  # fmt: skip
                model = await pool.start(spec)
                assert model.inputs[0].dtype == ("bytes" if array.dtype == object else array.dtype.name)
                given = np.array([[t.encode() for t in row] for row in array], dtype=object) if k == 0 else array
                outcomes = await asyncio.gather(*(ask(model, given[r : r + 1]) for r in (0, 1, 0)))
                for r, outcome in zip((0, 1, 0), outcomes, strict=True):
                    assert isinstance(outcome, Answer), outcome
                    back = outcome.outputs[0]
                    texts = [[t.decode() if isinstance(t, bytes) else t for t in row] for row in back.tolist()]
                    assert texts == array[r : r + 1].tolist()
            wrong = ask(pool_model(pool), np.array([[b"\xff\xfe"]], dtype=object))
            outcome = await wrong
            assert isinstance(outcome, Problem)
            assert (outcome.status, outcome.message.split(":")[0]) == (400, "input x is not UTF-8")

    def pool_model(pool: Any) -> LiveModel:
        return next(seat.live for seat in pool._seats.values() if seat.live.spec.name == "m0")  # type: ignore[no-any-return]

    run(main())


def test_a_model_with_a_fixed_batch_answers_whole_requests_one_by_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with pooled() as pool:
            path = tiny_mlp(tmp_path / "fixed.onnx", fixed_batch=True)
            for inline in ("never", "always"):
                model = await pool.start(fake(engine="onnxruntime", path=path, options={}, inline=inline))
                assert not model.batched
                assert model.inputs[0].shape == (1, 16)
                outcomes = await asyncio.gather(*(ask(model, np.full((1, 16), k, dtype=np.float32)) for k in range(5)))
                assert [o.batch_rows for o in outcomes] == [1] * 5  # type: ignore[union-attr]
                ratio = outcomes[4].outputs[0] / outcomes[2].outputs[0]  # type: ignore[union-attr]
                np.testing.assert_allclose(ratio, 2.0)
                wrong = await ask(model, np.zeros((1, 15), dtype=np.float32))
                assert isinstance(wrong, Problem)
                assert wrong.status == 500

    run(main())


def test_tiny_models_run_in_the_loop_thread_and_others_in_workers(tmp_path: Path) -> None:
    async def main() -> None:
        path = tiny_mlp(tmp_path / "mlp.onnx")
        async with pooled() as pool:
            tiny = await pool.start(fake("tiny", engine="onnxruntime", path=path, options={}))
            if tiny.queue.curve.base_s(1) < INLINE_S:  # type: ignore[attr-defined]
                assert pool.pids(tiny) == ()
            never = await pool.start(fake("never", engine="onnxruntime", path=path, options={}, inline="never"))
            slow = await pool.start(fake("slow", instances=2))
            assert len(pool.pids(never)) == 1
            assert len(pool.pids(slow)) == 2
            x = np.arange(48, dtype=np.float32).reshape(3, 16)
            a, b = await ask(tiny, x), await ask(never, x)
            assert isinstance(a, Answer)
            assert isinstance(b, Answer)
            np.testing.assert_array_equal(a.outputs[0], b.outputs[0])
            assert tiny.platform == "onnxruntime_onnx"

    run(main())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"load_fault": "refuse"}, "fake cannot run test_worker.py"),
        ({"load_fault": "segfault"}, r"the worker died \(SIGSEGV\)"),
        ({"fault": "exception"}, "m fails on a batch of 1: RuntimeError: the kernel said no"),
        ({"fault": "segfault", "fault_after": 2}, r"m fails on a batch of 1: the worker died \(SIGSEGV\)"),
        ({"load_fault": "hang"}, "did not answer within 1 s"),
    ],
)
def test_a_model_that_cannot_start_says_why_and_leaves_nothing(options: dict[str, Any], said: str) -> None:
    async def main() -> None:
        async with pooled(load_limit_s=1.0) as pool:
            healthy = await pool.start(fake("healthy"))
            with pytest.raises(EngineError, match=said):
                await pool.start(fake(path=Path(__file__), options=options))
            assert len(pool._seats) == 1
            assert value(await ask(healthy, mark(4.0))) == 8.0

    run(main())


def test_a_model_that_several_requests_end_is_asked_one_at_a_time() -> None:
    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(fake(options={"service_ms": 0.0, "fault": "segfault", "fault_after": 6}))
            assert not model.batched
            assert "no requests could be tried together: the worker died (SIGSEGV)" in model.batching
            assert value(await ask(model, mark(4.0))) == 8.0

    run(main())


def marked(n: int, instances: int) -> None:
    """Marked requests of 1 to 3 rows from many clients: each gets its own rows back."""

    async def client(model: LiveModel, first: int, count: int, rng: np.random.Generator) -> int:
        rows = rng.integers(1, 4, count).tolist()
        for k in range(count):
            sent = mark(first + k, rows[k])
            outcome = await ask(model, sent)
            assert isinstance(outcome, Answer), outcome
            assert outcome.outputs[0].tobytes() == (2 * sent).tobytes()
        return count

    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(fake(max_batch=32, instances=instances, options={"service_ms": 0.0}))
            clients = 64
            rng = np.random.default_rng(1)
            each = n // clients
            done = await asyncio.gather(*(client(model, c * each, each, rng) for c in range(clients)))
            assert sum(done) == each * clients

    run(main(), limit_s=1200.0)


def test_marked_rows_come_back_to_whoever_sent_them() -> None:
    marked(100_000, 2)


@pytest.mark.slow
def test_a_million_marked_rows_come_back_to_whoever_sent_them() -> None:
    marked(1_000_000, 2)


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "threads"), [("openvino", 2), ("pytorch", 1), ("onnxruntime", 2)])
def test_real_engines_answer_from_forked_workers(conv_net: Net, engine: str, threads: int) -> None:
    images = conv_net.batch(8)["images"]
    path = conv_net.module if engine == "pytorch" else conv_net.onnx
    alone = find("engines", "onnxruntime").load(conv_net.onnx, precision="fp32", threads=1, device="cpu", options={})
    expected = next(iter(alone.run({alone.inputs[0].name: images}).values()))

    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(fake(engine=engine, path=path, threads=threads, max_batch=4, options={}))
            assert model.batched
            outcomes = await asyncio.gather(*(ask(model, images[k : k + 1]) for k in range(8)))
            found = np.concatenate([o.outputs[0] for o in outcomes])  # type: ignore[union-attr]
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
            os.kill(pool.pids(model)[0], signal.SIGKILL)
            outcome = await ask(model, images[:3])
            assert isinstance(outcome, Answer)
            np.testing.assert_allclose(outcome.outputs[0], expected[:3], rtol=1e-3, atol=1e-4)

    run(main())


def word_counter(tmp_path: Path, max_payload_bytes: int) -> tuple[Path, PipelineSpec]:
    """A model that counts the words of a text, up to 128."""
    from onnx import TensorProto, helper, save
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"[PAD]": 0, "the": 1, "?": 2}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    nodes = [helper.make_node("ReduceSum", ["attention_mask", "axis"], ["y"], keepdims=1)]
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["n", "m"]) for n in ("input_ids", "attention_mask")]
    graph = helper.make_graph(
        nodes, "count", inputs, [helper.make_tensor_value_info("y", TensorProto.INT64, ["n", 1])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )  # fmt: skip
    path = tmp_path / "count.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    pipeline = PipelineSpec(
        kind="text", tokenizer=str(tmp_path / "tokenizer.json"), max_length=128, max_payload_bytes=max_payload_bytes
    )
    return path, pipeline


@pytest.mark.parametrize("inline", ["never", "always"])
def test_texts_are_tokenised_and_grouped_by_length(tmp_path: Path, inline: str) -> None:
    path, pipeline = word_counter(tmp_path, 600)

    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(
                fake(engine="onnxruntime", path=path, pipeline=pipeline, options={}, inline=inline)
            )
            counts = [1, 100, 2, 90, 1, 3, 200, 5, 80, 2]
            texts = ["the " * n for n in counts]
            outcomes = await asyncio.gather(
                *(ask(model, payloads=[t], length=len(t)) for t in texts), ask(model, payloads=["\ud800 the"], length=5)
            )
            for n, outcome in zip(counts, outcomes):
                if n == 200:  # 800 bytes
                    assert isinstance(outcome, Problem)
                    assert outcome.status == 400
                    assert "the limit is 600" in outcome.message
                else:
                    assert value(outcome) == n
            assert value(outcomes[-1]) == 2
            assert outcomes[1].batch_rows <= 4  # type: ignore[union-attr]
            both = await ask(model, payloads=["the the", "the"], rows=2)
            assert isinstance(both, Answer)
            assert both.outputs[0].ravel().tolist() == [2, 1]

    run(main())


def test_long_texts_do_not_hold_the_loop_thread(tmp_path: Path) -> None:
    path, pipeline = word_counter(tmp_path, 2**20)

    async def main() -> None:
        async with pooled() as pool:
            model = await pool.start(
                fake(engine="onnxruntime", path=path, pipeline=pipeline, options={}, inline="always", max_batch=1)
            )
            answers = [ask(model, payloads=["the " * n]) for n in (100_000, 3)]
            turns = 0
            while not answers[0].done():
                await asyncio.sleep(0)
                turns += 1
            assert turns > 5  # tokenised at once it would be there after the dispatch
            assert [value(await answer) for answer in answers] == [128, 3]

    run(main())


def test_models_that_cut_texts_alike_share_their_tokens(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    specs = [word_counter(tmp_path / name, 1000)[1] for name in "ab"]
    open_pipeline = find("pipelines", "text").open
    one, two, longer = (open_pipeline(spec) for spec in (*specs, replace(specs[0], max_length=64)))
    shared = KeptTokens()
    for pipeline in (one, two, longer, None):
        shared.share(pipeline)
    assert one.kept is two.kept is not None
    assert longer.kept is not one.kept
