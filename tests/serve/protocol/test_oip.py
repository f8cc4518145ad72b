"""Requests of the protocol: what is read, what is refused, what is answered."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import orjson
import pytest
from echo_models import ALL_WORDS, echo_model, image_model, many_types, text_model
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.conformance.referee import acceptable
from farthing.conformance.target import Input, Target
from farthing.nouns import TensorSpec
from farthing.serve.limits import Limits
from farthing.serve.protocol.json.strict import read_json
from farthing.serve.protocol.oip import decode_infer
from farthing.serve.protocol.oip_answers import encode_answer
from farthing.serve.protocol.sagemaker import decode_invocation, encode_predictions
from farthing.serve.protocol.signatures import deadline_of, estimate_tokens, signature_of
from farthing.wire.dtypes import datatype_of
from farthing.wire.requests import Problem

LIMITS = Limits()


def tensor(**changes):
    found = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
    found.update(changes)
    return {key: value for key, value in found.items() if value is not ...}


def body(*inputs, **rest):
    return orjson.dumps({"inputs": list(inputs or [tensor()]), **rest})


def decode(model, raw, header_bytes=None, limits=LIMITS):
    return decode_infer(model, raw, header_bytes, limits)


def refused(model, raw, header_bytes=None, limits=LIMITS):
    with pytest.raises(Problem) as caught:
        decode(model, raw, header_bytes, limits)
    assert 400 <= caught.value.status < 500 or caught.value.status == 501
    return caught.value.message


@pytest.fixture
def model():
    return echo_model()


def test_values_flat_and_nested_are_the_same(model):
    flat = decode(model, body(tensor(shape=[2, 4], data=list(range(8)))))
    nested = decode(model, body(tensor(shape=[2, 4], data=[[0, 1, 2, 3], [4, 5, 6, 7]])))
    assert flat.rows == nested.rows == 2
    assert (flat.tensors[0] == nested.tensors[0]).all()
    assert flat.tensors[0].dtype == np.float32
    assert flat.shape_key is None


@pytest.mark.parametrize("word", ALL_WORDS)
def test_every_datatype_as_json_and_raw(word):
    datatype = datatype_of(word)
    one = echo_model(inputs=(TensorSpec(name="x", dtype=word, shape=(None, 2)),))
    values = {"BOOL": [True, False], "BYTES": ["a", "é"]}.get(datatype.name, [1, 2])
    decoded = decode(one, body(tensor(shape=[1, 2], datatype=datatype.name, data=values)))
    signature = signature_of(one)
    text, none = encode_answer(signature, decoded.wishes, "", decoded.tensors)
    assert none is None
    assert json.loads(text)["outputs"][0]["data"] == values
    asked = decode(
        one, body(tensor(shape=[1, 2], datatype=datatype.name, data=values), parameters={"binary_data_output": True})
    )
    answer, json_bytes = encode_answer(signature, asked.wishes, "7", decoded.tensors)
    described = json.loads(answer[:json_bytes])
    raw = answer[json_bytes:]
    assert described["id"] == "7"
    assert described["outputs"][0]["parameters"] == {"binary_data_size": len(raw)}
    head = body(tensor(shape=[1, 2], datatype=datatype.name, data=..., parameters={"binary_data_size": len(raw)}))
    again = decode(one, head + raw, len(head))
    assert again.tensors[0].tolist() == decoded.tensors[0].tolist()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": [1, 2, 3, True]}, "numbers"),
        ({"data": [1, 2, 3, "4"]}, "numbers"),
        ({"data": [1, 2, 3, None]}, "numbers"),
        ({"data": [1, 2, 3, 1e39]}, "does not fit"),
        ({"data": [1, 2, 3]}, "needs 4 values"),
        ({"data": [[1, 2], [3, 4]]}, "not nested"),
        ({"data": "1234"}, "data is a list"),
        ({"datatype": "FP64"}, "has the datatype FP32"),
        ({"shape": [0, 4]}, "from 1 on"),
        ({"shape": [-1, 4]}, "from 1 on"),
        ({"shape": [True, 4]}, "from 1 on"),
        ({"shape": [1.0, 4]}, "from 1 on"),
        ({"shape": [2**62, 4]}, "from 1 on"),
        ({"shape": [9, 4], "data": [0] * 36}, "at most 8"),
        ({"shape": [4]}, r"shape \[n, 4\]"),
        ({"shape": [1] * 9}, "at most 8 dimensions"),
        ({"name": "z"}, "no input 'z'; it has x"),
        ({"data": ...}, "no data"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"parameters": {"shared_memory_region": "r"}}, "not offered"),
        ({"parameters": {"a": [1]}}, "a number or a boolean"),
        ({"parameters": {"binary_data_size": 16}}, "data and binary_data_size"),
    ],
)
def test_wrong_inputs_are_refused_with_the_reason(model, changes, words):
    assert re.search(words, refused(model, body(tensor(**changes))))


@pytest.mark.parametrize(
    ("datatype", "word", "bad"),
    [
        ("UINT8", "uint8", 256),
        ("UINT8", "uint8", -1),
        ("INT64", "int64", 2**63),
        ("INT32", "int32", 1.5),
        ("FP16", "float16", 65520),
        ("BF16", "bfloat16", 3.4e38),
        ("BOOL", "bool", 1),
    ],
)
def test_values_that_do_not_fit_are_refused(datatype, word, bad):
    one = echo_model(inputs=(TensorSpec(name="x", dtype=word, shape=(None,)),))
    assert "input x" in refused(one, body(tensor(shape=[1], datatype=datatype, data=[bad])))


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ({"parameters": {"sequence_id": 1}}, "not offered"),
        ({"parameters": {"timeout": -1}}, "timeout"),
        ({"parameters": {"timeout": "1"}}, "timeout"),
        ({"parameters": {"priority": 1.5}}, "priority"),
        ({"parameters": {"binary_data_output": 1}}, "true or false"),
        ({"parameters": []}, "is an object"),
        ({"id": 5}, "id is a text"),
        ({"id": "x" * 300}, "256 characters"),
        ({"outputs": [{"name": "nope"}]}, "no output 'nope'"),
        ({"outputs": [{"name": "out_x"}, {"name": "out_x"}]}, "asked for twice"),
        ({"outputs": {}}, "outputs is a list"),
        ({"outputs": [{"name": "out_x", "parameters": {"classification": -1}}]}, "classification"),
        ({"model_name": "other"}, "'other' in the body"),
        ({"more": 1}, "unknown key"),
    ],
)
def test_wrong_requests_are_refused_with_the_reason(model, rest, words):
    assert words in refused(model, body(**rest))


def test_duplicates_are_refused(model):
    assert "there twice" in refused(model, body(tensor(), tensor()))
    plain = body()
    for raw in (
        plain[:-1] + b"," + plain[1:],
        plain.replace(b'"name":"x"', b'"name":"y","name":"x"'),
        plain.replace(b'"name":"x"', b'"name":"y","na\\u006de":"x"'),
        plain.replace(b'"name":"x"', b'"name":"\\u003a","name":"x"'),
        plain[:-1] + b',"id":"a:b","id":"\\u003a\\u003a\\u003a"}',
    ):
        assert "twice" in refused(model, raw)


class _Pairs(tuple):
    """Members of an object, keys perhaps twice."""


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.one_of(st.text(alphabet='a:"\\{', max_size=4), st.integers(-9, 9), st.booleans()),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(st.tuples(st.sampled_from(["a", "b", ":", "a:"]), inner), max_size=3).map(_Pairs),
        ),
        max_leaves=12,
    ),
    st.booleans(),
)
def test_keys_that_are_there_twice_are_found_always_and_only(value, ascii_only):
    raw = _write(value, ascii_only).encode()
    try:
        json.loads(raw, object_pairs_hook=_unique)
    except ValueError:
        with pytest.raises(Problem, match="twice"):
            read_json(raw, 40)
    else:
        assert read_json(raw, 40) == json.loads(raw)


def _write(value, escaped):
    if isinstance(value, _Pairs):
        return "{" + ",".join(f"{_write(k, escaped)}:{_write(v, escaped)}" for k, v in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_write(v, escaped) for v in value) + "]"
    if isinstance(value, str) and escaped:
        return json.dumps(value).replace(":", "\\u003a")
    return json.dumps(value)


def _unique(pairs):
    if len(dict(pairs)) != len(pairs):
        raise ValueError("twice")
    return dict(pairs)


def test_deep_nesting_is_refused(model):
    for raw in (
        b"[" * 100_000,
        b'{"inputs":' * 500 + b"1" + b"}" * 500,
        body()[:-1] + b',"id":' + b"[" * 900 + b"]" * 900 + b"}",
        body(tensor(data=...))[:-3] + b',"data":[1,' + b"[" * 900 + b"]" * 900 + b"]}]}",
    ):
        refused(model, raw)


def test_a_frame_that_repeats_is_read_like_the_first(model):
    spaced = json.dumps({"inputs": [tensor()]}).encode()
    for raw in (body(), spaced, body(), spaced):
        assert decode(model, raw).tensors[0].tolist() == [[1, 2, 3, 4]]
    assert signature_of(model).frames
    again = decode(model, body(tensor(data=[[5, 6, 7, 8]])))
    assert again.tensors[0].tolist() == [[5, 6, 7, 8]]
    for data in ([1, 2, 3], [1, 2, 3, "4"], [1, 2, 3, None], [1, 2, 3, {"a": 1}]):
        refused(model, body(tensor(data=data)))
    refused(model, body().replace(b"[1,2,3,4]", b"[1,2,3,NaN]"))
    refused(model, body().replace(b"[1,2,3,4]", b'[1,2,3,4]},{"name":"x","data":[1]'))
    assert "unknown key" in refused(model, body().replace(b"[1,2,3,4]", b'[1,2,3,4],"z":[1]'))


def test_frames_and_plans_are_bounded(model):
    for k in range(700):
        decode(model, body({"parameters": {"a": k}, **tensor(data=[k, 0, 0, 0])}))
        head = body(tensor(data=..., parameters={"a": k, "binary_data_size": 16}))
        decode(model, head + bytes(16), len(head))
    signature = signature_of(model)
    assert 0 < len(signature.frames) <= 256
    assert 0 < len(signature.headers) <= 256


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_is_accepted_is_acceptable_to_the_referee(data):
    model = echo_model()
    decode(model, body())  # a frame is known
    target = Target(
        host="h", port=1, model="echo", inputs=(Input(name="x", datatype="FP32", dims=(-1, 4)),), outputs=("out_x",)
    )
    odd = st.one_of(st.none(), st.booleans(), st.integers(-3, 2**70), st.floats(), st.text(max_size=3))
    values = data.draw(st.lists(st.one_of(st.floats(-9, 9), odd, st.lists(odd, max_size=4)), max_size=9))
    shape = data.draw(st.lists(st.one_of(st.integers(-1, 4), odd), max_size=3))
    raw = json.dumps(
        {"inputs": [tensor(data=values, shape=data.draw(st.sampled_from([shape, [1, 4], [2, 4]])))]}
    ).encode()
    try:
        decode(model, raw)
    except Problem as problem:
        status = problem.status
    else:
        status = 200
    assert status == 400 or acceptable(target, raw)


def test_binary_lengths_must_agree(model):
    head = body(tensor(data=..., parameters={"binary_data_size": 16}))
    raw = np.arange(4, dtype=np.float32).tobytes()
    for _ in range(2):  # the second time from the header that was kept
        assert decode(model, head + raw, len(head)).tensors[0].tolist() == [[0, 1, 2, 3]]
        assert "16 bytes by their" in refused(model, head + raw + b"x", len(head))
        assert "16 bytes by their" in refused(model, head + raw[:-1], len(head))
    assert "the body has" in refused(model, head, len(head) + 1)
    wrong = body(tensor(data=..., parameters={"binary_data_size": 12}))
    assert "needs 16 bytes" in refused(model, wrong + raw[:12], len(wrong))
    assert "without the header" in refused(model, head)


def test_raw_and_json_inputs_mix():
    two = echo_model(inputs=tuple(TensorSpec(name=n, dtype="int32", shape=(None, 1)) for n in "ab"))
    a = {"name": "a", "shape": [1, 1], "datatype": "INT32", "parameters": {"binary_data_size": 4}}
    b = {"name": "b", "shape": [1, 1], "datatype": "INT32", "data": [2]}
    for inputs in ([a, b], [b, a]):
        head = orjson.dumps({"inputs": inputs})
        decoded = decode(two, head + (1).to_bytes(4, "little"), len(head))
        assert [t.item() for t in decoded.tensors] == [1, 2]
    assert "lacks the input b" in refused(two, orjson.dumps({"inputs": [{**b, "name": "a"}]}))
    different = orjson.dumps({"inputs": [{**b, "name": "a"}, {**b, "shape": [2, 1], "data": [1, 2]}]})
    assert "same number of rows" in refused(two, different)


def test_free_dimensions_make_a_shape_key():
    model = text_model()
    inputs = [
        {"name": n, "shape": [1, 3], "datatype": "INT64", "data": [1, 2, 3]} for n in ("input_ids", "attention_mask")
    ]
    assert decode(model, orjson.dumps({"inputs": inputs})).shape_key == ((3,), (3,))


def test_a_model_that_is_not_batched_takes_whole_sets():
    model = echo_model(inputs=(TensorSpec(name="x", dtype="float32", shape=(3, 2)),), batched=False, max_batch=1)
    decoded = decode(model, body(tensor(shape=[3, 2], data=[0] * 6)))
    assert decoded.rows == 1
    assert decoded.shape_key == ((3, 2),)


def test_texts_and_images_come_as_one_input():
    model = text_model()
    text = {"name": "text", "shape": [2, 1], "datatype": "BYTES", "data": ["hello, you", "a b c"]}
    decoded = decode(model, orjson.dumps({"inputs": [text]}))
    assert decoded.payloads == ["hello, you", "a b c"]
    assert decoded.tensors is None
    assert decoded.length == 3
    assert "shape [n] or [n, 1]" in refused(model, orjson.dumps({"inputs": [{**text, "shape": [1, 2]}]}))
    small = Limits(text_bytes=5)
    with pytest.raises(Problem) as caught:
        decode(model, orjson.dumps({"inputs": [text]}), limits=small)
    assert caught.value.status == 413
    head = orjson.dumps(
        {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 6}}]}
    )
    assert "no UTF-8" in refused(model, head + b"\x02\x00\x00\x00\xff\xfe", len(head))
    picture = image_model()
    image = {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["aGVsbG8="]}
    assert decode(picture, orjson.dumps({"inputs": [image]})).payloads == [b"hello"]
    assert "base64" in refused(picture, orjson.dumps({"inputs": [{**image, "data": ["hello!"]}]}))
    assert "empty" in refused(picture, orjson.dumps({"inputs": [{**image, "data": [""]}]}))
    with pytest.raises(Problem) as caught:
        decode(picture, orjson.dumps({"inputs": [{**image, "data": ["aGVsbG8=" * 9]}]}), limits=Limits(image_bytes=20))
    assert caught.value.status == 413


def test_classification_names_the_best():
    model = text_model()
    asked = {"outputs": [{"name": "logits", "parameters": {"classification": 2}}]}
    text = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["x"]}
    decoded = decode(model, orjson.dumps({"inputs": [text], **asked}))
    scores = np.array([[0.25, 2.0, -1.0]], dtype=np.float32)
    answer, _ = encode_answer(signature_of(model), decoded.wishes, "", [scores])
    output = json.loads(answer)["outputs"][0]
    assert output == {"name": "logits", "datatype": "BYTES", "shape": [1, 2], "data": ["2.000000:1:b", "0.250000:0:a"]}


def test_numbers_that_json_lacks_become_null(model):
    decoded = decode(model, body())
    odd = np.array([[np.nan, np.inf, 1, 2]], dtype=np.float32)
    answer, _ = encode_answer(signature_of(model), decoded.wishes, "", [odd])
    assert json.loads(answer)["outputs"][0]["data"] == [None, None, 1, 2]


def test_timeouts_and_priorities(model):
    decoded = decode(model, body(parameters={"timeout": 2_500_000, "priority": 3}))
    assert decoded.timeout_s == 2.5
    assert decoded.priority == 3
    assert deadline_of(model, decoded.timeout_s, 10.0) == 12.5
    assert deadline_of(model, None, 10.0) == math.inf
    assert decode(model, body(parameters={"timeout": 0})).timeout_s is None


def test_plain_invocations(model):
    def plain(one, document, media_type="application/json"):
        raw = document if isinstance(document, bytes) else orjson.dumps(document)
        decoded, is_plain = decode_invocation(one, raw, media_type, None, LIMITS)
        assert is_plain
        return decoded

    for document in (
        {"instances": [[1, 2, 3, 4]]},
        {"inputs": [[1, 2, 3, 4]]},
        {"inputs": {"x": [[1, 2, 3, 4]]}},
        {"instances": [{"x": [1, 2, 3, 4]}]},
    ):
        assert plain(model, document).tensors[0].tolist() == [[1, 2, 3, 4]]
    assert plain(model, b"1,2,3,4\n5,6,7,8.5\n", "text/csv").tensors[0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8.5]]
    text = text_model()
    for document in ({"inputs": "hi"}, {"inputs": ["hi"]}, {"instances": ["hi"]}, {"inputs": {"text": ["hi"]}}):
        assert plain(text, document).payloads == ["hi"]
    assert plain(text, b"hi", "text/plain").payloads == ["hi"]
    picture = image_model()
    assert plain(picture, b"\x89PNG", "image/png").payloads == [b"\x89PNG"]
    assert plain(picture, {"instances": [{"b64": "aGVsbG8="}]}).payloads == [b"hello"]
    assert not decode_invocation(model, body(), "application/json", None, LIMITS)[1]


@pytest.mark.parametrize(
    ("raw", "media_type", "status"),
    [
        (b"{}", "application/json", 400),
        (b'{"instances":[],"inputs":[]}', "application/json", 400),
        (b'{"instances":[[1,2,3,4],[1]]}', "application/json", 400),
        (b'{"instances":[{"x":[1,2,3,4]},{"y":[1]}]}', "application/json", 400),
        (b'{"inputs":5}', "application/json", 400),
        (b'{"inputs":' + b"[" * 60 + b"]" * 60 + b"}", "application/json", 400),
        (b"1,2,x,4", "text/csv", 400),
        (b"1,2,nan,4", "text/csv", 400),
        (b"1_0,2,3,4", "text/csv", 400),
        (b"1,2,3", "text/csv", 400),
        (b"", "text/csv", 400),
        (b"hello", "text/plain", 415),
        (b"hello", "application/octet-stream", 415),
    ],
)
def test_wrong_invocations_are_refused(model, raw, media_type, status):
    with pytest.raises(Problem) as caught:
        decode_invocation(model, raw, media_type, None, LIMITS)
    assert caught.value.status == status


def test_predictions_name_classes_or_hold_outputs():
    scores = np.array([[0.5, 2.0, -1.0]], dtype=np.float32)
    found = json.loads(encode_predictions(signature_of(text_model()), [scores]))["predictions"]
    assert found[0]["label"] == "b"
    assert [entry["index"] for entry in found[0]["top"]] == [1, 0, 2]
    plain = json.loads(encode_predictions(signature_of(echo_model()), [np.ones((2, 4), np.float32)]))
    assert plain == {"predictions": [[1.0] * 4] * 2}
    several = many_types()
    outputs = [
        np.zeros((1, 2), dtype=datatype_of(w).dtype) if w != "bytes" else np.array([[b"a", b"b"]], dtype=object)
        for w in ALL_WORDS
    ]
    row = json.loads(encode_predictions(signature_of(several), outputs))["predictions"][0]
    assert row["out_in_BYTES"] == ["a", "b"]
    assert row["out_in_BF16"] == [0.0, 0.0]


def test_token_estimates_grow_with_words_and_take_linear_time():
    assert estimate_tokens("") == 0
    assert estimate_tokens("hello, you!") == 4
    assert estimate_tokens("a" * 65536) > 1000
    assert estimate_tokens(" " * 65536) == 0
    assert estimate_tokens("word " * 10_000, 128) == 128
