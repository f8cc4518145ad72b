"""Load from wrk, a C client, pinned to a core of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from serving.models import Post

__all__ = ["Load", "press"]

_SCRIPT = Path(__file__).with_name("post.lua")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What wrk saw in one block.

    Attributes:
        rps: Answers with a 2xx status a second.
        p50_us: Median latency of all answers.
        p99_us: The 99th percentile.
        answers: Those with a 2xx status.
        failed: Answers that are not 2xx, broken connections and time-outs.
    """

    rps: float
    p50_us: float
    p99_us: float
    answers: int
    failed: int


def press(url: str, post: Post, *, connections: int, seconds: float, core: int) -> Load:
    """Send ``post`` over ``connections`` for ``seconds`` from one thread.

    Raises:
        SystemExit: when wrk is not installed or gave no result.
    """
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    with tempfile.NamedTemporaryFile(suffix=".body") as body:
        body.write(post.body)
        body.flush()
        # wrk takes whole seconds only.
        command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
        command += ["--timeout", "20s", "-s", str(_SCRIPT), url + post.path, "--", body.name, post.content_type]
        command += [] if post.json_bytes is None else [str(post.json_bytes)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in run.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise SystemExit(f"wrk gave no result for {url + post.path}: {run.stdout[-500:]} {run.stderr[-500:]}")
    seen = json.loads(lines[-1].removeprefix("RESULT "))
    failed = seen["not_2xx"] + seen["broken"] + seen["timeouts"]
    good = seen["requests"] - seen["not_2xx"]
    rps = good / (seen["duration_us"] / 1e6)
    return Load(rps=rps, p50_us=seen["p50_us"], p99_us=seen["p99_us"], answers=good, failed=failed)
