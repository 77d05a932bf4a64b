import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import zmq

from matching import layout, process, wire
from matching.blocks import Block
from matching.client import Client
from matching.connection import Connection
from matching.edge import BatchBuilder, Edge
from matching.errors import EngineRefused, HashMismatch, LogUnusable
from matching.feed import Feed
from matching.input_logs.memory import MemoryLog
from matching.input_logs.wal import WalLog
from matching.sockets import AddressUnusable, RawSocket
from tests.matching.small_exchange import DEFINITIONS, Running, deposit, leader, plan, trading, until, until_heard


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


def test_records_that_no_edge_makes_are_refused_with_their_number(
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
        feed.confirm(5)
        until(lambda: not client.status()["halted"], "the engine to go on")
        assert client.call([deposit(1, "taken")])[0].command_sequence == 7
        feed.close()


def test_a_halted_engine_still_answers_what_was_done_before() -> None:
    with leader(plan(ring_blocks=4)) as running:
        with Client(running.commands, client_id=77) as client:
            client.call(DEFINITIONS)
            done = client.call([deposit(1, "a")])
        with Client(running.commands, client_id=77, first_number=4, timeout_s=0.3) as client:
            assert client.status()["halted"]
            assert client.call([deposit(1, "a")]) == done
            with pytest.raises(EngineRefused):
                client.call([deposit(1, "b")])


def test_a_stream_of_batches_keeps_its_order_over_a_halt() -> None:
    with leader(plan(ring_blocks=10)) as running, Client(running.commands) as client:
        client.call(DEFINITIONS)
        feed = Feed(running.plan.addresses.blocks, running.plan.addresses.retransmission)
        connection = Connection(running.commands, window=8)
        answered = []
        for number in range(60):
            while connection.full:
                answered += connection.receive(0.05)
                feed.confirm(running.parts.ring.last)
            connection.send(*one_deposit(client, number))
        while connection.under_way:
            answered += connection.receive(0.05)
            feed.confirm(running.parts.ring.last)
        connection.close()
        feed.close()
    answered.sort(key=lambda one: one.answer.first_number)
    sequences = [segment.first_command_sequence for one in answered for segment in one.answer.segments]
    assert sequences == list(range(4, 64))


def test_a_client_that_does_not_read_does_not_hold_up_the_others(
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
            deaf.send_multipart([wire.COMMANDS, payload])  # the same again and again: each is answered
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


def test_the_write_ahead_log_brings_everything_back(tmp_path_factory: pytest.TempPathFactory) -> None:
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


def test_what_settlement_holds_is_executed_again_at_the_start() -> None:
    with leader(plan()) as running, Client(running.commands) as client:
        client.call([*DEFINITIONS, *trading(100)])
        state = client.state()
        held = [block for number in range(1, running.parts.ring.last + 1) if (block := running.parts.ring.get(number))]

    def settled() -> Iterator[Block]:
        yield from held

    with leader(plan(), settled=settled) as running, Client(running.commands) as client:
        assert client.state() == state
        assert client.status()["ring"]["unconfirmed_blocks"] == 0


def test_a_busy_socket_file_is_not_taken_away(tmp_path: Path) -> None:
    where = wire.Addresses(*(f"ipc://{tmp_path}/{name}" for name in ("commands", "blocks", "retransmission")))
    here = process.Plan(where, 100, 1 << 20, 64)
    for _ in range(2):  # a file that is left over is no obstacle
        with leader(here) as running, Client(running.commands) as client:
            with pytest.raises(AddressUnusable, match="another process listens there already"), leader(here):
                pass
            assert client.call(DEFINITIONS)[2].rejected is None


def test_blocks_of_settlement_that_do_not_begin_with_the_first_are_refused() -> None:
    with leader(plan()) as running, Client(running.commands) as client:
        client.call(DEFINITIONS)
        second = running.parts.ring.get(2)
        assert second is not None
    with (
        pytest.raises(HashMismatch, match="Block 1 was expected and block 2 came"),
        leader(plan(), settled=lambda: [second]),
    ):
        pass


def test_a_busy_address_is_one_sentence(running_leader: Running) -> None:
    with pytest.raises(AddressUnusable, match="another process listens there already"), leader(running_leader.plan):
        pass
