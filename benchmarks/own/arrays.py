"""Networks of arrays: a forecast of a measured series, and models of several inputs."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from own.folders import WITHIN, halves, write_metric, write_workload
from own.training import as_onnx, fit

__all__ = ["forecast", "several_inputs"]

WINDOW = 24

SEVERAL = '''"""A classifier of two things at once: rows of measurements, and which of them were high."""

from pathlib import Path

import torch
from torch import nn


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.numbers = nn.Sequential(nn.Linear(30, 64), nn.ReLU())
        self.words = nn.Embedding(31, 16)
        self.head = nn.Sequential(nn.Linear(80, 64), nn.ReLU(), nn.Linear(64, 2))

    def forward(self, measured, high):
        return self.head(torch.cat([self.numbers(measured), self.words(high).mean(1)], 1))


def load():
    net = Both()
    net.load_state_dict(torch.load(Path(__file__).with_name("weights.pt"), weights_only=True))
    return net.eval()
'''


def series() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weekly CO₂ over Mauna Loa (statsmodels brings it): 24 weeks against their last, and the week after, in ppm."""
    spec = importlib.util.find_spec("statsmodels")
    assert spec is not None
    assert spec.origin is not None
    table = np.genfromtxt(Path(spec.origin).parent / "datasets" / "co2" / "co2.csv", delimiter=",", skip_header=1)
    known = np.isfinite(table[:, 1])
    weekly = np.interp(np.arange(len(table)), np.flatnonzero(known), table[known, 1])
    windows = np.lib.stride_tricks.sliding_window_view(weekly, WINDOW + 1)
    past, after = windows[:, :WINDOW], windows[:, WINDOW:]
    last = past[:, -1:]
    return (past - last).astype(np.float32)[..., None], (after - last).astype(np.float32)


def forecast(folder: Path) -> None:
    """A case: next week's CO₂ from the last 24 weeks, by a recurrent network, right within 0.4 ppm."""
    import torch
    from torch import nn

    class Next(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.memory, self.head = nn.GRU(1, 32, batch_first=True), nn.Linear(32, 1)

        def forward(self, past: Any) -> Any:
            return self.head(self.memory(past)[0][:, -1])

    torch.manual_seed(0)
    x, y = series()
    train, held = halves(len(x))
    net = fit(Next(), [x[train]], y[train], nn.functional.mse_loss, epochs=15)
    as_onnx(net, [torch.from_numpy(np.ascontiguousarray(x[:2]))], folder / "model.onnx", ["past"], "next")
    np.savez(folder / "holdout.npz", past=x[held], y=y[held, 0].astype(np.float64))
    write_metric(folder, WITHIN.format(tolerance=0.4))
    write_workload(folder, "model.onnx", {"tensors": "holdout.npz"}, {"metric": "metric.py:within"})


def several_inputs(*, module: bool) -> Callable[[Path], None]:
    """A case of two inputs, as ``model.py:load`` or as an ONNX file."""

    def build(folder: Path) -> None:
        import torch
        from sklearn.datasets import load_breast_cancer

        from farthing.plugins import import_callable

        (folder / "model.py").write_text(SEVERAL, encoding="utf-8")
        torch.manual_seed(0)
        net = import_callable(f"{folder / 'model.py'}:Both")()
        found = load_breast_cancer()
        x = ((found.data - found.data.mean(0)) / found.data.std(0)).astype(np.float32)
        high = np.argsort(-x, axis=1)[:, :4].astype(np.int64) + 1
        y = found.target.astype(np.int64)
        train, held = halves(len(y))
        fit(net, [x[train], high[train]], y[train], torch.nn.functional.cross_entropy, epochs=30)
        np.savez(folder / "holdout.npz", high=high[held], measured=x[held], y=y[held])
        if module:
            torch.save(net.state_dict(), folder / "weights.pt")
            write_workload(folder, "model.py:load", {"tensors": "holdout.npz"})
            return
        (folder / "model.py").unlink()
        example = [torch.from_numpy(x[:2]), torch.from_numpy(high[:2])]
        as_onnx(net, example, folder / "model.onnx", ["measured", "high"])
        write_workload(folder, "model.onnx", {"tensors": "holdout.npz"})

    return build
