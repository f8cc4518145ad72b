"""What the watch of a route has seen, kept over restarts and reloads.

Without it a server that is restarted now and then would never gather the evidence against a route that went wrong, and
one that had fallen back would follow it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from farthing.core.route.served import RoutedModel
from farthing.core.route.watching.evidence import plain_of_state, state_of_plain
from farthing.core.route.watching.watch import Watch, WatchState
from farthing.errors import FarthingError
from farthing.store.watch_evidence import EvidenceFile

__all__ = ["KeptEvidence", "open_evidence"]

_LOG = logging.getLogger("farthing.serve.telemetry.kept_evidence")


class KeptEvidence:
    """Evidence of one route.

    Args:
        file: Where it is kept.
    """

    def __init__(self, file: EvidenceFile) -> None:
        self._file = file
        self._number = 0
        self._kept: tuple[WatchState | None, str | None] = None, None

    @property
    def key(self) -> str:
        """Of the route."""
        return self._file.key

    def read(self, watch: Watch) -> tuple[WatchState | None, str | None]:
        """State and reason of a fall-back as they were; nothing of what cannot be read, which is said in the log."""
        try:
            found = self._file.read()
            if found is None:
                return None, None
            fallen = found.get("fallen")
            self._kept = state_of_plain(watch, found.get("state") or {}), None if fallen is None else str(fallen)
        except (FarthingError, ValueError) as e:
            _LOG.error("the watch begins anew: %s", e)
        return self._kept

    def due(self, state: WatchState, fallen: str | None) -> Callable[[], object] | None:
        """What writes it, for another thread; None when nothing has changed since."""
        if state is self._kept[0] and fallen == self._kept[1]:
            return None
        self._kept = state, fallen
        self._number += 1
        number, file = self._number, self._file
        return lambda: file.write(number, {"fallen": fallen, "state": plain_of_state(state)})

    def close(self) -> None:
        """Let another server have the place."""
        self._file.close()


def open_evidence(spec: RoutedModel, before: KeptEvidence | None) -> KeptEvidence | None:
    """Where the evidence of a route is kept: where it was, if it is the same route; None when it cannot be."""
    try:
        file = EvidenceFile(spec.origin, spec.digests)
    except FarthingError as e:
        _LOG.error("the evidence of route %s is not kept: %s", spec.name, e.message)
        return None
    if before is not None and before.key == file.key:
        file.close()
        return before
    return KeptEvidence(file)
