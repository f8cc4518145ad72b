"""Keeps the libraries that farthing loads from calling home, and from talking while they build."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

__all__ = ["PLACES", "QUIET", "THREADS", "child_environment", "go_offline", "muted", "quiet"]

_OFFLINE = {
    "DO_NOT_TRACK": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
}
QUIET = {**_OFFLINE, "NNCF_TELEMETRY": "0", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
"""Settings of a child process: nothing is sent or fetched, tokenizers start no threads."""
THREADS = (
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
PLACES = ("GOMP_CPU_AFFINITY", "KMP_AFFINITY", "OMP_PLACES", "OMP_PROC_BIND")
"""Settings that would place threads on cores of another instance."""
_TELEMETRY = "openvino_telemetry"


def child_environment(threads: int) -> dict[str, str]:
    """The environment of a child: its thread count for every library, no placement of threads, telemetry off."""
    kept = {key: value for key, value in os.environ.items() if key not in PLACES}
    return {**kept, **QUIET, **dict.fromkeys(THREADS, str(threads))}


class _Blocked:
    """Finder that knows no ``openvino_telemetry``; OpenVINO and NNCF then use their own empty stand-ins."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] == _TELEMETRY:
            raise ModuleNotFoundError(f"{name} is switched off by farthing", name=name)
        return None


def _mute_loaded(module: Any) -> None:
    """Replace the one method through which ``openvino_telemetry`` sends, when someone has imported it already."""
    sender = importlib.import_module(f"{module.__name__}.utils.sender")
    sender.TelemetrySender.send = lambda *_args, **_kwargs: None


def go_offline() -> None:
    """Switch off telemetry and hub access for this process; call it before a back end is imported.

    ``openvino-telemetry`` has no environment switch of its own (it reads a consent file in the home folder), so
    its import is refused, which both OpenVINO and NNCF provide for.
    """
    os.environ.update(_OFFLINE)
    loaded = sys.modules.get(_TELEMETRY)
    if loaded is not None:
        _mute_loaded(loaded)
    elif not any(isinstance(f, _Blocked) for f in sys.meta_path):
        sys.meta_path.insert(0, _Blocked())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back the progress bars, prints, log lines and warnings of a library; exceptions still pass."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """Hold back what libraries of any language write to the error stream, for a process with one thread."""
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(nowhere)
        os.close(before)
