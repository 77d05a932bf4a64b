import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import zmq

from matching.client.client import Client
from matching.client.connection import Connection
from matching.client.edge import BatchBuilder, Edge
from matching.core import layout
from matching.core.blocks import Block
from matching.core.epochs import Epoch, Superseded
from matching.core.errors import EngineRefused, HashMismatch, LogUnusable
from matching.feed.reader import Feed
from matching.node import process
from matching.node.recovery import CannotLead
from matching.storage.disk import LocalDisk
from matching.storage.history import StoredUpTo
from matching.storage.input_logs.memory import MemoryLog
from matching.storage.input_logs.wal import WalLog
from matching.storage.segments import Segments
from matching.storage.snapshot_files import DirectWriter, SnapshotFolder, Snapshotter
from matching.transport import wire
from matching.transport.sockets import AddressUnusable, RawSocket
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.disks import FillingDisk
from tests.matching.histories import MemoryHistory
from tests.matching.small_exchange import (
    Running,
    confirmation,
    deposit,
    leader,
    leader_with,
    plan,
    services,
    trading,
    until,
    until_heard,
)


def dealer(context: zmq.Context[RawSocket], address: str) -> RawSocket:
    socket = context.socket(zmq.DEALER)
    socket.connect(address)
    return socket


def hear(socket: RawSocket, patience_s: float = 10.0) -> list[bytes]:
    assert socket.poll(int(patience_s * 1000)), "the engine did not answer"
    return socket.recv_multipart()


def refusal(socket: RawSocket, frames: Sequence[bytes]) -> wire.Refused:
    socket.send_multipart(frames)
    verb, payload = hear(socket)
    assert verb == wire.REFUSED
    return wire.decode_refused(payload)


def one_deposit(client: Client, number: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.void]], bytes]:
    builder = BatchBuilder(Edge(client.registry))
    assert builder.add(deposit(1, f"{number}")) is None
    return builder.take()


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b"commands", b"garbage"], "bad_message"),
        ([b"commands", bytes(wire.MAX_BATCH_BYTES + 8)], "too_large"),
        ([b"commands"], "bad_message"),
        ([b"commands", b"", b""], "bad_message"),
        ([b"order", b"1"], "bad_message"),
        ([b"status", bytes(100)], "bad_message"),
        ([b""], "bad_message"),
        ([b"x"] * 5000, "bad_message"),
    ],
)
def test_garbage_is_refused_and_counted(
    running_leader: Running, context: zmq.Context[RawSocket], frames: list[bytes], code: str
) -> None:
    socket = dealer(context, running_leader.commands)
    assert refusal(socket, frames).code == code
    assert running_leader.parts.board.counters.bad_messages == 1
    with Client(running_leader.commands) as client:
        assert client.call(DEFINITIONS)[2].rejected is None


def test_records_that_a_correct_edge_never_produces_are_refused_with_their_number(
    running_leader: Running, context: zmq.Context[RawSocket]
) -> None:
    commands = np.zeros(1, layout.COMMAND)
    commands["kind"] = 99
    socket = dealer(context, running_leader.commands)
    refused = refusal(socket, [wire.COMMANDS, wire.encode_batch(7, 1, commands, b"")])
    assert (refused.code, refused.client, refused.first_number) == ("bad_message", 7, 1)


def test_garbage_on_the_retransmission_socket_is_refused(
    running_leader: Running, context: zmq.Context[RawSocket]
) -> None:
    socket = dealer(context, running_leader.plan.addresses.retransmission)
    for frames in ([b""], [b"blocks"], [b"blocks", bytes(8)], [b"confirm", b"1"], [b"blocks", *[b"\xff" * 8] * 2]):
        assert refusal(socket, frames).code == "bad_message"
    socket.send_multipart([b"status", b"12345678"])
    verb, payload, correlation = hear(socket)
    assert (verb, correlation) == (wire.STATUS, b"12345678")
    assert wire.decode_status(payload).role == "leader"


def test_a_full_ring_halts_the_engine_until_settlement_confirms() -> None:
    with leader(plan(ring_blocks=6)) as running, Client(running.commands, timeout_s=0.3) as client:
        client.call(DEFINITIONS)
        for number in range(3):
            client.call([deposit(1, f"{number}")])
        with pytest.raises(EngineRefused, match="settlement has not confirmed") as caught:
            client.call([deposit(1, "refused")])
        assert caught.value.code == "engine_halted"
        status = client.status()
        assert (status["halted"], status["block"], status["ring"]["unconfirmed_blocks"]) == (True, 6, 6)
        feed = Feed(running.plan.addresses.blocks, running.plan.addresses.retransmission)
        feed.confirm(confirmation(running, 5))
        until(lambda: not client.status()["halted"], "the engine to go on")
        assert client.call([deposit(1, "taken")])[0].command_sequence == 7
        feed.close()


