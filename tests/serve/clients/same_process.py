"""Imports a client's generated messages beside ours and compares every field: python same_process.py MODULE… ."""

from __future__ import annotations

import importlib
import sys

from checks import Checks
from google.protobuf import descriptor_pool, message_factory

from farthing.serve.grpc import messages as grpc_messages

checks = Checks()
theirs = [importlib.import_module(name) for name in sys.argv[1:]]
LACKING = {"inference.InferParameter.double_param", "inference.InferParameter.uint64_param"}
"""Kinds of parameters that some clients do not know, and so never send."""
FIELD = ("name", "number", "type", "message_type", "enum_type", "containing_oneof")


def shape_of(field: object) -> tuple[object, ...]:
    values = [getattr(field, attribute) for attribute in FIELD]
    return tuple(value if isinstance(value, (str, int)) or value is None else value.name for value in values)


def apart() -> None:
    ours = grpc_messages.message("inference.ModelInferRequest")
    their = message_factory.GetMessageClass(
        descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")
    )
    assert ours is not their
    raw = ours(model_name="m", raw_input_contents=[b"x"]).SerializeToString()
    assert their.FromString(raw).raw_input_contents[0] == b"x"
    assert ours.FromString(their(id="i").SerializeToString()).id == "i"


def agree(name: str) -> None:
    ours = grpc_messages.message(name).DESCRIPTOR
    their = descriptor_pool.Default().FindMessageTypeByName(name)
    for field in ours.fields:
        if field.full_name in LACKING and field.number not in their.fields_by_number:
            continue
        assert field.number in their.fields_by_number, f"{field.full_name} = {field.number} is not theirs"
        found = shape_of(their.fields_by_number[field.number])
        assert shape_of(field) == found, f"{field.full_name}: {shape_of(field)}, theirs {found}"
        if field.enum_type is not None:
            other = their.fields_by_number[field.number].enum_type
            assert [(v.name, v.number) for v in field.enum_type.values] == [(v.name, v.number) for v in other.values]


def known(name: str) -> bool:
    try:
        descriptor_pool.Default().FindMessageTypeByName(name)
    except KeyError:
        return False
    return True


checks("both live in one process", apart)
for name in grpc_messages.message_names("inference"):
    if known(name):
        checks(name, agree, name)
checks.report()
