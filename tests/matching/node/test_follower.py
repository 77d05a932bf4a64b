from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from matching.client.client import Client
from matching.client.connection import Connection
from matching.client.edge import BatchBuilder, Edge
from matching.core import layout
from matching.core.blocks import Block
from matching.core.errors import Diverged, EngineRefused, HashMismatch
from matching.core.registry import Registry
from matching.feed.reader import Feed
from matching.node.follower import re_executed
from matching.storage.disk import LocalDisk
from matching.storage.ring import Ring
from matching.storage.snapshot_files import DirectWriter, SnapshotFolder, Snapshotter
from matching.transport import wire
from matching.workloads.btc_usd import BTC, DEFINITIONS
from tests.matching.histories import MemoryHistory
from tests.matching.small_exchange import (
    Running,
    confirmation,
    defined_engine,
    deposit,
    follower,
    follower_with,
    leader,
    leader_with,
    plan,
    services,
    trading,
    until,
)
from tests.matching.stages import LEADER, Stage, empty_batch, one_block


def held(running: Running) -> list[bytes]:
    ring = running.parts.ring
    return [block.data for number in range(1, ring.last + 1) if (block := ring.get(number))]


def test_a_follower_publishes_the_same_bytes(running_leader: Running) -> None:
    with Client(running_leader.commands) as client:
        client.call([*DEFINITIONS, *trading(50)])  # before the follower starts: requested later
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


def test_a_follower_takes_no_commands_and_names_its_leader(running_leader: Running) -> None:
    with follower(plan(), running_leader.commands) as second:
        follower_heard(running_leader, second)
        with closing(Connection(second.commands, failover=False, timeout_s=0.3)) as connection:
            builder = BatchBuilder(Edge(Registry()))
            builder.add(BTC)
            connection.send(*builder.take())
            with pytest.raises(EngineRefused, match="send them to the leader") as caught:
                connection.receive(5)
            assert caught.value.code == "follower"
        with Client(second.commands) as client:  # redirected to the leader
            assert client.call(DEFINITIONS)[2].rejected is None
            assert client.connection.address == running_leader.commands


def follower_heard(first: Running, second: Running) -> None:
    with Client(first.commands) as client:
        until(lambda: client.status()["followers"], "the follower to announce itself")
        assert client.status()["followers"] == [asdict(second.plan.addresses)]


def test_a_followers_ring_drops_old_blocks_and_never_halts_it(running_leader: Running) -> None:
    with follower(plan(ring_blocks=5), running_leader.commands) as second, Client(running_leader.commands) as client:
        client.call(DEFINITIONS)
        for number in range(20):
            client.call([deposit(1, f"{number}")])
        until(lambda: second.parts.ring.last == 23, "the follower to catch up")
        assert (second.parts.ring.first, len(second.parts.ring), second.parts.board.halted) == (19, 5, "")


@contextmanager
def small_leader(tmp_path: Path) -> Iterator[Running]:
    """A leader that has dropped its first blocks and makes a snapshot on request."""
    folder = SnapshotFolder(LocalDisk(), tmp_path / "leader", 1)
    own = services(MemoryHistory(), snapshotter=Snapshotter(folder, DirectWriter(folder), 0))
    with leader_with(plan(ring_blocks=4), own) as running, Client(running.commands) as client:
        client.call(DEFINITIONS)
        confirming(running, client, range(4, 9))
        yield running


def confirming(running: Running, client: Client, numbers: Sequence[int]) -> None:
    """Makes these blocks, confirming each before the next one."""
    with closing(Feed(running.plan.addresses.blocks, running.plan.addresses.retransmission)) as feed:
        for number in numbers:
            feed.confirm(confirmation(running, number - 1))
            client.call([deposit(1, f"{number}")])
    until(lambda: running.parts.ring.first == numbers[-1] - 3, "the first blocks to be dropped")


def test_followers_that_start_late_join_with_snapshots_one_after_the_other(tmp_path: Path) -> None:
    folder = SnapshotFolder(LocalDisk(), tmp_path / "second", 1)
    own = services(MemoryHistory(), snapshotter=Snapshotter(folder, DirectWriter(folder), 0), engine="second")
    with (
        small_leader(tmp_path) as running,
        Client(running.commands) as client,
        follower_with(plan(), own, running.commands) as second,
    ):
        until(lambda: second.parts.ring.last == 8, "the second to join")
        assert second.parts.ring.first == 8, "settlement has confirmed block 7, and may need what follows"
        with follower(plan(), second.commands) as third:
            until(lambda: third.parts.ring.last == 8, "the third to join")
            confirming(running, client, range(9, 12))
            until(lambda: second.parts.ring.last == third.parts.ring.last == 11, "the followers to go on")
            for late in (second, third):
                assert held(late)[-3:] == held(running)[-3:]
                with Client(late.commands) as other:
                    assert other.state() == client.state()


