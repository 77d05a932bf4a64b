from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from matching.core.blocks import Block
from matching.core.epochs import Epoch
from settlement.durable.appending import Appending
from settlement.durable.spill import Spill
from settlement.errors import ChainBroken
from settlement.options import Options
from settlement.receive.chain import stored
from settlement.stores.base import Checkpoint, Fenced, Store, StoredBlock, StoreUnavailable
from settlement.stores.retrying import StoreRetrier, finish
from tests.settlement.fakes import FakeClock
from tests.settlement.test_worker import BLOCKS


@pytest.mark.parametrize(
    ("later", "says"),
    [
        ([BLOCKS[2]], "Block 3 was about to be stored after block 1"),
        ([BLOCKS[1], BLOCKS[3]], "Block 4 was about to be stored after block 2"),
        ([BLOCKS[0]], "Block 1 was about to be stored after block 1"),
        ([replace(BLOCKS[1], prev_hash=7)], "Block 2 was about to be stored after block 1"),
    ],
)
def test_blocks_that_do_not_continue_the_chain_are_not_made_durable(
    store: Store, clock: FakeClock, folder: Path, later: list[Block], says: str
) -> None:
    confirmed: list[Checkpoint] = []
    options = Options()
    spill = Spill(folder / "spill", 1 << 20)
    appending = Appending(
        store, spill, confirm=confirmed.append, clock=clock, options=options, retrier=StoreRetrier(clock, options)
    )
    finish(appending.begin([]), clock.sleep)
    appending.add_blocks(BLOCKS[:1])
    with pytest.raises(ChainBroken, match=says):
        appending.add_blocks(later)
    assert [row.number for row in finish(appending.step(), clock.sleep)] == [1]
    assert (confirmed, store.appended().block_number) == ([store.appended()], 1)
    spill.close()


def test_a_batch_that_an_epoch_overtook_while_the_store_was_away_is_fenced_and_no_damage(
    store: Store, clock: FakeClock, folder: Path
) -> None:
    options = Options()
    spill = Spill(folder / "spill", 1 << 20)
    appending = Appending(
        store, spill, confirm=lambda durable: None, clock=clock, options=options, retrier=StoreRetrier(clock, options)
    )
    store.append_blocks([stored(block) for block in BLOCKS[:2]])
    finish(appending.begin([]), clock.sleep)
    appending.add_blocks(BLOCKS[2:6])

    def taken_in_part(blocks: Sequence[StoredBlock]) -> None:
        """As a store without transactions does it: the answer is lost, and an epoch begins in the midst of the rows."""
        append(blocks[:2])
        store.begin_epoch(Epoch(2, 5, BLOCKS[3].hash, "other", "", "", "", 0))
        raise StoreUnavailable("The database timed out.")

    append, store.append_blocks = store.append_blocks, taken_in_part  # type: ignore[method-assign]
    with pytest.raises(Fenced, match="An epoch that overrules block 6 began"):
        finish(appending.step(), clock.sleep)
    spill.close()
