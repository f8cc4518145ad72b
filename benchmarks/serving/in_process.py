"""The model alone, called in a loop: what a server can at best reach. Driven over standard input, so that its blocks
can be interleaved with those of servers; or use :class:`InProcess` from another process.

    python benchmarks/serving/in_process.py model.onnx ENGINE PRECISION
    {"batch": 8, "seconds": 2}  ->  {"calls": …, "seconds": …, "p50_s": …, "sigma": …}
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

__all__ = ["Calls", "InProcess"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What one block of calls took.

    Attributes:
        batch: Rows a call.
        calls: Number of them.
        seconds: Time of all.
        p50_s: Median time of a call.
        sigma: Standard deviation of the logarithm of a call's time.
    """

    batch: int
    calls: int
    seconds: float
    p50_s: float
    sigma: float

    @property
    def rows_per_s(self) -> float:
        """Throughput."""
        return self.calls * self.batch / self.seconds


class InProcess:
    """A process of its own, pinned to ``core``, that holds the model and times calls."""

    def __init__(self, path: Path, *, core: int, engine: str = "onnxruntime", precision: str = "fp32") -> None:
        command = ["taskset", "-c", str(core), sys.executable, __file__, str(path), engine, precision]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, batch: int, seconds: float) -> Calls:
        """Call the model with ``batch`` rows for ``seconds``."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        print(json.dumps({"batch": batch, "seconds": seconds}), file=self._child.stdin, flush=True)
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit(f"the in-process loop ended with status {self._child.wait()}")
        return Calls(batch=batch, **json.loads(line))

    def __enter__(self) -> InProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(timeout=20)


def _time_calls(session: Any, x: Any, seconds: float) -> dict[str, float]:
    feeds = {"x": x}
    session.run(feeds)
    times_s: list[float] = []
    start_s = last_s = time.perf_counter()
    while last_s - start_s < seconds:
        session.run(feeds)
        now_s = time.perf_counter()
        times_s.append(now_s - last_s)
        last_s = now_s
    sigma = float(np.std(np.log(times_s)))
    return {"calls": len(times_s), "seconds": last_s - start_s, "p50_s": float(np.median(times_s)), "sigma": sigma}


def main() -> None:
    from farthing.plugins import find

    path, engine, precision = sys.argv[1:]
    session = find("engines", engine).load(Path(path), precision=precision, threads=1, device="cpu", options={})
    shape = session.inputs[0].shape[1:]
    rng = np.random.default_rng(0)
    for line in sys.stdin:
        asked = json.loads(line)
        x = rng.uniform(0, 1, (asked["batch"], *shape)).astype(np.float32)
        print(json.dumps(_time_calls(session, x, asked["seconds"])), flush=True)


if __name__ == "__main__":
    main()
