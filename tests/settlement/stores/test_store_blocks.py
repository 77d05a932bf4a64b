"""The store contract, blocks and epochs: these tests run against every store of settlement."""

import pytest

from matching.core.epochs import Epoch
from settlement.errors import StoreReplaced
from settlement.stores.base import Checkpoint, Fenced, Outrun, Store, StoredBlock
from tests.settlement.rows import (
    MOST,
    block,
    epoch,
)
from tests.settlement.store_contents import everything

NOTHING_YET = Checkpoint(0, 0, 0)


def test_blocks_come_back_byte_for_byte_with_the_checkpoint_of_the_last(store: Store) -> None:
    written = [block(number) for number in range(1, 41)]
    store.append_blocks(written[:7])
    store.append_blocks(written[7:])
    store.append_blocks([])
    assert list(store.blocks(1)) == written
    assert list(store.blocks(5, 9)) == written[4:9]
    assert store.get_block(40) == written[-1]
    assert store.get_block(41) is None
    assert store.appended() == Checkpoint(40, 2**64 - 40, 1)
    assert store.projected() == NOTHING_YET


def test_appending_a_block_again_changes_nothing(store: Store) -> None:
    store.append_blocks([block(1), block(2)])
    before = everything(store)
    store.append_blocks([block(1), block(2)])
    assert everything(store) == before


def test_older_blocks_again_do_not_take_the_checkpoint_back(store: Store) -> None:
    """As a settlement writes them that stood still while another one went on."""
    store.append_blocks([block(number) for number in range(1, 6)])
    before = everything(store)
    store.append_blocks([block(2), block(3)])
    assert everything(store) == before
    store.append_blocks([block(4), block(5), block(6), block(7)])
    assert store.appended() == Checkpoint(7, 2**64 - 7, 1)
    assert list(store.blocks(1)) == [block(number) for number in range(1, 8)]


@pytest.mark.parametrize(
    ("blocks", "says"),
    [
        ([block(5), block(6)], "Block 5 was about to be stored, but the store ends with block 3 and lacks"),
        ([block(4, prev_hash=7)], "block 3 in the store is missing or has another hash"),
        ([block(3, hash=7), block(4, prev_hash=7)], "block 3 in the store is missing or has another hash"),
        ([block(1), block(2, hash=7)], "block 2 in the store is missing or has another hash"),
    ],
)
def test_blocks_that_do_not_continue_what_is_stored_are_refused_and_nothing_is_written(
    store: Store, blocks: list[StoredBlock], says: str
) -> None:
    store.append_blocks([block(1), block(2), block(3)])
    before = everything(store)
    with pytest.raises(StoreReplaced, match=says):
        store.append_blocks(blocks)
    assert everything(store) == before


def test_an_empty_store_takes_the_first_block_and_no_other(store: Store) -> None:
    for blocks in ([block(2)], [block(1, prev_hash=7)]):
        with pytest.raises(StoreReplaced):
            store.append_blocks(blocks)
    assert (store.appended(), list(store.blocks(1))) == (NOTHING_YET, [])


def test_epochs_come_back_by_number(store: Store) -> None:
    assert store.epochs() == []
    begun = [epoch(1), epoch(2, 4, 2**64 - 3), epoch(3, 9, 7, engine="é", began_at_ns=MOST)]
    for one in begun:
        store.begin_epoch(one)
    assert store.epochs() == begun


def test_an_epoch_that_begins_again_has_begun_already(store: Store) -> None:
    store.begin_epoch(epoch(1))
    store.append_blocks([block(1)])
    store.begin_epoch(epoch(1))
    assert store.epochs() == [epoch(1)]


@pytest.mark.parametrize("late", [epoch(2, engine="another"), epoch(1)])
def test_an_epoch_is_begun_once_and_none_after_a_newer_one(store: Store, late: Epoch) -> None:
    store.begin_epoch(epoch(1))
    store.begin_epoch(epoch(2))
    with pytest.raises(Fenced, match="Epoch 2 has already begun on the engine at"):
        store.begin_epoch(late)
    assert store.epochs() == [epoch(1), epoch(2)]


@pytest.mark.parametrize(
    ("begins", "says"),
    [
        (epoch(1, 3, 2**64 - 2), "already has block 3: no epoch can begin with block 3"),
        (epoch(1, 1), "already has block 3: no epoch can begin with block 1"),
        (epoch(1, 4, 5), "Block 3 in the store differs"),
    ],
)
def test_an_epoch_does_not_begin_within_or_beside_what_is_stored(store: Store, begins: Epoch, says: str) -> None:
    store.append_blocks([block(1), block(2), block(3)])
    with pytest.raises(Outrun, match=says):
        store.begin_epoch(begins)
    assert store.epochs() == []
    store.begin_epoch(epoch(1, 4, 2**64 - 3))
    assert store.epochs() == [epoch(1, 4, 2**64 - 3)]


def test_an_epoch_may_begin_past_what_is_stored(store: Store) -> None:
    store.append_blocks([block(1)])
    store.begin_epoch(epoch(1, 10, 12345))
    store.append_blocks([block(2)])
    assert store.appended().block_number == 2


@pytest.mark.parametrize("second", [block(3, epoch=1), block(3, epoch=0)])
def test_a_block_of_an_ended_epoch_is_fenced_and_nothing_of_its_batch_is_written(
    store: Store, second: StoredBlock
) -> None:
    store.append_blocks([block(1)])
    store.begin_epoch(epoch(1, 2, 2**64 - 1))
    store.begin_epoch(epoch(2, 3, 2**64 - 2))
    before = everything(store)
    with pytest.raises(Fenced, match="Block 3 is of epoch"):
        store.append_blocks([block(2), second])
    assert everything(store) == before
    store.append_blocks([block(2), block(3, epoch=2), block(4, epoch=2)])
    assert store.appended() == Checkpoint(4, 2**64 - 4, 2)


