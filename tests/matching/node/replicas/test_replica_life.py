"""Replicas that join, fall behind, are replaced or lose their log, and the answers to clients meanwhile."""

import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from matching.client.client import Client
from matching.client.connection import Connection
from matching.core.epochs import Epoch, Superseded
from matching.core.errors import EngineRefused, NoAnswer
from matching.feed.reader import Feed
from matching.node import process
from matching.node.recovery import CannotLead
from matching.node.replicas.replica import CATCHING_UP, UNCERTAIN
from matching.node.status import HALTED, StatusBoard
from matching.storage.disk import LocalDisk
from matching.storage.input_logs import frames
from matching.storage.snapshot_files import DirectWriter, SnapshotFolder, Snapshotter
from matching.transport import wire
from matching.workloads.btc_usd import BTC, DEFINITIONS
from tests.matching.histories import STORE, MemoryHistory
from tests.matching.memory_log import Shared, command_log
from tests.matching.replicas import blocks, replicas, settle, until_equal
from tests.matching.small_exchange import (
    PATIENCE_S,
    Running,
    batch,
    confirmation,
    deposit,
    leader_with,
    plan,
    replica_with,
    services,
    trading,
    until,
    until_heard,
)


def test_a_replica_restarts_from_a_snapshot_and_its_position_in_the_log(tmp_path: Path) -> None:
    shared, history = Shared(), MemoryHistory()
    folder = SnapshotFolder(LocalDisk(), tmp_path, 3)
    with replicas(shared, history, count=1) as ((one, _),), Client(one.commands) as client:
        snapshotter = Snapshotter(folder, DirectWriter(folder), 2)
        with command_log(shared) as log, replica_with(plan(), services(history, snapshotter=snapshotter), log) as other:
            client.call([*DEFINITIONS, deposit(1, "before")])
            until_equal(one, other)
        settle(history, one)
        client.call([deposit(1, "meanwhile")])
        snapshotter = Snapshotter(folder, DirectWriter(folder), 2)
        with command_log(shared) as log, replica_with(plan(), services(history, snapshotter=snapshotter), log) as again:
            assert again.parts.recovered is not None
            assert again.parts.recovered.snapshot_block >= 2
            client.call([deposit(1, "after")])
            until_equal(one, again)
            assert [block.data for block in blocks(again)] == [block.data for block in blocks(one)]
            assert [epoch.number for epoch in history.begun] == [1]


def test_a_snapshot_ahead_of_the_store_is_not_used(tmp_path: Path) -> None:
    """If all replicas started from it, no process would have the blocks between the store and the snapshot."""
    shared, history = Shared(), MemoryHistory()
    folder = SnapshotFolder(LocalDisk(), tmp_path, 3)
    for _ in range(2):
        own = services(history, snapshotter=Snapshotter(folder, DirectWriter(folder), 1))
        with command_log(shared) as log, replica_with(plan(), own, log) as one, Client(one.commands) as client:
            client.call([*DEFINITIONS, deposit(1, "once")])
            assert one.parts.ring.first == 1
            assert one.parts.engine.balances() == [(1, "BTC", 1000_00000000, 0)]


def test_a_replica_does_not_join_before_the_block_that_its_epoch_begins_after() -> None:
    """The epoch began after blocks that are only in a spill, which this replica cannot read."""
    history, shared = MemoryHistory(), Shared()
    with leader_with(plan(), services(history)) as old, Client(old.commands) as client:
        client.call(DEFINITIONS)
        settle(history, old)
    with command_log(shared) as log, replica_with(plan(), services(history, take_over=True), log) as one:
        assert [epoch.first_block for epoch in history.begun] == [1, 4]
        assert one.parts.engine.block_number == 3
    spilled = history.kept.pop()
    lacks = pytest.raises(CannotLead, match=r"Epoch 2 begins after block 3, but .* only up to 2: let")
    with command_log(shared) as log, lacks, replica_with(plan(), services(history), log):
        raise AssertionError
    history.kept.append(spilled)
    history.begun[-1] = history.begun[-1]._replace(prev_hash=1)
    other = pytest.raises(CannotLead, match="Block 3 here differs from the one that epoch 2 begins after")
    with command_log(shared) as log, other, replica_with(plan(), services(history), log):
        raise AssertionError


def test_two_replicas_that_start_at_once_share_one_epoch() -> None:
    class Slow(MemoryHistory):
        """Another replica begins the epoch after this one has read the epochs and before it begins its own."""

        def begin_epoch(self, epoch: Epoch) -> bool:
            if not self.begun:
                super().begin_epoch(epoch._replace(commands="tcp://127.0.0.1:1"))
            return super().begin_epoch(epoch)

    history = Slow()
    with replicas(Shared(), history, count=1) as ((one, _),), Client(one.commands) as client:
        client.call([BTC])
        assert [epoch.commands for epoch in history.begun] == ["tcp://127.0.0.1:1"]
        assert blocks(one)[0].epoch == 1


