"""A route that is watched: what is asked of its server, and waiting for what its live page says."""

from __future__ import annotations

import asyncio
import json

import real_server

from farthing.core.route.routes import Monitoring

SURE = [4.0, 0.0, 0.0, 0.0]
DECILES = tuple(k / 10 for k in range(1, 10))
ALL = Monitoring(audit_frac=1.0, alarm_loss_frac=0.01, calibrated_loss_frac=0.0)


def ask(served, row, times):
    return [served.infer("auto", [row]) for _ in range(times)]


def fetch(served, path, method="GET", body=None, headers=None):
    other = real_server.Served(process=served.process, port=int(served.metrics.rpartition(":")[2]))
    return other.request(method, path, body, headers)


def until(served, condition):
    async def wait():
        for _ in range(200):
            said = fetch(served, "/live.json")[1]
            if condition(said["routes"][0]):
                return said["routes"][0]
            await asyncio.sleep(0.05)
        raise AssertionError(json.dumps(said["routes"][0], indent=1))

    return asyncio.run(wait())
