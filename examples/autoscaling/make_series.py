"""The recorded series of this folder, made up: a working day's requests, with bursts and minutes without a number.

python examples/autoscaling/make_series.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
START_S, STEP_S, HOURS = 1_764_054_000, 30, 12  # 2025-11-25 07:00 UTC
POD_RPS, CORES_AT_REST, CORES_A_REQUEST = 60.0, 0.04, 0.0065


def requests_rps(rng: np.random.Generator) -> np.ndarray:
    """Requests a second: low at seven, high at eleven and at three, bursts after each full hour."""
    hours = np.arange(0, HOURS, STEP_S / 3600)
    day = 180 + 620 * np.exp(-(((hours - 4) / 1.7) ** 2)) + 480 * np.exp(-(((hours - 8.2) / 1.5) ** 2))
    bursts = 1 + 0.35 * np.exp(-((hours % 1) / 0.06))
    return day * bursts * rng.lognormal(0, 0.05, hours.size)


def answer(*series: tuple[dict[str, str], np.ndarray, np.ndarray]) -> str:
    """As ``/api/v1/query_range`` answers; NaN marks times without a sample."""
    result = [
        {"metric": labels, "values": [[int(t), f"{v:.5g}"] for t, v in zip(at_s, values) if np.isfinite(v)]}
        for labels, at_s, values in series
    ]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})


def main() -> None:
    """Write requests.json (one total) and cpu.json (a series a pod, of the pods that there were)."""
    rng = np.random.default_rng(7)
    rates = requests_rps(rng)
    at_s = START_S + STEP_S * np.arange(rates.size)
    gone = rates.copy()
    gone[(at_s >= START_S + 9.5 * 3600) & (at_s < START_S + 9.5 * 3600 + 900)] = np.nan  # Prometheus was away
    (HERE / "requests.json").write_text(answer(({}, at_s, gone)))
    pods = np.clip(np.ceil(np.repeat(rates[::20], 20)[: rates.size] / POD_RPS), 4, 16)
    series = []
    for k in range(int(pods.max())):
        cores = CORES_AT_REST + CORES_A_REQUEST * rates / pods * rng.lognormal(0, 0.03, rates.size)
        labels = {"namespace": "shop", "pod": f"web-7d9f-{k:02d}"}
        series.append((labels, at_s, np.where(k < pods, cores, np.nan)))
    (HERE / "cpu.json").write_text(answer(*series))


if __name__ == "__main__":
    main()