def test_an_earlier_leader_is_taken_over_only_on_request() -> None:
    history, shared = MemoryHistory(), Shared()
    with leader_with(plan(), services(history)) as old, Client(old.commands) as client:
        client.call(DEFINITIONS)
        settle(history, old)
    with command_log(shared) as log:
        refused = pytest.raises(CannotLead, match="does not read the log memory:test: start this one with --take-over")
        with refused, replica_with(plan(), services(history), log):
            raise AssertionError
        with replica_with(plan(), services(history, take_over=True), log) as one, Client(one.commands) as client:
            assert client.call([deposit(1, "x")])[0].command_sequence == 4
            assert (blocks(one)[-1].epoch, blocks(one)[-1].number) == (2, 4)


def test_a_replica_stops_when_an_engine_that_does_not_read_its_log_has_taken_over() -> None:
    newer = Epoch(2, 1, 0, "another", "tcp://127.0.0.1:9", "", "", 0)
    told: list[Epoch] = []
    own = services(MemoryHistory(), superseded=lambda: told[-1] if told else None)
    with command_log(Shared()) as log, replica_with(plan(), own, log) as one:
        told.append(newer)
        one.thread.join(PATIENCE_S)
        assert isinstance(one.failures[0], Superseded)
        assert "another at tcp://127.0.0.1:9 has begun epoch 2" in str(one.failures[0])


def test_a_replica_that_catches_up_answers_status_requests_and_stops_when_it_is_replaced() -> None:
    shared, history = Shared(), MemoryHistory()
    with replicas(shared, history, count=1) as ((one, _),), Client(one.commands) as client:
        client.call([*DEFINITIONS, *(deposit(1, f"{at}") for at in range(10))])
    told: list[Epoch] = []
    seen: list[str] = []

    def joined(parts: process.Parts) -> None:
        seen.append(parts.board.halted)
        told.append(Epoch(2, 1, 0, "another", "tcp://127.0.0.1:9", "", "", 0))

    own = services(history, superseded=lambda: told[-1] if told else None)
    replaced = pytest.raises(Superseded, match=r"another at tcp://127\.0\.0\.1:9 has begun epoch 2")
    with command_log(shared) as log, replaced, replica_with(plan(ring_blocks=4), own, log, joined):
        raise AssertionError
    assert seen == [CATCHING_UP]


def test_a_replica_takes_commands_only_after_it_caught_up_and_read_the_epochs_again() -> None:
    shared, history = Shared(), MemoryHistory()
    with replicas(shared, history, count=1) as ((one, _),), Client(one.commands) as client:
        client.call([*DEFINITIONS, deposit(1, "before")])
    asked_s = [time.monotonic()]
    boards: list[StatusBoard] = []
    own = replace(services(history), known_s=lambda: asked_s[-1])

    def ask() -> None:
        until(lambda: boards and boards[0].halted == UNCERTAIN, "all to be applied")
        asked_s.append(time.monotonic())

    asking = threading.Thread(target=ask)
    asking.start()
    with (
        command_log(shared) as log,
        replica_with(plan(), own, log, lambda parts: boards.append(parts.board)) as one,
        Client(one.commands) as client,
    ):
        assert len(asked_s) == 2
        assert client.call([deposit(1, "after")])[0].rejected is None
    asking.join()


def test_a_full_ring_stops_reading_until_settlement_confirms() -> None:
    shared = Shared()
    with replicas(shared, MemoryHistory(), count=1, ring_blocks=4) as ((one, _),), Client(one.commands) as client:
        client.call([*DEFINITIONS, deposit(1, "1")])
        named = f"its ENGINE_REPLICAS: is {one.commands} among them"
        with _impatient(one) as other, pytest.raises(EngineRefused, match=f"{HALTED} .*{named}"):
            other.call([deposit(1, "2")])
        of_another = batch(one.parts.engine, 900, 1, [deposit(1, "3")])
        shared.put(b"", frames.encode([of_another.payload]))
        feed = Feed(one.plan.addresses.blocks, one.plan.addresses.retransmission)
        try:
            until_heard(feed, feed.status, "a heartbeat")
            before = feed.status()
            until_heard(feed, lambda: feed.status() is not before, "another heartbeat")
            assert feed.newest() == 4
            feed.confirm(confirmation(one, 4))
            assert client.call([deposit(1, "4")])[0].rejected is None
            until_heard(feed, lambda: feed.newest() == 6, "both blocks")
        finally:
            feed.close()


def _impatient(one: Running) -> Client:
    return Client(one.commands, timeout_s=0.5)


