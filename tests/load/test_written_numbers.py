"""Numbers as they are written: what is ambiguous between countries is refused at every door, never taken apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.errors import DataError, InputError, TraceError
from farthing.load import units
from farthing.load.fields import Origin, parse
from farthing.load.prices import import_prices, read_rows
from farthing.load.route.tiers import priced, tier_of_flag
from farthing.load.schema import read_document
from farthing.load.traffic import CsvArrivals
from farthing.load.workload.labels import encode_labels
from farthing.load.written_numbers import cell_number, decimal_of, plainly

MISWRITTEN = [
    "1,00", "0,5", "10,00", "1,0000", "2,5", "0,500", "12,34,567", "1,000,00", ",5", "5,", "1,,000", "10.000,00",
    "1.000.000", "1 000", "1'000", "1’000", "1\u00a0000", "1_00", "1_000,000", "1,000_000", "٣", "１２", "−5", "--5",
    "+-5", "5-", "1e", "e5", "0x10", "nan", "NaN", "inf", "-inf", "Infinity", "1/2", "½", "5..", "1.5.2", "1,000e3",
]  # fmt: skip
"""No number anywhere, whatever stands behind it."""
READ: list[tuple[Callable[[object, str], float], str]] = [
    (units.duration_ms, "ms"),
    (units.duration_ms, " s"),
    (units.fraction, "%"),
    (units.fraction, " pt"),
    (units.fraction, ""),
    (units.count, ""),
    (units.count, "M"),
    (units.usd, ""),
    (units.usd, " USD"),
    (units.memory_mib, "MiB"),
]


@pytest.mark.parametrize(("read", "unit"), READ)
@pytest.mark.parametrize("number", MISWRITTEN)
def test_no_amount_takes_it(read: Callable[[object, str], float], unit: str, number: str) -> None:
    with pytest.raises(InputError, match=r"objective\.x is "):
        read(f"{number}{unit}", "objective.x")


@pytest.mark.parametrize("number", [*MISWRITTEN, "1,000", "1_000"])
def test_no_cell_takes_it(number: str) -> None:
    assert cell_number(number) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,000", 1000),
        ("1,234,567.5", 1234567.5),
        ("1_000", 1000),
        ("-2.5", -2.5),
        (".5", 0.5),
        ("5.", 5),
        ("1e3", 1000),
    ],
)
def test_what_is_a_number(text: str, value: float) -> None:
    found = decimal_of(text)
    assert found is not None
    assert float(found) == value


@given(st.integers(0, 10**15))
def test_thousands_are_read_as_they_are_printed(n: int) -> None:
    assert decimal_of(f"{n:,}") == n
    assert decimal_of(f"{n:_}") == n


@given(st.text(alphabet="0123456789.,_ '", max_size=12))
def test_a_number_is_read_as_python_prints_it_or_not_at_all(text: str) -> None:
    found = decimal_of(text)
    if found is not None and "," in text:
        assert f"{found:,}" == text
    if found is not None and "_" in text:
        assert f"{found:,}".replace(",", "_") == text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0,5%", "0.5%"), ("10,00", "10.00"), ("2,5ms", "2.5ms"), ("10.000,00", "10000.00"), ("1 000", "1000"),
        ("1'000", "1000"), ("1.000.000", "1000000"), ("١٢ms", "12ms"), ("12,34,567", None), ("many", None),
        ("1,234", "1234 or 1.234"), ("12,345 requests", "12345 requests or 12.345 requests"), ("-1,234", "-1234 or -1.234"),
        ("1,234,567", "1234567"), ("1,234.5", "1234.5"), ("1.234,567", "1234.567"), ("1.234 EUR", None),
        ("1 234,567", "1234.567"), ("0,500", "0.500"),
    ],
)  # fmt: skip
def test_what_was_meant_is_asked(text: str, meant: str | None) -> None:
    assert plainly(text) == meant


def test_the_hint_says_how_to_write_it() -> None:
    with pytest.raises(InputError) as e:
        units.fraction("0,5%", "objective.max_drop")
    assert e.value.hint == "did you mean 0.5%? a point marks decimals, a comma thousands alone (1,000)"
    with pytest.raises(InputError) as e:
        units.usd("$10,00", "bill.usd_per_month")
    assert "did you mean $10.00?" in str(e.value.hint)


@pytest.mark.parametrize("read", [units.usd, units.count])
@pytest.mark.parametrize("value", ["10.000", "540.000", "1.500", "12.345", "540.123", "9.999", 12.345, 540.123])
def test_a_point_between_thousands_is_asked_back(read: Callable[[object, str], float], value: object) -> None:
    with pytest.raises(InputError, match=r"may be .* or ") as e:
        read(value, "x")
    few, many = str(e.value.hint).removeprefix("write ").removesuffix("; a point marks decimals").split(" or ")
    assert read(few, "x") == pytest.approx(float(value), abs=0.005)  # type: ignore[arg-type]
    assert read(many, "x") == pytest.approx(1000 * float(value))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["$9.999", "$ 12.345", "US$12.345", "12.345 USD", " 1.500usd"])
def test_dollars_name_both_readings(text: str) -> None:
    with pytest.raises(InputError, match=r"which may be \$\d+\.\d{3} or \$\d+,\d{3}"):
        units.usd(text, "bill")


def test_rates_have_decimals() -> None:
    assert units.rate(12.345, "sla_rps") == units.rate("12.345", "sla_rps") == 12.345


def test_a_cell_with_a_comma_names_both_readings(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('time,requests\n2026-01-01T00:00,"1,234"\n2026-01-01T00:01,950\n2026-01-01T00:02,955\n')
    with pytest.raises(TraceError, match="the count is '1,234'") as e:
        CsvArrivals().trace(path)
    assert e.value.hint == "write it as 1234 or 1.234"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10.00", 10),
        ("0.500", 0.5),
        ("1.5k", 1500),
        ("1,500.500", 1500.5),
        ("0.125", 0.125),
        ("1234.567", 1234.567),
        ("1.234k", 1234),
    ],
)
def test_points_that_mark_decimals(text: str, value: float) -> None:
    assert units.usd(text, "x") == value


@pytest.mark.parametrize("text", ["5 %", "5%", "5\u202f%", " 5% "])
def test_blanks_before_a_unit(text: str) -> None:
    assert units.fraction(text, "x") == 0.05


HERE = Origin(name="the command line", folder=Path(), trusted=True)


@pytest.mark.parametrize(
    "flags",
    [
        {"max_drop": "0,5%"}, {"p99": "2,5ms"}, {"bill": "10,00"}, {"per_month": "1,5M"}, {"utilisation": "12,5%"},
        {"budget": "1.000,00"}, {"min_saving": "5,0 %"}, {"confidence": "97,5%"}, {"replicas": "1,2"},
        {"resize": "25,6"}, {"scale": "0,5"}, {"scale": "1,0/255"}, {"scale": "nan"}, {"mean": "0.4;0.5"},
        {"example_shape": "1,024"}, {"search": "1_00"}, {"max_length": "１２８"},
    ],
)  # fmt: skip
def test_every_flag_of_a_workload(flags: dict[str, str]) -> None:
    with pytest.raises(InputError):
        parse(flags, HERE)


@pytest.mark.parametrize("value", ["0,001", "1_0", "nan", "inf", "١", "-1", "0.001 EUR", "1,000"])
def test_prices_of_tiers(value: str) -> None:
    with pytest.raises(InputError):
        priced([tier_of_flag("large=http://h:1")], [f"large={value}/request"])


@pytest.mark.parametrize("text", ["replicas: 010", "p99: 1:30", "usd_per_month: 10:00", "per_month: 1_00", "x: 1:30.5"])
def test_yaml_means_what_it_looks_like(tmp_path: Path, text: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(f"schema: farthing/workload/1\n{text}\n")
    with pytest.raises(InputError, match="no number as it is written everywhere"):
        read_document(path, "workload")


@pytest.mark.parametrize(
    ("text", "value"), [("10_000", 10_000), ("1_000.5", 1000.5), ("0x10", 16), ("-3", -3), ("0", 0)]
)
def test_yaml_that_is_clear(tmp_path: Path, text: str, value: float) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(f"schema: farthing/workload/1\nx: {text}\n")
    assert read_document(path, "workload")["x"] == value


@pytest.mark.parametrize("price", ['"0,1008"', '"1,008"', "nan", "1_0", "0.1008 USD", "$0.1", "١"])
def test_price_tables(tmp_path: Path, price: str) -> None:
    table = tmp_path / "ec2_2026-11-01.csv"
    table.write_text(f"instance_type,region,usd_per_hour\nm7i.large,us-east-1,{price}\n")
    with pytest.raises(InputError, match="line 2"):
        import_prices(table)
    own = tmp_path / "own.csv"
    own.write_text(f"name,region,term,dated,source,usd_per_hour\nown/a,fra,on_demand,2026-01-01,s,{price}\n")
    with pytest.raises(InputError, match="line 2"):
        read_rows(own)


def test_labels_with_decimal_commas_are_no_classes() -> None:
    with pytest.raises(DataError, match="a comma marks no decimals"):
        encode_labels(["0,5", "1,25", "2"], source="s.csv", names=["line 2", "line 3", "line 4"])
    found, order = encode_labels(["1,5-dimethyl", "0,5"], source="s.csv", names=["line 2", "line 3"])
    assert order == ("0,5", "1,5-dimethyl")
    assert found == (1.0, 0.0)
