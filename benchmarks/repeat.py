"""Whole optimisations again and again: does the interval of a saving hold what the next run of the command says?

    python benchmarks/repeat.py --out repeat          # or: make bench ONLY=repeat

A small image classifier (a ResNet of 2 M parameters on handwritten digits) and a small text classifier (two layers of
MiniLM and the mean embedding of each category on the questions of MMLU-Pro) are optimised ten times each, in turns,
each run in a process of its own with a fresh journal and a seed of its own (arrivals, payloads, calibration samples).
A run that is done is not done again, so that the benchmark can be interrupted. One machine: nothing is said about
others. Traffic is such that plans have dozens of replicas: whole replicas of a small plan would hide differences.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from figures import emit

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
sys.path[:0] = [str(EXAMPLES), str(EXAMPLES / "resnet50_digits")]
ASSETS = HERE.parent.parent / "shared" / "assets"
TEXTS_TRAIN, LAYERS = 1_400, 2
RUNS = 10
LEAST_COVERED, MOST_DISJOINT, MOST_WIDTH = 0.8, 1 / 45, 0.04
WORKLOADS = {
    "image": """\
schema: farthing/workload/1
name: small-image
model: classifier.py:load
example_shape: [3, 64, 64]
inputs: {images: holdout/, mean: [0.30, 0.30, 0.30], std: [0.37, 0.37, 0.37]}
calibration: train/
baseline: {engine: pytorch, precision: fp32, batch: 1}
traffic: {per_month: 160B, shape: day-night}
bill: {usd_per_month: 20000, offer: aws/m7i.large}
objective: {p99: 30ms, max_drop: 2pt, confidence: 95%}
splits: {search: 200, confirm: 700}
""",
    "text": """\
schema: farthing/workload/1
name: small-text
model: classifier.py:load
inputs: {texts: holdout.csv, tokenizer: encoder/tokenizer.json, max_length: 128, text_column: text, label_column: intent}
calibration: train.csv
baseline: {engine: pytorch, precision: fp32, batch: 1}
traffic: {per_month: 20B, shape: day-night}
bill: {usd_per_month: 10000, offer: aws/m7i.large}
objective: {p99: 30ms, max_drop: 2pt, confidence: 95%}
splits: {search: 300, confirm: 1000}
""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one whole run said of the saving, as a fraction; the configuration it chose; how long it took."""

    value: float
    lo: float
    hi: float
    chosen: str
    verdict: str
    seconds: float


def image_model(folder: Path) -> None:
    """Train the small ResNet for some epochs and export it; the digits as PNG files."""
    import torch
    from sklearn.model_selection import train_test_split
    from train import HOLDOUT_N, TRAIN_N, images, save, tensor
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    pictures, labels = images()
    x, held, y, held_y = train_test_split(
        pictures, labels, train_size=TRAIN_N, test_size=HOLDOUT_N, stratify=labels, random_state=0
    )
    config = ResNetConfig(
        num_labels=10, embedding_size=32, hidden_sizes=[64, 128, 128, 160], depths=[2, 2, 2, 1], layer_type="basic"
    )
    model = ResNetForImageClassification(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    inputs, targets = tensor(x), torch.from_numpy(y)
    for _ in range(12):
        for rows in torch.randperm(len(inputs)).split(64):
            loss = torch.nn.functional.cross_entropy(model(pixel_values=inputs[rows]).logits, targets[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    for name, images_of, labels_of in (("train", x, y), ("holdout", held, held_y)):
        save(folder / name, images_of, labels_of)
    model.eval().save_pretrained(folder / "weights")
    shutil.copy(EXAMPLES / "resnet50_digits" / "classifier.py", folder / "classifier.py")


def text_model(folder: Path) -> None:
    """Two layers of MiniLM, mean pooling and the mean embedding of each category; MMLU-Pro's questions as CSV."""
    sys.path.insert(0, str(EXAMPLES / "minilm_intents"))
    import classifier
    import pyarrow.parquet
    import torch
    from run import centroids, weights, write_csv

    table = pyarrow.parquet.read_table(ASSETS / "routing" / "mmlu-pro" / "mmlu_pro_dev.parquet").to_pydict()
    order = np.random.default_rng(0).permutation(len(table["text"]))
    rows = [[table["text"][k], table["segment"][k]] for k in order]
    train, held = rows[:TEXTS_TRAIN], rows[TEXTS_TRAIN:]
    (folder / "encoder").mkdir(exist_ok=True)
    shutil.copy(weights() / "tokenizer.json", folder / "encoder" / "tokenizer.json")
    write_csv(folder / "train.csv", train[:200])
    write_csv(folder / "holdout.csv", held)
    categories = sorted({category for _, category in rows})
    model = classifier.encoder(weights())
    model.encoder.layer = model.encoder.layer[:LAYERS]
    model.config.num_hidden_layers = LAYERS
    model.save_pretrained(folder / "encoder")
    torch.save(centroids(folder / "encoder", train, categories), folder / "centroids.pt")
    shutil.copy(EXAMPLES / "minilm_intents" / "classifier.py", folder / "classifier.py")


