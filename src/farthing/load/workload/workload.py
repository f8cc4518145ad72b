"""Workloads from a YAML file or from flags: one validation, everything looked up before any work starts."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from farthing.errors import DataError, InputError, TrustError
from farthing.load.fields import LEVELS, OF_TRACES, Located, Origin, Parsed, merged, parse, trace_asked
from farthing.load.nearest import nearest
from farthing.load.schema import read_document
from farthing.load.traffic import TraceAsked, read_trace
from farthing.load.traffic.usage import read_usage, usage_frac
from farthing.load.workload.baseline_precision import baseline_precision
from farthing.load.workload.data import read_dataset
from farthing.load.workload.judged import check_judged
from farthing.load.workload.labels import as_beside_tokenizer
from farthing.load.workload.models import guess_pipeline, is_import_path, model_classes, model_ref
from farthing.load.workload.takeable import check_takeable
from farthing.models.module_names import check_import_path
from farthing.nouns import BaselineSpec, Bill, Dataset, LatencyBound, ModelRef, Objective, PipelineSpec, Trace, Workload
from farthing.plugins import names as plugin_names

__all__ = ["asked_again", "load_workload", "trace_of_flags", "workload_from_flags", "workload_of"]

T = TypeVar("T")
_DATA_KINDS = {"data": None, "images": "image", "texts": "text", "tensors": "tensor"}
_DATA_KEYS = {*_DATA_KINDS, "labels", "text_column", "label_column"}
_CLASS_METRICS = ("accuracy", "f1_macro")
_BY_CLASS = (*_CLASS_METRICS, "agreement")


def load_workload(path: Path | str, *, trust: bool = False, overrides: Mapping[str, Any] | None = None) -> Workload:
    """Read a workload file (``schema: farthing/workload/1``; docs/workload.md has all keys).

    Args:
        path: YAML or JSON; paths in it are relative to its folder.
        trust: Allows import paths in the file (a torch module, a metric of one's own).
        overrides: Flags given beside the file, as in :func:`workload_from_flags`; they win.

    Raises:
        InputError: when something is missing, unknown, unreadable or does not match; a SchemaError, ModelError,
            DataError or TraceError where it fits.
        TrustError: for an import path in the file without trust.
    """
    path = Path(path)
    values = parse(read_document(path, "workload"), Origin(name=path.name, folder=path.parent, trusted=trust))
    if overrides:
        values = merged(values, parse(overrides, _command_line()))
    return _workload(values, path.stem)


def workload_of(model: str, flags: Mapping[str, Any], *, trust: bool = False) -> Workload:
    """Make a workload from the first word of a command and its flags.

    Args:
        model: A workload file (``.yaml``, ``.yml``, ``.json``), or a model.
        flags: As in :func:`workload_from_flags`; beside a workload file they win over what it says.
        trust: Allows import paths in the file.

    Raises:
        InputError: as :func:`load_workload` does.
        TrustError: for an import path in the file without trust.
    """
    if Path(model).suffix.lower() in (".yaml", ".yml", ".json"):
        return load_workload(model, trust=trust, overrides=flags)
    return workload_from_flags({"model": model, **flags})


def workload_from_flags(flags: Mapping[str, Any]) -> Workload:
    """Make a workload from what was given on the command line; it is trusted, paths start at the working folder.

    Args:
        flags: Values by key, flat (``{"p99": "50ms"}``) or in sections; None counts as not given. ``labels`` alone
            names the labelled data, ``bill`` alone the dollars a month.

    Raises:
        InputError: as :func:`load_workload` does.
    """
    return _workload(parse(flags, _command_line()), None)


def _command_line() -> Origin:
    return Origin(name="the command line", folder=Path(), trusted=True)


def _checked(where: str, make: Callable[..., T], **values: Any) -> T:
    """Make a noun; what it refuses becomes bad input, without the noun's whole value."""
    try:
        return make(**values)
    except ValueError as e:
        problem = str(e).split(": ")
        raise InputError(f"{where}: {problem[1] if len(problem) > 1 else e}") from e


def _workload(values: Parsed, name: str | None) -> Workload:
    top = values[""]
    if "model" not in top:
        raise InputError("no model is given", hint="model: FILE.onnx, a folder by Optimum, or file.py:function")
    named: Located = top["model"]
    model = model_ref(
        named.text,
        trust=named.origin.trusted,
        folder=named.origin.folder,
        example_shape=top.get("example_shape"),
    )
    if model.kind == "torch":
        check_import_path(model.path, "the model")
    if model.onnx_path is not None:
        check_takeable(Path(model.onnx_path))
    classes = model_classes(model)
    holdout = _dataset(values["inputs"], "inputs", classes)
    if holdout is None:
        raise InputError(
            "no data is given to judge answers by",
            hint="--labels FOLDER; in a file inputs: {images: FOLDER}, texts, tensors or labels",
        )
    tokenizer: Located | None = values["inputs"].get("tokenizer")
    if tokenizer is not None and model.kind == "torch" and not classes:
        holdout = as_beside_tokenizer(holdout, tokenizer.path)
    metric, custom = _metric(values["objective"].get("metric"), holdout)
    if metric in _BY_CLASS and custom is None and model.onnx_path is not None:
        check_judged(holdout, metric, Path(model.onnx_path))
    return Workload(
        name=top.get("name") or name or _stem(named.text),
        model=model,
        pipeline=_pipeline(values["inputs"], holdout, model),
        holdout=holdout,
        calibration=_calibration(values, classes, holdout),
        baseline=_baseline(values["baseline"], model),
        bill=_bill(values["bill"]),
        objective=_objective(values["objective"], metric),
        **_traffic(values["traffic"]),
        custom_metric=custom,
        search_n=values["splits"].get("search"),
        confirm_n=values["splits"].get("confirm"),
        priced_as=top.get("priced_as"),
    )


def _stem(model: str) -> str:
    return Path(model.rpartition(":")[0] or model).stem


def _dataset(section: Mapping[str, Any], name: str, classes: tuple[str, ...]) -> Dataset | None:
    """Read the data that a section names, None when it names none."""
    given = [key for key in _DATA_KINDS if key in section]
    if len(given) > 1:
        raise InputError(f"{name} gives {' and '.join(given)}; a workload has one kind of data")
    labels: Located | None = section.get("labels")
    if not given and labels is None:
        return None
    data: Located = section[given[0] if given else "labels"]
    kind: Any = _DATA_KINDS[given[0]] if given else None
    settings = {key: section[key] for key in ("text_column", "label_column", "max_pixels") if key in section}
    separate = labels.path if given and labels is not None else None
    return read_dataset(data.path, kind, labels=separate, classes=classes, **settings)


def _calibration(values: Parsed, classes: tuple[str, ...], holdout: Dataset) -> Dataset | None:
    inputs, section = values["inputs"], values["calibration"]
    shared: dict[str, Any] = {
        key: inputs[key] for key in ("text_column", "label_column", "max_pixels") if key in inputs
    }
    found = _dataset({**shared, **section}, "calibration", classes)
    if found is not None and found.kind != holdout.kind:
        raise DataError(f"the calibration data {found.source} holds {found.kind}s, the holdout {holdout.kind}s")
    return found


def _pipeline(section: Mapping[str, Any], holdout: Dataset, model: ModelRef) -> PipelineSpec:
    given = {key: value for key, value in section.items() if key not in _DATA_KEYS}
    tokenizer: Located | None = given.pop("tokenizer", None)
    if tokenizer is not None and holdout.kind != "text":
        raise InputError(f"inputs.tokenizer is {tokenizer.text}, and the data are {holdout.kind}s, not texts")
    guess = guess_pipeline(model, holdout.kind, tokenizer=None if tokenizer is None else tokenizer.path)
    spec: PipelineSpec = _checked("inputs", lambda **changes: replace(guess, **changes), **given)
    if spec.scale < 1 and max(map(abs, spec.mean)) > 2:
        raise InputError(
            f"inputs.mean is {list(spec.mean)} while the values are scaled by {spec.scale:.4g}",
            hint="for mean and std in bytes (0 … 255) give inputs.scale: 1",
        )
    for key, values in (("mean", spec.mean), ("std", spec.std)):
        if spec.kind == "image" and len(values) not in (1, spec.channels):
            raise InputError(f"inputs.{key} has {len(values)} values for {spec.channels} channels")
    return spec


def _metric(given: Located | None, holdout: Dataset) -> tuple[str, str | None]:
    """``(name, import path of one's own)`` of the metric."""
    if given is None:
        return ("agreement" if holdout.labels is None else "accuracy"), None
    if is_import_path(given.text):
        if not given.origin.trusted:
            raise TrustError(
                f"the metric {given.text} in {given.origin.name} is Python code that would run",
                hint="give --trust if you trust it, or name it on the command line",
            )
        where, _, function = given.text.rpartition(":")
        if where.endswith(".py"):
            file = given.path.with_name(Path(where).name).absolute()
            if not file.is_file():
                raise InputError(f"there is no file {file} for the metric {given.text}", hint=nearest(file))
            where = str(file)
        check_import_path(f"{where}:{function}", "the metric")
        return function, f"{where}:{function}"
    known = plugin_names("metrics")
    if given.text not in known:
        close = difflib.get_close_matches(given.text, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}, or file.py:function"
        raise InputError(f"objective.metric is {given.text!r}, which is unknown", hint=hint)
    if given.text in _CLASS_METRICS and holdout.labels is None:
        raise DataError(
            f"objective.metric is {given.text}, but {holdout.source} has no labels",
            hint="give inputs.labels, or metric: agreement to compare with the baseline's own answers",
        )
    return given.text, None


def trace_of_flags(flags: Mapping[str, Any]) -> tuple[Path, TraceAsked, float | None]:
    """Where a trace is, what is said of how it is read, and the requests a month that it is to be scaled to.

    Args:
        flags: ``trace``, what says how it is read, and ``per_month``, as :func:`workload_from_flags` takes them.

    Raises:
        InputError: as :func:`workload_from_flags` does.
    """
    traffic = parse(flags, _command_line())["traffic"]
    return traffic["trace"].path, trace_asked(traffic), traffic.get("per_month")


def asked_again(workload: Workload, flags: Mapping[str, Any]) -> Workload:
    """The same model and data under other traffic, another bill, offer or promise.

    What is given replaces what stands in its place: any word on how much is asked replaces all of them, a bill or a
    number of replicas the one that was given, an offer its region and term too, one latency bound another.

    Args:
        workload: As measured.
        flags: As :func:`workload_from_flags` takes them, of traffic, bill and objective, and ``priced_as``.

    Raises:
        InputError: as :func:`workload_from_flags` does.
    """
    values = parse(flags, _command_line())
    traffic, bill, objective = (values[section] for section in ("traffic", "bill", "objective"))
    changes: dict[str, Any] = {
        "priced_as": values[""].get("priced_as", None if "offer" in bill else workload.priced_as)
    }
    if traffic:
        changes |= {**_traffic(traffic), **_kept_traffic(workload, traffic)}
    if bill:
        changes["bill"] = _bill({**_kept_of(workload.bill, bill), **bill})
    if objective:
        fields = _objective_fields(objective)
        changes["objective"] = _checked("objective", lambda **given: replace(workload.objective, **given), **fields)
    return replace(workload, **changes)


def _kept_traffic(workload: Workload, given: Mapping[str, Any]) -> dict[str, Any]:
    """What of the traffic stays: the volume beside another shape, the trace beside another volume, the shape."""
    shape = {} if "shape" in given else {"shape": workload.shape}
    if not set(given) - {"shape"}:
        kept = ("requests_per_month", "utilisation_frac")
        return {key: getattr(workload, key) for key in kept}
    if set(given) == {"per_month"} and workload.trace is not None:
        scaled = workload.trace.scaled(given["per_month"] / workload.trace.requests_per_month())
        return {"trace": scaled, "requests_per_month": None, **shape}
    return shape


def _kept_of(bill: Bill, given: Mapping[str, Any]) -> dict[str, Any]:
    """What of a bill stays beside what is given anew."""
    amounts = {"usd_per_month": bill.usd_per_month, "replicas": bill.replicas}
    kept: dict[str, Any] = {} if set(amounts) & given.keys() else {k: v for k, v in amounts.items() if v is not None}
    if "offer" not in given:
        kept |= {"offer": bill.offer, "region": bill.region, "term": bill.term}
    return {**kept, "fixed_fleet": bill.fixed_fleet}


def _traffic(section: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a workload that say who asks and when."""
    used, usage = _utilisation(section)
    trace, per_month = _trace(section)
    return {
        "trace": trace,
        "shape": section.get("shape", "day-night"),
        "requests_per_month": per_month if trace is None else None,
        "utilisation_frac": used,
        "usage": usage,
    }


def _utilisation(section: Mapping[str, Any]) -> tuple[float | None, Trace | None]:
    """Mean utilisation of the replicas paid for, which stands in the place of a volume, and its series where given."""
    given: float | Located | None = section.get("utilisation")
    if given is None:
        return None, None
    others = [key for key in ("trace", "per_month") if key in section]
    if others:
        shown = given.text if isinstance(given, Located) else f"{given:.0%}"
        raise InputError(
            f"traffic gives {' and '.join(others)} and the utilisation {shown}; one of them says how much is asked",
            hint="leave utilisation out: with requests or a trace it is worked out and shown",
        )
    if isinstance(given, Located):
        if "shape" in section:
            raise InputError(
                f"traffic gives the utilisation {given.text} and the shape {section['shape']}",
                hint="leave the shape out: the file has one",
            )
        usage = read_usage(given.path)
        return usage_frac(usage), usage
    if given == 0:
        raise InputError("traffic.utilisation is 0 %; it must lie in (0 %, 100 %]", hint="utilisation: 40%")
    return given, None


def _trace(section: Mapping[str, Any]) -> tuple[Trace | None, float | None]:
    """Read the trace, scaled to the monthly volume where both are given, and that volume."""
    per_month: float | None = section.get("per_month")
    if "trace" not in section:
        alone = next((key for key in sorted(OF_TRACES) if key in section), None)
        if alone is not None:
            raise InputError(f"traffic.{alone} says how a trace is read, and there is none", hint="traffic.trace: FILE")
        return None, per_month
    if "shape" in section:
        raise InputError(f"traffic gives a trace and the shape {section['shape']}", hint="leave one of them out")
    trace = read_trace(section["trace"].path, trace_asked(section))
    return (trace if per_month is None else _scaled(trace, per_month)), per_month


def _scaled(trace: Trace, per_month: float) -> Trace:
    factor = per_month / trace.requests_per_month()
    said = f"{trace.read_as}, × {factor:.3g} to be the stated requests a month"
    return replace(trace.scaled(factor), read_as=said)


def _baseline(section: Mapping[str, Any], model: ModelRef) -> BaselineSpec:
    engine = section.get("engine", "pytorch" if model.kind == "torch" else "onnxruntime")
    known = plugin_names("engines")
    if engine not in known:
        close = difflib.get_close_matches(engine, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
        raise InputError(f"baseline.engine is {engine!r}, which is unknown", hint=hint)
    if engine in ("pytorch", "torch-compile") and model.kind != "torch":
        raise InputError(
            f"baseline.engine is {engine}, but {model.path} is an ONNX model, which PyTorch cannot run",
            hint="baseline.engine: onnxruntime, or give the PyTorch model as file.py:function",
        )
    precision = baseline_precision(section.get("precision"), engine, model)
    return BaselineSpec(engine=engine, precision=precision, max_batch=section.get("batch", 1))


def _bill(section: Mapping[str, Any]) -> Bill:
    if "offer" not in section:
        raise InputError(
            "bill.offer is missing: on what the model runs today",
            hint="--offer aws/m7i.large; `farthing prices list` has them all",
        )
    given = [key for key in ("usd_per_month", "replicas") if key in section]
    if len(given) != 1:
        said = "both usd_per_month and replicas" if given else "neither usd_per_month nor replicas"
        raise InputError(
            f"bill gives {said}; one of them is needed",
            hint="--bill 10000 or --replicas 12; in a file bill: {offer: …, usd_per_month: 10000}",
        )
    return _checked("bill", Bill, **section)


def _objective(section: Mapping[str, Any], metric: str) -> Objective:
    return _checked("objective", Objective, metric=metric, **_objective_fields(section))


def _objective_fields(section: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of an objective that a section gives."""
    bounds = [key for key in LEVELS if key in section]
    if len(bounds) > 1:
        raise InputError(f"objective gives {' and '.join(bounds)}; one latency bound is held", hint="leave one out")
    bound = {"ms": section[bounds[0]], "percentile": LEVELS[bounds[0]]} if bounds else None
    latency = {"latency": _checked("objective", LatencyBound, **bound)} if bound else {}
    fields = {
        "max_drop": "max_drop_frac",
        "confidence": "confidence",
        "min_saving": "min_saving_frac",
        "budget": "budget_usd_per_month",
        "min_replicas": "min_replicas",
    }
    return latency | {fields[key]: value for key, value in section.items() if key in fields}
