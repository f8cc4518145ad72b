"""Farthing's rule of Ray Serve against Ray's own policy function, on random states: ``python benchmarks/ray_policy.py``.

Ray is installed into a throw-away environment (that of the server benchmarks) and asked there; every decision and the
state after it are compared, over at least 10⁵ states. The exit status is 1 when one differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from farthing.core.scaling.ray_serve import Observation, Policy, State, step
from figures import emit
from serving.peers import PEERS, environment, version

__all__ = ["compared", "runs"]

ORACLE = Path(__file__).parent / "peers" / "ray_policy_oracle.py"
STEPS = 40
SHOWN = 10


def _config(rng: np.random.Generator) -> dict[str, Any]:
    least = int(rng.integers(0, 5))

    def delay_s() -> float:
        return float(rng.choice([0.0, 0.1, 1.0, 30.0, float(rng.uniform(0, 60))]))

    def factor() -> float:
        return float(rng.choice([0.1, 0.3, 0.5, 1.0, 2.0, float(rng.uniform(0.01, 3))]))

    return {
        "min_replicas": least,
        "max_replicas": max(1, least + int(rng.integers(0, 60))),
        "target_ongoing_requests": float(rng.choice([0.1, 1.0, 2.0, 3.0, float(rng.uniform(0.01, 50))])),
        "upscaling_factor": factor(),
        "downscaling_factor": factor(),
        "upscale_delay_s": delay_s(),
        "downscale_delay_s": delay_s(),
        "downscale_to_zero_delay_s": None if rng.random() < 0.5 else delay_s(),
    }


def _steps(rng: np.random.Generator, config: dict[str, Any]) -> list[list[float]]:
    """Times rise; target and load mostly stay for a while, so that delays run out."""
    now_s = float(rng.choice([0.0, 1.7e9]))
    target, load, rows = int(rng.integers(0, config["max_replicas"] + 1)), 0.0, []
    for _ in range(STEPS):
        now_s += float(rng.choice([0.1, 1.0, 10.0, float(rng.exponential(20))]))
        if rng.random() < 0.2:
            target = int(rng.integers(0, min(config["max_replicas"], 5) + 1 if rng.random() < 0.5 else 70))
        if rng.random() < 0.25:
            whole = config["target_ongoing_requests"] * int(rng.integers(0, 80))
            load = float(rng.choice([0.0, whole, float(rng.exponential(1 + whole)), float(rng.uniform(0, 3))]))
        running = max(0, target + int(rng.integers(-2, 3))) if rng.random() < 0.5 else target
        rows.append([now_s, running, target, load])
    return rows


def runs(states: int, seed: int) -> list[dict[str, Any]]:
    """Configurations with a first state and steps, ``states`` steps in all or a few more."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(-(-states // STEPS)):
        config = _config(rng)
        steps = _steps(rng, config)
        counter = int(rng.integers(-3, 4))
        since_s = steps[0][0] - float(rng.uniform(0, 60)) if counter else None
        found.append({"config": config, "counter": counter, "since_s": since_s, "steps": steps})
    return found


def compared(given: list[dict[str, Any]], oracle: list[list[list[Any]]]) -> list[str]:
    """Each step on which the two differ, in words."""
    told = []
    for run, rows in zip(given, oracle, strict=True):
        policy = Policy(**run["config"])
        state = State(direction=int(np.sign(run["counter"])), since_s=run["since_s"])
        for (now_s, running, target, load), (replicas, counter, since_s) in zip(run["steps"], rows, strict=True):
            seen = Observation(running_replicas=running, target_replicas=target, ongoing_requests=load)
            state, decision = step(policy, state, seen, now_s)
            ours, theirs = (
                (decision.replicas, state.direction, state.since_s),
                (replicas, int(np.sign(counter)), since_s),
            )
            if ours != theirs:
                told.append(f"{policy} at {now_s} on {seen}: Ray {theirs}, here {ours}")
                state = State(direction=theirs[1], since_s=since_s)
    return told


def asked(home: Path, given: list[dict[str, Any]], timeout_s: float) -> list[list[list[Any]]]:
    """What Ray decides."""
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "runs.json", Path(folder) / "decisions.json"
        question.write_text(json.dumps(given))
        command = [str(home / "bin" / "python"), str(ORACLE), str(question), str(answer)]
        subprocess.run(command, check=True, timeout=timeout_s)
        found: list[list[list[Any]]] = json.loads(answer.read_text())
    return found


def main() -> int:
    """Ask, compare, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    peer = PEERS["ray_serve"]
    home = environment(peer, timeout_s=1200)
    given = runs(options.states, options.seed)
    told = compared(given, asked(home, given, timeout_s=1200))
    for line in told[:SHOWN]:
        print(line, file=sys.stderr)
    states = len(given) * STEPS
    said = [f"Ray {version(peer, home)}", f"{states:,} states of {len(given):,} configurations", f"seed {options.seed}"]
    emit("autoscaling/ray disagreements", len(told), None, None, "count", "= 0", not told, said=said)
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
