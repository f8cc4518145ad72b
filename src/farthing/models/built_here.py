"""Which native artefacts were built on this machine: their digests, in the user's state folder.

A native artefact (a PyTorch program) can run code when it is loaded, so one that came from elsewhere needs the
user's word. Its digest in a plan.yaml proves nothing then, since the plan came from elsewhere too.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from farthing.errors import TrustError
from farthing.models.digests import digest

__all__ = ["check_built_here", "remember_built_here"]


def _record() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "farthing" / "built-here.txt"


def remember_built_here(path: Path) -> None:
    """Note the digest of an artefact that this process has just built.

    Where the state folder cannot be written a warning is logged; loading the artefact then needs trust.
    """
    record = _record()
    try:
        record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with record.open("a", encoding="ascii") as f:
            f.write(digest(path) + "\n")
    except OSError as e:
        logging.getLogger(__name__).warning("%s cannot be written (%s): loading %s will need --trust", record, e, path)


def check_built_here(path: Path) -> None:
    """Pass when the artefact was built on this machine by this user.

    Raises:
        TrustError: when it was not.
    """
    record = _record()
    known = record.read_text(encoding="ascii").split() if record.is_file() else []
    if digest(path) not in known:
        raise TrustError(
            f"{path} was not built on this machine, and a PyTorch program can run code when it is loaded",
            hint="--trust, if you trust where it came from",
        )
