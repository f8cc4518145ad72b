"""What is to be served: plans, model files, folders and repositories become models that a server can load.

Everything is looked up and checked here, before anything is loaded. Nothing that a file names is imported or run:
artefacts that could run code pass only when they were built on this machine, or with the user's word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from farthing.core.route.served import Served
from farthing.errors import EngineMissingError, InputError, ModelError, TrustError
from farthing.load.plans import check_finished
from farthing.load.schema import kind_of, read_noun
from farthing.load.serve.planned import Check, fitted, planned
from farthing.load.serve.routes import ROUTE_FILE, route_models, tiers_of_routes
from farthing.load.signature import onnx_signature
from farthing.load.wishes import NO_DEADLINE, Wishes, as_name, check_name, read_serve_file
from farthing.load.workload.image_processors import has_image_processor
from farthing.load.workload.models import guess_pipeline, is_import_path, model_classes, model_ref
from farthing.load.workload.takeable import check_answers_are_tensors
from farthing.models.built_here import check_built_here
from farthing.models.onnx_files import check_external_data
from farthing.models.precision import file_precision
from farthing.nouns import Candidate, LocalModel, ModelRef, Offer, PipelineSpec
from farthing.plugins import find

__all__ = ["served_models"]

_DOCUMENTS = (".json", ".yaml", ".yml")
_NAMED = re.compile(r"(?P<name>[^=/\\]+)=(?P<source>.+)", re.DOTALL)
_VERSION_FOLDER = re.compile(r"[1-9]\d{0,8}")
_MODEL_FILES = ("model.onnx", "onnx/model.onnx")
_PROGRAM, _IR = "module.pt2", "model.xml"
_NATIVE_ENGINES = ("pytorch", "torch-compile")
_BATCH, _MOST_INSTANCES = 8, 8
"""Without a plan: batches of up to 8, and no more than 8 workers, which share the cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """What all sources of one command share."""

    cores: int
    check: Check
    wishes: Wishes
    trust: bool
    inline: Literal["auto", "never", "always"]
    priced_as: Offer | None
    keys: frozenset[str]


def served_models(
    sources: Sequence[str | Path],
    *,
    cores: int,
    check: Check,
    wishes: Wishes | None = None,
    trust: bool = False,
    inline: Literal["auto", "never", "always"] = "auto",
    priced_as: Offer | None = None,
    keys: Collection[str] = (),
) -> tuple[Served, ...]:
    """Find and check all models that a command names.

    Args:
        sources: Each a plan.yaml or a route.yaml or the folder of one, a ``serve.yaml``, an ``.onnx`` or ``.xml`` file,
            a model folder as Optimum writes it, or a repository of ``name/version/model.onnx`` of which each model's
            newest version is served (as Triton does); ``name=source`` names a model.
        cores: That this process may use, ≥ 1: plans' workers are fitted to them.
        check: Compares an artefact of a plan with its digest, and returns where it lies.
        wishes: From the command line; they win over plans and files.
        trust: Allows native artefacts that were not built on this machine, and routes to send what they name.
        inline: Whether models may run in the server's own thread.
        priced_as: What this machine costs, None to take it from the plan.
        keys: Environment variables that routes may send to their end points as keys.

    Raises:
        InputError: when a source is missing, of an unknown kind, or two models have one name and version; a
            SchemaError, ModelError or TrustError where it fits.
        StoreError: when an artefact of a plan is missing or was changed.
        EngineMissingError: when an engine is not installed.
    """
    wishes = wishes or Wishes()
    setting = _Setting(
        cores=cores,
        check=check,
        wishes=wishes,
        trust=trust,
        inline=inline,
        priced_as=priced_as,
        keys=frozenset(keys),
    )
    found = [model for source in sources for model in _models(str(source), setting)]
    if not found:
        raise InputError("nothing to serve", hint="name a plan.yaml, an .onnx file, a model folder or a serve.yaml")
    tiers = tiers_of_routes(found)
    named = [model.name for model in found if model.name not in tiers]
    if wishes.name is not None and len(named) > 1:
        raise InputError(
            f"--name {wishes.name} would name {len(named)} models ({', '.join(named)})", hint="name=SOURCE names one"
        )
    _check_distinct(found)
    return tuple(found)


def _check_distinct(models: Sequence[Served]) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for model in models:
        key = model.name, model.version
        if key in seen:
            raise InputError(
                f"two models are named {model.name} version {model.version}: {seen[key]} and {model.origin}",
                hint="name=SOURCE names a model; serve.yaml has the keys name and version",
            )
        seen[key] = model.origin


