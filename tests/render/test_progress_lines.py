from __future__ import annotations

import io

from farthing.render.progress import TerminalProgress, time_left


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_are_few_and_say_the_time_left():
    stream, clock = io.StringIO(), Clock()
    with TerminalProgress(stream, every_s=5, monotonic_s=clock) as progress:
        for done in range(37):
            progress("screening", done, 36, "openvino int8 b8" if done < 36 else "3 left behind")
            clock.now_s += 1
        progress("screening", 36, 36, "again")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "screening       0/36  openvino int8 b8"
    assert lines[1] == "screening       5/36  openvino int8 b8  0:31 left"
    assert lines[-1] == "screening       36/36  3 left behind  0:36"
    assert len(lines) == 9


def test_unknown_total():
    stream = io.StringIO()
    with TerminalProgress(stream, monotonic_s=Clock()) as progress:
        progress("building", 0, 0, "int8-nncf")
    assert stream.getvalue() == "building        int8-nncf\n"


def test_a_stage_may_run_again():
    stream, clock = io.StringIO(), Clock()
    with TerminalProgress(stream, monotonic_s=clock) as progress:
        progress("racing", 4, 4, "round 1")
        progress("racing", 1, 4, "round 2")
        progress("racing", 4, 4, "round 2")
    assert next(line.split("  ")[-2:] for line in stream.getvalue().splitlines()) == ["round 1", "0:00"]
    assert len(stream.getvalue().splitlines()) == 3


def test_names_cannot_control_the_terminal():
    stream = io.StringIO()
    with TerminalProgress(stream, monotonic_s=Clock()) as progress:
        progress("building", 0, 2, "evil\x1b[2J[red]name")
    assert "\x1b" not in stream.getvalue()
    assert "[red]name" in stream.getvalue()


def test_bars_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    stream, clock = Tty(), Clock()
    with TerminalProgress(stream, monotonic_s=clock) as progress:
        progress("screening", 0, 36, "[red]one")
        clock.now_s += 23
        progress("screening", 23, 36, "[red]two")
        progress("accuracy", 2, 2, "done")
    shown = stream.getvalue()
    assert "screening" in shown
    assert "23/36" in shown
    assert "0:13 left" in shown
    assert "[red]two" in shown


def test_time_left():
    assert time_left(10, 0, 5) is None
    assert time_left(10, 2, 0) is None
    assert time_left(10, 2, 6) == 20
    assert time_left(10, 9, 6) == 0
