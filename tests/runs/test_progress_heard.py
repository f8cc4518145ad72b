"""Progress: heard by whoever watches, and by nobody where nobody does."""

from __future__ import annotations

from farthing.runs.progress import or_silent


def test_who_watches_hears_each_line() -> None:
    heard: list[tuple[object, ...]] = []
    or_silent(lambda *line: heard.append(line))("proof", 1, 2, "halfway")
    assert heard == [("proof", 1, 2, "halfway")]


def test_where_nobody_watches_nothing_is_said() -> None:
    assert or_silent(None)("proof", 1, 2, "halfway") is None
