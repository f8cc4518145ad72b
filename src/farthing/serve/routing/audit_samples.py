"""A bounded sample of requests with the reference's answers, to calibrate a route anew; only where it was asked for."""

from __future__ import annotations

import csv
import io
import random
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.store.documents import disk_errors, write_bytes
from farthing.wire.requests import Request

__all__ = ["AuditSamples"]

MOST_KEPT = 10_000
"""The newest ones stay: enough for a bound of half a point."""
_LONGEST = 100_000
"""Bytes of one request; longer ones are left out."""


class AuditSamples:
    """Requests drawn at random, each with the class that the reference answered.

    Args:
        folder: Gets ``requests.csv`` (texts) or ``requests.npz`` (one tensor a request).
        classes: Names of the classes, empty for their indices.
        name: Of the route; part of the file's name.
        rng: Source of the draw.

    Raises:
        StoreError: when the folder cannot be made.
    """

    def __init__(
        self, folder: Path, classes: Sequence[str] = (), name: str = "auto", rng: random.Random | None = None
    ) -> None:
        with disk_errors(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._name, self._classes = folder, name, tuple(classes)
        self._rng = rng or random.Random()  # noqa: S311 - a sample, no secret
        self._texts: deque[tuple[str, int]] = deque(maxlen=MOST_KEPT)
        self._rows: deque[tuple[NDArray[np.generic], int]] = deque(maxlen=MOST_KEPT)
        self._changed, self._first = False, True

    @property
    def path(self) -> Path:
        """The file."""
        return self._folder / f"{self._name}.{'npz' if self._rows and not self._texts else 'csv'}"

    @property
    def n(self) -> int:
        """Requests kept."""
        return len(self._texts) + len(self._rows)

    def keep(self, request: Request, row: int, wanted: int, share: float) -> None:
        """Keep a row with some probability.

        Args:
            request: The client's.
            row: Of it.
            wanted: Class that the reference answered.
            share: Probability.
        """
        if self._rng.random() >= share:
            return
        if request.payloads is not None:
            payload = request.payloads[row]
            if isinstance(payload, str) and len(payload) <= _LONGEST:
                self._texts.append((payload, wanted))
                self._changed = True
        elif request.tensors is not None and len(request.tensors) == 1:
            values = request.tensors[0][row]
            if values.nbytes <= _LONGEST and values.dtype != object:
                self._rows.append((np.array(values), wanted))
                self._changed = True

    def content(self) -> bytes | None:
        """The file as it is now, None when nothing has changed since it was last asked for."""
        if not self._changed:
            return None
        self._changed = False
        return self._csv() if self._texts else self._npz()

    def _csv(self) -> bytes:
        out = io.StringIO()
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(("text", "label"))
        rows.writerows((text, self._classes[k] if 0 <= k < len(self._classes) else k) for text, k in self._texts)
        return out.getvalue().encode()

    def _npz(self) -> bytes:
        shape = self._rows[-1][0].shape
        rows = [(values, wanted) for values, wanted in self._rows if values.shape == shape]
        out = io.BytesIO()
        np.savez(out, inputs=np.stack([values for values, _ in rows]), labels=np.array([wanted for _, wanted in rows]))
        return out.getvalue()

    def write(self, content: bytes) -> None:
        """Write the file, for its owner's eyes only; may be called from another thread.

        The file of the start before stays beside it as ``NAME.previous``.

        Raises:
            StoreError: when the disk does not take it.
        """
        path = self.path
        with disk_errors(path):
            if self._first and path.exists():
                path.replace(path.with_stem(f"{path.stem}.previous"))
        self._first = False
        write_bytes(path, content, mode=0o600)