def _models(text: str, setting: _Setting) -> Iterator[Served]:
    if "\0" in text:
        raise InputError(f"{text!r} is no path")
    named = _NAMED.fullmatch(text)
    own = Wishes()
    if named and not Path(text).exists():
        own, text = (
            Wishes(
                name=check_name(named["name"], "the name before ="),
            ),
            named["source"],
        )
    if not text.strip():
        raise InputError("a source is empty", hint="name a plan.yaml, an .onnx file, a model folder or a serve.yaml")
    path = Path(text)
    if path.suffix.lower() in _DOCUMENTS and path.is_file() and kind_of(path) == "serve":
        if own.name is not None:
            raise InputError(f"{text} names its models itself; {own.name}= cannot name them all")
        for entry in read_serve_file(path):
            yield from _of_source(entry.source, setting.wishes.over(entry.wishes), setting)
    else:
        yield from _of_source(path, setting.wishes.over(own), setting)


def _of_source(path: Path, wishes: Wishes, setting: _Setting) -> Iterator[Served]:
    place, kind = _document(path)
    if kind != "route":
        yield from _of_models(place, kind, wishes, setting)
        return
    yield from route_models(
        place,
        wishes,
        lambda source, given: _of_tier(source, given, setting, place),
        keys=setting.keys,
        trust=setting.trust,
    )


def _document(path: Path) -> tuple[Path, str | None]:
    """The document that a source is, or holds, and its kind; the source itself and None where there is none."""
    if not path.is_dir():
        check_finished(path)
    if path.is_dir():
        held = next((path / name for name in ("plan.yaml", ROUTE_FILE) if (path / name).is_file()), None)
        return (path, None) if held is None else (held, kind_of(held))
    return path, (kind_of(path) if path.suffix.lower() in _DOCUMENTS and path.is_file() else None)


def _of_tier(path: Path, wishes: Wishes, setting: _Setting, route: Path) -> Iterator[LocalModel]:
    """What a tier's source holds.

    Raises:
        InputError: when that is a route.
    """
    place, kind = _document(path)
    if kind == "route":
        raise InputError(f"{route} has a tier that is itself a route, {place}: a tier is one model")
    yield from _of_models(place, kind, wishes, setting)


def _of_models(place: Path, kind: str | None, wishes: Wishes, setting: _Setting) -> Iterator[LocalModel]:
    """Models that run here, of a document of that kind or of what is none."""
    if kind == "served-model":
        yield _wished(_of_served_model(place), wishes, setting)
    elif kind is not None:
        yield _wished(planned(place, cores=setting.cores, check=setting.check), wishes, setting)
    elif place.is_dir():
        yield from _of_folder(place, wishes, setting)
    else:
        yield _wished(_of_file(place, setting), wishes, setting)


def _of_served_model(path: Path) -> LocalModel:
    """One model with everything said, as ``farthing optimize`` writes it to prove a choice before there is a plan."""
    model = read_noun(path, "served-model", LocalModel, written_by="farthing optimize")
    return replace(model, path=path.parent / model.path)


def _of_folder(path: Path, wishes: Wishes, setting: _Setting) -> Iterator[LocalModel]:
    if (path / _PROGRAM).is_file() or (path / _IR).is_file():
        yield _wished(_of_artefact(path, setting), wishes, setting)
    elif _newest_version(path) is not None:
        yield _wished(_of_version_folder(path, setting), wishes, setting)
    elif members := [p for p in sorted(path.iterdir()) if p.is_dir() and _newest_version(p) is not None]:
        if wishes.name is not None or wishes.version is not None:
            raise InputError(f"{path} is a repository: its folders name its models and versions")
        for member in members:
            yield _wished(_of_version_folder(member, setting), wishes, setting)
    else:
        if not [*path.glob("*.onnx"), *path.glob("onnx/*.onnx")]:
            check_finished(path)
        yield _wished(_of_model_folder(path, setting), wishes, setting)


def _newest_version(path: Path) -> str | None:
    """Largest number among the sub-folders that hold a model, None when there are none."""
    numbers = [
        p.name
        for p in path.iterdir()
        if _VERSION_FOLDER.fullmatch(p.name) and any((p / n).is_file() for n in _MODEL_FILES)
    ]
    return max(numbers, key=int, default=None)


def _of_version_folder(path: Path, setting: _Setting) -> LocalModel:
    version = _newest_version(path)
    assert version is not None
    found = _of_model_folder(path / version, setting)
    return replace(found, name=as_name(path.resolve().name), version=version)


def _of_model_folder(path: Path, setting: _Setting) -> LocalModel:
    ref = model_ref(str(path))
    home = Path(ref.path)
    if has_image_processor(home):
        pipeline = guess_pipeline(ref, "image")
    elif (home / "tokenizer.json").is_file():
        pipeline = guess_pipeline(ref, "text")
    else:
        pipeline = PipelineSpec(kind="tensor")
    return _of_ref(ref, as_name(home.name), pipeline, setting)


