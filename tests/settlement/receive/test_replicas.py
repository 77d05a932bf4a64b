"""Settlement from several replicas: the first copy of a block is accepted, and a replica that differs is refused."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import cycle

import pytest
from structlog.testing import capture_logs

from exchange_site.operations.free_addresses import free_zmq_address
from matching.client.client import Client
from matching.core.blocks import Block
from matching.core.epochs import Epoch
from matching.core.errors import MatchingError
from matching.feed.replica_feeds import ReplicaFeeds
from matching.storage.history import StoredUpTo
from matching.transport import wire
from matching.transport.engine_roles import REPLICA
from matching.workloads.btc_usd import DEFINITIONS
from settlement.errors import ChainBroken, ChainConflict
from settlement.receive.chain import Chain
from settlement.stores.base import Checkpoint, Store
from tests.matching.histories import STORE, MemoryHistory
from tests.matching.memory_log import Shared, command_log
from tests.matching.small_exchange import Running, deposit, leader_with, plan, replica_with, services, until
from tests.settlement.chains import chain_of, in_epoch
from tests.settlement.conftest import Settle
from tests.settlement.fakes import FakeClock, ScriptedFeed, feed_of

NOTHING_YET = Checkpoint(0, 0, 0)
FIRST = Epoch(1, 1, 0, "memory:test", "", "", "", 0)
BLOCKS = chain_of([*DEFINITIONS, *[deposit(1, f"{at}") for at in range(4)]], block_size=1).blocks


def copy(block: Block, origin: str) -> Block:
    return replace(block, origin=origin)


def other(block: Block, prev_hash: int, origin: str) -> Block:
    """A valid block of a replica whose chain differs: the same commands at another time."""
    (made,) = in_epoch([block], 1, prev_hash)
    changed = Block.encode(
        number=made.number,
        timestamp_ns=made.timestamp_ns + 1,
        first_command_sequence=made.first_command_sequence,
        first_event_sequence=made.first_event_sequence,
        prev_hash=prev_hash,
        requests=made.requests,
        commands=made.commands,
        events=made.events,
        texts=made.texts,
    )
    return replace(changed, origin=origin)


class Refusals:
    """A `Refuse` callback that records its calls; `left` is the number of replicas that are not refused."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.reasons: dict[str, str] = {}

    def __call__(self, origin: str, reason: str) -> bool:
        if self.left < 2:
            return False
        self.left -= 1
        self.reasons[origin] = reason
        return True


def numbers(blocks: list[Block]) -> list[int]:
    return [block.number for block in blocks]


def chain(refuse: Refusals) -> Chain:
    return Chain(NOTHING_YET, [FIRST], 100, refuse)


def test_an_equal_copy_is_a_repeat() -> None:
    refused = Refusals(2)
    ready, repeated = chain(refused).accept(
        [copy(block, name) for block in BLOCKS for name in ("a", "b")], lambda _: None
    )
    assert (numbers(ready), repeated, refused.reasons) == (numbers(BLOCKS), True, {})


def test_a_replica_that_differs_from_the_first_copy_is_refused_and_the_chain_continues() -> None:
    refused = Refusals(2)
    received = [copy(BLOCKS[0], "a"), other(BLOCKS[0], 0, "b"), other(BLOCKS[1], 0, "b"), copy(BLOCKS[1], "a")]
    ready, _ = chain(refused).accept(received, lambda _: None)
    assert [block.data for block in ready] == [block.data for block in BLOCKS[:2]]
    assert list(refused.reasons) == ["b"]
    assert "Block 1 was received again with other bytes" in refused.reasons["b"]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_of_early_copies_the_one_that_continues_the_chain_is_accepted(order: tuple[str, str]) -> None:
    refused = Refusals(2)
    early = {"a": copy(BLOCKS[1], "a"), "b": other(BLOCKS[1], 99, "b")}
    ready, _ = chain(refused).accept([*(early[name] for name in order), copy(BLOCKS[0], "a")], lambda _: None)
    assert (numbers(ready), list(refused.reasons)) == ([1, 2], ["b"])


def test_early_blocks_of_a_refused_replica_are_dropped() -> None:
    refused = Refusals(2)
    one = chain(refused)
    ready, _ = one.accept([other(BLOCKS[2], 5, "b"), other(BLOCKS[0], 0, "a")], lambda _: None)
    assert numbers(ready) == [1]
    one.accept([replace(other(BLOCKS[1], 7, "b"), origin="b")], lambda _: None)
    assert (list(refused.reasons), one.newest_early) == (["b"], 0)


def test_a_replica_that_sends_bytes_with_a_wrong_hash_is_refused() -> None:
    refused = Refusals(2)
    data = bytearray(BLOCKS[0].data)
    data[-1] ^= 1
    damaged = replace(Block.decode(bytes(data)), origin="b")
    ready, _ = chain(refused).accept([damaged, copy(BLOCKS[0], "a")], lambda _: None)
    assert (numbers(ready), list(refused.reasons)) == ([1], ["b"])


