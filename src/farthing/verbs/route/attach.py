"""``farthing route attach``: places for a route's tiers, so that one that rests on a table of outcomes is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from farthing.core.route.attaching import Attached
from farthing.load.route.files import read_route
from farthing.load.route.keys import check_encrypted
from farthing.load.route.places import Wanted, read_places
from farthing.load.serve.routes import check_address, route_file
from farthing.runs.options import USUAL, RunOptions
from farthing.runs.route.attaching import check_scores, placed, refuse_unserved, write_attached

__all__ = ["route_attach"]


def route_attach(
    route: Path | str,
    places: Sequence[str] | Mapping[str, str] = (),
    *,
    tiers: Path | str | None = None,
    chat: Mapping[str, str] | None = None,
    key_env: Mapping[str, str] | None = None,
    timeout: Mapping[str, str] | None = None,
    options: RunOptions = USUAL,
) -> Attached:
    """Say where the tiers of a route are, and write it again.

    Nothing is run or asked: models here are looked up, checked and their digests stored; URLs are taken as they are.

    Args:
        route: A route.yaml or its folder.
        places: Plan, ONNX file, model folder or URL by tier, or ``name=place`` each. A tier that has a place keeps it
            where none is named.
        tiers: A ``tiers.yaml`` that says the same and more (prompt, replicas, batches …); ``places`` win over it.
        chat: Name of the chat model by tier whose place is a URL that ends before ``/chat/completions``.
        key_env: Environment variable with the key of such a tier.
        timeout: After which the next tier is asked, by tier, for example ``5s``.
        options: Its folder, the route's own where none is named, gets the route and the files that it needs; trust
            allows native artefacts that were not built on this machine.

    Raises:
        InputError: when a tier is unknown, has no place, or was calibrated as another model; when the policy that is
            followed needs what no server can compute.
        FarthingError: when a model is missing or of an unknown kind, or the disk is full.
    """
    path = route_file(route)
    found, out = read_route(path), options.folder(path.parent)
    words = [f"{name}={place}" for name, place in places.items()] if isinstance(places, Mapping) else list(places)
    wanted = Wanted(chat=chat or {}, key_env=key_env or {}, timeout=timeout or {})
    named = read_places(words, Path(tiers) if tiers else None, wanted, [tier.name for tier in found.tiers])
    for tier in named:
        if tier.kind != "model":
            check_address(tier.source, f"the tier {tier.name!r}")
            check_encrypted(tier.options.get("key_env", ""), tier.source, f"the tier {tier.name!r}")
    refuse_unserved(found, path)
    done = placed(found, named, path.parent, out, options.trust)
    check_scores(done.route, path)
    write_attached(done.route, path.parent, out)
    return done
