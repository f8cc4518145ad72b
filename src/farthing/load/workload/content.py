"""What a run's results hang on, by content: digests of the model, its data, its settings and the user's own code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from farthing.codec import to_plain
from farthing.errors import DataError
from farthing.load.workload.models import settings_folder
from farthing.models.digests import digest
from farthing.models.onnx_files import check_external_data
from farthing.models.python_sources import sources_of
from farthing.nouns import Dataset, ModelRef, Workload

__all__ = ["changes", "content_of", "settings_files", "without_paths"]

_BESIDE = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
)
"""Files beside a model that decide how its inputs are made and what its classes are called."""


def content_of(workload: Workload) -> dict[str, str]:
    """SHA-256 of everything that is read when a workload is measured, by what a person calls it.

    Every byte is read, once a run: sizes and times of files are not believed.

    Raises:
        ModelError: when the model reaches outside its folder.
        DataError: when a file cannot be read.
    """
    found: dict[str, Path] = {}
    for path in (*_model_files(workload.model), *_beside(workload)):
        found.setdefault(_name(path, found), path)
    said = {name: _digest(path) for name, path in found.items()}
    if workload.custom_metric is not None:
        said["the metric's code"] = _digest_of_all(sources_of(workload.custom_metric))
    said[_data_name(workload.holdout)] = _of_data(workload.holdout)
    if workload.calibration is not None:
        said[f"calibration data {_data_name(workload.calibration)}"] = _of_data(workload.calibration)
    return said


def _name(path: Path, taken: Mapping[str, Path]) -> str:
    """The file's name, with its folder's where another file bears it."""
    return path.name if taken.get(path.name, path) == path else f"{path.parent.name}/{path.name}"


def _model_files(ref: ModelRef) -> Iterable[Path]:
    if ref.kind == "torch":
        return sources_of(ref.path)
    file = Path(ref.onnx_path or ref.path)
    return (file, *check_external_data(file)) if file.is_file() else ()


def _beside(workload: Workload) -> Iterable[Path]:
    home = settings_folder(workload.model)
    found = [home / name for name in _BESIDE if (home / name).is_file()]
    tokenizer = workload.pipeline.tokenizer
    return [*found, Path(tokenizer)] if tokenizer and Path(tokenizer) not in found else found


def settings_files(workload: Workload) -> tuple[Path, ...]:
    """What says how inputs are made and what classes are called: the tokenizer, files beside it, files of the model."""
    tokenizer = workload.pipeline.tokenizer
    own = [] if tokenizer is None else [Path(tokenizer), *(Path(tokenizer).with_name(name) for name in _BESIDE)]
    return tuple(dict.fromkeys(file for file in (*own, *_beside(workload)) if file.is_file()))


def _digest(path: Path) -> str:
    try:
        return digest(path)
    except OSError as e:
        raise DataError(f"cannot read {path}: {e.strerror or e}") from e


def _digest_of_all(paths: Iterable[Path]) -> str:
    return hashlib.sha256(" ".join(map(_digest, paths)).encode()).hexdigest()


def _data_name(data: Dataset) -> str:
    return Path(data.source).name or data.source or "data"


def _of_data(data: Dataset) -> str:
    """Of payloads and labels in their order: the texts that are read, the bytes of each image or of the npz file."""
    total = hashlib.sha256(repr((data.kind, data.n, data.labels, data.ids, data.classes)).encode("utf-8", "replace"))
    if data.kind == "text":
        for text in data.items:
            raw = text.encode("utf-8", "surrogatepass")
            total.update(len(raw).to_bytes(8, "little") + raw)
    else:
        files = data.items if data.kind == "image" else data.items[:1]
        for item in files:
            total.update(bytes.fromhex(_digest(Path(item))))
        total.update(repr(data.items[len(files) :]).encode())
    return total.hexdigest()


_PRICED = ("bill", "priced_as", "trace", "shape", "requests_per_month", "utilisation_frac", "usage")
_OF_MONEY = ("min_saving_frac", "budget_usd_per_month", "min_replicas")


def without_paths(workload: Workload) -> dict[str, Any]:
    """The workload as plain data, without where its model, data and code lie: what it says, not what it names.

    What only prices are worked out from is left out as well: no measurement hangs on it. (The proof at the plan's peak
    rate does hang on the arrivals, and is kept under that rate.)
    """
    plain: dict[str, Any] = to_plain(workload)
    for key in ("name", *_PRICED):
        del plain[key]
    for key in _OF_MONEY:
        del plain["objective"][key]
    plain["model"] = {k: plain["model"][k] for k in ("kind", "example_shape")}
    plain["model"]["callable"] = workload.model.path.rpartition(":")[2] if workload.model.kind == "torch" else ""
    for part in ("holdout", "calibration"):
        if plain[part] is not None:
            plain[part] = {k: plain[part][k] for k in ("kind", "n")}
    plain["pipeline"].pop("tokenizer")
    plain["custom_metric"] = (workload.custom_metric or "").rpartition(":")[2]
    return plain


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """What differs between the inputs of two runs, in words such as ``model.onnx`` and ``onnxruntime 1.20 → 1.21``.

    Args:
        before: What a journal is about: ``content workload settings versions fingerprint splits``.
        now: Likewise.
    """
    if "content" not in before:  # a journal of the first version
        return ("farthing",)
    contents, news = before["content"], now.get("content", {})
    found = [name for name in news if name in contents and news[name] != contents[name]]
    found += [f"{name} is new" for name in news if contents and name not in contents]
    found += [f"{name} is gone" for name in contents if name not in news]
    versions, new_versions = before.get("versions", {}), now.get("versions", {})
    found += [
        f"{name} {versions.get(name, 'not installed')} → {new_versions.get(name, 'not installed')}"
        for name in sorted({*versions, *new_versions})
        if versions.get(name) != new_versions.get(name)
    ]
    if before.get("fingerprint") != now.get("fingerprint"):
        found.append("this machine")
    for part, word in (("settings", "setting"), ("workload", "workload's")):
        found += [f"{word} {key}" for key in _differing(before.get(part, {}), now.get(part, {}))]
    return tuple(found)


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [key for key in now if key in before and before[key] != now[key]]
