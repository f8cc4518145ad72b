"""CLINC150 or your own texts on three tiers: static word scores, a static student, MiniLM-L6; routed with a bound.

python run.py --out demo-route
python run.py --out my-route --data texts-and-labels.csv --max-length 128
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import large
import numpy as np
import students
import torch
from augment import neighbours, varied
from data import Questions, read_own, read_questions, write_csv

import assets
from farthing.core.numerals import change, ends, loses
from farthing.load.plans import load_plan

VARIATIONS = 40_000
REPEATED = 3
"""The questions themselves come as often in an epoch."""
OFFER, AS_OF = "aws/m7i.large", "2026-11-24"
WORKLOAD = """\
schema: farthing/workload/1
name: {name}-large
model: classifier.py:load
inputs: {{texts: ../calibrate.csv, tokenizer: encoder/tokenizer.json, max_length: {max_length}, text_column: text, label_column: intent}}
calibration: ../train.csv
baseline: {{engine: pytorch, precision: fp32, batch: 1}}
traffic: {{shape: day-night}}
bill: {{usd_per_month: 10000, offer: aws/m7i.large}}
objective: {{p99: 100ms, max_drop: 1pt, confidence: 95%}}
splits: {{search: {search}, confirm: {confirm}}}
"""
SEARCH = ["--engines", "onnxruntime", "--variants", "int8-dynamic", "--rounds", "8"]
"""What won among all engines and variants here; the full search takes twice as long."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo-route"))
    parser.add_argument("--data", type=Path, help="your texts and labels: CSV, TSV, JSON Lines, JSON or Parquet")
    parser.add_argument("--max-length", type=int, default=large.MAX_LENGTH, help="tokens after which texts are cut")
    parser.add_argument("--max-loss", default="0.5%", help="largest mean loss of accuracy")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    if not 2 < args.max_length <= 512:
        parser.error(f"--max-length is {args.max_length}; MiniLM takes 3 to 512 tokens")
    questions = prepared(out, args.seed, args.data)
    model = trained(out / "large", questions, args.epochs, args.seed, args.max_length)
    best = optimise(out / "large")
    distilled(out, model, questions, args.seed, args.max_length)
    sys.exit(routed(out, best, args.max_loss, own=args.data is not None))


def prepared(out: Path, seed: int, own: Path | None = None) -> Questions:
    """The data set in its parts, each also as CSV."""
    questions = read_questions(assets.clinc150(out / "cache"), seed) if own is None else read_own(own, seed)
    for name in ("train", "calibrate", "test"):
        write_csv(out / f"{name}.csv", getattr(questions, name))
    (out / "out_of_scope.json").write_text(json.dumps(questions.out_of_scope))
    dropped = ", ".join(f"{count} of {name}" for name, count in questions.dropped.items() if count)
    say(
        "data",
        f"{len(questions.train):,} questions to train on, {len(questions.calibrate):,} to calibrate on, "
        f"{len(questions.test):,} to report on, {len(questions.intents)} classes; {dropped or 'none'} left out whose text stands in another part",
    )
    return questions


