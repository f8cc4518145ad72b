"""Which document of a file is the autoscaler, and which the workload that it scales."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from farthing.errors import InputError
from farthing.load.scaling.fields import Fields
from farthing.load.schema import read_documents

__all__ = ["Documents", "manifest_name", "target_of", "the_one"]

Documents = tuple[Fields, ...]
_V2 = "autoscaling/v2"
_OLDER: Mapping[str, str] = {
    "autoscaling/v1": "write apiVersion: autoscaling/v2, and for targetCPUUtilizationPercentage: 80\n"
    "  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]",
    "autoscaling/v2beta1": "write apiVersion: autoscaling/v2; targetAverageUtilization: 80 becomes "
    "target: {type: Utilization, averageUtilization: 80}, targetAverageValue becomes "
    "target: {type: AverageValue, averageValue: …}",
    "autoscaling/v2beta2": "write apiVersion: autoscaling/v2, the fields are the same",
}
_VERSIONS = {"HorizontalPodAutoscaler": _V2, "ScaledObject": "keda.sh/v1alpha1"}
_INSTEAD = {
    "HorizontalPodAutoscaler": "give a ScaledObject by --keda, a HorizontalPodAutoscaler by --hpa",
    "ScaledObject": "give a HorizontalPodAutoscaler by --hpa, a ScaledObject by --keda",
}


def _documents(path: Path) -> Iterator[Fields]:
    """Each document; the members of a List (as ``kubectl get -o yaml`` gives it) one by one."""
    for data in read_documents(path):
        items = data.get("items")
        members = items if str(data.get("kind", "")).endswith("List") and isinstance(items, list) else [data]
        for member in members:
            if isinstance(member, dict):
                yield Fields(file=path, where="", data=member)


def the_one(path: Path, kind: str) -> tuple[Fields, Documents]:
    """The one document of a kind, and all documents of the file.

    Args:
        path: YAML with one document or several, or JSON.
        kind: ``HorizontalPodAutoscaler`` or ``ScaledObject``.

    Raises:
        InputError: when there is none or more than one, or its version is another one (with what to write instead).
    """
    documents = tuple(_documents(path))
    found = [document for document in documents if document.data.get("kind") == kind]
    if not found:
        kinds = ", ".join(str(document.data.get("kind", "a document without a kind")) for document in documents)
        raise InputError(f"{path} has no {kind}; it has {kinds or 'nothing'}", hint=_INSTEAD[kind])
    if len(found) > 1:
        names = ", ".join(manifest_name(document) for document in found)
        raise InputError(f"{path} has {len(found)} of kind {kind}: {names}", hint="keep one of them in a file")
    (one,) = found
    version = one.data.get("apiVersion")
    if version != _VERSIONS[kind]:
        hint = _OLDER.get(str(version)) or f"write apiVersion: {_VERSIONS[kind]}"
        raise InputError(f"{path}: apiVersion is {version!r}, not {_VERSIONS[kind]}", hint=hint)
    return one, documents


def manifest_name(document: Fields) -> str:
    """``namespace/name`` of a document, ``(no name)`` without one."""
    metadata: Any = document.data.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name = str(metadata.get("name") or metadata.get("generateName") or "(no name)")
    return f"{metadata['namespace']}/{name}" if metadata.get("namespace") else name


def target_of(documents: Documents, kind: str, name: str) -> Fields | None:
    """The workload that is scaled, where its manifest stands in the same file."""
    for document in documents:
        metadata: Any = document.data.get("metadata")
        if document.data.get("kind") == kind and isinstance(metadata, dict) and metadata.get("name") == name:
            return document
    return None