def test_blocks_before_an_epoch_are_not_fenced_by_it(store: Store) -> None:
    store.begin_epoch(epoch(1))
    store.begin_epoch(epoch(2, 5, 2**64 - 4))
    store.append_blocks([block(number) for number in range(1, 5)])
    with pytest.raises(Fenced):
        store.append_blocks([block(5)])
    assert store.appended().block_number == 4


def test_epochs_stay_when_projections_are_dropped(store: Store) -> None:
    store.begin_epoch(epoch(1))
    store.drop_projections()
    assert store.epochs() == [epoch(1)]


def test_the_newest_blocks_come_newest_first_without_their_bytes(store: Store) -> None:
    store.append_blocks([block(number) for number in range(1, 8)])
    assert store.newest_blocks(2) == [block(7, data=b""), block(6, data=b"")]
    assert [found.number for found in store.newest_blocks(3, before=3)] == [2, 1]


def test_a_block_is_found_by_its_hash_without_its_bytes(store: Store) -> None:
    assert store.blocks_of_hash(block(3).hash) == []
    store.append_blocks([block(number) for number in range(1, 4)])
    store.append_blocks([block(number) for number in range(4, 70)])
    for number in (1, 3, 63, 64, 69):
        assert store.blocks_of_hash(block(number).hash) == [block(number, data=b"")]
    assert store.blocks_of_hash(block(70).hash) == []
    assert store.blocks_of_hash(0) == []


def test_two_blocks_with_one_hash_are_both_found(store: Store) -> None:
    store.append_blocks([block(1), block(2, hash=block(1).hash), block(3, prev_hash=block(1).hash)])
    assert [found.number for found in store.blocks_of_hash(block(1).hash)] == [2, 1]


def test_a_block_that_was_replaced_is_not_found_by_its_hash(store: Store) -> None:
    store.begin_epoch(epoch(1))
    store.append_blocks([block(number) for number in range(1, 7)])
    right = chain_from(4, 2)
    store.replace_blocks(4, [right], epoch(2)._replace(first_block=6, prev_hash=right[-1].hash))
    assert [store.blocks_of_hash(block(number).hash) for number in (4, 5, 6)] == [[], [], []]
    assert [found.number for one in right for found in store.blocks_of_hash(one.hash)] == [4, 5]


def test_carrying_over_changes_nothing_where_nothing_is_missing(store: Store) -> None:
    store.carry_over()
    store.append_blocks([block(1), block(2)])
    before = everything(store)
    store.carry_over()
    assert everything(store) == before
    assert store.blocks_of_hash(block(2).hash) == [block(2, data=b"")]


def test_the_block_of_an_event_is_found_also_beside_blocks_without_events(store: Store) -> None:
    empty = [block(3, first_event_sequence=21, last_event_sequence=20), block(4, first_event_sequence=21)]
    store.append_blocks([block(1), block(2), *empty])
    numbers = [found and found.number for found in map(store.block_of_event, (0, 1, 10, 11, 20, 21, 41))]
    assert numbers == [None, 1, 1, 2, 2, 4, None]


def chain_from(first: int, count: int) -> list[StoredBlock]:
    """Blocks that continue block `first - 1` of `block`, with other contents."""
    made: list[StoredBlock] = []
    for number in range(first, first + count):
        before = made[-1].hash if made else block(number).prev_hash
        made.append(block(number, hash=10_000 + number, prev_hash=before)._replace(data=b"of another chain"))
    return made


def test_blocks_can_be_replaced_by_those_of_the_right_chain(store: Store) -> None:
    """An engine with a stolen key has made blocks 4 to 6 in the epoch of the true one, which has made 4 and 5."""
    store.begin_epoch(epoch(1))
    store.append_blocks([block(number) for number in range(1, 7)])
    right = chain_from(4, 2)
    following = epoch(2)._replace(first_block=6, prev_hash=right[-1].hash)
    for _ in range(2):  # the second time as after a failure
        store.replace_blocks(4, [right[:1], right[1:]], following)
        assert store.appended() == Checkpoint(5, right[-1].hash, 1)
        assert list(store.blocks(1)) == [*[block(number) for number in range(1, 4)], *right]
        assert store.get_block(6) is None
        assert [one.number for one in store.newest_blocks(10)] == [5, 4, 3, 2, 1]
        assert store.epochs() == [epoch(1), following]
    with pytest.raises(Fenced):
        store.append_blocks([block(6, prev_hash=right[-1].hash)])
    last = block(6, prev_hash=right[-1].hash)._replace(epoch=2)
    store.append_blocks([last])
    assert store.get_block(6) == last


def test_blocks_can_be_taken_out_of_the_chain(store: Store) -> None:
    store.begin_epoch(epoch(1))
    store.append_blocks([block(number) for number in range(1, 7)])
    store.replace_blocks(4, [], epoch(2)._replace(first_block=4, prev_hash=block(3).hash))
    assert store.appended() == Checkpoint(3, block(3).hash, 1)
    assert list(store.blocks(1)) == [block(number) for number in range(1, 4)]
    with pytest.raises(Fenced):
        store.append_blocks([block(4)])
    store.append_blocks([block(4)._replace(epoch=2)])
    assert store.get_block(4) == block(4)._replace(epoch=2)


def test_all_blocks_can_be_taken_out_of_the_chain(store: Store) -> None:
    store.begin_epoch(epoch(1))
    store.append_blocks([block(1), block(2)])
    store.replace_blocks(1, [], epoch(2)._replace(first_block=1, prev_hash=0))
    assert store.appended() == NOTHING_YET
    assert list(store.blocks(1)) == []
