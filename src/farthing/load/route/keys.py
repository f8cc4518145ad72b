"""Keys of end points: environment variables that a file names, and where they may be sent."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from farthing.errors import InputError, TrustError

__all__ = ["check_allowed", "check_encrypted"]


def check_encrypted(key_env: str, url: str, who: str) -> None:
    """Refuse to send a key where others could read it on its way.

    Args:
        key_env: Environment variable that holds it, empty for none.
        url: Where it would go.
        who: Says so, for the message.

    Raises:
        InputError: when the address is neither https nor on this machine.
    """
    if key_env and not url.startswith("https://") and not _is_loopback(url):
        raise InputError(
            f"{who} sends the key in {key_env} to {url} in clear text",
            hint="an https:// address, or one on this machine (127.0.0.1)",
        )


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_allowed(key_env: str, url: str, who: str, allowed: Collection[str], *, trust: bool) -> None:
    """Refuse to send an environment variable somewhere because a file says so.

    Args:
        key_env: Its name, empty for none.
        url: Where it would go.
        who: The file and its tier.
        allowed: Names that the user gave.
        trust: The user trusts the file.

    Raises:
        TrustError: when neither was given.
    """
    if key_env and not trust and key_env not in allowed:
        raise TrustError(
            f"{who} wants the environment variable {key_env} sent to {url}",
            hint=f"--key-env {key_env} allows this one, --trust all that the file names",
        )
