"""Trains a real ResNet-50 on scikit-learn's handwritten digits and writes everything that farthing needs.

    python train.py --out demo

writes demo/classifier.py and demo/weights (the model), demo/train and demo/holdout (PNG images, a folder a class)
and demo/workload.yaml.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from transformers import ResNetConfig, ResNetForImageClassification

from farthing.machine.isa import has_bf16

HERE = Path(__file__).parent
SIDE = 64
TRAIN_N, HOLDOUT_N = 897, 900
MEAN, STD = 0.30, 0.37
WORKLOAD = """\
schema: farthing/workload/1
name: resnet50-digits
model: classifier.py:load
example_shape: [3, 64, 64]
inputs: {images: holdout/, mean: [0.30, 0.30, 0.30], std: [0.37, 0.37, 0.37]}
calibration: train/
baseline: {engine: pytorch, precision: fp32, batch: 1}
traffic: {per_month: 16.6B, shape: day-night}  # held against the bill; a gap above 20 % is shown, never credited
bill: {usd_per_month: 10000, offer: aws/m7i.large}
objective: {p99: 50ms, max_drop: 1pt, confidence: 95%, min_saving: 30%}
splits: {search: 200, confirm: 700}
"""
ON_ARM = "priced_as: aws/m7g.large  # an Arm machine cannot stand for the bill's own offer\n"


def images() -> tuple[np.ndarray, np.ndarray]:
    """All 1,797 digits as bytes of shape (n, 64, 64), and their labels."""
    digits = load_digits()
    small = (digits.images / 16 * 255).round().astype(np.uint8)
    big = [np.asarray(Image.fromarray(d).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for d in small]
    return np.stack(big), digits.target


def save(folder: Path, pictures: np.ndarray, labels: np.ndarray) -> None:
    for k, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        target = folder / str(label)
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).convert("RGB").save(target / f"{k:04d}.png")


def tensor(pictures: np.ndarray) -> torch.Tensor:
    x = (torch.from_numpy(pictures).float() / 255 - MEAN) / STD
    return x[:, None].repeat(1, 3, 1, 1).contiguous(memory_format=torch.channels_last)


def shifted(x: torch.Tensor, generator: torch.Generator, most: int = 4) -> torch.Tensor:
    """Each image moved by up to ``most`` pixels, the border filled with background."""
    n, _, h, w = x.shape
    padded = torch.nn.functional.pad(x, (most,) * 4, value=-MEAN / STD)
    dx, dy = torch.randint(0, 2 * most + 1, (2, n), generator=generator)
    return torch.stack([padded[i, :, dy[i] : dy[i] + h, dx[i] : dx[i] + w] for i in range(n)])


def train(x: torch.Tensor, y: torch.Tensor, epochs: int, seed: int) -> ResNetForImageClassification:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = ResNetForImageClassification(ResNetConfig(num_labels=10)).to(memory_format=torch.channels_last)
    batch = 32
    steps = epochs * (len(x) // batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-3, total_steps=steps, pct_start=0.3)
    started = time.monotonic()
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=generator)
        total = 0.0
        model.train()
        for k in range(len(x) // batch):
            rows = order[k * batch : (k + 1) * batch]
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_bf16()):  # emulated, BF16 is slower than FP32
                logits = model(pixel_values=shifted(x[rows], generator)).logits
            loss = torch.nn.functional.cross_entropy(logits.float(), y[rows], label_smoothing=0.05)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        left = (time.monotonic() - started) / (epoch + 1) * (epochs - epoch - 1)
        print(
            f"  training  epoch {epoch + 1}/{epochs}  loss {total / (len(x) // batch):.3f}  {left:.0f} s left",
            file=sys.stderr,
        )
    return model.eval().to(memory_format=torch.contiguous_format)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    pictures, labels = images()
    split = train_test_split(
        pictures, labels, train_size=TRAIN_N, test_size=HOLDOUT_N, stratify=labels, random_state=args.seed
    )
    train_x, holdout_x, train_y, holdout_y = split
    model = train(tensor(train_x), torch.from_numpy(train_y), args.epochs, args.seed)
    with torch.inference_mode():
        answers = torch.cat([model(pixel_values=b).logits.argmax(1) for b in tensor(holdout_x).split(50)]).numpy()
    print(
        f"  training  accuracy {np.mean(answers == holdout_y):.1%} on {len(holdout_y)} held-out images", file=sys.stderr
    )
    args.out.mkdir(parents=True, exist_ok=True)
    for name, x, y in (("train", train_x, train_y), ("holdout", holdout_x, holdout_y)):
        shutil.rmtree(args.out / name, ignore_errors=True)
        save(args.out / name, x, y)
    model.save_pretrained(args.out / "weights")
    shutil.copy(HERE / "classifier.py", args.out / "classifier.py")
    (args.out / "workload.yaml").write_text(WORKLOAD + (ON_ARM if platform.machine() in ("aarch64", "arm64") else ""))


if __name__ == "__main__":
    main()
