import numpy as np
import pytest

from matching.core import layout
from matching.core.blocks import Block
from matching.storage.ring import CommandRange, Ring

NO_COMMANDS = np.zeros(0, layout.COMMAND)
NO_EVENTS = np.zeros(0, layout.EVENT)


def block(number: int, *requests: tuple[int, int, int]) -> Block:
    """A block of requests (client, first_number, command_count), its commands all zero."""
    commands = np.zeros(sum(count for _, _, count in requests), layout.COMMAND)
    return Block.encode(
        number=number,
        timestamp_ns=number,
        first_command_sequence=1,
        first_event_sequence=1,
        prev_hash=0,
        requests=np.array([(client, number, 0, 0, count, 0) for client, number, count in requests], layout.REQUEST),
        commands=commands,
        events=NO_EVENTS,
        texts=b"",
    )


EMPTY_BYTES = len(block(1).data)


def ring_of(count: int, max_blocks: int = 4, max_bytes: int = 1 << 20) -> Ring:
    ring = Ring(max_blocks, max_bytes)
    for number in range(1, count + 1):
        ring.append(block(number))
    return ring


def test_unconfirmed_blocks_fill_the_ring() -> None:
    ring = ring_of(3)
    assert not ring.full
    assert ring.room == 1
    ring.append(block(4))
    assert ring.full
    assert [ring.get(number) is not None for number in range(6)] == [False, True, True, True, True, False]


def test_confirmed_blocks_stay_while_there_is_room() -> None:
    ring = ring_of(4)
    ring.confirm(3)
    assert (len(ring), ring.unconfirmed, ring.room) == (4, 1, 3)
    ring.append(block(5))
    assert (ring.first, ring.last, len(ring)) == (2, 5, 4)


def test_an_unconfirmed_block_is_never_dropped() -> None:
    ring = ring_of(9)  # more blocks than fit: the engine finished its turn
    assert (ring.first, len(ring), ring.room) == (1, 9, -5)
    ring.confirm(9)
    ring.append(block(10))
    assert (ring.first, len(ring)) == (7, 4)


def test_the_ring_is_bounded_in_bytes_too() -> None:
    ring = ring_of(3, max_blocks=100, max_bytes=3 * EMPTY_BYTES)
    assert ring.full
    ring.confirm(2)
    assert not ring.full
    assert ring.unconfirmed_bytes == EMPTY_BYTES
    ring.append(block(4))
    assert (ring.first, ring.size_bytes) == (2, 3 * EMPTY_BYTES)


@pytest.mark.parametrize("number", [0, 2, 5, 1 << 62])
def test_an_outdated_confirmation_changes_nothing(number: int) -> None:
    ring = ring_of(4)
    ring.confirm(2)
    ring.confirm(number)
    assert ring.confirmed == 2


def test_a_ring_may_start_at_any_block() -> None:
    ring = Ring(4, 1 << 20)
    assert (ring.first, ring.last, ring.room) == (0, 0, 4)
    ring.append(block(77))
    assert (ring.first, ring.last, ring.confirmed, ring.unconfirmed) == (77, 77, 76, 1)


def test_requests_are_found_by_client_and_number() -> None:
    ring = Ring(4, 1 << 20)
    ring.append(block(1, (7, 1, 3), (8, 1, 2)))
    ring.append(block(2, (8, 3, 1), (7, 4, 2)))
    assert ring.find(7, 1, 5) == [CommandRange(1, 3, 1, 0), CommandRange(4, 2, 2, 1)]
    assert ring.find(7, 2, 4) == [CommandRange(2, 2, 1, 1), CommandRange(4, 1, 2, 1)]
    assert ring.find(8, 2, 2) == [CommandRange(2, 1, 1, 4)]
    assert ring.find(8, 4, 9) == []
    assert ring.find(9, 1, 5) == []


def test_requests_of_dropped_blocks_are_not_found_and_not_kept() -> None:
    ring = Ring(2, 1 << 20)
    for number in range(1, 301):
        ring.append(block(number, (7, number, 1), (1000 + number, 1, 1)))
        ring.confirm(number)
    assert ring.find(7, 1, 300) == [CommandRange(299, 1, 299, 0), CommandRange(300, 1, 300, 0)]
    assert ring.find(1298, 1, 1) == []
    assert ring.find(1300, 1, 1) == [CommandRange(1, 1, 300, 1)]


def test_commands_without_a_client_are_not_looked_up() -> None:
    ring = Ring(1, 1 << 20)
    ring.append(block(1, (0, 0, 2), (7, 1, 1)))
    assert ring.find(7, 1, 1) == [CommandRange(1, 1, 1, 2)]
    ring.confirm(1)
    ring.append(block(2))
    assert ring.find(0, 0, 1) == []