def test_the_last_replica_that_differs_is_an_incident() -> None:
    refused = Refusals(1)
    one = chain(refused)
    one.accept([copy(BLOCKS[0], "a")], lambda _: None)
    with pytest.raises(ChainConflict, match="Block 1 was received again with other bytes"):
        one.accept([other(BLOCKS[0], 0, "b")], lambda _: None)
    with pytest.raises(ChainBroken):
        chain(refused).accept([other(BLOCKS[0], 99, "b")], lambda _: None)


def test_a_replica_that_is_behind_what_is_durable_is_no_conflict(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    settle(store, feed_of(clock, BLOCKS))
    behind = ScriptedFeed(clock, [[BLOCKS[1]], [BLOCKS[2]]], announced=3, role=REPLICA, epoch=1)
    settle(store, behind)
    assert store.appended().block_number == len(BLOCKS)
    assert behind.requests == []
    assert behind.confirmed[-1] == len(BLOCKS)


def test_a_block_that_only_a_crashed_replica_has_sent_is_not_a_gap(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    feed = ScriptedFeed(clock, [BLOCKS[:3], [BLOCKS[6]]], announced=3, role=REPLICA, epoch=1)
    settle(store, feed)
    assert (store.appended().block_number, feed.requests) == (3, [])


# Real replicas, over real sockets


@contextmanager
def replicas_of(shared: Shared, count: int) -> Iterator[list[Running]]:
    history = MemoryHistory()
    with ExitStack() as opened:
        yield [
            opened.enter_context(replica_with(plan(), services(history), opened.enter_context(command_log(shared))))
            for _ in range(count)
        ]


@contextmanager
def listening(running: list[Running], *more: str) -> Iterator[ReplicaFeeds]:
    feeds = ReplicaFeeds([*(one.commands for one in running), *more])
    try:
        yield feeds
    finally:
        feeds.close()


def until_settled(feeds: ReplicaFeeds, one: Chain, number: int) -> None:
    """Confirms accepted blocks and requests missing ones, as the worker does."""

    def is_settled() -> bool:
        ready, _ = one.accept(feeds.receive(0.02, 100), lambda _: None)
        for block in ready:
            feeds.confirm(wire.Confirmation(block.number, block.hash, STORE))
        if not ready and feeds.newest() >= one.next_number:
            feeds.request(one.next_number, feeds.newest())
        return one.head.block_number >= number

    until(is_settled, f"block {number}")


def test_a_replica_that_differs_is_refused_by_address_and_the_others_are_read() -> None:
    with replicas_of(Shared(), 2) as running, listening(running) as feeds, capture_logs() as logs:
        good, bad = running
        one = Chain(NOTHING_YET, [FIRST], 100, feeds.refuse)
        with Client(good.commands) as client:
            client.call(DEFINITIONS)
            until_settled(feeds, one, 3)
            until(lambda: bad.parts.engine.block_number == 3, "the other replica")
            bad.parts.engine.state_hash ^= 1
            client.call([deposit(1, "differs")])
            until(lambda: _reads(feeds, one) and (feeds.refused() or one.head.block_number < 4), "a refusal")
            until(lambda: _reads(feeds, one) and feeds.refused(), "a refusal")
            before = one.head.block_number
            client.call([deposit(1, f"{at}") for at in range(3)])
            (named,) = feeds.refused()
            assert named in (good.commands, bad.commands)
            until_settled(feeds, one, before + 1)
            assert named not in _reachable(feeds)
        assert [entry["replica"] for entry in logs if entry["log_level"] == "error"] == [named]
        assert not feeds.refuse(next(iter({good.commands, bad.commands} - {named})), "It differs, too.")


def _reads(feeds: ReplicaFeeds, one: Chain) -> bool:
    ready, _ = one.accept(feeds.receive(0.02, 100), lambda _: None)
    if ready:
        feeds.confirm(wire.Confirmation(ready[-1].number, ready[-1].hash, STORE))
    return True


def test_a_replica_that_was_refused_is_read_again_after_a_restart() -> None:
    shared, history, at = Shared(), MemoryHistory(), plan()
    with ExitStack() as opened:
        steady = opened.enter_context(
            replica_with(plan(), services(history), opened.enter_context(command_log(shared)))
        )
        with listening([steady], at.addresses.commands) as feeds:
            with command_log(shared) as log, replica_with(at, services(history), log):
                until(lambda: feeds.receive(0.02, 10) or len(_reachable(feeds)) == 2, "both")
                assert feeds.refuse(at.addresses.commands, "It differs.")
                assert list(feeds.refused()) == [at.addresses.commands]
            with command_log(shared) as log, replica_with(at, services(history), log):
                until(lambda: feeds.receive(0.02, 10) or not feeds.refused(), "its refusal to end")
                until(lambda: feeds.receive(0.02, 10) or len(_reachable(feeds)) == 2, "both")


def test_a_leader_that_was_refused_is_read_again_after_a_restart() -> None:
    """A leader that has taken over from the replicas reports no instance."""
    history, at = MemoryHistory(), plan()
    with listening([], at.addresses.commands, plan().addresses.commands) as feeds:
        with leader_with(at, services(history)):
            until(lambda: feeds.receive(0.02, 10) or _reachable(feeds), "the leader")
            assert feeds.refuse(at.addresses.commands, "It differs.")
        with leader_with(at, services(history)):
            until(lambda: feeds.receive(0.02, 10) or not feeds.refused(), "its refusal to end")


def _reachable(feeds: ReplicaFeeds) -> list[str]:
    return [member.address for member in feeds._members if member.status() is not None and member.is_reachable]


def test_blocks_come_from_the_reachable_replicas_and_a_restarted_one_is_found_again() -> None:
    shared, history = Shared(), MemoryHistory()
    first, second = plan(), plan()
    one = Chain(NOTHING_YET, [FIRST], 100)
    with listening([], first.addresses.commands, second.addresses.commands) as feeds, ExitStack() as opened:
        with (
            command_log(shared) as log,
            replica_with(first, services(history), log),
            Client(first.addresses.commands) as client,
        ):
            client.call(DEFINITIONS)
            until_settled(feeds, one, 3)
        with (
            command_log(shared) as log,
            replica_with(second, services(history), log),
            Client(second.addresses.commands) as client,
        ):
            client.call([deposit(1, "alone")])
            until_settled(feeds, one, 4)
            again = opened.enter_context(
                replica_with(first, services(history), opened.enter_context(command_log(shared)))
            )
            until(lambda: feeds.receive(0.02, 10) or len(_reachable(feeds)) == 2, "both")
            until(lambda: feeds.receive(0.02, 10) or again.parts.ring.confirmed == 4, "its ring to be confirmed")
        assert feeds.silent_for_s() < 5


def test_an_invalid_address_is_refused() -> None:
    with pytest.raises(MatchingError, match="nonsense is not an address"):
        ReplicaFeeds([free_zmq_address(), "nonsense"])


def test_a_replica_that_uses_another_store_is_refused_by_address() -> None:
    """Its ring would fill up, because no confirmation counts for it."""
    other = MemoryHistory()
    other.store_identity = lambda: bytes(16)  # type: ignore[method-assign]
    shared = Shared()
    with (
        replicas_of(shared, 1) as (good,),
        command_log(shared) as log,
        replica_with(plan(), services(other), log) as bad,
        listening([good, bad]) as feeds,
    ):
        one = Chain(NOTHING_YET, [FIRST], 100, feeds.refuse)
        with Client(good.commands) as client:
            client.call(DEFINITIONS)
        until_settled(feeds, one, 3)
        until(lambda: _reads(feeds, one) and feeds.refused(), "a refusal")
        assert feeds.refused() == {bad.commands: "This engine uses another store."}
        assert feeds.refusal() is None


def test_the_only_replica_that_uses_another_store_is_told_to_settlement() -> None:
    other = MemoryHistory()
    other.store_identity = lambda: bytes(16)  # type: ignore[method-assign]
    shared = Shared()
    with command_log(shared) as log, replica_with(plan(), services(other), log) as bad, listening([bad]) as feeds:
        one = Chain(NOTHING_YET, [FIRST], 100, feeds.refuse)
        with Client(bad.commands) as client:
            client.call(DEFINITIONS)
        until_settled(feeds, one, 3)
        until(lambda: _reads(feeds, one) and feeds.refusal(), "a refusal")
        assert feeds.refused() == {}


def test_a_replica_that_lags_by_more_than_settlement_remembers_reads_what_is_stored() -> None:
    shared, small = Shared(), plan(ring_blocks=2)
    with replicas_of(shared, 1) as (ahead,):
        with Client(ahead.commands) as client:
            client.call([*DEFINITIONS, *[deposit(1, f"{at}") for at in range(3)]])
        last = ahead.parts.engine.block_number
        read = cycle([StoredUpTo(number, ahead.parts.ring.hash_of(number) or 0) for number in range(1, last + 1)])
        with command_log(shared) as log:
            own = services(MemoryHistory(), stored=lambda: next(read))
            with replica_with(small, own, log) as behind:
                assert behind.parts.engine.block_number == last


def test_only_blocks_that_a_slow_replica_has_made_are_confirmed_to_it() -> None:
    """Without these confirmations a small ring would stay full: blocks are confirmed before the replica makes them."""
    shared, small = Shared(), plan(ring_blocks=2)
    one, done = Chain(NOTHING_YET, [FIRST], 100), threading.Event()
    with replicas_of(shared, 1) as (ahead,), listening([ahead], small.addresses.commands) as feeds:
        with Client(ahead.commands) as client:
            client.call([*DEFINITIONS, *[deposit(1, f"{at}") for at in range(3)]])
        until_settled(feeds, one, ahead.parts.engine.block_number)

        def listen() -> None:
            while not done.is_set():
                _reads(feeds, one)

        settling = threading.Thread(target=listen)
        settling.start()
        try:
            with command_log(shared) as log, replica_with(small, services(MemoryHistory()), log) as behind:
                assert behind.parts.engine.block_number == ahead.parts.engine.block_number
        finally:
            done.set()
            settling.join()
