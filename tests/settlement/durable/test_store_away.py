"""Settlement while its store is unavailable: which blocks it keeps and confirms, its reports, and how it continues."""

import inspect
from collections.abc import Sequence
from pathlib import Path

import pytest

from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.transport import wire
from settlement import metrics
from settlement.audit import verify
from settlement.durable.spill import Spill
from settlement.errors import ChainBroken, ChainConflict, StoreDamaged
from settlement.stores.base import Checkpoint, Store, StoredBlock, StoreUnavailable
from settlement.worker_status import WorkerStatus
from tests.settlement.conftest import ON_SQL, Settle, tables, trail_text
from tests.settlement.durable.outages import Outage, at_confirmation, spilled
from tests.settlement.fakes import (
    FakeClock,
    ScriptedFeed,
    fail_before_doing,
    feed_of,
    note_calls,
)
from tests.settlement.test_worker import BLOCKS, LAST, expected_rows, flipped, market


def test_blocks_go_to_the_spill_and_from_there_to_the_store(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    undisturbed = expected_rows(store, settle, clock, folder)
    feed, outage = feed_of(clock, BLOCKS, per_arrival=1), Outage(store)
    held: list[list[int]] = []

    def back() -> None:
        held.append(spilled(folder))
        assert store.__class__.appended(store).block_number == 0
        outage.end()

    at_confirmation(feed, LAST, back)
    settle(store, feed)
    assert held == [list(range(1, LAST + 1))]
    assert (tables(store), trail_text(folder)) == undisturbed
    assert list((folder / "spill").iterdir()) == []
    assert feed.confirmed == sorted(feed.confirmed)
    assert feed.requests == []


def test_a_block_is_durable_before_it_is_confirmed(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    feed, outage = feed_of(clock, BLOCKS, per_arrival=1), Outage(store)
    confirm = feed.confirm

    def checking(confirmation: wire.Confirmation) -> None:
        assert max([store.__class__.appended(store).block_number, *spilled(folder)]) >= confirmation.number
        confirm(confirmation)

    feed.confirm = checking  # type: ignore[method-assign]
    at_confirmation(feed, LAST, outage.end)
    settle(store, feed)
    assert feed.confirmed[-1] == LAST


def test_nothing_is_spilled_while_the_store_is_only_slow(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    fail_before_doing(store, "append_blocks", times=3)  # 0.35 s
    settle(store, feed_of(clock, BLOCKS))
    assert not (folder / "spill").exists()
    assert store.projected().block_number == LAST


def test_memory_is_bounded_by_spilling_earlier(store: Store, settle: Settle, clock: FakeClock, folder: Path) -> None:
    feed, outage = feed_of(clock, BLOCKS, per_arrival=1), Outage(store)
    at_confirmation(feed, 5, outage.end)
    settle(store, feed, waiting_blocks=5, spill_after_s=1e9)
    assert feed.confirmed[0] == 5
    assert store.projected().block_number == LAST


def test_with_the_spill_full_no_more_is_taken_until_the_store_is_back(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    undisturbed = expected_rows(store, settle, clock, folder)
    feed, outage = feed_of(clock, BLOCKS, per_arrival=1), Outage(store)
    seen: list[tuple[bool, int, int]] = []

    def report(status: WorkerStatus) -> None:
        seen.append((status.spill_full, len(feed.arrivals), status.spill_blocks))
        if len(seen) > 400:
            outage.end()

    settle(store, feed, waiting_blocks=4, spill_bytes=6000, report=report)
    full = [(waiting, blocks) for is_full, waiting, blocks in seen[:400] if is_full]
    assert len(set(full)) == 1, "nothing moves while it is full"
    (waiting, blocks) = full[0]
    assert waiting == LAST - blocks - 4
    assert not seen[-1][0]
    assert (tables(store), trail_text(folder)) == undisturbed


def test_a_spill_is_drained_before_anything_else(store: Store, settle: Settle, clock: FakeClock, folder: Path) -> None:
    spill = Spill(folder / "spill", 1 << 20)
    spill.append(BLOCKS[:9])
    spill.close()
    settle(store, feed_of(clock, BLOCKS[:4], announced=9))
    assert store.projected() == Checkpoint(9, BLOCKS[8].hash, 1)


def test_what_the_store_has_already_is_passed_over(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(store, feed_of(clock, BLOCKS[:6]))
    spill = Spill(folder / "spill", 1 << 20)
    spill.append(BLOCKS[2:9])
    spill.close()
    numbers: list[int] = []
    append = store.append_blocks

    def noting(blocks: Sequence[StoredBlock]) -> None:
        numbers.extend(block.number for block in blocks)
        append(blocks)

    store.append_blocks = noting  # type: ignore[method-assign]
    settle(store, ScriptedFeed(clock, []))
    assert numbers == [7, 8, 9]


@pytest.mark.parametrize(
    ("blocks", "says"),
    [
        (slice(4, 9), "The spill begins with block 5, but the store ends with block 3"),
        (slice(3, 9), "Block 3 in the spill differs"),
        (slice(1, 9), "Block 3 in the spill differs"),
        (slice(1, 2), "Block 2 in the spill differs"),
    ],
)
def test_a_spill_that_contradicts_the_store_stops_settlement(
    store: Store, settle: Settle, clock: FakeClock, folder: Path, blocks: slice, says: str
) -> None:
    settle(store, feed_of(clock, BLOCKS[:3]))
    other = market(seed=6).blocks
    spill = Spill(folder / "spill", 1 << 20)
    spill.append(other[blocks])
    spill.close()
    with pytest.raises(ChainConflict, match=says):
        settle(store, ScriptedFeed(clock, []))
    assert store.appended().block_number == 3
    assert spilled(folder) == [block.number for block in other[blocks]]


def test_a_doubtful_block_is_not_spilled(store: Store, settle: Settle, clock: FakeClock, folder: Path) -> None:
    feed = feed_of(clock, BLOCKS, per_arrival=1)
    feed.arrivals[6] = [flipped(BLOCKS[6], 100)]
    Outage(store)
    with pytest.raises(ChainBroken):
        settle(store, feed, spill_after_s=0)
    assert spilled(folder) == list(range(1, len(spilled(folder)) + 1))
    assert 0 < len(spilled(folder)) < 7


def test_missing_blocks_are_asked_for_while_the_store_is_away(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    feed, outage = feed_of(clock, BLOCKS), Outage(store)
    feed.arrivals = [BLOCKS[:3], BLOCKS[5:]]
    at_confirmation(feed, LAST, outage.end)
    settle(store, feed)
    assert feed.requests[0][0] == 4
    assert store.projected().block_number == LAST


def test_old_blocks_that_come_again_do_not_ask_a_store_that_is_away(
    store: Store, settle: Settle, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("settlement.receive.chain._RECENT", 2)
    settle(store, feed_of(clock, BLOCKS[:8]))
    feed, outage = ScriptedFeed(clock, [BLOCKS[8:10], BLOCKS[:8], BLOCKS[10:]]), Outage(store)
    at_confirmation(feed, LAST, outage.end)
    settle(store, feed)
    assert set(outage.asked) <= {"append_blocks", "appended"}
    assert store.projected().block_number == LAST


def test_a_repeat_that_comes_behind_a_new_block_while_the_store_is_away_loses_nothing(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    undisturbed = expected_rows(store, settle, clock, folder)
    settle(store, feed_of(clock, BLOCKS[: LAST // 2]))
    half = LAST // 2
    arrivals = [[BLOCKS[half], BLOCKS[1]], *([block] for block in BLOCKS[half + 1 :])]
    feed = ScriptedFeed(clock, arrivals, announced=LAST)
    get_block = store.get_block

    def away_for_a_while(number: int) -> StoredBlock | None:
        if number == BLOCKS[1].number and feed.arrivals:  # longer than until the next ones go to the spill
            raise StoreUnavailable("The database does not answer.")
        return get_block(number)

    store.get_block = away_for_a_while  # type: ignore[method-assign]
    settle(store, feed)
    assert (tables(store), trail_text(folder)) == undisturbed
    assert feed.confirmed == sorted(feed.confirmed)


def test_an_outage_in_the_projection_keeps_no_block_waiting(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    undisturbed = expected_rows(store, settle, clock, folder)
    feed, outage = feed_of(clock, BLOCKS, per_arrival=1), Outage(store, "insert_batch")
    at_confirmation(feed, LAST, outage.end)
    settle(store, feed, batch_trades=1)
    assert (tables(store), trail_text(folder)) == undisturbed


@ON_SQL
@pytest.mark.parametrize("method", ["append_blocks", "insert_batch"])
def test_blocks_are_received_between_two_attempts_of_a_store_call_and_not_within_it(
    store: Store, settle: Settle, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    feed, outage = feed_of(clock, BLOCKS, per_arrival=1), Outage(store, method)
    receive, callers = feed.receive, set[str]()

    def noting(timeout_s: float, limit: int) -> list[Block]:
        if outage.is_on:
            callers.update(Path(frame.filename).stem for frame in inspect.stack(0))
        return receive(timeout_s, limit)

    monkeypatch.setattr(feed, "receive", noting)
    at_confirmation(feed, LAST, outage.end)
    settle(store, feed, batch_trades=1)
    assert "worker" in callers
    assert callers.isdisjoint({"retrying", "appending", "leadership", "projector"})


def test_a_store_that_comes_back_as_another_is_reported(store: Store, settle: Settle, clock: FakeClock) -> None:
    settle(store, feed_of(clock, BLOCKS[:5]))
    fail_before_doing(store, "append_blocks", times=2)
    older = Checkpoint(3, BLOCKS[2].hash, 1)
    feed, appended = feed_of(clock, BLOCKS, announced=LAST), store.appended
    note_calls(store, "append_blocks", lambda: setattr(store, "appended", lambda: older))
    with pytest.raises(StoreDamaged, match="ended with block 5 before it was unavailable and ends with block 3"):
        settle(store, feed)
    assert appended().block_number == 5


def test_metrics_and_report_show_the_outage(store: Store, settle: Settle, clock: FakeClock, folder: Path) -> None:
    feed, outage = feed_of(clock, BLOCKS, per_arrival=1, epoch=1, announced=LAST, halted=True), Outage(store)
    told: list[WorkerStatus] = []
    lowest = {"settlement_store_up": 1.0}
    retries = metrics.WORKER.get_sample_value("settlement_retries_total") or 0

    def report(status: WorkerStatus) -> None:
        told.append(status)
        if status.store_down_for_s > 3:
            outage.end()
        up = metrics.WORKER.get_sample_value("settlement_store_up")
        assert up == (status.store_down_for_s == 0)
        lowest["settlement_store_up"] = min(up, lowest["settlement_store_up"])
        assert metrics.WORKER.get_sample_value("settlement_spill_blocks") == status.spill_blocks
        assert metrics.WORKER.get_sample_value("settlement_spill_bytes") == status.spill_bytes
        assert metrics.WORKER.get_sample_value("settlement_store_down_seconds") == status.store_down_for_s

    settle(store, feed, report=report)
    assert lowest == {"settlement_store_up": 0.0}
    assert max(status.spill_blocks for status in told) > 0
    assert max(status.store_down_for_s for status in told) > 0.5
    assert told[0].engine_halted
    assert told[0].engine_halted_reason == "full"
    assert told[0].block_lag == LAST
    last = told[-1]
    assert (last.spill_blocks, last.spill_bytes, last.store_down_for_s, last.block_lag) == (0, 0, 0, 0)
    assert (metrics.WORKER.get_sample_value("settlement_retries_total") or 0) > retries


def test_what_was_settled_through_a_spill_verifies(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    feed, outage = feed_of(clock, BLOCKS, per_arrival=1), Outage(store)
    at_confirmation(feed, LAST, outage.end)
    settle(store, feed)
    report = verify.verify(store, folder, Engine())
    assert report.differences == []
    assert report.blocks == LAST