def test_a_leader_with_another_history_is_not_followed() -> None:
    there = plan()
    with ExitStack() as first:
        with leader(there) as running, Client(running.commands) as client:
            client.call([*DEFINITIONS, deposit(1, "a")])
            second = first.enter_context(follower(plan(), running.commands))
            until(lambda: second.parts.ring.last == 4, "the follower to catch up")
        with leader(there) as running, Client(running.commands) as client:
            # The follower may miss block 1 while it reconnects; it detects that block 4 differs.
            for number in range(10):
                client.call([BTC, deposit(1, f"other {number}")])
            until(lambda: second.failures, "the follower to stop")
    (failure,) = second.failures
    assert isinstance(failure, Diverged | HashMismatch)


DEPOSITS = [deposit(1, "a"), deposit(2, "b")]


def test_a_block_with_other_bytes_is_reported_with_the_position() -> None:
    block = one_block(defined_engine(), DEPOSITS)
    data = bytearray(block.data)
    data[-8 - 104 + 64] ^= 1  # in the last event
    with pytest.raises(
        Diverged, match=r"Re-execution of block 4 gives other bytes: byte \d+, \w+ of event 1: \d+ expected, \d+"
    ):
        re_executed(defined_engine(), Block.decode(bytes(data)))


def test_a_block_with_invalid_commands_counts_as_divergence() -> None:
    block = one_block(defined_engine(), DEPOSITS)
    data = bytearray(block.data)
    data[80 + 40] = 99  # the kind of the first command
    with pytest.raises(Diverged, match="contains commands that this engine refuses"):
        re_executed(defined_engine(), Block.decode(bytes(data)))


def again(stage: Stage, lost: int, epoch: int) -> None:
    """Restarts the leader in another epoch, without the newest `lost` blocks."""
    numbers = range(4, stage.leader.block_number + 1 - lost)
    kept = [block for number in numbers if (block := stage.leader_ring.get(number))]
    stage.leader, stage.leader_ring = defined_engine(), Ring(1000, 1 << 20)
    for block in kept:
        stage.leader_ring.append(stage.leader.follow(block))
    stage.leader.epoch = epoch


def test_blocks_of_an_ended_epoch_are_refused_and_the_right_ones_requested(stage: Stage) -> None:
    old = stage.make(3)
    stage.show(old[0])
    stage.say()
    stage.turn()
    assert stage.to_leader.take_sent(wire.BLOCKS) == [wire.encode_numbers(5, 6)]
    stage.to_leader.inbox.append([wire.BLOCK, old[2].data])
    stage.turn()
    assert stage.follower.engine.block_number == 4
    again(stage, lost=2, epoch=2)
    new = stage.make(3)
    stage.show(new[0])  # block 5, after which the old block 6 would come
    stage.turn()
    assert (stage.follower.engine.block_number, stage.board.counters.refused_blocks) == (5, 1)
    stage.show(old[2])
    stage.say()
    stage.turn()
    assert stage.board.counters.refused_blocks == 2
    assert stage.to_leader.take_sent(wire.BLOCKS)[-1] == wire.encode_numbers(6, 7)
    stage.show(new[1], new[2])
    stage.turn()
    assert (stage.follower.engine.block_number, stage.follower.engine.epoch) == (7, 2)


def test_a_damaged_block_number_does_not_prevent_the_request_for_missing_blocks(stage: Stage) -> None:
    first, lost, last = stage.make(3)
    stage.show(first, replace(last, data=with_number(last, 1 << 60)))
    stage.turn()
    stage.say()
    stage.turn()
    stage.to_leader.take_sent(wire.BLOCKS)
    stage.to_leader.inbox.append([wire.BLOCK, lost.data])
    stage.to_leader.inbox.append([wire.BLOCK, last.data])
    stage.turn()
    assert stage.follower.engine.block_number == 6
    stage.show(stage.make(2)[1])
    stage.turn()
    assert stage.to_leader.take_sent(wire.BLOCKS) == [wire.encode_numbers(7, 7)]


def with_number(block: Block, number: int) -> bytes:
    """The block with another number and its old hash, as after memory damage on the way."""
    header = np.frombuffer(block.data, layout.BLOCK_HEADER, 1).copy()
    header["number"] = number
    return header.tobytes() + block.data[header.nbytes :]


