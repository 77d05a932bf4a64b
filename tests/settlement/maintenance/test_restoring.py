"""A store that lacks blocks gets them from spill and write-ahead log, on every store; what does not fit is refused."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from matching.core.blocks import Block
from matching.storage.input_logs.wal import WalLog
from matching.workloads.btc_usd import DEFINITIONS
from settlement.durable.spill import Spill
from settlement.errors import ChainConflict, GapUnfilled
from settlement.maintenance.kept_blocks import sources
from settlement.maintenance.restoring import Place, Restored, restore
from settlement.options import Options
from settlement.project.dead_letters import DeadLetters
from settlement.project.trail import Trail
from settlement.stores.base import Store
from simulator.trust.forged_blocks import encoded_again
from tests.settlement.chains import START_NS, Chain, in_epoch
from tests.settlement.conftest import restarted
from tests.settlement.fakes import FakeClock
from tests.settlement.maintenance.conftest import epoch_of, settle_into
from tests.settlement.test_worker import BLOCKS, LAST

HALF = LAST // 2
LEADER = epoch_of(0)._replace(engine="this-engine")


def write_wal(folder: Path, blocks: Sequence[Block]) -> None:
    log = WalLog(folder / "wal")
    log.append(blocks)
    log.close()


def write_spill(folder: Path, blocks: Sequence[Block]) -> None:
    spill = Spill(folder / "spill", 1 << 30)
    spill.append(blocks)
    spill.close()


def place_of(store: Store, folder: Path, clock: FakeClock) -> Place:
    letters = DeadLetters(store, folder, clock)
    return Place(store, folder, lambda: Trail(folder), letters, clock, Options(batch_trades=5), LEADER)


@pytest.fixture
def older(store: Store, folder: Path) -> Store:
    """A store that ends with block 2, and is projected to it."""
    folder.mkdir()
    store.begin_epoch(epoch_of(1))
    settle_into(folder, store, BLOCKS[:2])
    return restarted(store)


def run(store: Store, folder: Path) -> Restored:
    return restore(place_of(store, folder, FakeClock()), lambda: False)


def test_an_older_store_gets_everything_that_spill_and_log_hold(older: Store, folder: Path) -> None:
    write_spill(folder, BLOCKS[HALF:])
    write_wal(folder, BLOCKS[: HALF + 1])
    done = run(older, folder)
    assert (done.filled.first, done.filled.last, done.filled.epochs) == (3, LAST, [])
    assert done.verified.ok, done.verified.differences
    assert done.verified.blocks == LAST
    assert restarted(older).appended().hash == BLOCKS[-1].hash


def test_a_second_run_adds_nothing(older: Store, folder: Path) -> None:
    write_wal(folder, BLOCKS)
    run(older, folder)
    done = run(restarted(older), folder)
    assert done.filled.last < done.filled.first
    assert done.verified.ok


def test_epochs_that_the_older_store_lacks_are_recorded_with_their_blocks(older: Store, folder: Path) -> None:
    """Or the engine would find blocks of an epoch that the store does not know, and refuse to lead."""
    later = in_epoch(BLOCKS[HALF:], 3, BLOCKS[HALF - 1].hash)
    write_wal(folder, [*BLOCKS[:HALF], *later])
    done = run(older, folder)
    assert done.filled.epochs == [3]
    assert [(epoch.number, epoch.first_block, epoch.engine) for epoch in older.epochs()] == [
        (1, 1, "an-engine"),
        (2, HALF + 1, "this-engine"),
        (3, HALF + 1, "this-engine"),
    ]
    assert done.verified.ok, done.verified.differences


def test_blocks_that_an_epoch_of_the_log_overrules_are_left_out(older: Store, folder: Path) -> None:
    write_spill(folder, BLOCKS[HALF : HALF + 1])
    later = in_epoch(BLOCKS[HALF:], 2, BLOCKS[HALF - 1].hash)
    write_wal(folder, [*BLOCKS[:HALF], *later])
    assert run(older, folder).verified.ok
    assert older.appended().hash == later[-1].hash


def test_a_gap_that_no_file_fills_is_named_and_nothing_is_written(older: Store, folder: Path) -> None:
    write_spill(folder, BLOCKS[HALF:])
    with pytest.raises(GapUnfilled, match=f"holds blocks up to {LAST}, but block 3 is neither in the store nor"):
        run(older, folder)
    assert older.appended().block_number == 2


def test_a_log_of_another_exchange_is_refused(older: Store, folder: Path) -> None:
    write_wal(folder, Chain(START_NS + 1).add(*DEFINITIONS).blocks)
    with pytest.raises(ChainConflict, match=r"Block 2 in the write-ahead log .* does not fit the store"):
        run(older, folder)
    assert older.appended().block_number == 2


def test_a_block_whose_events_its_commands_do_not_give_is_refused(older: Store, folder: Path) -> None:
    block = BLOCKS[2]
    events = block.events.copy()
    events["amount"][0] += 1
    forged = encoded_again(block, events=events)
    write_wal(folder, [forged])
    with pytest.raises(ChainConflict, match="The commands of block 3 give other events than it holds"):
        run(older, folder)
    assert older.appended().block_number == 2


def test_the_sources_are_read_and_not_changed(older: Store, folder: Path) -> None:
    write_wal(folder, BLOCKS)
    before = [path.read_bytes() for path in sorted((folder / "wal").iterdir())]
    run(older, folder)
    assert [path.read_bytes() for path in sorted((folder / "wal").iterdir())] == before
    assert [source.name for source in sources(folder)] == ["spill", "write-ahead log"]