MODELS: dict[str, Callable[[Path], None]] = {"image": image_model, "text": text_model}


def prepare(name: str, out: Path) -> Path:
    """The model's folder, made once."""
    folder = out / name
    if not (folder / "workload.yaml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        MODELS[name](folder)
        (folder / "workload.yaml").write_text(WORKLOADS[name])
    return folder


def run(folder: Path, k: int) -> Seen:
    """One whole optimisation, or what it said when it was run before."""
    said = folder / f"run-{k}.json"
    if not said.exists():
        work = folder / f"run-{k}"
        shutil.rmtree(work, ignore_errors=True)
        start_s = time.monotonic()
        command = [Path(sys.executable).with_name("farthing"), "optimize", folder / "workload.yaml"]
        more = [
            "--output-dir",
            work,
            "--seed",
            str(k),
            "--fresh",
            "--trust",
            "--rounds",
            "8",
            "--no-profiles",
            "--as-of",
            "2026-11-24",
        ]
        done = subprocess.run([*map(str, command), *map(str, more)], check=False, capture_output=True, text=True)
        seconds = time.monotonic() - start_s
        if done.returncode not in (0, 3):
            sys.exit(f"run {k} of {folder.name} failed ({done.returncode}):\n{done.stderr[-2000:]}")
        said.write_text(json.dumps({"seconds": seconds, **_of_plan(work / "plan.yaml")}))
        shutil.rmtree(work / "build", ignore_errors=True)
    return Seen(**json.loads(said.read_text()))


def _of_plan(path: Path) -> dict[str, object]:
    from farthing.load.plans import load_plan

    plan = load_plan(path)
    if plan.saving_frac is None or plan.chosen is None:
        sys.exit(f"{path} has no saving: {'; '.join(plan.verdict.reasons)}")
    found = plan.saving_frac
    c = plan.chosen.candidate
    chosen = f"{c.label} {c.precision}"
    return {
        "value": found.value, "lo": found.lo, "hi": found.hi, "chosen": chosen, "verdict": plan.verdict.outcome
    }  # fmt: skip


def judge(name: str, seen: list[Seen]) -> None:
    """Print the figures of one model."""
    pooled = statistics.fmean(s.value for s in seen)
    covered = sum(s.lo <= pooled <= s.hi for s in seen)
    pairs = list(combinations(seen, 2))
    disjoint = sum(a.hi < b.lo or b.hi < a.lo for a, b in pairs)
    width = statistics.median(s.hi - s.lo for s in seen)
    lowest, highest = min(s.value for s in seen), max(s.value for s in seen)
    emit(f"repeat/{name}/pooled saving", pooled, lowest, highest, "frac", None, None)
    emit(
        f"repeat/{name}/intervals that hold it", covered, None, None, f"of {len(seen)}",
        f"≥ {LEAST_COVERED:.0%}", covered >= LEAST_COVERED * len(seen),
    )  # fmt: skip
    emit(
        f"repeat/{name}/disjoint pairs", disjoint, None, None, f"of {len(pairs)}",
        "≤ 1 of 45", disjoint <= max(1, MOST_DISJOINT * len(pairs)),
    )  # fmt: skip
    emit(f"repeat/{name}/median width", width, None, None, "frac", f"≤ {MOST_WIDTH}", width <= MOST_WIDTH)
    emit(f"repeat/{name}/seconds a run", statistics.median(s.seconds for s in seen), None, None, "s", None, None)
    rows = csv.writer(sys.stderr)
    rows.writerows([name, f"{s.value:.4f}", f"{s.lo:.4f}", f"{s.hi:.4f}", s.chosen, s.verdict] for s in seen)


def main() -> None:
    """Run what is missing, then judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo-repeat"))
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--models", default="image,text")
    args = parser.parse_args()
    folders = {name: prepare(name, args.out) for name in args.models.split(",")}
    seen: dict[str, list[Seen]] = {name: [] for name in folders}
    for k in range(args.runs):
        for name, folder in folders.items():
            seen[name].append(run(folder, k))
            s = seen[name][-1]
            print(f"{name} {k}: {s.value:.4f} [{s.lo:.4f}, {s.hi:.4f}] {s.chosen} {s.seconds:.0f} s", file=sys.stderr)
    start = [s.seconds for rows in seen.values() for s in rows]
    for name, rows in seen.items():
        judge(name, rows)
    emit("repeat/minutes in all", sum(start) / 60, None, None, "min", "≤ 60", sum(start) <= 3600)


if __name__ == "__main__":
    main()
