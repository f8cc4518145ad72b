"""Where the examples find their data: $FARTHING_ASSETS, ../shared/assets, or the originals by hash from their address."""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

RAW = "https://raw.githubusercontent.com"
CLINC_URL = f"{RAW}/clinc/oos-eval/828f8093932c8fe6ca7936c3d2e52903b1c523de/data/data_full.json"
CLINC_SHA256 = "36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0"
IMAGES_URL = f"{RAW}/EliSchwartz/imagenet-sample-images/bc69043e2862758a1906c6a24a792bb28c6bb2ff"


def local(relative: str) -> Path | None:
    """The asset in the first local place that has it, None when none does."""
    named = os.environ.get("FARTHING_ASSETS")
    for root in ([Path(named)] if named else []) + [Path(__file__).parents[2] / "shared" / "assets"]:
        if (root / relative).exists():
            return root / relative
    return None


def clinc150(cache: Path) -> Path:
    """The CLINC150 intents (CC-BY-3.0; Larson et al., EMNLP 2019) as one JSON file."""
    found = local("nlp/clinc150_data_full.json")
    if found:
        return found
    target = cache / "clinc150_data_full.json"
    if not target.exists():
        data = _download(CLINC_URL, "nlp/clinc150_data_full.json")
        _require(hashlib.sha256(data).hexdigest() == CLINC_SHA256, CLINC_URL)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return target


def imagenet_sample(cache: Path, originals: Path) -> tuple[Path, bool]:
    """1,000 labelled photographs, and whether they are the uncropped originals.

    Args:
        cache: Where the originals are kept once fetched.
        originals: List of “git blob hash, file name”.
    """
    found = local("vision/imagenet_sample_256")
    if found:
        return found, False
    folder = cache / "imagenet_sample"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [line.split() for line in originals.read_text().splitlines()]
    for k, (blob, name) in enumerate(rows):
        target = folder / name
        if target.exists():
            continue
        data = _download(f"{IMAGES_URL}/{name}", "vision/imagenet_sample_256")
        git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        _require(git == blob, name)
        target.write_bytes(data)
        print(f"\r  fetching  {k + 1}/{len(rows)} photographs", end="", file=sys.stderr)
    return folder, True


def _download(url: str, relative: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, TimeoutError, OSError) as e:
        sys.exit(
            f"error: the data was found in neither $FARTHING_ASSETS nor ../shared/assets ({relative}), "
            f"and {url} cannot be fetched: {e}\n\nhint: set FARTHING_ASSETS to a folder that holds {relative}"
        )


def _require(same: bool, what: str) -> None:
    if not same:
        sys.exit(f"error: {what} is not the file this example was written for: its hash differs")
