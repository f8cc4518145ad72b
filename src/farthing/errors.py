"""Everything that farthing raises for reasons outside the caller's code.

    FarthingError                what the world did, not the caller's code
    ├── InputError               a file, flag or value from the user is refused before work starts
    │   ├── SchemaError          a file has an unknown kind or a newer version
    │   ├── ModelError           a model is missing, corrupt or unsafe to load
    │   ├── DataError            inputs or labels are missing, unreadable or do not match
    │   ├── TraceError           an arrival trace is empty, unsorted or negative
    │   └── TrustError           something would run code and was not allowed to
    ├── PriceError               a price is missing or cannot be used
    │   ├── UnknownOfferError    no such offer
    │   └── StalePriceError      the price is older than the limit
    ├── EngineError              an engine cannot do what was asked
    │   └── EngineMissingError   the engine is not installed (the message holds the pip command)
    ├── MeasureError             a measurement could not be taken
    │   ├── CandidateCrashed     the child process died
    │   ├── CandidateTimeout     the child process did not answer in time
    │   └── CandidateOutOfMemory the child process went over its memory limit
    ├── StoreError               an artefact, journal or ledger cannot be written or read
    ├── UnexpectedError          a fault of farthing's own during a run; what was measured is kept
    └── Interrupted              the user pressed Ctrl-C; what was finished is kept

A caller's mistake in Python (a wrong argument) stays ``ValueError`` or ``TypeError``.
"""

from __future__ import annotations

__all__ = [
    "CandidateCrashed",
    "CandidateOutOfMemory",
    "CandidateTimeout",
    "DataError",
    "EngineError",
    "EngineMissingError",
    "FarthingError",
    "InputError",
    "Interrupted",
    "MeasureError",
    "ModelError",
    "PriceError",
    "SchemaError",
    "StalePriceError",
    "StoreError",
    "TraceError",
    "TrustError",
    "UnexpectedError",
    "UnknownOfferError",
]


class FarthingError(Exception):
    """Base of all errors; the message names the thing, the value and the limit.

    Args:
        message: One or more sentences: what, value, limit.
        hint: What the user can do about it, printed as ``hint: …`` after a blank line.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n\nhint: {self.hint}"


class InputError(FarthingError):
    """A file, flag or value from the user is refused before any work starts."""


class SchemaError(InputError):
    """A file has an unknown kind or a version newer than this farthing."""


class ModelError(InputError):
    """A model is missing, corrupt or unsafe to load."""


class DataError(InputError):
    """Inputs or labels are missing, unreadable or do not match each other."""


class TraceError(InputError):
    """An arrival trace is empty, unsorted, negative or unreadable."""


class TrustError(InputError):
    """Something would run code that the user did not allow."""


class PriceError(FarthingError):
    """A price is missing or cannot be used; it never becomes zero."""


class UnknownOfferError(PriceError):
    """There is no offer of that name."""


class StalePriceError(PriceError):
    """A price is older than the limit."""


class EngineError(FarthingError):
    """An engine cannot do what was asked of it."""


class EngineMissingError(EngineError):
    """An engine is not installed; the hint holds the pip command."""


class MeasureError(FarthingError):
    """A measurement could not be taken."""


class CandidateCrashed(MeasureError):
    """The child process that ran a candidate died."""


class CandidateTimeout(MeasureError):
    """The child process that ran a candidate did not answer in time."""


class CandidateOutOfMemory(MeasureError):
    """The child process that ran a candidate went over its memory limit."""


class StoreError(FarthingError):
    """An artefact, a journal or a ledger cannot be written or read."""


class UnexpectedError(FarthingError):
    """A fault of farthing's own in the middle of a run; its cause is chained, and what was measured is kept."""


class Interrupted(FarthingError):
    """The user stopped the run; finished measurements are kept in the journal."""
