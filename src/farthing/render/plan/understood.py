"""What was understood of a command before work starts: the model, its data, what is paid and promised."""

from __future__ import annotations

from pathlib import Path

from farthing.nouns import Bill, Dataset, ModelRef, PipelineSpec, Workload
from farthing.render.numbers import count, money, percent
from farthing.render.plan.sentences import promise
from farthing.render.words import printable, term_name

__all__ = ["understood"]

_CLASSES_SHOWN = 4
_KINDS = {"onnx": "ONNX file", "optimum": "model folder", "torch": "PyTorch module"}
_SORTED = "in sorted order"
_UNLESS_NAMED = f"{_SORTED}, unless the module itself names its classes (config.id2label): it is loaded later"
_METRIC_WITHOUT_LABELS = "no labels: answers are compared with the baseline's own"


def understood(workload: Workload) -> list[tuple[str, str]]:
    """Lines with a word before each: ``model``, ``data``, ``inputs``, ``today``, ``promise``.

    Args:
        workload: Read and checked; nothing has been run.
    """
    lines = [
        ("model", _model(workload.model)),
        ("data", _data(workload)),
        ("inputs", _inputs(workload.pipeline, workload.holdout)),
        ("today", _today(workload)),
        ("promise", promise(workload.objective)),
    ]
    if workload.calibration is not None:
        lines.insert(2, ("calibration", f"{_place(workload.calibration.source)}: {workload.calibration.n:,} samples"))
    return [(name, printable(text)) for name, text in lines]


def _model(ref: ModelRef) -> str:
    text = f"{_place(ref.path)}: {_KINDS[ref.kind]}"
    if ref.kind == "optimum" and ref.onnx_path is not None:
        text += f" ({Path(ref.onnx_path).name})"
    return text + (f", one sample {_shape(ref.example_shape)}" if ref.example_shape else "")


def _place(path: str) -> str:
    """A path as short as it can be told: from the working folder where it lies below."""
    where, colon, name = path.rpartition(":") if ".py:" in path else (path, "", "")
    try:
        return f"{Path(where).absolute().relative_to(Path.cwd())}{colon}{name}"
    except ValueError:
        return path


def _data(workload: Workload) -> str:
    data, metric = workload.holdout, workload.objective.metric
    kind = {"image": "images", "text": "texts", "tensor": "samples"}[data.kind]
    said = [f"{_place(data.source)}: {data.n:,} {kind}" if data.source else f"{data.n:,} {kind}"]
    if data.labels is None:
        return " · ".join([*said, _METRIC_WITHOUT_LABELS])
    labels = sorted(set(data.labels))
    named = _classes(data.classes) if data.classes else f"labels {labels[0]:g} to {labels[-1]:g}"
    how = _UNLESS_NAMED if workload.model.kind == "torch" and data.numbered.startswith(_SORTED) else data.numbered
    said.append(f"{named}, numbered {how}" if how else named)
    return " · ".join([*said, f"judged by {metric}"])


def _classes(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_CLASSES_SHOWN])
    more = f" and {len(names) - _CLASSES_SHOWN} more" if len(names) > _CLASSES_SHOWN else ""
    return f"{len(names)} classes ({shown}{more})"


def _inputs(spec: PipelineSpec, data: Dataset) -> str:
    if spec.kind == "tensor":
        names = data.items[1:] if data.kind == "tensor" else ()
        return f"the arrays {', '.join(names)} as they are" if names else "arrays as they are"
    if spec.kind == "text":
        return ", ".join(_text(spec))
    return ", ".join(said for said in (*_size(spec), *_values(spec)) if said)


def _text(spec: PipelineSpec) -> list[str]:
    """Which tokens of a text are taken; sides only where they are the unusual ones."""
    cut = " on the left" if spec.truncation_side == "left" else ""
    said = [f"texts through {_place(str(spec.tokenizer))}", f"cut{cut} at {spec.max_length} tokens"]
    return [*said, "padded on the left"] if spec.padding_side == "left" else said


def _size(spec: PipelineSpec) -> list[str]:
    """What becomes of an image's size, in the order in which it is done."""
    said = ["turned upright by EXIF" if spec.exif_rotation else ""]
    if spec.resize and spec.squash:
        said.append(f"squashed to {_sides(spec.resize, spec.resize_width)}")
    elif spec.resize:
        said.append(f"short side to {spec.resize} pixels")
        said.append(f"long side to {spec.longest} at most" if spec.longest else "")
    return [*said, f"centre of {_sides(spec.crop, spec.crop_width)} cut out" if spec.crop else ""]


def _sides(height: int, width: int | None) -> str:
    """Pixels; which side is which where they differ."""
    if width in (None, height):
        return f"{height} × {height} pixels"
    return f"{height} pixels in height × {width} in width"


def _values(spec: PipelineSpec) -> list[str]:
    """What becomes of an image's byte values, in the order in which it is done."""
    colour = "grey" if spec.channels == 1 else "BGR" if spec.bgr else "RGB"
    added = f"{'−' if spec.offset < 0 else '+'} {abs(spec.offset):.4g}" if spec.offset else ""
    std = f"std {_numbers(spec.std)}{' (divided by twice)' if spec.std_twice else ''}"
    scaled = " ".join(part for part in (f"× {spec.scale:.4g}", added) if part)
    return [spec.interpolation, colour, spec.layout, scaled, f"mean {_numbers(spec.mean)}", std]


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{v:.4g}" for v in values)


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _today(workload: Workload) -> str:
    b = workload.baseline
    batch = "one request at a time" if b.max_batch == 1 else f"batches of up to {b.max_batch}"
    return " · ".join([f"{b.precision.upper()} in {b.engine}, {batch}", _bill(workload.bill), _arrivals(workload)])


def _bill(bill: Bill) -> str:
    term = "" if bill.term == "on_demand" else f", {term_name(bill.term)}"
    if bill.usd_per_month is not None:
        return f"{money(bill.usd_per_month)} a month on {bill.offer}{term}"
    return f"{bill.replicas} × {bill.offer}{term} all month"


def _arrivals(w: Workload) -> str:
    if w.trace is not None:
        return f"arrivals of {w.trace.name}, {count(w.trace.requests_per_month())} requests a month"
    if w.requests_per_month is not None:
        return f"{count(w.requests_per_month)} requests a month, {w.shape}"
    if w.utilisation_frac is not None:
        return f"busy to {percent(w.utilisation_frac)} on average, {w.shape}"
    return "arrivals not stated"
