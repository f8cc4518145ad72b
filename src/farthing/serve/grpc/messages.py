"""Message classes of the Open Inference Protocol over gRPC, and of gRPC's health service, made at run time.

The definitions are the public protocol's names, types and field numbers (Open Inference Protocol v2 with Triton's
additions; gRPC health checking protocol). They live in a descriptor pool of their own: clients' generated classes of
the same full names (``inference.ModelInferRequest`` in tritonclient and kserve) can be imported in the same process.

Some definitions leave fields out that this server neither reads nor writes; unknown fields are skipped when parsing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["HEALTH_SERVICE", "INFERENCE_SERVICE", "METHODS", "message", "message_names"]

INFERENCE_SERVICE: Final = "inference.GRPCInferenceService"
HEALTH_SERVICE: Final = "grpc.health.v1.Health"

METHODS: Final[Mapping[str, tuple[str, str]]] = {
    name: (f"inference.{name}Request", f"inference.{name}Response")
    for name in (
        "ServerLive",
        "ServerReady",
        "ServerMetadata",
        "ModelReady",
        "ModelMetadata",
        "ModelConfig",
        "ModelStatistics",
        "ModelInfer",
        "RepositoryIndex",
        "RepositoryModelLoad",
        "RepositoryModelUnload",
    )
}
"""Unary methods of the inference service: names of the request's and the response's message."""

_TENSOR: Final = ("string name = 1", "string datatype = 2", "repeated int64 shape = 3")
_FILLED: Final = (*_TENSOR, "map InferParameter parameters = 4", "InferTensorContents contents = 5")
_NAMED_VERSION: Final = ("string name = 1", "string version = 2")
_CHOICE: Final = ("bool bool_param = 1", "int64 int64_param = 2", "string string_param = 3")
_COMPUTE: Final = ("compute_input", "compute_infer", "compute_output")

_INFERENCE: Final[Mapping[str, Iterable[str]]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("bool live = 1",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("bool ready = 1",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": (*_NAMED_VERSION, "repeated string extensions = 3"),
    "ModelReadyRequest": _NAMED_VERSION,
    "ModelReadyResponse": ("bool ready = 1",),
    "ModelMetadataRequest": _NAMED_VERSION,
    "ModelMetadataResponse.TensorMetadata": _TENSOR,
    "ModelMetadataResponse": (
        "string name = 1",
        "repeated string versions = 2",
        "string platform = 3",
        "repeated ModelMetadataResponse.TensorMetadata inputs = 4",
        "repeated ModelMetadataResponse.TensorMetadata outputs = 5",
    ),
    "InferParameter": tuple(
        f"parameter_choice: {f}" for f in (*_CHOICE, "double double_param = 4", "uint64 uint64_param = 5")
    ),
    "InferTensorContents": (
        "repeated bool bool_contents = 1",
        "repeated int32 int_contents = 2",
        "repeated int64 int64_contents = 3",
        "repeated uint32 uint_contents = 4",
        "repeated uint64 uint64_contents = 5",
        "repeated float fp32_contents = 6",
        "repeated double fp64_contents = 7",
        "repeated bytes bytes_contents = 8",
    ),
    "ModelInferRequest.InferInputTensor": _FILLED,
    "ModelInferRequest.InferRequestedOutputTensor": ("string name = 1", "map InferParameter parameters = 2"),
    "ModelInferRequest": (
        "string model_name = 1",
        "string model_version = 2",
        "string id = 3",
        "map InferParameter parameters = 4",
        "repeated ModelInferRequest.InferInputTensor inputs = 5",
        "repeated ModelInferRequest.InferRequestedOutputTensor outputs = 6",
        "repeated bytes raw_input_contents = 7",
    ),
    "ModelInferResponse.InferOutputTensor": _FILLED,
    "ModelInferResponse": (
        "string model_name = 1",
        "string model_version = 2",
        "string id = 3",
        "map InferParameter parameters = 4",
        "repeated ModelInferResponse.InferOutputTensor outputs = 5",
        "repeated bytes raw_output_contents = 6",
    ),
    "ModelStreamInferResponse": ("string error_message = 1", "ModelInferResponse infer_response = 2"),
    "ModelInput": ("string name = 1", "DataType data_type = 2", "repeated int64 dims = 4"),
    "ModelOutput": ("string name = 1", "DataType data_type = 2", "repeated int64 dims = 3"),
    "ModelInstanceGroup": ("string name = 1", "int32 count = 2", "ModelInstanceGroup.Kind kind = 4"),
    "ModelDynamicBatching": ("repeated int32 preferred_batch_size = 1", "uint64 max_queue_delay_microseconds = 2"),
    "ModelConfig": (
        "string name = 1",
        "string platform = 2",
        "int32 max_batch_size = 4",
        "repeated ModelInput input = 5",
        "repeated ModelOutput output = 6",
        "repeated ModelInstanceGroup instance_group = 7",
        "scheduling_choice: ModelDynamicBatching dynamic_batching = 11",
        "string backend = 17",
    ),
    "ModelConfigRequest": _NAMED_VERSION,
    "ModelConfigResponse": ("ModelConfig config = 1",),
    "ModelStatisticsRequest": _NAMED_VERSION,
    "StatisticDuration": ("uint64 count = 1", "uint64 ns = 2"),
    "InferStatistics": tuple(
        f"StatisticDuration {name} = {k}" for k, name in enumerate(("success", "fail", "queue", *_COMPUTE), 1)
    ),
    "InferBatchStatistics": (
        "uint64 batch_size = 1",
        *(f"StatisticDuration {name} = {k}" for k, name in enumerate(_COMPUTE, 2)),
    ),
    "ModelStatistics": (
        *_NAMED_VERSION,
        "uint64 last_inference = 3",
        "uint64 inference_count = 4",
        "uint64 execution_count = 5",
        "InferStatistics inference_stats = 6",
        "repeated InferBatchStatistics batch_stats = 7",
    ),
    "ModelStatisticsResponse": ("repeated ModelStatistics model_stats = 1",),
    "RepositoryIndexRequest": ("string repository_name = 1", "bool ready = 2"),
    "RepositoryIndexResponse.ModelIndex": (*_NAMED_VERSION, "string state = 3", "string reason = 4"),
    "RepositoryIndexResponse": ("repeated RepositoryIndexResponse.ModelIndex models = 1",),
    "RepositoryModelLoadRequest": (),
    "RepositoryModelLoadResponse": (),
    "RepositoryModelUnloadRequest": (),
    "RepositoryModelUnloadResponse": (),
}

_INFERENCE_ENUMS: Final[Mapping[str, Iterable[str]]] = {
    "DataType": (
        "TYPE_INVALID",
        "TYPE_BOOL",
        *(f"TYPE_{sign}{bits}" for sign in ("UINT", "INT") for bits in (8, 16, 32, 64)),
        *(f"TYPE_FP{bits}" for bits in (16, 32, 64)),
        "TYPE_STRING",
        "TYPE_BF16",
    ),
    "ModelInstanceGroup.Kind": ("KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"),
}

_HEALTH: Final[Mapping[str, Iterable[str]]] = {
    "HealthCheckRequest": ("string service = 1",),
    "HealthCheckResponse": ("HealthCheckResponse.ServingStatus status = 1",),
}

_HEALTH_ENUMS: Final[Mapping[str, Iterable[str]]] = {
    "HealthCheckResponse.ServingStatus": ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"),
}

_FIELD: Final = re.compile(
    r"(?:(?P<oneof>\w+): )?(?:(?P<many>repeated|map) )?(?P<type>[\w.]+) (?P<name>\w+) = (?P<number>\d+)"
)
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    word: getattr(_Field, f"TYPE_{word.upper()}")
    for word in ("bool", "int32", "int64", "uint32", "uint64", "float", "double", "string", "bytes")
}


def _field(owner: Any, package: str, name: str, line: str, enums: Iterable[str]) -> None:
    """Add one field, written ``[oneof: ][repeated |map ]type name = number``, to a message's description."""
    match = _FIELD.fullmatch(line)
    if match is None:
        raise ValueError(f"{name}: {line!r} is not a field")
    field = owner.field.add(name=match["name"], number=int(match["number"]))
    field.label = _Field.LABEL_REPEATED if match["many"] else _Field.LABEL_OPTIONAL
    word = match["type"]
    if match["many"] == "map":
        _map_entry(owner, field.name, f".{package}.{word}")
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{package}.{name}.{owner.nested_type[-1].name}"
    elif word in _SCALARS:
        field.type = _SCALARS[word]
    else:
        field.type = _Field.TYPE_ENUM if word in enums else _Field.TYPE_MESSAGE
        field.type_name = f".{package}.{word}"
    if match["oneof"]:
        if not owner.oneof_decl:
            owner.oneof_decl.add(name=match["oneof"])
        field.oneof_index = 0


