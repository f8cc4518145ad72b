"""How text reaches a terminal or a pipe: no markup, no guessed highlights, names made safe.

Names come from models and price lists, so all text goes in as :class:`rich.text.Text`, never as markup, and control
characters are made visible. Colour repeats what the words say.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from farthing.nouns import Outcome
from farthing.render.words import MARKS, WORDS, printable

__all__ = ["COLOURS", "console", "grid", "hint", "labelled", "listing", "say", "spoken", "verdict_line"]

COLOURS: dict[Outcome, str] = {"met": "green", "not_met": "red", "unproven": "yellow"}
_PIPE_WIDTH = 10_000


def console(stream: IO[str], *, width: int | None = None) -> Console:
    """Open a console on a stream; colour only on a terminal and without NO_COLOR.

    Args:
        stream: Standard output for data, standard error for words.
        width: Columns; None for the terminal's own, or no limit where there is none, so that pipes see whole lines.
    """
    if width is None and not stream.isatty():
        width = int(os.environ.get("COLUMNS", _PIPE_WIDTH))
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def say(target: Console, block: RenderableType) -> None:
    """Print a block; where nobody watches, lines end without padding, so that they can be compared and copied."""
    if target.is_terminal:
        target.print(block)
        return
    with target.capture() as capture:
        target.print(block)
    target.file.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())
    target.file.flush()


def spoken(text: str, style: str = "") -> Text:
    """Text from anywhere, safe to print."""
    return Text("\n".join(printable(line) for line in text.split("\n")), style=style)


def grid(*, gap: int = 3) -> Table:
    """Make an indented table without head or lines."""
    return Table(box=None, show_header=False, show_edge=False, pad_edge=True, padding=(0, gap, 0, 2))


def labelled(lines: Sequence[tuple[str, str]]) -> Table:
    """Sentences with a quiet word before each, one below the other."""
    table = grid()
    for name, text in lines:
        table.add_row(Text(name, style="dim", no_wrap=True), spoken(text))
    return table


def listing(*columns: tuple[str, bool]) -> Table:
    """Make a table with a quiet head; the second of each pair says whether numbers stand in the column."""
    table = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for title, numeric in columns:
        table.add_column(title, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    return table


def hint(text: str) -> Text:
    """What the user can do: ``hint: …``."""
    return Text.assemble(("hint: ", "cyan"), spoken(text))


def verdict_line(outcome: Outcome, text: str) -> Text:
    """Sign and sentence: ``✔ met: …``. The sentence starts with the outcome's word, or it is put there."""
    said = text if text.startswith(WORDS[outcome]) else f"{WORDS[outcome]}: {text}"
    return Text.assemble((f"{MARKS[outcome]} ", f"bold {COLOURS[outcome]}"), (printable(said), "bold"))
