"""Tries models as people have them: whatever lies in a folder and below it.

    python benchmarks/field_cases.py FOLDER

Each model folder's pixels and tokens are compared with what ``transformers`` makes of the same folder, and each model's
answers in batches with its answers alone. One JSON line each (DESIGN, 10) with every difference in words; then what was
refused, and what was skipped and why. The exit status is 1 when anything differs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from field.as_transformers import Comparison, compared_pixels, compared_tokens
from figures import emit

__all__ = ["main"]

_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_SETTINGS = frozenset(
    (
        *_PROCESSORS,
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "config.json",
    )
)


class Tally:
    """Counts what came of all cases.

    Attributes:
        tried: Cases that were compared.
        differing: Of those, how many differ.
        refused: Cases that farthing refuses, with the reason.
        skipped: What was not tried, with the reason.
    """

    def __init__(self) -> None:
        self.tried = 0
        self.differing = 0
        self.refused: list[str] = []
        self.skipped: list[str] = []

    def show(self, name: str, differences: list[str], tried: int, notes: list[str]) -> None:
        """One line for a case that was tried."""
        self.tried += 1
        self.differing += bool(differences)
        emit(name, len(differences), None, None, "differences", f"0 of {tried}", not differences,
             said=[*differences, *notes])  # fmt: skip

    def summarise(self) -> None:
        """The lines at the end."""
        emit("field-cases/tried", self.tried, None, None, "count", "≥ 1", self.tried >= 1)
        emit("field-cases/differing", self.differing, None, None, "count", "0", self.differing == 0)
        emit("field-cases/refused", len(self.refused), None, None, "count", None, None, said=self.refused)
        emit("field-cases/skipped", len(self.skipped), None, None, "count", None, None, said=self.skipped)


def main(folder: Path) -> int:
    """Try everything in a folder; the exit status."""
    tally = Tally()
    for path in sorted(_files(folder)):
        name = str(path.relative_to(folder))
        if path.name == "tokenizer.json":
            _like_transformers(tally, f"tokens/{name}", compared_tokens, path.parent)
        elif path.name == _processor_of(path.parent):
            _like_transformers(tally, f"pixels/{name}", compared_pixels, path.parent)
        elif path.suffix.lower() == ".onnx":
            _in_batches(tally, name, path)
        elif path.name == "tokenizer_config.json" and not path.with_name("tokenizer.json").is_file():
            tally.skipped.append(f"{name}: no tokenizer.json lies beside it")
        elif path.name not in _SETTINGS:
            tally.skipped.append(f"{name}: neither a model nor a model's settings")
    tally.summarise()
    return int(tally.differing > 0)


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder; links are not followed out of it."""
    for root, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        yield from (Path(root) / name for name in names)


def _processor_of(folder: Path) -> str | None:
    """Which file says how images are made, None when none does."""
    return next((name for name in _PROCESSORS if (folder / name).is_file()), None)


def _like_transformers(tally: Tally, name: str, compare: Callable[[Path], Comparison], folder: Path) -> None:
    found = compare(folder)
    if found.refused is not None:
        beside = "" if found.untold is None else f" (transformers: {found.untold})"
        tally.refused.append(f"{name}: {found.refused}{beside}")
    elif found.untold is not None:
        tally.skipped.append(f"{name}: transformers cannot read it, so there is no truth ({found.untold})")
    else:
        tally.show(f"field-cases/{name}", found.differences, found.tried, found.notes)


def _in_batches(tally: Tally, name: str, model: Path) -> None:
    try:
        from field.batched import Untried, differences
    except ImportError as e:
        tally.skipped.append(f"batched/{name}: {e}")
        return
    try:
        found = differences(model)
    except Untried as e:
        tally.skipped.append(f"batched/{name}: {e}")
        return
    except Exception as e:  # noqa: BLE001  (a crash is a result)
        found = [f"{type(e).__name__}: {e}"]
    tally.show(f"field-cases/batched/{name}", found, 1, [])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the cases lie")
    sys.exit(main(parser.parse_args().folder))