def trained(folder: Path, questions: Questions, epochs: int, seed: int, max_length: int) -> torch.nn.Module:
    """The fine-tuned large tier; one that was trained before is taken."""
    if (folder / "weights.pt").is_file():
        model = large.load(folder)
    else:
        model = large.fine_tune(questions.train, questions.intents, epochs=epochs, seed=seed, max_length=max_length)
        large.save(model, folder)
    if model.head.out_features != len(questions.intents):
        sys.exit(f"error: {folder} holds a model of {model.head.out_features} classes\n\nhint: another --out")
    plain = large.load(folder, "eager")
    large.export(plain, questions.intents, folder / "encoder" / "tokenizer.json", folder / "onnx", max_length)
    logits = large.logits_of(model, texts_of(questions.calibrate), max_length)
    right = students.accuracy(logits, labels_of(questions, "calibrate"))
    say("large", f"MiniLM-L6 fine-tuned: {right:.1%} right on the questions to calibrate on")
    n, name = len(questions.calibrate), "clinc150" if questions.out_of_scope else "own"
    search, confirm = max(20, n // 20), max(40, n // 4)
    (folder / "workload.yaml").write_text(
        WORKLOAD.format(name=name, max_length=max_length, search=search, confirm=confirm)
    )
    return model


def optimise(folder: Path) -> Path:
    """The large tier as cheap as farthing makes it, the baseline that routing has to beat; its place.

    Where no candidate is proven it is the ONNX export, in full precision: it does not need PyTorch either.
    """
    words = ["optimize", folder / "workload.yaml", "--trust", "--as-of", AS_OF, *SEARCH, "--output-dir", folder]
    with (folder / "optimize.txt").open("w") as f:
        farthing(*words, stdout=f)
    verdict = next(row for row in (folder / "optimize.txt").read_text().splitlines() if row.startswith(("✔", "✘", "?")))
    say("large", f"optimised: {verdict}")
    if load_plan(folder / "plan.yaml").chosen is not None:
        return folder / "plan.yaml"
    say("large", f"nothing cheaper is proven, see {folder / 'optimize.txt'}: the ONNX export is the large tier")
    return folder / "onnx"


def distilled(
    out: Path, model: torch.nn.Module, questions: Questions, seed: int, max_length: int = large.MAX_LENGTH
) -> None:
    """Both students, learned from the large tier's answers to the training questions and to variations of them."""
    started = time.monotonic()
    tokenizer = students.student_tokenizer(large.encoder_folder() / "tokenizer.json", max_length)
    embedding = model.encoder.embeddings.word_embeddings.weight.detach().numpy()
    words = [tokenizer.id_to_token(k) for k in range(len(embedding))]
    rows = large.encode(tokenizer, texts_of(questions.train))
    near = neighbours(embedding, words, {k for row in rows for k in row})
    more = varied(rows, VARIATIONS, near, np.random.default_rng(seed))
    said = large.logits_of_tokens(model, rows + more)
    rows, teacher = rows * REPEATED + more, torch.cat([said[: len(rows)].repeat(REPEATED, 1), said[len(rows) :]])
    held_out = large.encode(tokenizer, texts_of(questions.calibrate))
    count = len(questions.intents)
    torch.manual_seed(seed)
    for name, student, rate in (
        ("small", students.Words(len(embedding), count), 1e-2),
        ("medium", students.Static(embedding, count), 2e-3),
    ):
        students.distil(student, rows, teacher, epochs=4, rate=rate, seed=seed)
        students.export(student, tokenizer, questions.intents, out / name, max_length)
        right = students.accuracy(students.student_logits(student, held_out), labels_of(questions, "calibrate"))
        say(name, f"{type(student).__name__}: {right:.1%} right there  {time.monotonic() - started:.0f} s")


def routed(out: Path, best: Path, max_loss: str, *, own: bool = False) -> int:
    """Calibrate, judge on the test questions, say what it comes to; the exit status of the calibration."""
    sources = (("small", out / "small"), ("medium", out / "medium"), ("large", best))
    tiers = [f"--tier={name}={source}" for name, source in sources]
    columns = ["--text-column", "text", "--label-column", "intent"]
    limit = ["--max-loss", max_loss, "--confidence", "95%", "--priced-as", OFFER, "--as-of", AS_OF]
    status = farthing("route", "calibrate", *tiers, "--data", out / "calibrate.csv", *columns, *limit, "--out", out)
    (out / "test").mkdir(exist_ok=True)
    with (out / "test" / "evaluation.json").open("w") as f:
        data = ["--data", out / "test.csv", *columns, "--out", out / "test"]
        farthing("route", "evaluate", out / "route.yaml", *data, "--json", stdout=f)
    print_summary(out, own=own)
    return status


def print_summary(out: Path, *, own: bool = False) -> None:
    """What the route saves on the test questions, against the large tier as optimised and as it was before."""
    found = json.loads((out / "test" / "evaluation.json").read_text())
    routed, alone = found["points"][0], found["tiers"][-1]
    usd, routed_usd = alone["cost_usd"]["value"], routed["cost_usd"]
    over = [usd / routed_usd[end] for end in ("value", "hi", "lo")]
    plan = load_plan(out / "large" / "plan.yaml")
    lost = loses(alone["quality"]["value"] - routed["quality"]["value"])
    print(f"\non {found['n']:,} test questions that nothing was chosen on: {lost} of accuracy against always large")
    digits = 1 if over[0] >= 2 else 2
    print(f"  {over[0]:.{digits}f} × {ends(over[1], over[2], digits)} cheaper than always large, optimised")
    if plan.chosen is not None and plan.chosen.ratio is not None:
        times = plan.chosen.ratio
        print(
            f"  {over[0] * times.value:.0f} × {ends(over[1] * times.lo, over[2] * times.hi, 0)} cheaper than always "
            f"large in PyTorch, which costs {times.value:.1f} × the optimised one"
        )
    for name, key in (("the best fixed split", "over_split"), ("a random router", "over_random")):
        more = routed[key]
        print(
            f"  {change(100 * more['value'], 2)} points {ends(more['lo'], more['hi'], 2, scale=100)} beyond {name} of "
            "equal cost"
        )
    if not own:
        print(
            "Only questions of the 150 intents count: 1 in 60 of those offered for calibration is out of scope, 1 in 5 "
            "of\nthose for testing, so that no bound found on the first would hold on the second."
        )
    print(f"\n  evaluation   {out / 'test' / 'evaluation.html'}")
    print(f"  large tier   {out / 'large' / 'report.html'}")


def farthing(*words: object, stdout: IO[str] | None = None) -> int:
    """Run a command of farthing; 3 (not met, unproven) is an answer, other statuses end this program."""
    command = [str(Path(sys.executable).with_name("farthing")), *map(str, words)]
    status = subprocess.run(command, check=False, stdout=stdout).returncode
    if status not in (0, 3):
        sys.exit(status)
    return status


def texts_of(part: list[tuple[str, str]]) -> list[str]:
    return [text for text, _ in part]


def labels_of(questions: Questions, name: str) -> torch.Tensor:
    place = {intent: k for k, intent in enumerate(questions.intents)}
    return torch.tensor([place[intent] for _, intent in getattr(questions, name)])


def say(stage: str, text: str) -> None:
    print(f"  {stage:9s} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
