"""What the server says of itself and its models: metadata, configuration, index."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import Any

from farthing.nouns import LocalModel
from farthing.serve.protocol.signatures import Signature, Slot, signature_of
from farthing.wire.requests import LiveModel, Models

__all__ = [
    "EXTENSIONS",
    "described_inputs",
    "described_outputs",
    "model_config",
    "model_metadata",
    "repository_index",
    "server_metadata",
]

EXTENSIONS = ("binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics")
"""Extensions of the protocol that are offered; of the model repository the index only."""

_STATES = {"ready": "READY", "loading": "LOADING", "unloading": "UNLOADING"}


def server_metadata() -> dict[str, Any]:
    """Name, version and extensions."""
    return {"name": "farthing", "version": _own_version(), "extensions": list(EXTENSIONS)}


@cache
def _own_version() -> str:
    """Looked up once: it reads a file."""
    return version("farthing")


def described_inputs(signature: Signature) -> list[dict[str, Any]]:
    """What a client sends: the payload of an image or text model, else the tensors."""
    if signature.payload is not None:
        return [_described(signature.payload)]
    return [_described(slot) for slot in signature.inputs]


def described_outputs(signature: Signature) -> list[dict[str, Any]]:
    """What a client gets."""
    return [_described(slot) for slot in signature.outputs]


def _described(slot: Slot) -> dict[str, Any]:
    shape = [-1 if dim is None else dim for dim in slot.shape]
    return {"name": slot.name, "datatype": slot.datatype.name, "shape": shape}


def model_metadata(model: LiveModel, models: Models) -> dict[str, Any]:
    """Name, versions, platform, inputs and outputs."""
    signature = signature_of(model)
    versions = [other.spec.version for other in models.known() if other.spec.name == model.spec.name]
    return {
        "name": model.spec.name,
        "versions": sorted(versions, key=_version_order),
        "platform": model.platform,
        "inputs": described_inputs(signature),
        "outputs": described_outputs(signature),
    } | _properties(model)


def _properties(model: LiveModel) -> dict[str, Any]:
    found = {"batching": model.batching} if model.batching else {}
    if model.emulated:
        found["emulated"] = "workers wait out profiled times instead of computing; answers are zeros"
    return {"properties": found} if found else {}


def _version_order(version: str) -> tuple[int, str]:
    return (int(version) if version.isdecimal() else 0, version)


def model_config(model: LiveModel) -> dict[str, Any]:
    """The configuration in Triton's words, as far as it has a meaning here; inputs are the model's tensors."""
    spec, signature = model.spec, signature_of(model)
    backend = spec.backend
    delay_s = spec.max_delay_s if isinstance(spec, LocalModel) else 0.0
    skip = 1 if model.batched else 0
    return {
        "name": spec.name,
        "platform": model.platform,
        "backend": backend.engine,
        "version_policy": {"specific": {"versions": [spec.version]}},
        "max_batch_size": backend.max_batch if model.batched else 0,
        "input": [_configured(slot, skip) for slot in signature.inputs],
        "output": [_configured(slot, skip) for slot in signature.outputs],
        "instance_group": [
            {
                "name": spec.name,
                "kind": "KIND_CPU" if backend.device == "cpu" else "KIND_GPU",
                "count": backend.instances,
            }
        ],
        "dynamic_batching": {
            "max_queue_delay_microseconds": round(delay_s * 1e6),
            "default_queue_policy": {"max_queue_size": spec.max_waiting},
        },
        "parameters": {
            "variant": {"string_value": backend.variant},
            "precision": {"string_value": backend.precision},
            "threads": {"string_value": str(backend.threads)},
            "pipeline": {"string_value": spec.pipeline.kind},
            "batching": {"string_value": model.batching},
            **({"emulated": {"string_value": "true"}} if model.emulated else {}),
        },
    }


def _configured(slot: Slot, skip: int) -> dict[str, Any]:
    datatype = "TYPE_STRING" if slot.datatype.name == "BYTES" else f"TYPE_{slot.datatype.name}"
    return {"name": slot.name, "data_type": datatype, "dims": [-1 if d is None else d for d in slot.shape[skip:]]}


def repository_index(known: Iterable[LiveModel], *, ready_only: bool) -> list[dict[str, Any]]:
    """All versions of all models with their state."""
    return [
        {
            "name": model.spec.name,
            "version": model.spec.version,
            "state": _STATES.get(model.state, "UNAVAILABLE"),
            "reason": model.reason,
        }
        for model in known
        if model.state == "ready" or not ready_only
    ]
