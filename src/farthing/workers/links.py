"""The server's end of a worker's socket, on the loop; nothing waits and nothing is copied."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from farthing.workers.frames import BUFFERS_A_CALL, Frame, FrameError, Inbox, Part, sent

__all__ = ["BUFFER_BYTES", "Link"]

BUFFER_BYTES = 4 * 2**20
"""Asked of the kernel for each direction; it may give less."""


class Link:
    """One socket.

    Sends at once as far as the kernel takes it, the rest when there is room: a worker gets its batch in the middle
    of the loop's turn, not at its end.

    Args:
        sock: Connected stream; becomes non-blocking and this link's own.
        on_frame: Called with each frame.
        on_end: Called once with the reason when the other side has closed or spoke nonsense; not after ``close``.
    """

    def __init__(self, sock: socket.socket, on_frame: Callable[[Frame], None], on_end: Callable[[str], None]) -> None:
        sock.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        self._sock, self._on_frame, self._on_end = sock, on_frame, on_end
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox(gives_away=True)
        self._left: list[Part] = []
        self._open = True
        self._loop.add_reader(sock, self._readable)

    def send(self, parts: list[Part]) -> None:
        """Send one frame; it must have been answered before the next is sent."""
        if not self._open:
            return
        try:
            while parts:
                parts = sent(parts, self._sock.sendmsg(parts[:BUFFERS_A_CALL]))
        except BlockingIOError:
            self._left = parts
            self._loop.add_writer(self._sock, self._writable)
        except OSError:
            # The worker is gone; what it had sent before and the end of the stream are read in the next turn.
            return

    def _writable(self) -> None:
        parts, self._left = self._left, []
        self._loop.remove_writer(self._sock)
        self.send(parts)

    def _readable(self) -> None:
        try:
            n = self._sock.recv_into(self._inbox.space())
            found = self._inbox.took(n) if n else None
        except BlockingIOError:
            return
        except FrameError as e:
            self._end(str(e))
            return
        except OSError:  # ECONNRESET: it died with a batch unread
            n, found = 0, None
        if n == 0:
            self._end("")
        elif found is not None:
            self._on_frame(found)

    def _end(self, reason: str) -> None:
        if self._open:
            self.close()
            self._on_end(reason)

    def close(self) -> None:
        """Close the socket; the worker leaves when it sees that."""
        if self._open:
            self._open = False
            self._left = []
            with contextlib.suppress(OSError, ValueError):
                self._loop.remove_reader(self._sock)
                self._loop.remove_writer(self._sock)
            self._sock.close()