def test_a_leader_that_restarts_without_blocks_stops_the_follower_at_its_heartbeat(stage: Stage) -> None:
    stage.show(*stage.make(2))
    stage.say()
    stage.turn()
    again(stage, lost=1, epoch=2)
    stage.say()
    with pytest.raises(Diverged, match=r"in epoch 2 at block 4 .* at block 5 .* Restart this follower"):
        stage.turn()


def test_a_different_block_of_the_same_number_stops_the_follower(stage: Stage) -> None:
    stage.show(*stage.make(2))
    stage.turn()
    again(stage, lost=1, epoch=2)
    stage.show(*stage.make())
    with pytest.raises(Diverged, match=r"Block 5 came again with other bytes .* Restart this follower"):
        stage.turn()


def test_an_old_heartbeat_does_not_stop_the_follower(stage: Stage) -> None:
    stage.say()
    stage.show(*stage.make(2))
    stage.turn()
    assert stage.follower.engine.block_number == 5


def test_a_follower_announces_itself_each_second(stage: Stage) -> None:
    for _ in range(9):
        stage.turn()
        stage.network.now_s += 0.25
    assert len(stage.to_leader.take_sent(wire.FOLLOWING)) == 3


def test_unconfirmed_blocks_stay_in_a_followers_ring(stage: Stage) -> None:
    stage.say()
    stage.show(*stage.make(3))
    stage.turn()
    assert (stage.ring.confirmed, stage.ring.unconfirmed) == (3, 3)
    stage.say(confirmed=5)
    stage.show(*stage.make())
    stage.turn()
    assert (stage.ring.confirmed, stage.ring.unconfirmed) == (5, 2)


# Promotion


def test_a_follower_of_a_live_leader_needs_force(stage: Stage) -> None:
    stage.say()
    stage.turn()
    stage.feed.receive(1.9, 10)
    stage.ask_promotion()
    stage.turn()
    (answer,) = stage.promotion_answers()
    assert answer == {
        "ok": False,
        "message": "The leader is alive, its last message came 1.9 s ago: stop it first, or use --force.",
    }
    stage.ask_promotion()
    stage.network.now_s += 1
    stage.turn()
    assert stage.promotion_answers() == [answer], "what was decided once is not decided anew"
    stage.ask_promotion(b"2", forced=True)
    stage.turn()
    assert stage.follower.promotion is not None
    assert stage.promotion_answers() == []


def test_a_granted_promotion_is_confirmed_to_every_repeated_request(stage: Stage) -> None:
    stage.say()
    stage.turn()
    stage.feed.receive(2.1, 10)
    for _ in range(2):
        stage.ask_promotion()
    stage.ask_promotion(b"2")
    stage.turn()
    assert stage.promotion_answers() == [{"ok": False, "message": "This follower is being promoted already."}]
    stage.board.role = "leader"
    stage.follower.grant_promotion(2)
    stage.ask_promotion()  # the answer was lost
    stage.endpoint.receive()
    assert stage.promotion_answers() == [{"ok": True, "epoch": 2, "block": 4}] * 2
    stage.ask_promotion(b"3")
    stage.endpoint.receive()
    assert stage.promotion_answers() == [{"ok": False, "message": "This engine leads already."}]


def test_a_follower_continues_after_a_refused_promotion(stage: Stage) -> None:
    stage.ask_promotion(forced=True)
    stage.turn()
    stage.follower.refuse_promotion("Not now.")
    assert stage.promotion_answers() == [{"ok": False, "message": "Not now."}]
    stage.show(*stage.make())
    stage.turn()
    assert (stage.follower.engine.block_number, stage.follower.promotion) == (4, None)


def test_a_promotion_is_refused_while_blocks_exist_only_in_settlements_spill(stage: Stage) -> None:
    stage.make(2)
    stage.say(confirmed=5)
    stage.turn()
    assert "confirmed blocks up to 5 and has written them up to 3: wait" in stage.follower.reason_not_to_lead()
    stage.show(*[block for number in (4, 5) if (block := stage.leader_ring.get(number))])
    stage.turn()
    assert stage.follower.reason_not_to_lead() == ""


def test_a_silent_leader_is_not_named(stage: Stage) -> None:
    for silent_s, named in ((0.0, LEADER.commands), (2.1, "")):
        if not silent_s:
            stage.say()
        stage.turn()
        stage.feed.receive(silent_s, 10)
        stage.commands.inbox.append([b"client", wire.COMMANDS, empty_batch(7)])
        stage.turn()
        (frames,) = stage.commands.take_sent(wire.REFUSED)
        assert wire.decode_refused(frames[0]).leader == named
