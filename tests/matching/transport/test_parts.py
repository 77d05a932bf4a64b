"""Large blocks and answers are sent in frames of bounded size and rejoined by the receiver."""

from collections.abc import Iterator
from contextlib import closing

import pytest
import zmq

from matching.client.client import Client
from matching.core.blocks import Block
from matching.core.errors import BadMessage
from matching.feed.reader import Feed
from matching.transport import parts, wire
from matching.transport.parts import in_parts, joined
from matching.transport.sockets import RawSocket
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import (
    Running,
    defined_engine,
    deposit,
    follower,
    leader,
    order,
    plan,
    until,
)
from tests.matching.stages import Stage

SMALL = 1000
ORDERS = 60


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", SMALL)


@pytest.fixture
def engine(small_parts: None) -> Iterator[Running]:
    with leader(plan()) as running, Client(running.commands) as client:
        client.call([*DEFINITIONS, deposit(1, "first")])
        client.call([order(1, "sell", f"{100 + number}") for number in range(ORDERS)])
        yield running


def heard(feed: Feed) -> list[Block]:
    """The next blocks."""
    found: list[Block] = []

    def any_there() -> bool:
        found.extend(feed.receive(0.05, 10))
        return bool(found)

    until(any_there, "a block")
    return found


@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, 9 * SMALL, 9 * SMALL + 1])
def test_bytes_of_any_size_are_rejoined_from_their_parts(small_parts: None, size: int) -> None:
    data = bytes(place % 251 for place in range(size))
    frames = in_parts(data)
    assert all(len(frame) <= SMALL for frame in frames)
    assert joined([bytes(frame) for frame in frames]) == data


def test_a_message_without_parts_is_invalid() -> None:
    with pytest.raises(BadMessage, match="nothing after its verb"):
        joined([])


def test_a_command_with_a_large_block_is_answered_and_published_in_parts(engine: Running) -> None:
    context: zmq.Context[RawSocket] = zmq.Context()
    reader = context.socket(zmq.SUB)
    reader.connect(engine.plan.addresses.blocks)
    reader.subscribe(wire.STATUS)
    assert reader.poll(10_000), "the engine is not heard"
    reader.subscribe(wire.BLOCK)
    with closing(Feed(engine.plan.addresses.blocks, engine.plan.addresses.retransmission)) as feed:
        until(lambda: feed.receive(0.05, 10) == [] and feed.status(), "the first heartbeat")
        with Client(engine.commands) as client:
            (answer,) = client.call([{"command": "cancel_all", "account": 1}])
        assert len(answer.events) == ORDERS + 1
        found = heard(feed)
        assert found[0].event_count == ORDERS + 1
        found[0].verify(found[0].number, found[0].prev_hash)
        feed.request(found[0].number, found[0].number)
        again = heard(feed)
        assert again[0].data == found[0].data
    frames = next(frames for frames in iter(reader.recv_multipart, None) if frames[0] == wire.BLOCK)
    assert b"".join(frames[1:]) == found[0].data
    assert len(frames) > 5
    assert all(len(frame) <= SMALL for frame in frames)
    reader.close()
    context.term()


def test_a_follower_takes_large_blocks_from_the_ring_and_as_they_come(engine: Running) -> None:
    with follower(plan(), engine.commands) as other, Client(engine.commands) as client:
        until(lambda: other.parts.engine.state_hash == engine.parts.engine.state_hash, "the blocks of the ring")
        client.call([{"command": "cancel_all", "account": 1}])
        until(lambda: other.parts.engine.block_number == engine.parts.engine.block_number, "the new block")
        assert other.parts.engine.state_hash == engine.parts.engine.state_hash


def test_a_large_block_in_transit_is_requested_less_and_less_often() -> None:
    """If it takes longer than the interval between requests, each further copy would delay it more."""
    stage = Stage(defined_engine(), defined_engine())
    stage.feed.request(1, 1)
    asked = stage.to_leader.take_sent(wire.BLOCKS)
    for _ in range(200):
        stage.network.now_s += 0.1
        stage.feed.receive(0, 10)
    asked += stage.to_leader.take_sent(wire.BLOCKS)
    assert 4 <= len(asked) <= 7