def _map_entry(owner: Any, name: str, value_type: str) -> None:
    """Add the entry message of a map from strings as protoc would write it."""
    entry = owner.nested_type.add(name="".join(word.capitalize() for word in name.split("_")) + "Entry")
    entry.options.map_entry = True
    once = _Field.LABEL_OPTIONAL
    entry.field.add(name="key", number=1, label=once, type=_Field.TYPE_STRING)
    entry.field.add(name="value", number=2, label=once, type=_Field.TYPE_MESSAGE, type_name=value_type)


def _file(
    package: str, messages: Mapping[str, Iterable[str]], enums: Mapping[str, Iterable[str]]
) -> descriptor_pb2.FileDescriptorProto:
    """Describe a package; a dotted name is nested one level deep."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"farthing/{package.replace('.', '/')}.proto", package=package, syntax="proto3"
    )
    owners = {name: file.message_type.add(name=name) for name in messages if "." not in name}
    for name, lines in messages.items():
        outer, _, inner = name.partition(".")
        owner = owners[outer].nested_type.add(name=inner) if inner else owners[outer]
        for line in lines:
            _field(owner, package, name, line, enums)
    for name, values in enums.items():
        outer, _, inner = name.partition(".")
        enum = owners[outer].enum_type.add(name=inner) if inner else file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    return file


_PACKAGES: Final = {"inference": (_INFERENCE, _INFERENCE_ENUMS), "grpc.health.v1": (_HEALTH, _HEALTH_ENUMS)}
_pool = descriptor_pool.DescriptorPool()
for _package, (_messages, _enums) in _PACKAGES.items():
    _pool.Add(_file(_package, _messages, _enums))


def message(full_name: str) -> Any:
    """The class of a message by its full name (``inference.ModelInferRequest``); the same one every time.

    Raises:
        KeyError: when there is no such message here.
    """
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(full_name))


def message_names(package: str) -> tuple[str, ...]:
    """Full names of the messages of a package that are defined here."""
    return tuple(f"{package}.{name}" for name in _PACKAGES[package][0])
