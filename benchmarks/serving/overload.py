"""Requests at a given rate whatever the server answers, and what they cost it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import uvloop

from serving.client import Connection, Lost, http_bytes, open_loop
from serving.farthing_server import Farthing
from serving.models import SUBJECTS, oip_binary_post
from serving.processes import cpu_s

__all__ = ["Offered", "capacity", "measured", "offer", "one_batch_s", "place_workers"]

Seen = TypeVar("Seen")


@dataclass(slots=True)
class Offered:
    """What an open loop saw: seconds from the scheduled time by outcome."""

    good_s: list[float]
    refused_s: list[float]
    late_s: list[float]
    broken: int = 0


def offer(port: int, rps: float, seconds: float) -> Offered:
    """Poisson arrivals of one row of ``dense``."""
    request = http_bytes(oip_binary_post("dense", SUBJECTS["dense"].sample()))
    seen = Offered([], [], [])

    async def send(connection: Connection, scheduled_s: float) -> Connection:
        try:
            reply = await connection.ask(request)
        except Lost:
            seen.broken += 1
            return connection
        took_s = time.monotonic() - scheduled_s
        if reply.status in (200, 503, 504):
            {200: seen.good_s, 503: seen.refused_s, 504: seen.late_s}[reply.status].append(took_s)
        else:
            seen.broken += 1
        return connection

    uvloop.run(open_loop(send, port, rps=rps, seconds=seconds, connections=1024))
    return seen


def capacity(port: int, seconds: float, connections: int) -> float:
    """Answers/s of a closed loop for the model ``patient``, the same without a deadline."""
    request = http_bytes(oip_binary_post("patient", SUBJECTS["dense"].sample()))
    done = 0

    async def walk(end_s: float) -> None:
        nonlocal done
        connection = await Connection.open(port)
        while time.monotonic() < end_s:
            reply = await connection.ask(request)
            done += reply.status == 200
        connection.close()

    async def run() -> None:
        end_s = time.monotonic() + seconds
        await asyncio.gather(*(walk(end_s) for _ in range(connections)))

    uvloop.run(run())
    return done / seconds


def one_batch_s(server: Farthing) -> float:
    """Time of a full batch as the server itself saw it, on average since its start (an upper bound on it: the queue
    is never empty in a closed loop).
    """
    batches = server.metric("nv_inference_exec_count", model="patient")
    spent_us = server.metric("nv_inference_compute_infer_duration_us", model="patient")
    requests = server.metric("nv_inference_request_success", model="patient")
    return spent_us / max(requests, 1) / 1e6 if batches else 0.0


def measured(server: Farthing, work: Callable[[], Seen]) -> tuple[Seen, float]:
    """What the work saw, and the parent's CPU time meanwhile."""
    before_s = cpu_s([server.process])
    return work(), cpu_s([server.process]) - before_s


def place_workers(server: Farthing, core: int) -> None:
    """All threads of all workers on one core."""
    for worker in server.workers():
        for thread in worker.threads():
            os.sched_setaffinity(thread.id, {core})
