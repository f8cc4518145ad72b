"""Clients that ask all the time, as a load balancer's would: what they saw is counted."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from real_server import Served

ROW = [1.0, 0.0, 0.0, 1.0]
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": ROW}]}).encode()


@dataclass
class Seen:
    """What clients saw.

    Attributes:
        statuses: By status.
        failures: Requests that were not answered, or not with 200.
        values: Answers' first values in the order of each client.
        retried: Sent again since the server had not begun to take them.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)
    retried: int = 0


class Load:
    """Threads with a connection to each replica; ``with Load(…) as seen: …``.

    A request is sent to another replica when this one refuses the connection, or closes a connection that was kept
    without a byte of an answer (RFC 9112, 9.3.1); everything else counts as failed.

    Args:
        replicas: Called for the servers that are up.
        name: Of the model.
        threads: Clients.
        body: Of every request.
    """

    def __init__(
        self, replicas: Callable[[], list[Served]], name: str = "tiny", threads: int = 4, body: bytes = BODY
    ) -> None:
        self._replicas, self._path, self._body = replicas, f"/v2/models/{name}/infer", body
        self._seen = Seen(values=[[] for _ in range(threads)])
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(k,)) for k in range(threads)]

    def __enter__(self) -> Seen:
        for thread in self._threads:
            thread.start()
        return self._seen

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, client: int) -> None:
        kept: dict[Served, http.client.HTTPConnection] = {}
        turn = client
        while not self._stop.is_set():
            turn += 1
            self._once(client, turn, kept)
            time.sleep(0.001)
        for connection in kept.values():
            connection.close()

    def _once(self, client: int, turn: int, kept: dict[Served, http.client.HTTPConnection]) -> None:
        for attempt in range(20):
            up = self._replicas()
            if not up:
                time.sleep(0.01)
                continue
            replica = up[(turn + attempt) % len(up)]
            reused = replica in kept
            connection = kept.pop(replica, None) or http.client.HTTPConnection(replica.host, replica.port, timeout=30)
            try:
                connection.request("POST", self._path, self._body)
                response = connection.getresponse()
                content = response.read()
            except ConnectionRefusedError:
                self._again()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as e:
                connection.close()
                if not reused:
                    return self._failed(f"{type(e).__name__} on a new connection")
                self._again()
            except (OSError, http.client.HTTPException) as e:
                return self._failed(f"{type(e).__name__}: {e}")
            else:
                if not response.will_close:
                    kept[replica] = connection
                return self._answered(client, response.status, content)
        return self._failed("no replica took it")

    def _again(self) -> None:
        with self._lock:
            self._seen.retried += 1

    def _failed(self, why: str) -> None:
        with self._lock:
            self._seen.failures.append(why)

    def _answered(self, client: int, status: int, content: bytes) -> None:
        with self._lock:
            self._seen.statuses[status] += 1
        if status == 200:
            self._seen.values[client].append(json.loads(content)["outputs"][0]["data"][0])
        else:
            self._failed(f"{status}: {content[:200]!r}")