def test_a_batch_whose_write_is_uncertain_is_not_refused_and_is_applied_once() -> None:
    shared = Shared()
    with replicas(shared, MemoryHistory(), count=1) as ((one, log),):
        with Client(one.commands) as client:
            client.call(DEFINITIONS)
        with Client(one.commands, timeout_s=0.6) as client:
            log.holds_back = True
            with pytest.raises(NoAnswer):
                client.call([deposit(1, "in doubt")])
            assert len(log.held) == 1, "it was asked for again, and not sent twice"
            log.holds_back = False
            log.given_up = [log.held[0][0]]
            (done,) = client.retry()
            shared.put(*log.held[0])  # the uncertain write succeeded
            assert done.rejected is None
            client.call([deposit(1, "next")])
        assert one.parts.engine.balances() == [(1, "BTC", 2000_00000000, 0)]


def test_an_unreachable_log_halts_a_replica_with_a_reason() -> None:
    with replicas(Shared(), MemoryHistory(), count=1) as ((one, log),), Client(one.commands) as client:
        client.call(DEFINITIONS)
        log.away_because = "Kafka at nowhere does not answer."
        until(lambda: client.status()["halted_reason"] == log.away_because, "the replica to halt")
        with _impatient(one) as other, pytest.raises(EngineRefused, match="Kafka at nowhere does not answer"):
            other.call([deposit(1, "1")])
        log.away_because = ""
        assert client.call([deposit(1, "2")])[0].rejected is None


def test_batches_that_the_log_does_not_accept_are_refused() -> None:
    with replicas(Shared(), MemoryHistory(), count=1) as ((one, log),):
        with Client(one.commands) as client:
            client.call(DEFINITIONS)
        log.takes = False
        with _impatient(one) as other, pytest.raises(EngineRefused, match="The log's queue is full"):
            other.call([deposit(1, "1")])
        log.takes = True
        with Client(one.commands) as client:
            assert client.call([deposit(1, "1")])[0].rejected is None


def test_a_replica_is_ready_when_it_has_applied_the_whole_log() -> None:
    shared = Shared()
    with replicas(shared, MemoryHistory(), count=1) as ((one, _),), Client(one.commands) as client:
        client.call([*DEFINITIONS, *trading(200)])
        made = blocks(one)
    with replicas(shared, MemoryHistory(), count=1) as ((one, _),):
        assert [block.data for block in blocks(one)] == [block.data for block in made]
        assert not one.parts.board.halted


def test_a_replica_without_room_for_the_whole_log_reports_that_until_settlement_confirms() -> None:
    shared, starting = Shared(), plan(ring_blocks=4)
    with replicas(shared, MemoryHistory(), count=1) as ((one, _),), Client(one.commands) as client:
        client.call([*DEFINITIONS, *trading(200)])
        last = one.parts.engine.block_number
    feed = Feed(starting.addresses.blocks, starting.addresses.retransmission)
    told: list[str] = []

    def confirm() -> None:
        while not told or told[-1]:
            feed.receive(0.02, 100)
            status = feed.status()
            if status is not None:
                told.append(status.fields["halted_reason"] or "")
                feed.confirm(wire.Confirmation(status.block_number, status.state_hash, STORE))

    settling = threading.Thread(target=confirm)
    settling.start()
    with command_log(shared) as log, replica_with(starting, services(MemoryHistory()), log) as one:
        settling.join(PATIENCE_S)
        feed.close()
        assert one.parts.engine.block_number == last
        assert any(reason.startswith((HALTED, CATCHING_UP)) for reason in told)


def test_a_client_switches_to_another_replica_and_nothing_is_applied_twice() -> None:
    shared, history = Shared(), MemoryHistory()
    with replicas(shared, history) as made, ExitStack() as others:
        ((one, one_log), (other, other_log)) = made
        client = others.enter_context(Client(f"{one.commands},{other.commands}", timeout_s=PATIENCE_S))
        client.call(DEFINITIONS)
        at_hand, beside = (one_log, other) if client.connection.address == one.commands else (other_log, one)
        at_hand.away_because = "Kafka at nowhere does not answer."
        until(lambda: client.status()["halted"], "the replica to halt")
        assert client.call([deposit(1, "moved")])[0].rejected is None
        assert client.connection.address == beside.commands
        assert beside.parts.engine.balances() == [(1, "BTC", 1000_00000000, 0)]
        for _ in range(5):
            with Client(f"{one.commands},{other.commands}") as newcomer:
                assert newcomer.connection.address == beside.commands


def test_a_replica_cannot_be_promoted() -> None:
    with replicas(Shared(), MemoryHistory(), count=1) as ((one, _),):
        connection = Connection(one.commands, failover=False)
        try:
            answer = connection.ask(wire.PROMOTE_FORCED)
        finally:
            connection.close()
        assert (answer["ok"], "none can be promoted" in answer["message"]) == (False, True)
