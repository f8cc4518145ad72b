"""A dry run in words: what was replayed, what it came to, how it moved."""

from __future__ import annotations

from datetime import UTC, datetime

from farthing.core.simulation.replay.accounts import Account
from farthing.core.simulation.replay.autoscaler import Followed
from farthing.core.simulation.replay.dry_run import DryRun
from farthing.render.numbers import duration, money, number, percent
from farthing.render.words import offer_price, printable

__all__ = ["answer", "beside", "instant", "movement", "what", "worth"]

_TARGET_WORDS = {"utilization": "of the request", "average_value": "a pod", "value": "in all"}


def what(found: DryRun) -> str:
    """Which autoscaler, within which bounds, on what, over which time."""
    scaler = found.autoscaler
    followed = " and ".join(_target(one) for one in scaler.followed)
    start = datetime.fromtimestamp(found.recording.start_s, UTC)
    return (
        f"{printable(found.file)} · {scaler.kind} {printable(scaler.name)}: {printable(scaler.target)} between "
        f"{scaler.floor} and {scaler.spec.max_replicas} replicas on {followed} · "
        f"{duration(found.recording.length_s)} from {start:%Y-%m-%d %H:%M} UTC"
    )


def _target(one: Followed) -> str:
    return f"{printable(one.name)} ({printable(one.target_text)} {_TARGET_WORDS[one.metric.target_type]})"


def worth(account: Account) -> str:
    """Dollars, or a dash where nothing is priced."""
    return "–" if account.usd is None else money(account.usd)


def answer(found: DryRun) -> str:
    """In one line: dollars or hours, and what a fleet at the maximum would have been."""
    decided, most = found.accounts.decided, found.accounts.always_max
    after = [one.after for one in found.replayed.passes]
    replicas = f"{min(after)} to {max(after)} replicas, {found.steadiness.changes} changes"
    below = 1 - decided.replica_hours / most.replica_hours if most.replica_hours else 0.0
    hours = f"{number(decided.replica_hours, 1)} replica-hours"
    told = hours if decided.usd is None else f"{money(decided.usd)} ({hours})"
    most_replicas = found.autoscaler.spec.max_replicas
    return f"it would have taken {told}, {percent(below)} less than always {most_replicas}; {replicas}"


def movement(found: DryRun) -> list[tuple[str, str]]:
    """How it stood to its maximum and to what was needed, and how it moved."""
    s = found.steadiness
    lines = []
    if s.at_max_frac:
        beyond = f"; {percent(s.beyond_max_frac)} the metrics asked for more, up to {s.most_asked}"
        said = f"{percent(s.at_max_frac)} of the time at the maximum of {found.autoscaler.spec.max_replicas}"
        lines.append(("capped", said + (beyond if s.beyond_max_frac else "")))
    if found.accounts.fewest is not None:
        short = f"{percent(s.short_frac)} of the time fewer were ready than the targets ask for"
        most = f", up to {s.most_short} fewer" if s.most_short else ""
        lines.append(("short", f"{short}{most}; {percent(s.over_frac)} of the replicas' time was more than that"))
    turns = (
        f"{s.changes} changes, {s.turns} of them take back the one before, {s.busiest_hour_turns} in the busiest hour"
    )
    lost = f"; {s.removed_unready} replicas were removed before they were ready" if s.removed_unready else ""
    lines.append(("changes", turns + lost))
    return lines


def beside(found: DryRun) -> list[tuple[str, str]]:
    """How each series was read, what a replica takes and costs, what is not replayed."""
    fleet = found.replayed.fleet
    lines = [
        (f"{printable(one.name)}", recorded.read_as)
        for one, recorded in zip(found.autoscaler.followed, found.recording.metrics)
    ]
    lines.append(
        (
            "replicas",
            f"{fleet.initial} at the start, {duration(fleet.start_s)} to running, {duration(fleet.load_s)} to ready; "
            f"the controller looks each {fleet.sync_s:g} s",
        )
    )
    lines.append(("price", _price(found)))
    lines.append(("assumed", "a metric arrives without delay, and what was recorded while overloaded was all the load"))
    return lines


def _price(found: DryRun) -> str:
    if found.usd_per_hour is None:
        return "none: --offer NAME or --usd-per-hour X says what a replica costs"
    paid = "by the second from running on, a minute at least"
    if found.offer is None:
        return f"{money(found.usd_per_hour)}/h a replica, {paid}"
    offer = found.offer
    return f"{offer_price(offer)} a replica ({printable(offer.key)}, price of {offer.dated}), {paid}"


def instant(found: DryRun, at_s: float) -> str:
    """``11-24 09:12:30``."""
    return f"{datetime.fromtimestamp(found.recording.start_s + at_s, UTC):%m-%d %H:%M:%S}"
