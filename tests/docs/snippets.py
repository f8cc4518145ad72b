"""How a snippet is checked: quick commands run and their output is compared, long ones are read by the real CLI.

In a ``console`` block a line that starts with ``$ `` is a command (a backslash carries it on), the lines up to the
next one are what it prints, and ``…`` stands for whatever is not shown.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner
from sybil import Example

from farthing.cli.main import _RUN_KEYS, cli
from farthing.load.workload.workload import workload_of
from farthing.machine.hardware import this_machine
from farthing.runs.market import market_of

ROOT = Path(__file__).parents[2]
QUICK = {("prices", "list"), ("prices", "show"), ("prices", "check"), ("report",)}
ELSEWHERE = {
    "chmod", "cp", "curl", "cd", "git", "grep", "kill", "kubectl", "openssl", "optimum-cli", "printf", "ray", "wrk",
}  # fmt: skip
"""Programs that the pages name and farthing does not bring: only their quoting is checked."""
MADE_BY_RUNS = {"plan.yaml", "report.html", "measurements.parquet", "baseline.yaml", "trace.json"}


def commands(block: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block with the lines that it prints."""
    command, printed = "", list[str]()
    for line in block.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            if command:
                yield command, printed
            command, printed = line[2:], []
        else:
            assert command, f"output before any command: {line!r}"
            printed.append(line)
    yield command, printed


def check_console(example: Example) -> None:
    """Check every command of a block, in order."""
    for command, printed in commands(example.parsed):
        for part in re.split(r"\s&&\s|\s\|\s", command):
            words = shlex.split(part, comments=True)
            CHECKS.get(words[0], _elsewhere)(words, [line for line in printed if line.strip()])


def _elsewhere(words: list[str], printed: list[str]) -> None:
    assert words[0] in ELSEWHERE, f"no way to check {words[0]!r}: add it to ELSEWHERE, or a check of its own"


def _make(words: list[str], printed: list[str]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    wanted = {word for word in words[1:] if "=" not in word}
    assert wanted <= targets, f"the Makefile has no target {wanted - targets}"


def _pip(words: list[str], printed: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r"farthing\[([\w,]+)\]", " ".join(words)):
        assert set(extras.split(",")) <= set(project["optional-dependencies"])


def _python(words: list[str], printed: list[str]) -> None:
    script = next(word for word in words[1:] if not word.startswith("-"))
    assert (ROOT / script).exists() or Path(script).exists(), script


def _farthing(words: list[str], printed: list[str]) -> None:
    path, context = _parsed(words[1:])
    if path in QUICK or context.params.get("hpa") or context.params.get("keda"):
        done = CliRunner().invoke(cli, words[1:])
        assert done.exit_code in (0, 3), done.output
        assert done.stdout.strip() or path == ("prices", "check"), done.output
        if printed:
            compare(done.stdout, printed)
        return
    given = {k: v for k, v in context.params.items() if v is not None}
    if path in (("optimize",), ("profile",)):
        _workload(given)
    for key, value in given.items():
        if isinstance(value, Path) and key not in (
            "output_dir",
            "out",
            "bundle",
            "ledger",
            "admin_token_file",
            "api_key_file",
        ):
            assert value.exists(), f"{' '.join(words)}: no {value}"
    for made in MADE_BY_RUNS:
        if "output_dir" in given and not (given["output_dir"] / made).exists():
            given["output_dir"].mkdir(exist_ok=True)
            (given["output_dir"] / made).touch()


def _parsed(words: list[str]) -> tuple[tuple[str, ...], click.Context]:
    """Let the real command line read the words; nothing runs."""
    path, command, context = list[str](), cli, cli.make_context("farthing", list(words))
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)  # type: ignore[assignment]
        assert name is not None
        assert command is not None
        path.append(name)
        context = command.make_context(name, rest, parent=context)
    return tuple(path), context


def _workload(given: dict[str, Any]) -> None:
    """Make the workload and find its prices, as the command would before any work starts."""
    own = {*_RUN_KEYS, "model", "seed", "trust", "output_dir", "as_json", "bundle", "measurements"}
    flags = {k: v for k, v in given.items() if k not in own}
    workload = workload_of(given["model"], flags, trust=given["trust"])
    market_of(workload, given.get("as_of") or date(2026, 11, 24), 180, this_machine())


def compare(said: str, printed: list[str]) -> None:
    """Hold output against the page: line by line, blanks aside; ``…`` alone is any lines, in a line any words."""
    seen = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "…" else re.escape(" ".join(line.split())).replace("…", ".*") + r"\n"
        for line in printed
    )
    assert re.fullmatch(pattern, "\n".join(seen) + "\n"), f"the page says\n{printed}\nthe command says\n{seen}"


CHECKS = {"make": _make, "pip": _pip, "python": _python, "farthing": _farthing}
