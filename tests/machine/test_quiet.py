"""The look before a run, and the count of contended blocks after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from farthing.machine.canary import Canary
from farthing.machine.hardware import usable_cpus
from farthing.machine.quiet import LOOK_S, MachineLook, look_at_machine
from farthing.measure.contention import ContentionCount
from farthing.measure.scenarios import Reading
from farthing.nouns import Contention
from farthing.testing import FakeClock

CPUS = usable_cpus()


class Stat(FakeClock):
    """A clock that moves the system's counters on when it is slept on: so many ticks of a hundred are others'."""

    def __init__(self, file: Path, busy_ticks: float, stolen_ticks: float = 0) -> None:
        super().__init__()
        self.file, self.busy, self.stolen = file, busy_ticks, stolen_ticks
        self._write()

    def _write(self) -> None:
        ticks = 100 * self.now_s
        rows = [
            f"cpu{c} {round(self.busy * self.now_s)} 0 0 {round(ticks - (self.busy + self.stolen) * self.now_s)} 0 0 0 "
            f"{round(self.stolen * self.now_s)} 0 0"
            for c in (*CPUS, 900)
        ]
        rows[-1] = f"cpu900 {round(ticks)} 0 0 0 0 0 0 0 0 0"  # busy all the time, and not ours
        self.file.write_text("\n".join(["cpu 1 2 3 4", *rows, "ctxt 5"]))

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._write()


def look(file: Path, busy: float, stolen: float = 0, kernel: Callable[[Stat], object] | None = None) -> MachineLook:
    clock = Stat(file, busy, stolen)
    ran = kernel or (lambda c: setattr(c, "now_s", c.now_s + 0.001))
    return look_at_machine(Canary(clock, lambda: ran(clock)), CPUS, stat=file)


@pytest.mark.parametrize(("busy", "stolen", "share"), [(0, 0, 0.0), (3, 0, 0.03), (60, 0, 0.6), (0, 30, 0.3)])
def test_what_others_take_of_our_cores_is_seen(tmp_path: Path, busy: float, stolen: float, share: float) -> None:
    found = look(tmp_path / "stat", busy, stolen)
    assert found.others_frac == pytest.approx(share, abs=0.011)
    assert found.busy == (share > 0.1)
    assert found.words.startswith(("quiet: others take", "busy: others take")[share > 0.1])


def test_a_kernel_that_is_slowed_for_good_tells_it_too(tmp_path: Path) -> None:
    calls: list[None] = []

    def slow(clock: Stat) -> None:
        calls.append(None)
        clock.now_s += 0.001 if len(calls) < 5 * 4 * len(CPUS) else 0.0026

    found = look(tmp_path / "stat", 0, kernel=slow)
    assert found.busy
    assert found.slowdown == pytest.approx(2.6)
    assert "a kernel ran 2.6 × its best time" in found.words
    assert "stays unproven" in found.words


def test_where_the_system_says_nothing_the_kernel_alone_speaks(tmp_path: Path) -> None:
    clock = FakeClock()
    canary = Canary(clock, lambda: setattr(clock, "now_s", clock.now_s + 0.001))
    for text in (None, "", "cpu0 x", "cpu0 1 2"):
        if text is not None:
            (tmp_path / "stat").write_text(text)
        found = look_at_machine(canary, CPUS, stat=tmp_path / "stat")
        assert (found.others_frac, found.busy, found.words) == (None, False, "quiet")


def test_the_look_is_cheap(tmp_path: Path) -> None:
    clock = Stat(tmp_path / "stat", 0)
    kernel = lambda: setattr(clock, "now_s", clock.now_s + 0.003)  # noqa: E731
    look_at_machine(Canary(clock, kernel), CPUS[:2], stat=tmp_path / "stat")
    assert LOOK_S <= clock.now_s <= 1.5 * LOOK_S


# --- contention ---------------------------------------------------------------------------------------------------


def reading(busy: bool) -> Reading:
    return Reading(rps=1.0, service_ms=1.0, pipeline_frac=0.0, contended=busy, canary_ms=1.0)


def test_steps_that_decide_are_counted_once_each() -> None:
    count = ContentionCount()
    assert count.total() is None
    count.see("round/screen/a", [reading(True), reading(True)])
    count.see("facts/a", 3.0)
    assert count.total() == Contention(contended=2, of=2)
    for _ in range(2):  # asked for again: taken from the journal
        count.see("round/proof/a/0", [reading(True), reading(False), reading(False)])
    count.see("round/proof/a/1", [reading(False)])
    assert count.total() == Contention(contended=1, of=4)
    assert Contention(contended=1, of=4).busy
    assert not Contention(contended=1, of=5).busy
    assert not Contention(contended=0, of=0).busy
