from contextlib import ExitStack

import pytest

from matching.blocks import Block
from matching.client import Client
from matching.engine import Engine
from matching.errors import Diverged, EngineRefused, HashMismatch
from matching.feed import Feed
from matching.follower import HistoryGone, re_executed
from matching.ring import Ring
from matching.sequencer import Sequencer
from tests.matching.small_exchange import (
    BTC,
    DEFINITIONS,
    Running,
    batch,
    defined_engine,
    deposit,
    follower,
    leader,
    plan,
    trading,
    until,
)


def held(running: Running) -> list[bytes]:
    ring = running.parts.ring
    return [block.data for number in range(1, ring.last + 1) if (block := ring.get(number))]


def test_a_follower_publishes_the_same_bytes(running_leader: Running) -> None:
    with Client(running_leader.commands) as client:
        client.call([*DEFINITIONS, *trading(50)])  # before it starts: asked for again
        with follower(plan(), running_leader.commands) as second:
            client.call(trading(50)[2:])  # while it runs
            until(lambda: second.parts.ring.last == running_leader.parts.ring.last, "the follower to catch up")
            assert held(second) == held(running_leader)
            with Client(second.commands) as other:
                assert other.state() == client.state()
                assert (other.status()["role"], other.status()["halted"]) == ("follower", False)


def test_a_follower_of_a_follower_is_a_follower(running_leader: Running) -> None:
    with (
        Client(running_leader.commands) as client,
        follower(plan(), running_leader.plan.addresses.blocks) as second,
        follower(plan(), second.plan.addresses.retransmission) as third,
    ):
        client.call([*DEFINITIONS, *trading(50)])
        until(lambda: third.parts.ring.last == running_leader.parts.ring.last, "the last one to catch up")
        assert held(third) == held(running_leader)


def test_a_follower_takes_no_commands(running_leader: Running) -> None:
    with follower(plan(), running_leader.commands) as second, Client(second.commands) as client:
        with pytest.raises(EngineRefused, match="send them to the leader") as caught:
            client.call(DEFINITIONS)
        assert caught.value.code == "follower"


def test_a_follower_keeps_what_its_ring_holds_and_never_halts(running_leader: Running) -> None:
    with follower(plan(ring_blocks=5), running_leader.commands) as second, Client(running_leader.commands) as client:
        client.call(DEFINITIONS)
        for number in range(20):
            client.call([deposit(1, f"{number}")])
        until(lambda: second.parts.ring.last == 23, "the follower to catch up")
        assert (second.parts.ring.first, len(second.parts.ring), second.parts.board.halted) == (19, 5, "")


def test_a_leader_without_its_first_block_cannot_be_followed() -> None:
    with leader(plan(ring_blocks=4)) as running, Client(running.commands) as client:
        client.call(DEFINITIONS)
        feed = Feed(running.plan.addresses.blocks, running.plan.addresses.retransmission)
        for number in range(4, 8):
            feed.confirm(number - 1)
            client.call([deposit(1, f"{number}")])
        feed.close()
        until(lambda: running.parts.ring.first == 4, "the first blocks to be dropped")
        with follower(plan(), running.commands) as second:
            until(lambda: second.failures, "the follower to stop")
        (failure,) = second.failures
        assert isinstance(failure, HistoryGone)
        assert str(failure).startswith("The leader does not have block 1 any more, its oldest is 4:")


def test_a_leader_that_begins_another_history_is_not_followed() -> None:
    there = plan()
    with ExitStack() as first:
        with leader(there) as running, Client(running.commands) as client:
            client.call([*DEFINITIONS, deposit(1, "a")])
            second = first.enter_context(follower(plan(), running.commands))
            until(lambda: second.parts.ring.last == 4, "the follower to catch up")
        with leader(there) as running, Client(running.commands) as client:
            # Block 1 may be published before the follower is connected again, block 4 differs from the one it has.
            for number in range(10):
                client.call([BTC, deposit(1, f"other {number}")])
            until(lambda: second.failures, "the follower to stop")
    (failure,) = second.failures
    assert isinstance(failure, Diverged | HashMismatch)


def one_block(engine: Engine) -> Block:
    sequencer = Sequencer(engine, Ring(10, 1 << 20), lambda: 1, 100)
    return sequencer.sequence([batch(engine, 7, 1, [deposit(1, "a"), deposit(2, "b")])]).blocks[0]


def test_a_block_that_gives_other_bytes_is_named_with_the_place() -> None:
    block = one_block(defined_engine())
    data = bytearray(block.data)
    data[-8 - 104 + 64] ^= 1  # in the last event
    with pytest.raises(Diverged, match=rf"Block 4 gives other bytes here .* from byte \d+ of {len(data)} on"):
        re_executed(defined_engine(), Block.decode(bytes(data)))


def test_commands_that_no_engine_takes_diverge() -> None:
    block = one_block(defined_engine())
    data = bytearray(block.data)
    data[80 + 24] = 99  # the kind of the first command
    with pytest.raises(Diverged, match="holds commands that this engine would not take"):
        re_executed(defined_engine(), Block.decode(bytes(data)))
