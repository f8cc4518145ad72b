"""The writer keeps every request on a clean stop, holds its memory bound, and its costs add up."""

from __future__ import annotations

import errno
import json
import time

import numpy as np
import pytest
from made_up_traffic import OFFER, RealClock, answer, live_model, request

from farthing.errors import StoreError
from farthing.serve.pricing import cost_header
from farthing.serve.telemetry.ledger_files import LedgerFiles
from farthing.serve.telemetry.ledger_writer import LedgerWriter
from farthing.store.ledger import query_ledger, read_ledger
from farthing.store.ledger_journal import JournalFile
from farthing.testing import FakeClock
from farthing.wire.requests import Problem


def column(folder, name, kind="requests"):
    return read_ledger(folder, kind).column(name).to_pylist()


def test_nothing_is_lost_on_a_clean_stop(tmp_path):
    writer = LedgerWriter(tmp_path, RealClock(), deployment="shop", flush_s=0.05)
    writer.start()
    model, n = live_model(), 20_000
    for i in range(n):
        writer.answered(request(model, rows=2, id=str(i), tenant="ab12"), answer(batch_rows=4))
    writer.failed(model, "grpc", Problem(503, "busy"), None)
    writer.failed(None, "http", Problem(404, "no such model"), None)
    writer.close()
    rows = read_ledger(tmp_path, "requests").to_pylist()
    assert sorted(int(r["request_id"]) for r in rows if r["request_id"]) == list(range(n))
    first, last = rows[0], rows[-1]
    assert {k: first[k] for k in ("deployment", "model", "version", "tenant", "protocol", "offer")} == {
        "deployment": "shop",
        "model": "resnet",
        "version": "1",
        "tenant": "ab12",
        "protocol": "http",
        "offer": OFFER.key,
    }
    assert (first["rows"], first["batch_rows"], first["queue_s"], first["service_s"]) == (2, 4, 0.001, 0.004)
    assert (first["tier"], first["route_score"], first["route_decision"], first["audit"]) == (None, None, None, False)
    assert (last["status"], last["protocol"], last["batch_rows"], last["service_s"]) == (503, "grpc", None, None)
    assert (last["cost_allocation_nusd"], last["cost_usage_nusd"]) == (0, 0)
    assert list(tmp_path.glob("*.journal")) == []
    assert writer.state.written_rows == n + 1
    assert writer.state.dropped_rows == 0


def test_costs_add_up_to_the_replica_idle_time_included(tmp_path):
    clock = FakeClock()
    writer = LedgerWriter(tmp_path, clock)
    a, b = live_model("a"), live_model("b")
    busy_s, rng = 0.0, np.random.default_rng(1)
    for _ in range(50):
        clock.sleep(float(rng.exponential(30)))
        for model in (a, b)[: rng.integers(0, 3)]:
            service_s = float(rng.exponential(0.01))
            writer.answered(request(model), answer(service_s=service_s))
            busy_s += service_s
        writer._flush()
    writer.answered(request(a), answer(service_s=0.002))
    writer.close()
    allocated, used = sum(column(tmp_path, "cost_allocation_nusd")), sum(column(tmp_path, "cost_usage_nusd"))
    assert allocated == pytest.approx(clock.now_s / 3600 * 0.1008 * 1e9, abs=2)
    assert used == pytest.approx((busy_s + 0.002) / 3600 * 0.1008 / 2 * 1e9, abs=2)
    assert used < allocated


def test_without_a_price_cost_is_null_not_zero(tmp_path):
    writer = LedgerWriter(tmp_path, FakeClock())
    writer.answered(request(live_model(offer=None)), answer())
    writer.close()
    assert column(tmp_path, "cost_allocation_nusd") == [None]
    assert column(tmp_path, "cost_usage_nusd") == [None]
    assert column(tmp_path, "offer") == [None]
    assert column(tmp_path, "usd_per_hour", "replicas") == [None, None]
    assert cost_header(request(live_model(offer=None)), answer()) is None


def test_cost_header_names_the_price(tmp_path):
    value = cost_header(request(live_model()), answer(service_s=0.010, batch_rows=2))
    assert value == 'usage_usd=7e-08; offer="aws/m7i.large@us-east-1:on_demand"; dated=2026-07-20'


def test_the_replica_has_a_start_and_a_stop(tmp_path):
    writer = LedgerWriter(tmp_path, FakeClock(), reason="cli")
    writer.answered(request(live_model()), answer())
    writer.decided("swap", {"model": "resnet", "from": "1", "to": "2"})
    writer.close("SIGTERM")
    rows = query_ledger(tmp_path, "SELECT * FROM replicas ORDER BY stop NULLS FIRST").to_pylist()
    assert [(r["reason"], r["term"], r["usd_per_hour"]) for r in rows] == [
        ("cli", "on_demand", 0.1008),
        ("SIGTERM", "on_demand", 0.1008),
    ]
    assert rows[0]["stop"] is None
    assert rows[1]["stop"] >= rows[1]["start"]
    assert {r["replica"] for r in rows} == {writer.replica}
    (decision,) = read_ledger(tmp_path, "decisions").to_pylist()
    assert (decision["what"], decision["evidence"]) == ("swap", '{"from": "1", "model": "resnet", "to": "2"}')


