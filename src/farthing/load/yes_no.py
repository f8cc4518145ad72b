"""Yes and no as people, YAML and spreadsheets write them; anything else is no answer."""

from __future__ import annotations

__all__ = ["YES_NO", "yes_or_no"]

YES_NO = "yes or no (true, false, 1, 0)"
"""What may be written, for messages."""
_YES, _NO = ("yes", "y", "true", "t", "1", "on"), ("no", "n", "false", "f", "0", "off")


def yes_or_no(value: object) -> bool | None:
    """Read a yes or a no, in any case: ``true``, ``Yes``, ``1``; None for anything else."""
    word = str(value).strip().lower() if isinstance(value, (bool, int, str)) else ""
    return True if word in _YES else False if word in _NO else None
