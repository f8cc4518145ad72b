"""A process that keeps a ledger: ``FOLDER ROWS_PER_S [LIMIT_BYTES]``; says each second's last row on stdout."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from made_up_traffic import RealClock, answer, live_model, request

from farthing.serve.telemetry.ledger_writer import LedgerWriter


def main() -> None:
    folder, per_s = Path(sys.argv[1]), int(sys.argv[2])
    if len(sys.argv) > 3:
        limit = int(sys.argv[3])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    writer = LedgerWriter(folder, RealClock())
    writer.start()
    model, n, start = live_model(), 0, time.monotonic()
    while True:
        due = int((time.monotonic() - start) * per_s)
        for _ in range(due - n):
            writer.answered(request(model, id=str(n)), answer())
            n += 1
        state = writer.state
        print(n, time.monotonic(), state.written_rows, state.failed_writes, state.dropped_rows, flush=True)
        time.sleep(0.01)


main()
