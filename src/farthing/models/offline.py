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

__all__ = ["go_offline", "quiet"]

_SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "ORT_TELEMETRY_DISABLED": "1",
}
_TELEMETRY = "openvino_telemetry"


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
    os.environ.update(_SETTINGS)
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
