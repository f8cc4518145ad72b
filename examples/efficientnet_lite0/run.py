"""EfficientNet-Lite0 on 1,000 labelled photographs: what 1,000 images can prove, and what they cannot.

    python run.py --out demo-efficientnet

First with a gate of 1 point: unproven is the right answer, with the number of images that would settle it. Then
with a gate of 3 points, for the comparison of engines.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import assets

WORKLOAD = """\
schema: farthing/workload/1
name: efficientnet-lite0
model: classifier.py:load
example_shape: [3, 224, 224]
inputs: {{images: {images}, {resize}crop: 224, interpolation: bicubic, scale: 1.0, mean: [127, 127, 127], std: [128, 128, 128]}}
baseline: {{engine: pytorch, precision: fp32, batch: 1}}
traffic: {{shape: day-night}}
bill: {{usd_per_month: 10000, offer: aws/m7i.large}}
objective: {{p99: 100ms, max_drop: {drop}pt, confidence: 95%}}
splits: {{search: 200, confirm: 800}}
"""


def write(out: Path, images: Path, originals: bool, drop: int) -> Path:
    path = out / f"workload-{drop}pt.yaml"
    resize = "resize: 256, " if originals else ""
    path.write_text(WORKLOAD.format(images=images.resolve(), resize=resize, drop=drop))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo-efficientnet"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    images, originals = assets.imagenet_sample(args.out / "cache", HERE / "originals.txt")
    shutil.copy(HERE / "classifier.py", args.out / "classifier.py")
    farthing = Path(sys.executable).with_name("farthing")
    for drop in (1, 3):
        workload = write(args.out, images, originals, drop)
        print(f"\n— gate of {drop} point{'s' if drop > 1 else ''} —", flush=True)
        done = subprocess.run(
            [farthing, "optimize", workload, "--trust", "--output-dir", args.out / f"{drop}pt"], check=False
        )
        if done.returncode not in (0, 3):
            sys.exit(done.returncode)


if __name__ == "__main__":
    main()
