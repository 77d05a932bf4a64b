"""verify_settlement of a range of blocks, and while settlement writes to the store."""

from pathlib import Path

import pytest

from matching.core.blocks import Block
from matching.core.engine import Engine
from settlement.audit import verify
from settlement.errors import NotReady
from settlement.project.trail import HEADER, NAME
from settlement.receive.chain import stored
from settlement.stores.base import Checkpoint, Store
from tests.reference.streams import random_commands
from tests.settlement.audit.verify.conftest import BLOCKS, CHAIN, LAST, Verify, change, differing, value
from tests.settlement.chains import chain_of
from tests.settlement.conftest import Settle
from tests.settlement.fakes import FakeClock, feed_of, note_calls


def test_a_range_compares_only_its_blocks(verified: Verify) -> None:
    trade_id = value("SELECT MIN(trade_id) FROM settled_trades")
    block = value("SELECT block_number FROM settled_trades ORDER BY trade_id LIMIT 1")
    change("DELETE FROM settled_trades WHERE trade_id = %s", trade_id)
    assert differing(verified(block, block)) == [f"trade {trade_id}"]
    assert differing(verified(block + 1, None)) == []
    assert differing(verified(None, block - 1)) == []
    report = verified(block + 1, block + 4)
    assert (report.from_block, report.to_block, report.blocks) == (block + 1, block + 4, 4)
    assert report.state_hash == f"{BLOCKS[block + 3].hash:016x}"


@pytest.mark.parametrize("span", [(1, 3), (4, 9), (2, LAST), (LAST, LAST), (1, LAST - 1)])
def test_every_range_of_an_untouched_store_is_in_order(verified: Verify, span: tuple[int, int]) -> None:
    assert differing(verified(*span)) == []


@pytest.mark.parametrize("span", [(1, LAST + 1), (LAST + 1, None), (5, 4)])
def test_a_range_that_the_store_lacks_is_refused(verified: Verify, span: tuple[int, int | None]) -> None:
    with pytest.raises(NotReady, match="does not have these blocks"):
        verified(*span)


def test_blocks_that_are_not_projected_yet_are_counted_and_their_chain_is_checked(
    verified: Verify, settled: Store
) -> None:
    chain = chain_of(random_commands(5, 400, instruments=2, accounts=4, wild=False), 16)
    chain.end_block()
    settled.append_blocks([stored(chain.blocks[-1])])
    report = verified()
    assert differing(report) == []
    assert report.behind == 1
    change("UPDATE engine_blocks SET data = %s WHERE number = %s", chain.blocks[-1].data + b"x", LAST + 1)
    assert differing(verified()) == [f"block {LAST + 1}"]


def test_projections_that_are_written_meanwhile_are_no_difference(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(store, feed_of(clock, BLOCKS[:12]))

    class Settling(Engine):
        def follow(self, block: Block) -> Block:
            if block.number == 8:
                settle(store, feed_of(clock, BLOCKS, announced=LAST))
            return super().follow(block)

    report = verify.verify(store, folder, Settling())
    assert differing(report) == []
    assert report.to_block == 12
    assert store.projected() == Checkpoint(LAST, CHAIN.engine.state_hash, 1)


@pytest.mark.parametrize("back_at", [None, LAST - 3])
def test_projections_that_are_dropped_meanwhile_are_no_difference(
    settled: Store, settle: Settle, clock: FakeClock, folder: Path, monkeypatch: pytest.MonkeyPatch, back_at: int | None
) -> None:
    """Also if `rebuild_projections` ends before the comparison does."""
    monkeypatch.setattr(verify, "_BATCH_EVENTS", 30)

    class Rebuilding(Engine):
        def follow(self, block: Block) -> Block:
            if block.number == 8:
                settled.drop_projections()
            if block.number == back_at:
                settle(settled, feed_of(clock, BLOCKS, announced=LAST))
            return super().follow(block)

    with pytest.raises(NotReady, match=f"projection went from block {LAST} back to block 0"):
        verify.verify(settled, folder, Rebuilding())


def test_projections_that_are_dropped_at_the_end_are_no_difference(settled: Store, folder: Path) -> None:
    note_calls(settled, "open_orders", settled.drop_projections)
    with pytest.raises(NotReady, match="back to block 0"):
        verify.verify(settled, folder, Engine())


def test_a_day_that_ends_meanwhile_is_no_difference(
    verified: Verify, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_BATCH_EVENTS", 30)
    (folder / "settled_trades-2020-01-01.csv").write_text(HEADER + "\n")

    class AtMidnight(Engine):
        def follow(self, block: Block) -> Block:
            if block.number == LAST - 3:
                (folder / NAME).rename(folder / "settled_trades-2020-01-02.csv")
                (folder / NAME).write_text(HEADER + "\n")
            return super().follow(block)

    assert differing(verified(engine=AtMidnight())) == []