def test_a_halted_engine_still_answers_repeated_batches() -> None:
    with leader(plan(ring_blocks=4)) as running:
        with Client(running.commands, client_id=77) as client:
            client.call(DEFINITIONS)
            done = client.call([deposit(1, "a")])
        with Client(running.commands, client_id=77, first_number=4, timeout_s=0.3) as client:
            assert client.status()["halted"]
            assert client.call([deposit(1, "a")]) == done
            with pytest.raises(EngineRefused):
                client.call([deposit(1, "b")])


def test_a_stream_of_batches_keeps_its_order_across_a_halt() -> None:
    with leader(plan(ring_blocks=10)) as running, Client(running.commands) as client:
        client.call(DEFINITIONS)
        feed = Feed(running.plan.addresses.blocks, running.plan.addresses.retransmission)
        connection = Connection(running.commands, window=8)
        answered = []
        for number in range(60):
            while connection.full:
                answered += connection.receive(0.05)
                feed.confirm(confirmation(running, running.parts.ring.last))
            connection.send(*one_deposit(client, number))
        while connection.in_flight:
            answered += connection.receive(0.05)
            feed.confirm(confirmation(running, running.parts.ring.last))
        connection.close()
        feed.close()
    answered.sort(key=lambda one: one.answer.first_number)
    sequences = [segment.first_command_sequence for one in answered for segment in one.answer.segments]
    assert sequences == list(range(4, 64))


def test_a_client_that_does_not_read_does_not_delay_the_others(
    running_leader: Running, context: zmq.Context[RawSocket]
) -> None:
    with Client(running_leader.commands) as client:
        client.call(DEFINITIONS)
        deaf = context.socket(zmq.DEALER)
        deaf.setsockopt(zmq.RCVHWM, 1)
        deaf.setsockopt(zmq.RCVBUF, 4096)
        deaf.connect(running_leader.commands)
        commands, texts = one_deposit(client, 1)
        payload = wire.encode_batch(7, 1, np.repeat(commands, 1), texts)
        counters = running_leader.parts.board.counters
        deadline = time.monotonic() + 30
        while not counters.lost_answers and time.monotonic() < deadline:
            deaf.send_multipart([wire.COMMANDS, payload])  # the same batch many times: each is answered
        assert counters.lost_answers
        assert client.call([deposit(2, "b")])[0].rejected is None


class FailingLog(MemoryLog):
    def append(self, blocks: Sequence[Block]) -> None:
        raise LogUnusable("The disk is full.")


def test_nothing_is_answered_or_published_when_the_input_log_fails() -> None:
    with leader(plan(), input_log=FailingLog()) as running:
        feed = Feed(running.plan.addresses.blocks, running.plan.addresses.retransmission)
        until_heard(feed, feed.status, "the first heartbeat")
        connection = Connection(running.commands)
        builder = BatchBuilder(Edge(running.parts.engine.registry))
        builder.add(DEFINITIONS[0])
        connection.send(*builder.take())
        until(lambda: running.failures, "the engine to stop")
        assert str(running.failures[0]) == "The disk is full."
        assert connection.receive(0.2) == []
        assert feed.receive(0.2, 10) == []
        connection.close()
        feed.close()


