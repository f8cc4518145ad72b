"""The same arrivals and service times through Ciw, an independent simulator of queueing networks."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.core.simulation.draws import factor, stream_key
from farthing.core.simulation.setup import BatchingServer, Pool, Setup, Window
from farthing.core.simulation.simulate import simulate
from serving.peers import environment_of

__all__ = ["apart_s"]

_SCRIPT = Path(__file__).parents[1] / "peers" / "ciw_queue.py"
SEED = 11


def apart_s(servers: int, load: float, n: int) -> tuple[float, float]:
    """Largest difference of starts and ends over all requests, and the mean wait, of M/M/c with shared draws.

    Args:
        servers: c.
        load: Utilisation, in (0, 1).
        n: Requests.

    Raises:
        RuntimeError: when Ciw cannot be installed or run here.
    """
    home = environment_of("ciw")
    gaps_s = np.random.default_rng(SEED).exponential(1 / (servers * load), n)
    arrivals_s = np.cumsum(gaps_s)
    ours = _ours(arrivals_s, servers)
    key = np.uint64(stream_key(np.uint64(SEED), np.uint64(0)))
    service_s = np.array([factor(key, np.uint64(k), 0.0, True) for k in range(n)])
    theirs = _theirs(home, gaps_s, service_s, servers)
    return float(np.abs(ours - theirs).max()), float((ours[:, 0] - arrivals_s).mean())


def _ours(arrivals_s: NDArray[np.float64], servers: int) -> NDArray[np.float64]:
    n = arrivals_s.size
    server = BatchingServer(service_s=(1.0,), spread="exponential", instances=servers, queue_limit=n)
    setup = Setup(
        server=server,
        pools=(Pool(name="all", initial=1),),
        horizon_s=2 * float(arrivals_s[-1]) + 1000,
        seed=SEED,
        record=Window(count=n),
    )
    records = simulate(setup, [arrivals_s]).records
    return np.stack([records.start_s, records.end_s], axis=1)


def _theirs(
    home: Path, gaps_s: NDArray[np.float64], service_s: NDArray[np.float64], servers: int
) -> NDArray[np.float64]:
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npy"
        np.savez(given, gaps_s=gaps_s, service_s=service_s, servers=servers)
        command = [str(home / "bin" / "python"), str(_SCRIPT), str(given), str(found)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if run.returncode:
            raise RuntimeError((run.stdout + run.stderr).strip()[-500:])
        return np.load(found)
