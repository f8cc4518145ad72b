"""Ray Serve's own policy function on given states: ``python ray_policy_oracle.py RUNS.json DECISIONS.json``.

Runs in Ray's environment, without a cluster. A run is a configuration, a state and steps of (time, running replicas,
target, requests); of each step the decision and the state after it are written. Bounds are applied as the controller
does after the policy.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray.serve import autoscaling_policy
from ray.serve._private.constants import (
    SERVE_AUTOSCALING_DECISION_COUNTERS_KEY as COUNTER,
)
from ray.serve._private.constants import (
    SERVE_AUTOSCALING_DECISION_TIMESTAMP_KEY as SINCE,
)
from ray.serve.config import AutoscalingConfig, AutoscalingContext

CLOCK = SimpleNamespace(now_s=0.0)
autoscaling_policy.time = SimpleNamespace(time=lambda: CLOCK.now_s)
POLICY = autoscaling_policy._apply_autoscaling_config(autoscaling_policy.default_autoscaling_policy)
FIELDS = [name for name in inspect.signature(AutoscalingContext.__init__).parameters if name != "self"]


def decided(config: AutoscalingConfig, state: dict[str, Any], step: list[float]) -> tuple[int, dict[str, Any]]:
    CLOCK.now_s, running, target, requests = step[0], int(step[1]), int(step[2]), step[3]
    known = {
        "current_num_replicas": running,
        "target_num_replicas": target,
        "total_num_requests": requests,
        "total_pending_async_requests": 0,
        "capacity_adjusted_min_replicas": config.min_replicas,
        "capacity_adjusted_max_replicas": config.max_replicas,
        "policy_state": state,
        "config": config,
    }
    wanted, state = POLICY(AutoscalingContext(**{name: known.get(name) for name in FIELDS}))
    return max(config.min_replicas, min(config.max_replicas, wanted)), state


def main(runs: Path, decisions: Path) -> None:
    found = []
    for run in json.loads(runs.read_text()):
        config = AutoscalingConfig(**run["config"])
        state: dict[str, Any] = {COUNTER: run["counter"], SINCE: run["since_s"]}
        rows = []
        for step in run["steps"]:
            replicas, state = decided(config, state, step)
            rows.append([replicas, state.get(COUNTER, 0), state.get(SINCE)])
        found.append(rows)
    decisions.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
