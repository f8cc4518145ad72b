"""The help page of every command, as a golden file each."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from golden_files import GOLDEN, compare

from farthing.cli.main import cli

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


@pytest.mark.parametrize("verb", ["optimize", "profile"])
def test_the_keys_of_a_workload_are_flags(verb: str) -> None:
    from farthing.load.fields import FLAGS, sections

    flags = {str(p.name) for p in cli.commands[verb].params}
    assert {f for f in flags if f in FLAGS}
    for section, keys in sections().items():
        for key in keys:
            forms = {f"{section}_{key}"} if section == "calibration" else {key, f"{section}_{key}"}
            assert forms & flags or key == "model", f"{section}.{key} has no flag"


@pytest.mark.parametrize("text", ["1_2", "１２", "1,2", "1.5.0", "nan", "1 000"])
@pytest.mark.parametrize(
    "flags", [["optimize", "m.onnx", "--replicas"], ["optimize", "m.onnx", "--rounds"], ["prices", "list", "--max-usd"]]
)
def test_numbers_of_flags_are_written_as_everywhere(flags: list[str], text: str) -> None:
    done = CliRunner().invoke(cli, [*flags, text])
    assert done.exit_code == 2
    assert "is not a valid" in done.output


def test_numbers_that_are_written_well() -> None:
    option = next(p for p in cli.commands["optimize"].params if p.name == "replicas")
    assert option.type.convert("1,000", option, None) == 1000
    option = next(p for p in cli.commands["prices"].commands["list"].params if p.name == "max_usd")
    assert option.type.convert("0.25", option, None) == 0.25
