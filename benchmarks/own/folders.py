"""What every case writes: a workload file beside a model, and samples in one of farthing's three forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

__all__ = ["WITHIN", "halves", "write_images", "write_metric", "write_onnx", "write_texts", "write_workload"]

BILL = {"usd_per_month": 10000, "offer": "aws/m7i.large"}

WITHIN = '''"""Right within a tolerance: for answers that are numbers and no classes."""

import numpy as np


def within(outputs, labels):
    return np.where(np.abs(outputs.reshape(len(labels), -1)[:, 0] - labels) <= {tolerance}, 1.0, 0.0)


within.per_sample = True
'''


def write_workload(
    folder: Path, model: str, inputs: Mapping[str, Any], objective: Mapping[str, Any] | None = None, **more: Any
) -> None:
    """Write ``workload.yaml``; it comes last, so that a folder that has one is complete."""
    document = {
        "schema": "farthing/workload/1",
        "name": folder.name,
        "model": model,
        "inputs": dict(inputs),
        "bill": BILL,
        "objective": {"p99": "50ms", "max_drop": "2pt", **(objective or {})},
        **more,
    }
    (folder / "workload.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def write_metric(folder: Path, text: str) -> None:
    (folder / "metric.py").write_text(text, encoding="utf-8")


def write_onnx(folder: Path, model: Any) -> None:
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def write_images(folder: Path, pictures: NDArray[np.uint8], labels: Sequence[str]) -> None:
    """One PNG a picture, in the folder of its class."""
    for k, (pixels, label) in enumerate(zip(pictures, labels, strict=True)):
        place = folder / label
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{k:05d}.png")


def write_texts(path: Path, texts: Sequence[str], labels: Sequence[str]) -> None:
    import csv

    with path.open("w", newline="", encoding="utf-8") as f:
        rows = csv.writer(f)
        rows.writerow(["text", "label"])
        rows.writerows(zip(texts, labels, strict=True))


def halves(n: int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices to train on and to judge by, half each, drawn with a fixed seed."""
    order = np.random.default_rng(seed).permutation(n)
    return order[: n // 2], order[n // 2 :]
