"""All replicas make the same blocks from the same command log, whatever it contains."""

from contextlib import closing

import pytest

from matching.client.client import Client
from matching.client.connection import Connection
from matching.core.engine import Engine
from matching.core.errors import EngineRefused, LogUnusable
from matching.node.follower import re_executed
from matching.node.replicas.replica import log_client
from matching.storage.input_logs import frames
from matching.transport.engine_roles import REPLICA
from matching.workloads.btc_usd import BTC, DEFINITIONS
from tests.matching.histories import MemoryHistory
from tests.matching.memory_log import Shared, command_log
from tests.matching.replicas import blocks, replicas, settle, until_equal
from tests.matching.small_exchange import (
    PATIENCE_S,
    batch,
    deposit,
    order,
    plan,
    replica_with,
    services,
    trading,
    until,
)


def test_replicas_make_the_same_blocks_of_interleaved_clients() -> None:
    shared = Shared()
    with replicas(shared, MemoryHistory()) as ((one, _), (other, _)):
        with Client(one.commands) as first, Client(other.commands) as second:
            first.call(DEFINITIONS)
            until_equal(one, other)
            second.refresh()
            for at in range(20):
                assert first.call([deposit(1, f"a-{at}")])[0].rejected is None
                assert second.call([deposit(2, f"b-{at}", asset="USD")])[0].rejected is None
            assert first.call(trading(50)) != second.call([order(2, "buy", "101.00")])
        until_equal(one, other)
        assert [block.data for block in blocks(one)] == [block.data for block in blocks(other)]
        assert one.parts.board.role == REPLICA
        again = Engine()
        for block in blocks(other):
            re_executed(again, block)
        assert again.clients == one.parts.engine.clients
        assert again.clients.log_positions[log_client("memory:test")] == len(shared.messages)


def test_a_message_is_one_block_whatever_the_block_size_of_the_replica() -> None:
    shared = Shared()
    with replicas(shared, MemoryHistory(), count=1) as ((one, log),), Client(one.commands) as client:
        client.call(DEFINITIONS)
        engine, before = one.parts.engine, one.parts.engine.block_number
        batches = [batch(engine, 500 + at, 1, [deposit(1, f"{at}-{each}") for each in range(100)]) for at in range(3)]
        shared.put(b"of another", frames.encode([each.payload for each in batches]))
        until(lambda: one.parts.ring.last > before, "the block")
        assert one.plan.block_commands < 300
        made = blocks(one)[-1]
        assert (made.number, made.command_count, made.timestamp_ns) == (before + 1, 300, shared.messages[-1].time_ns)
        assert made.requests.tolist()[0] == (log_client(log.identity), len(shared.messages) + 1, 0, 0, 0, 0)


def test_a_command_sent_through_both_replicas_is_applied_once_and_answered_twice() -> None:
    with replicas(Shared(), MemoryHistory()) as ((one, _), (other, _)):
        with Client(one.commands) as client:
            client.call(DEFINITIONS)
        until_equal(one, other)
        with Client(one.commands, client_id=77) as first, Client(other.commands, client_id=77) as second:
            done = first.call([deposit(1, "once")])
            assert second.call([deposit(1, "once")]) == done
            assert [result.command_sequence for result in done + second.call([deposit(1, "twice")])] == [4, 5]
        assert other.parts.engine.balances() == [(1, "BTC", 2000_00000000, 0)]


def test_a_batch_in_the_log_twice_is_applied_once() -> None:
    shared = Shared()
    with replicas(shared, MemoryHistory()) as ((one, _), (other, _)), Client(one.commands) as client:
        client.call([*DEFINITIONS, deposit(1, "once")])
        before = one.parts.engine.block_number
        for message in list(shared.messages):
            shared.put(b"again", message.frame)
        client.call([deposit(1, "more")])
        until_equal(one, other)
        assert one.parts.engine.block_number == before + 1
        assert one.parts.board.skipped_messages == 0


def test_a_message_that_the_log_delivers_again_is_ignored() -> None:
    """A batch that was refused as out of order would now be in order, and only this replica would apply it."""
    shared, history = Shared(), MemoryHistory()
    with replicas(shared, history, count=1) as ((one, _),), Client(one.commands) as client:
        client.call(DEFINITIONS)
        engine = one.parts.engine
        for number in (2, 1):
            sent = batch(engine, 900, number, [deposit(1, f"{number}")])
            shared.put(b"", frames.encode([sent.payload]))
        until(lambda: engine.clients.last_number(900, 0) == 1, "the first command")
        settle(history, one)
        with command_log(shared) as log:
            log.rewinds = True
            with replica_with(plan(), services(history), log) as again:
                client.call([deposit(1, "more")])
                until_equal(one, again)
                assert again.parts.engine.clients.last_number(900, 0) == 1


