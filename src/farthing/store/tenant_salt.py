"""The salt with which user keys are hashed before they are written; it stays in the user's state folder."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from farthing.errors import StoreError

__all__ = ["tenant_salt"]

_BYTES = 32


def tenant_salt() -> bytes:
    """The salt of this user on this machine, made on first use; the same over restarts, so that tenants are.

    Raises:
        StoreError: when it can neither be read nor made.
    """
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(state) / "farthing" / "tenant-salt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as f:
                    f.write(secrets.token_bytes(_BYTES))
            except OSError:
                path.unlink()  # on a full disk: the next start would find a salt of no bytes
                raise
        salt = path.read_bytes()
    except OSError as e:
        raise StoreError(f"cannot keep the salt {path}: {e.strerror or e}", hint="XDG_STATE_HOME names a folder") from e
    if len(salt) != _BYTES:
        raise StoreError(f"{path} has {len(salt)} bytes, not {_BYTES}", hint="remove it; a new one is made")
    return salt