def test_ids_of_clients_cannot_break_the_rows(tmp_path):
    writer = LedgerWriter(tmp_path, FakeClock())
    model = live_model()
    for name in ("a\nb", "", "x" * 10_000, "\ud800", "é", "\n"):
        writer.answered(request(model, id=name), answer())
    writer.close()
    assert column(tmp_path, "request_id") == ["a b", None, "x" * 128, "?", "é", " "]


def full_disk(monkeypatch, code=errno.ENOSPC):
    def refuse(self, blocks):
        raise OSError(code, "No space left on device")

    monkeypatch.setattr(JournalFile, "append", refuse)


def test_a_full_disk_drops_beyond_the_bound_counts_and_says_so_later(tmp_path, monkeypatch):
    writer = LedgerWriter(tmp_path, FakeClock(), most_rows=100)
    model = live_model()
    with monkeypatch.context() as patch:
        full_disk(patch)
        for _ in range(10):
            for _ in range(25):
                writer.answered(request(model), answer())
            writer._flush()
        assert writer.state.trouble == "the ledger cannot be written: No space left on device"
        assert writer.state.waiting_rows == 100
        assert writer.state.dropped_rows == 150
        assert writer.state.failed_writes == 10
        assert list(tmp_path.iterdir()) == []
    writer._flush()
    assert writer.state.trouble is None
    writer.close()
    assert len(column(tmp_path, "time")) == 100
    (decision,) = read_ledger(tmp_path, "decisions").to_pylist()
    assert decision["what"] == "ledger_dropped"
    assert decision["evidence"] == '{"rows": 150, "why": "the ledger cannot be written: No space left on device"}'


def test_a_disk_that_stays_full_does_not_stop_the_server(tmp_path, monkeypatch, caplog):
    writer = LedgerWriter(tmp_path, FakeClock())
    full_disk(monkeypatch)
    writer.start()
    writer.answered(request(live_model()), answer())
    writer.close()
    assert writer.state.dropped_rows == 1
    assert "1 rows of the ledger are lost" in caplog.text


def test_a_folder_that_cannot_be_made_is_refused_at_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        LedgerWriter(tmp_path / "file" / "ledger", FakeClock())


def test_full_and_old_journals_become_parquet_while_serving(tmp_path):
    clock = FakeClock()
    writer = LedgerWriter(tmp_path, clock)
    writer._files._full_bytes = 1
    model = live_model()
    for _ in range(3):
        writer.answered(request(model), answer())
        writer._flush()
    writer.close()
    assert len(list(tmp_path.glob("requests-*.parquet"))) == 3
    assert len(column(tmp_path, "time")) == 3
    assert column(tmp_path, "model") == ["resnet"] * 3
    files = LedgerFiles(tmp_path, "w", {}, clock, old_s=10)
    files.append("decisions", [])
    clock.sleep(11)
    files.turn()
    assert files._open == {}
    files.close()


def test_reloads_of_a_version_share_a_name_and_unloaded_models_are_let_go(tmp_path):
    writer = LedgerWriter(tmp_path, FakeClock())
    for _ in range(200):
        model = live_model()
        writer.answered(request(model), answer())
        model.state = "unloaded"
    assert len(writer._names) == 1
    assert len(writer._models._live) <= 64
    writer.close()


def test_damage_that_is_found_is_counted_told_and_written_down(tmp_path, caplog):
    old = LedgerWriter(tmp_path, RealClock(), flush_s=0.05)
    model = live_model()
    for k in range(3):  # three blocks, of a writer that was killed
        old.answered(request(model, id=str(k)), answer())
        old._flush()
    (path,) = tmp_path.glob("requests-*.journal")
    old._files._open.pop("requests")[0].close()
    content = path.read_bytes()
    at = content.rindex(b"fLJ1") - 20  # in the second block
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    new = LedgerWriter(tmp_path, RealClock(), flush_s=0.05)
    new.start()
    waited_s = 0.0
    while not new.state.damaged_parts and waited_s < 60:
        time.sleep(0.1)
        waited_s += 0.1
    time.sleep(0.2)
    new.close()
    assert (new.state.damaged_parts, new.state.damaged_rows) == (1, 1)
    assert "1 part damaged, 1 row lost" in caplog.text
    assert column(tmp_path, "request_id") == ["0", "2"]
    rows = read_ledger(tmp_path, "decisions").to_pylist()
    assert [json.loads(row["evidence"])["rows"] for row in rows if row["what"] == "ledger_damaged"] == [1]
    assert [p.name for p in (tmp_path / "damaged").glob("*.journal")] == [path.name]


def test_a_really_full_disk_costs_no_row_that_memory_can_hold(small_disk):
    folder = small_disk.path / "ledger"
    writer = LedgerWriter(folder, RealClock(), flush_s=0.05)
    model = live_model()
    writer.start()
    writer.answered(request(model, id="0"), answer())
    while not writer.state.written_rows:
        time.sleep(0.02)
    small_disk.fill()
    for k in range(1, 3000):
        writer.answered(request(model, id=str(k)), answer())
    while not writer.state.failed_writes:
        time.sleep(0.02)
    assert "No space left" in (writer.state.trouble or "")
    small_disk.free()
    while writer.state.waiting_rows:
        time.sleep(0.02)
    writer.close()
    assert sorted(map(int, column(folder, "request_id"))) == list(range(3000))
    assert writer.state.trouble is None
