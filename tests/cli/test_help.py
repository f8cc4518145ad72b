"""The help page of every command, as a golden file each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

sys.path.append(str(Path(__file__).parents[1]))
from farthing.cli import cli
from golden_files import GOLDEN, compare

PAGES = GOLDEN / "help"
COLUMNS = 100


def every(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from every(inner, (*path, name))


COMMANDS = list(every(cli, ("farthing",)))


@pytest.mark.parametrize("path", COMMANDS, ids="-".join)
def test_help(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cli, [*path[1:], "--help"], prog_name=path[0], terminal_width=COLUMNS)
    assert done.exit_code == 0
    assert max(map(len, done.output.splitlines())) <= COLUMNS
    compare(PAGES / f"{'-'.join(path)}.txt", done.output)


def test_no_page_of_a_command_that_is_gone() -> None:
    assert {page.stem for page in PAGES.glob("*.txt")} == {"-".join(path) for path in COMMANDS}


@pytest.mark.parametrize("path", [p for p in COMMANDS if len(p) > 1], ids="-".join)
def test_every_option_says_what_it_is(path: tuple[str, ...]) -> None:
    command: click.Command = cli
    for name in path[1:]:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    bare = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert not bare, f"{' '.join(path)}: no help for {', '.join(map(str, bare))}"


RARE = {
    "input_names", "max_pixels", "max_payload_bytes", "group_by_length", "confirm", "search", "images", "texts", "tensors", "name", "model",
    "resize_width", "longest", "crop_width", "crop_middle", "offset", "std_twice",
}  # fmt: skip
"""Keys of a workload that have no flag: rarely needed, or told from the path that --data names."""


@pytest.mark.parametrize("verb", ["optimize", "profile"])
def test_the_keys_of_a_workload_are_flags(verb: str) -> None:
    from farthing.load.fields import FLAGS, sections

    flags = {str(p.name) for p in cli.commands[verb].params}
    assert {f for f in flags if f in FLAGS}
    for section, keys in sections().items():
        if section == "calibration":
            continue
        for key in set(keys) - RARE:
            forms = {key, f"{section}_{key}", "bill" if key == "usd_per_month" else key}
            assert forms & flags, f"{section}.{key} has no flag"