def test_a_message_that_is_not_the_next_one_stops_a_replica_before_it() -> None:
    shared = Shared()
    with replicas(shared, MemoryHistory(), count=1) as ((one, log),), Client(one.commands) as client:
        client.call(DEFINITIONS)
        block, last = one.parts.engine.block_number, len(shared.messages) - 1
        log.skips = True
        for number in (1, 2):
            sent = batch(one.parts.engine, 900, number, [deposit(1, f"{number}")])
            shared.put(b"of another", frames.encode([sent.payload]))
        one.thread.join(PATIENCE_S)
        assert isinstance(one.failures[0], LogUnusable)
        assert f"The log returned message {last + 2} instead of message {last + 1}" in str(one.failures[0])
        assert one.parts.engine.block_number == block


def test_names_that_a_replica_does_not_know_yet_are_validated_when_the_log_is_read() -> None:
    """Another replica has applied the definition, and its client switched to this one, which is behind."""
    shared = Shared()
    with replicas(shared, MemoryHistory()) as ((one, _), (other, log)):
        log.is_behind = True
        with Client(one.commands) as client:
            client.call([*DEFINITIONS, deposit(1, "known")])
            ahead = one.parts.engine
            good, bad = (batch(ahead, 900 + at, 1, [order(1, "sell", "1.00")]) for at in range(2))
        bad.commands["instrument"] = 7
        before = len(shared.messages)
        connections = [Connection(other.commands, client_id=each.client) for each in (good, bad)]
        for connection, each in zip(connections, (good, bad), strict=True):
            connection.send(each.commands, each.texts)
        until(lambda: sum(_batches(message.frame) for message in shared.messages[before:]) == 2, "both in the log")
        log.is_behind = False
        with closing(connections[0]), closing(connections[1]):
            (answered,) = connections[0].receive(PATIENCE_S)
            assert answered.answer.client == 900
            with pytest.raises(EngineRefused, match="an instrument or asset that does not exist"):
                connections[1].receive(PATIENCE_S)
        until_equal(one, other)
        assert one.parts.engine.clients.last_number(900, 0) == 1


def test_batches_that_are_invalid_for_every_replica_are_not_written_to_the_log() -> None:
    shared = Shared()
    with replicas(shared, MemoryHistory(), count=1) as ((one, _),), Client(one.commands) as client:
        client.call(DEFINITIONS)
        before = len(shared.messages)
        bad = batch(one.parts.engine, 900, 1, [order(1, "sell", "1.00")])
        bad.commands["side"] = 9
        with closing(Connection(one.commands, client_id=900)) as connection:
            connection.send(bad.commands, bad.texts)
            with pytest.raises(EngineRefused, match="a side that does not exist"):
                connection.receive(PATIENCE_S)
        assert len(shared.messages) == before


def _batches(frame: bytes) -> int:
    batches = frames.decode(frame)
    assert isinstance(batches, list)
    return len(batches)


def test_all_replicas_skip_the_same_invalid_messages() -> None:
    shared = Shared()
    with replicas(shared, MemoryHistory()) as ((one, _), (other, _)), Client(one.commands) as client:
        client.call(DEFINITIONS)
        engine = one.parts.engine
        good = batch(engine, 900, 1, [deposit(3, "good")]).payload
        unknown = batch(engine, 901, 1, [order(3, "buy", "1.00")])
        unknown.commands["instrument"] = 7
        for bad in (b"", b"no message", frames.encode([good])[:-1], frames.encode([b"no batch"])):
            shared.put(b"", bad)
        shared.put(b"", frames.encode([unknown.payload, good]))
        client.call([deposit(1, "more")])
        until_equal(one, other)
        assert [block.data for block in blocks(one)] == [block.data for block in blocks(other)]
        assert one.parts.board.skipped_messages == other.parts.board.skipped_messages == 5
        assert engine.clients.last_number(900, 0) == 1
        assert engine.clients.get(901) is None


def test_a_message_of_another_version_stops_a_replica_before_it() -> None:
    shared = Shared()
    with replicas(shared, MemoryHistory(), count=1) as ((one, _),):
        frame = bytearray(frames.encode([batch(Engine(), 1, 1, [BTC]).payload]))
        frame[4] += 1
        shared.put(b"", bytes(frame))
        one.thread.join(PATIENCE_S)
        assert isinstance(one.failures[0], LogUnusable)
        assert "Message 0 of the log has format 3 and layout" in str(one.failures[0])
        assert one.parts.engine.block_number == 0