def test_everything_is_recovered_from_the_write_ahead_log(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("data") / "wal"
    with leader(plan(), input_log=WalLog(folder)) as running, Client(running.commands, client_id=77) as client:
        client.call(DEFINITIONS)
        done = client.call(trading(100))
        state = client.state()
    with leader(plan(), input_log=WalLog(folder)) as running:
        with Client(running.commands) as client:
            assert client.state() == state
        with Client(running.commands, client_id=77, first_number=4) as client:
            assert client.call(trading(100)) == done
            assert client.call([deposit(1, "new")])[0].command_sequence == 106


def test_blocks_in_the_store_are_re_executed_at_the_start() -> None:
    with leader(plan()) as running, Client(running.commands) as client:
        client.call([*DEFINITIONS, *trading(100)])
        state = client.state()
        held = [block for number in range(1, running.parts.ring.last + 1) if (block := running.parts.ring.get(number))]

    def settled() -> Iterator[Block]:
        yield from held

    with leader(plan(), settled=settled) as running, Client(running.commands) as client:
        assert client.state() == state
        assert client.status()["ring"]["unconfirmed_blocks"] == 0


def test_a_socket_file_in_use_is_not_removed(tmp_path: Path) -> None:
    where = wire.Addresses(*(f"ipc://{tmp_path}/{name}" for name in ("commands", "blocks", "retransmission")))
    here = process.Plan(where, 100, 1 << 20, 64)
    for _ in range(2):  # a leftover file is reused
        with leader(here) as running, Client(running.commands) as client:
            with pytest.raises(AddressUnusable, match="another process listens there already"), leader(here):
                pass
            assert client.call(DEFINITIONS)[2].rejected is None


def test_a_store_without_the_first_block_is_refused() -> None:
    with leader(plan()) as running, Client(running.commands) as client:
        client.call(DEFINITIONS)
        second = running.parts.ring.get(2)
        assert second is not None
    with (
        pytest.raises(HashMismatch, match="Expected block 1, received block 2"),
        leader(plan(), settled=lambda: [second]),
    ):
        pass


def test_a_busy_address_is_one_sentence(running_leader: Running) -> None:
    with pytest.raises(AddressUnusable, match="another process listens there already"), leader(running_leader.plan):
        pass


# A full disk


def test_a_full_disk_halts_the_engine_and_nothing_is_lost(tmp_path: Path) -> None:
    disk = FillingDisk()
    with (
        leader(plan(), input_log=WalLog(tmp_path, disk)) as running,
        Client(running.commands, client_id=77) as client,
        Client(running.commands, timeout_s=0.5) as other,
    ):
        client.call(DEFINITIONS)
        before = client.state()
        disk.is_full = True
        connection = Connection(running.commands, client_id=78)
        connection.send(*one_deposit(client, 1))
        until(lambda: client.status()["halted"], "the engine to halt")
        with pytest.raises(
            EngineRefused, match=f"The disk under {tmp_path} is full.*no commands until there is"
        ) as told:
            other.call([deposit(2, "refused")])
        assert told.value.code == wire.ENGINE_HALTED
        assert connection.receive(0.7) == [], "asked for again, too"
        disk.is_full = False
        (answered,) = connection.receive(10)
        assert answered.answer.segments[0].block_number == 4
        until(lambda: not client.status()["halted"], "the engine to go on")
        after = client.call([deposit(2, "taken")])[0]
        assert (after.command_sequence, after.block_number) == (5, 5)
        assert client.state() != before
        connection.close()
    assert [block.number for block in WalLog(tmp_path).blocks()] == [1, 2, 3, 4, 5]


def test_a_block_that_is_not_in_the_log_is_never_published(tmp_path: Path, context: zmq.Context[RawSocket]) -> None:
    disk = FillingDisk()
    with leader(plan(), input_log=WalLog(tmp_path, disk)) as running, Client(running.commands, client_id=77) as client:
        client.call(DEFINITIONS)
        told = client.status()
        feed = Feed(running.plan.addresses.blocks, running.plan.addresses.retransmission)
        until_heard(feed, feed.status, "the first heartbeat")
        disk.is_full = True
        socket = dealer(context, running.commands)
        held_back = wire.encode_batch(78, 1, *one_deposit(client, 1))
        socket.send_multipart([wire.COMMANDS, held_back])
        until(lambda: client.status()["halted"], "the engine to halt")
        # Applied but not released: a repetition is neither answered nor refused. Another batch is refused.
        socket.send_multipart([wire.COMMANDS, held_back])
        socket.send_multipart([wire.COMMANDS, wire.encode_batch(79, 1, *one_deposit(client, 2))])
        refused = wire.decode_refused(socket.recv_multipart()[1])
        assert (refused.code, refused.client, refused.applied_number) == ("engine_halted", 79, 0)
        now = client.status()
        for name in ("block", "state_hash", "command_sequence"):
            assert now[name] == told[name], name
        assert running.parts.engine.block_number == 4
        with pytest.raises(EngineRefused, match="is full"):
            client.state()
        feed.request(4, 4)
        feed.confirm(confirmation(running, 4))
        assert feed.receive(0.6, 10) == []
        assert running.parts.ring.confirmed == 0
        disk.is_full = False
        until_heard(feed, lambda: running.parts.ring.get(4), "the block")
        feed.close()


def test_batches_applied_before_a_full_disk_are_answered_during_it(
    tmp_path: Path, context: zmq.Context[RawSocket]
) -> None:
    disk = FillingDisk()
    with leader(plan(), input_log=WalLog(tmp_path, disk)) as running, Client(running.commands) as client:
        client.call(DEFINITIONS)
        first = wire.encode_batch(78, 1, *one_deposit(client, 1))
        second = wire.encode_batch(78, 2, *one_deposit(client, 2))
        socket = dealer(context, running.commands)
        socket.send_multipart([wire.COMMANDS, first])
        answer = hear(socket)
        assert answer[0] == wire.ANSWER
        disk.is_full = True
        socket.send_multipart([wire.COMMANDS, second])
        until(lambda: client.status()["halted"], "the engine to halt")
        socket.send_multipart([wire.COMMANDS, first])
        assert hear(socket) == answer
        third = wire.encode_batch(78, 3, *one_deposit(client, 3))
        assert refusal(socket, [wire.COMMANDS, third]).applied_number == 1
        disk.is_full = False
        assert wire.decode_answer(hear(socket)[1]).first_number == 2


# Epochs


def test_a_replaced_engine_stops_without_another_answer() -> None:
    newer: list[Epoch] = []
    own = services(MemoryHistory(), superseded=lambda: newer[0] if newer else None)
    with leader_with(plan(), own) as running, Client(running.commands, timeout_s=0.5) as client:
        client.call(DEFINITIONS)
        newer.append(Epoch(1, 1, 0, "one", "here", "", "", 1))
        client.call([deposit(1, "its own epoch stops nobody")])
        newer[0] = Epoch(2, 5, 0, "another", "tcp://there:1", "", "", 1)
        until(lambda: running.failures, "the engine to stop, with nobody asking anything")
        (failure,) = running.failures
        assert isinstance(failure, Superseded)
        assert str(failure) == (
            "Engine another has begun epoch 2: this engine was replaced and stops. "
            "To follow the new leader, restart it with --follow tcp://there:1"
        )


def test_a_second_engine_on_one_store_is_refused_and_taking_over_fences_the_first() -> None:
    history = MemoryHistory()
    with leader_with(plan(), services(history, engine="one")) as first, Client(first.commands) as client:
        client.call(DEFINITIONS)
        with (
            pytest.raises(CannotLead, match=f"Engine one at {first.commands} leads"),
            leader_with(plan(), services(history, engine="two")),
        ):
            pass
        with leader_with(plan(), services(history, engine="two", take_over=True)) as second:
            assert second.parts.engine.epoch == 2
            with Client(second.commands) as other:
                assert other.call(DEFINITIONS)[2].rejected is None
            mine = first.parts.ring.get(1)
            assert mine is not None
            with pytest.raises(AssertionError, match="block 1 is fenced"):
                history.append([mine])


def test_an_engine_started_twice_is_refused_while_the_first_one_leads() -> None:
    history = MemoryHistory()
    with leader_with(plan(), services(history)) as first:
        sentence = f"This engine leads already, at {first.commands}: it was started twice"
        with pytest.raises(CannotLead, match=sentence), leader_with(plan(), services(history)):
            pass
    with leader_with(plan(), services(history)) as second:
        assert second.parts.engine.epoch == 2


# Snapshots


def oldest_logged(folder: Path) -> int:
    return min(block.number for block in Segments(LocalDisk(), folder / "wal", ".wal", "").peek())


def test_the_log_drops_blocks_that_were_read_back_and_are_in_snapshots(tmp_path: Path) -> None:
    folder = SnapshotFolder(LocalDisk(), tmp_path / "snapshots", 2)
    snapshotter = Snapshotter(folder, DirectWriter(folder), 4)
    log = WalLog(tmp_path / "wal", segment_bytes=1)
    read: list[StoredUpTo] = []
    own = services(MemoryHistory(), input_log=log, snapshotter=snapshotter, stored=lambda: read[-1] if read else None)
    with leader_with(plan(), own) as running:
        feed = Feed(running.plan.addresses.blocks, running.plan.addresses.retransmission)
        with Client(running.commands) as client:
            client.call(DEFINITIONS)
            for number in range(20):
                client.call([deposit(1, f"{number}")])
            assert oldest_logged(tmp_path) == 1, "settlement has nothing yet"
            feed.confirm(confirmation(running, 14))
            until(lambda: running.parts.ring.confirmed == 14, "the confirmation")
            for number in range(20, 24):
                client.call([deposit(1, f"{number}")])
            assert oldest_logged(tmp_path) == 1, "a confirmation drops nothing"
            read.append(StoredUpTo(14, confirmation(running, 14).hash))
            for number in range(24, 28):
                client.call([deposit(1, f"{number}")])
        feed.close()
    assert folder.numbers() == [24, 28]
    assert oldest_logged(tmp_path) == 15
