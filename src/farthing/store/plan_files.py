"""A plan on disk: plan.yaml for a reviewer, in ≤ 150 lines, and its evidence in files beside it, named by digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from farthing.core.plan.parts import parted
from farthing.models.digests import digest
from farthing.nouns import Plan
from farthing.store.documents import write_bytes, write_json, write_text

__all__ = ["MOST_LINES", "PIPELINE", "evidence_folder", "take_along", "write_plan_files"]

PIPELINE = "pipeline"
"""Folder of what makes inputs: tokenizer and preprocessor, as they lay beside the model."""
MOST_LINES = 150
"""A plan of more lines says its figures alone, without the comments."""
_WIDE = 140
"""Characters of a line."""
_TOGETHER, _ONE_LINE = 900, 130
"""Characters up to which a mapping, and a list, is not taken apart into a line an item."""
_ESTIMATE = ("value", "lo", "hi")


def evidence_folder(plan: Path) -> Path:
    """Where the evidence of a plan lies: ``evidence`` for plan.yaml, ``evidence-2026-07-20`` for another day's."""
    return plan.with_name("evidence" + plan.stem.removeprefix("plan"))


def take_along(files: Sequence[Path], out: Path) -> tuple[str, ...]:
    """Copy files that the inputs are made with into the folder of the plan.

    Args:
        files: Of different names; the first of each name is taken.
        out: The plan's folder.

    Returns:
        Their paths relative to ``out``.

    Raises:
        OSError: when one cannot be read.
        StoreError: when the folder cannot be written.
    """
    taken = {file.name: file for file in reversed(files)}
    for name, file in taken.items():
        content = file.read_bytes()
        if not (out / PIPELINE / name).is_file() or (out / PIPELINE / name).read_bytes() != content:
            write_bytes(out / PIPELINE / name, content)
    return tuple(f"{PIPELINE}/{name}" for name in taken)


def write_plan_files(
    path: Path, stamps: tuple[str, str], plan: Plan, *, beside: Sequence[str] = (), said: str = ""
) -> Path:
    """Write a plan, its evidence first, so that a plan that is there has all of it.

    Args:
        path: plan.yaml.
        stamps: Schema of the plan and of its evidence.
        plan: Whole.
        beside: Further files that belong to it, relative to its folder; those that are there are named by digest.
        said: What stands above the figures as comments, for people.

    Raises:
        StoreError: when the disk is full or the folder cannot be written.
    """
    head, evidence = parted(plan)
    folder = evidence_folder(path)
    files = {part: write_json(folder / f"{part}.json", stamps[1], content) for part, content in evidence.items()}
    content = {
        **head,
        "evidence": {part: {"path": f"{folder.name}/{f.name}", "sha256": digest(f)} for part, f in files.items()},
        "files": {name: digest(path.parent / name) for name in beside if (path.parent / name).is_file()},
    }
    comment, body = "".join(f"# {line}".rstrip() + "\n" for line in said.splitlines()), _yaml(content)
    if comment.count("\n") + body.count("\n") >= MOST_LINES:
        comment = ""
    return write_text(path, f"schema: {stamps[0]}\n{comment}{body}")


def _yaml(content: Mapping[str, Any]) -> str:
    return yaml.dump(dict(content), Dumper=_Lines, sort_keys=False, allow_unicode=True, width=_WIDE)


class _Lines(yaml.SafeDumper):
    """YAML in which an estimate, and whatever is short, is not taken apart."""

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        node = super().represent_mapping(tag, mapping, flow_style)
        apart = any(isinstance(n, yaml.CollectionNode) and not n.flow_style for _, n in node.value)
        node.flow_style = set(_ESTIMATE) <= set(mapping) or (_width(node) <= _TOGETHER and not apart)
        return node

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        node = super().represent_sequence(tag, sequence, flow_style)
        node.flow_style = _width(node) <= _ONE_LINE
        return node

    def ignore_aliases(self, data: Any) -> bool:
        """Nothing is written as a reference to something above."""
        return True


def _width(node: yaml.Node) -> float:
    """Characters of a node in one line."""
    if isinstance(node, yaml.ScalarNode):
        return len(node.value) + 2
    parts = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
    return 2.0 + sum(_width(part) for part in parts)
