"""The packaged snapshot: what it holds, that it is whole, and that it can be diffed."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import date

from farthing import plugins
from farthing.load.prices import check_offers, format_rows, offers_as_of, snapshot_rows
from farthing.load.prices.lookup import SNAPSHOT_PATH
from farthing.ports import PriceSource

TODAY = date(2026, 11, 24)


def test_snapshot_has_the_promised_breadth() -> None:
    rows = snapshot_rows()
    current = [o for o in offers_as_of((r.offer for r in rows), TODAY) if (TODAY - o.dated).days <= 180]
    names = {o.name for o in current}
    assert len(names) >= 200
    for provider in ("aws", "azure", "gcp"):
        mine = [o for o in current if o.provider == provider]
        assert len({o.name for o in mine}) >= 60
        assert any(o.hardware.accelerators for o in mine)
        assert any(not o.hardware.accelerators for o in mine)
    assert {o.term for o in current if o.provider == "gcp"} == {"on_demand", "spot", "reserved_1y", "reserved_3y"}
    assert {o.term for o in current if o.provider == "aws"} == {"on_demand", "spot"}
    assert {o.term for o in current if o.provider == "azure"} == {"on_demand"}


def test_snapshot_passes_its_own_checks() -> None:
    assert check_offers(row.offer for row in snapshot_rows()) == ()


def test_every_price_has_date_source_and_hardware() -> None:
    for row in snapshot_rows():
        offer = row.offer
        assert offer.usd_per_hour is not None
        assert 0 < offer.usd_per_hour < 500
        assert date(2024, 12, 1) <= offer.dated <= TODAY
        assert "@" in offer.source or offer.source.startswith("apache-libcloud")
        assert offer.hardware.vcpus
        assert offer.hardware.memory_gib
        assert offer.hardware.arch in ("x86_64", "arm64")


def test_disagreement_between_copies_is_written_down() -> None:
    for row in snapshot_rows():
        assert (row.check_diff_frac is None) == (row.check_source == "")
        far = row.check_diff_frac is not None and abs(row.check_diff_frac) > 0.05
        assert far == ("copies disagree" in row.note)
    checked = [r for r in snapshot_rows() if r.check_source]
    assert len(checked) > 500


def test_history_is_kept_only_where_a_newer_copy_agrees() -> None:
    newer = {r.offer.key: r.offer for r in snapshot_rows() if r.offer.dated >= date(2026, 1, 1)}
    for row in snapshot_rows():
        offer = row.offer
        if offer.dated < date(2026, 1, 1) and offer.term != "spot" and offer.key in newer:
            assert offer.usd_per_hour is not None
            ratio = newer[offer.key].usd_per_hour / offer.usd_per_hour  # type: ignore[operator]
            assert abs(ratio - 1) <= 0.053


def test_isa_is_stated_for_families_that_document_it() -> None:
    by_name = {r.offer.name: r.offer.hardware for r in snapshot_rows()}
    assert {"avx512_vnni", "avx512_bf16", "amx_int8"} <= set(by_name["aws/m7i.large"].isa)
    assert "amx_int8" not in by_name["aws/m7a.large"].isa
    assert "avx512_bf16" in by_name["aws/m7a.large"].isa
    assert "avx512_bf16" not in by_name["aws/m6i.large"].isa
    assert {"sve", "i8mm"} <= set(by_name["aws/m7g.large"].isa)
    assert by_name["gcp/e2-standard-4"].isa == ()


def test_composed_prices_show_their_parts() -> None:
    composed = [r.offer for r in snapshot_rows() if r.offer.parts_usd_per_hour]
    assert composed
    for offer in composed:
        assert math.isclose(sum(offer.parts_usd_per_hour.values()), offer.usd_per_hour or 0, rel_tol=1e-6)


def test_file_is_sorted_and_written_as_farthing_writes() -> None:
    assert SNAPSHOT_PATH.read_text(encoding="utf-8") == format_rows(snapshot_rows())


def test_snapshot_comes_in_as_a_plug_in() -> None:
    source = plugins.find("prices", "snapshot")
    assert isinstance(source, PriceSource)
    assert len(tuple(source.offers())) == len(snapshot_rows())


def test_reading_prices_loads_nothing_heavy() -> None:
    code = (
        "import sys, farthing.load.prices as p; p.snapshot_rows();"
        "print(sorted({'pandas','pyarrow','duckdb','torch','onnx','numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
