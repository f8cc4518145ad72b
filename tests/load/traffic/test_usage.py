"""Utilisation by step, as monitoring systems export it: what is read is what was meant, or it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from farthing.errors import TraceError
from farthing.load.traffic.usage import read_usage, usage_frac

HEADERS = {
    "Timestamp,CPUUtilization": "{t},{v}",  # CloudWatch
    "time,host,avg": "{t},web-1,{v}",
    "date,requests,cpu_percent": "{t},1000,{v}",
}
TIMES = ("2026-11-02T00:00:00Z", "2026-11-02T01:00:00Z", "2026-11-02T02:00:00Z", "2026-11-02T03:00:00Z")


def written(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows] if header else rows) + "\n")
    return path


@pytest.mark.parametrize("header", HEADERS)
def test_per_cent_in_the_columns_of_three_exports(tmp_path: Path, header: str) -> None:
    rows = [HEADERS[header].format(t=t, v=v) for t, v in zip(TIMES, (20, 40, 60, 40))]
    usage = read_usage(written(tmp_path / "u.csv", header, rows))
    assert usage_frac(usage) == pytest.approx(0.4)
    assert usage.step_s == 3600
    assert list(usage.counts / usage.step_s) == pytest.approx([0.2, 0.4, 0.6, 0.4])


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        (("0.2", "0.4", "0.6"), 0.4),
        (("20%", "40%", "60 %"), 0.4),
        (("0.5%", "0.5%", "0.5%"), 0.005),
        (("1", "1", "1"), 1),
    ],
)
def test_fractions_and_per_cent_are_told_apart(tmp_path: Path, values: tuple[str, ...], mean: float) -> None:
    rows = [f"{t},{v}" for t, v in zip(TIMES, values)]
    assert usage_frac(read_usage(written(tmp_path / "u.csv", "timestamp,cpu", rows))) == pytest.approx(mean)


def test_times_as_numbers_without_a_header_and_a_missing_step(tmp_path: Path) -> None:
    rows = [f"{1_793_577_600 + 300 * k},{v}" for k, v in ((0, 10), (1, 20), (2, 40), (4, 60), (5, 60))]
    usage = read_usage(written(tmp_path / "u.csv", "", rows))
    assert list(usage.counts / 300) == pytest.approx([0.1, 0.2, 0.4, 0.4, 0.6, 0.6])
    milli = [f"{(1_793_577_600 + 300 * k) * 1000},{v}" for k, v in ((0, 10), (1, 20))]
    assert read_usage(written(tmp_path / "m.csv", "", milli)).step_s == 300


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["{0},140", "{1},150"], "must lie in"),
        (["{0},-1", "{1},5"], "must lie in"),
        (["{0},x", "{1},y"], "columns that may be"),
        (["{0},5", "{1},nan"], "must lie in"),
        (["{1},5", "{0},5"], "does not come after"),
        (["{0},5"], "at least 2"),
        (["{0},5,6", "{1},5,6"], "2 columns that may be"),
        (["a,5", "b,6"], "no column of times"),
        (["{0},0", "{1},0"], "nothing was served"),
        (["{0},5", "{1},5", "{2},5", "2026-11-09T00:00:00Z,5"], "no fixed step"),
        (["2026-11-02,5", "2026-11-03,5"], "the limit is 3,600"),
    ],
)
def test_what_is_no_utilisation_is_refused(tmp_path: Path, rows: list[str], said: str) -> None:
    path = written(tmp_path / "u.csv", "", [row.format(*TIMES) for row in rows])
    with pytest.raises(TraceError, match=said):
        read_usage(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot read the utilisation"):
        read_usage(tmp_path / "none.csv")