def _of_file(path: Path, setting: _Setting) -> LocalModel:
    if is_import_path(str(path)):
        raise ModelError(
            f"{path} is Python code; a server loads artefacts",
            hint="`farthing optimize` exports the module and finds the best way to serve it",
        )
    if path.suffix.lower() == ".xml" and path.is_file():
        return _of_artefact(path, setting)
    ref = model_ref(str(path))
    name = path.parent.resolve().name if path.stem == "model" else path.stem
    return _of_ref(ref, as_name(name), PipelineSpec(kind="tensor"), setting)


def _of_ref(ref: ModelRef, name: str, pipeline: PipelineSpec, setting: _Setting) -> LocalModel:
    assert ref.onnx_path is not None
    file = Path(ref.onnx_path)
    check_external_data(file)
    check_answers_are_tensors(file)
    signature = onnx_signature(file)
    free = all(spec.shape and spec.shape[0] is None for spec in signature.inputs)
    return LocalModel(
        name=name,
        path=file,
        candidate=_as_given(file, _BATCH if free else 1, setting.cores),
        pipeline=pipeline,
        classes=model_classes(ref),
    )


def _of_artefact(path: Path, setting: _Setting) -> LocalModel:
    """An artefact of an engine's own format: OpenVINO's IR, or an exported PyTorch program."""
    program = path.is_dir() and (path / _PROGRAM).is_file()
    engine, variant = ("pytorch", "torch-module") if program else ("openvino", "fp32")
    own_name = path.is_file() and path.stem != "model"
    folder = path if path.is_dir() else path.parent
    return LocalModel(
        name=as_name(path.stem if own_name else folder.resolve().name),
        path=path.absolute(),
        candidate=_layout(engine, variant, _BATCH, setting.cores),
    )


def _as_given(file: Path, max_batch: int, cores: int) -> Candidate:
    """An ONNX file in ONNX Runtime, in the precision that the file is in."""
    precision = file_precision(file).precision
    layout = _layout("onnxruntime", "fp32" if precision == "fp32" else "original", max_batch, cores)
    return replace(layout, precision=precision)


def _layout(engine: str, variant: str, max_batch: int, cores: int) -> Candidate:
    instances = min(cores, _MOST_INSTANCES)
    return Candidate(
        engine=engine,
        variant=variant,
        precision="fp32",
        max_batch=max_batch,
        instances=instances,
        threads=max(1, cores // instances),
    )


def _wished(model: LocalModel, wishes: Wishes, setting: _Setting) -> LocalModel:
    """The model as its plan or files say, changed by what the user said."""
    candidate = _candidate(model.candidate, wishes, setting.cores)
    found = replace(
        model,
        name=wishes.name or model.name,
        version=wishes.version or model.version,
        candidate=candidate,
        max_delay_s=model.max_delay_s if wishes.max_delay_s is None else wishes.max_delay_s,
        deadline_s=_deadline_s(model, wishes),
        memory_mib=wishes.memory_mib or (model.memory_mib if candidate == model.candidate else None),
        service_ms=model.service_ms if _same_work(candidate, model.candidate) else {},
        capacity_rps=model.capacity_rps if candidate == model.candidate else None,
        offer=setting.priced_as or model.offer,
        inline=setting.inline,
        trust=setting.trust,
    )
    _check_engine(found)
    return found


def _same_work(one: Candidate, other: Candidate) -> bool:
    """Whether a batch takes the same time in both."""
    return (one.build, one.precision, one.threads) == (other.build, other.precision, other.threads)


def _deadline_s(model: LocalModel, wishes: Wishes) -> float | None:
    if wishes.deadline_s is None:
        return model.deadline_s
    return None if wishes.deadline_s == NO_DEADLINE else wishes.deadline_s


def _candidate(candidate: Candidate, wishes: Wishes, cores: int) -> Candidate:
    said: dict[str, Any] = {
        key: value
        for key in ("engine", "precision", "max_batch", "instances", "threads")
        if (value := getattr(wishes, key)) is not None
    }
    changed = replace(candidate, **said)
    if wishes.threads is not None and wishes.instances is None:
        changed = fitted(changed, max(cores, wishes.threads))
    return changed


def _check_engine(model: LocalModel) -> None:
    """Whether the engine is installed, reads this kind of artefact, and may load it."""
    engine, path = model.candidate.engine, model.path
    missing = find("engines", engine).missing()
    if missing is not None:
        raise EngineMissingError(f"{model.name} needs {engine}, which is not installed", hint=missing)
    native, ir = (path / _PROGRAM).is_file(), path.suffix == ".xml" or (path / _IR).is_file()
    if native != (engine in _NATIVE_ENGINES) or (ir and engine == "onnxruntime"):
        raise InputError(f"{engine} cannot load {path}", hint="leave the engine out to take the artefact's own")
    if native and not model.trust:
        try:
            check_built_here(path)
        except TrustError as e:
            raise TrustError(f"{model.name}: {e.message}", hint=e.hint) from e
