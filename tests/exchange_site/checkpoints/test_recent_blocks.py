"""The blocks that settlement keeps for the signer."""

from exchange_site.checkpoints.recent_blocks import RecentBlocks
from tests.settlement.rows import block


def test_the_newest_blocks_are_kept_up_to_a_size() -> None:
    recent = RecentBlocks(max_bytes=300)
    recent.add([block(number, data=bytes(100)) for number in range(1, 6)])
    assert [number for number in range(1, 7) if recent.get(number)] == [3, 4, 5]


def test_a_block_that_is_larger_than_all_room_is_not_kept() -> None:
    recent = RecentBlocks(max_bytes=300)
    recent.add([block(1), block(2, data=bytes(301))])
    assert recent.get(1) is recent.get(2) is None
    recent.add([block(3)])
    assert recent.get(3) == block(3)


def test_a_block_that_comes_again_is_counted_once() -> None:
    recent = RecentBlocks(max_bytes=300)
    for _ in range(5):
        recent.add([block(1, data=bytes(100)), block(2, data=bytes(100))])
    assert recent.get(1)
    recent.add([block(3, data=bytes(100)), block(4, data=bytes(100))])
    assert [number for number in range(1, 5) if recent.get(number)] == [2, 3, 4]
