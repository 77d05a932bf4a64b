"""Batches whose messages are lost: sent again, answered in order, applied once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import zmq

from exchange_site.operations.free_addresses import free_ports
from matching.client.client import Client
from matching.client.connection import Connection
from matching.client.edge import BatchBuilder, Edge
from matching.core.errors import EngineRefused, NoAnswer
from matching.transport import wire
from matching.transport.sockets import RawSocket
from matching.workloads.btc_usd import BTC, DEFINITIONS, USD
from tests.matching.small_exchange import (
    Running,
    deposit,
)

Script = Callable[[RawSocket, list[bytes], wire.Batch, int], None]


@contextmanager
def between(engine_address: str, script: Script) -> Iterator[str]:
    """A router before an engine that forwards everything but batches: each goes to `script`, with its count."""
    (port,) = free_ports(1)
    context: zmq.Context[RawSocket] = zmq.Context()
    stop = threading.Event()

    def run() -> None:
        with context.socket(zmq.ROUTER) as front, context.socket(zmq.DEALER) as back:
            front.bind(f"tcp://127.0.0.1:{port}")
            back.connect(engine_address)
            sender, seen = b"", 0
            while not stop.is_set():
                if front.poll(5):
                    sender, *frames = front.recv_multipart()
                    if frames[0] == wire.COMMANDS:
                        seen += 1
                        script(back, frames, wire.decode_batch(frames[1]), seen)
                    else:
                        back.send_multipart(frames)
                while back.poll(0):
                    front.send_multipart([sender, *back.recv_multipart()])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        stop.set()
        thread.join()
        context.destroy(linger=0)


def test_a_lost_batch_is_sent_again_with_the_same_number(running_leader: Running) -> None:
    with Client(running_leader.commands) as client:
        client.call(DEFINITIONS)
    numbers = []

    def lose_the_first(back: RawSocket, frames: list[bytes], batch: wire.Batch, count: int) -> None:
        numbers.append((batch.client, batch.first_number))
        if count > 1:
            back.send_multipart(frames)

    with between(running_leader.commands, lose_the_first) as address, Client(address) as client:
        (result,) = client.call([deposit(1, "a")])
    assert result.rejected is None
    assert len(numbers) == 2
    assert numbers[0] == numbers[1]


def test_batches_after_a_lost_one_keep_their_order(running_leader: Running) -> None:
    with Client(running_leader.commands) as client:
        client.call(DEFINITIONS)

    def lose_the_second(back: RawSocket, frames: list[bytes], batch: wire.Batch, count: int) -> None:
        if count != 2:
            back.send_multipart(frames)

    with (
        between(running_leader.commands, lose_the_second) as address,
        Client(address, batch_commands=1) as client,
    ):
        results = client.call([deposit(account, "a") for account in range(1, 7)])
    assert [result.command_sequence for result in results] == [4, 5, 6, 7, 8, 9]
    assert [result.events[0]["account"] for result in results] == [1, 2, 3, 4, 5, 6]


def test_no_answer_raises_and_a_retry_continues_where_it_stopped(running_leader: Running) -> None:
    with Client(running_leader.commands) as client:
        client.call([BTC])
    open_gate = threading.Event()

    def wait_for_the_gate(back: RawSocket, frames: list[bytes], batch: wire.Batch, count: int) -> None:
        if open_gate.is_set():
            back.send_multipart(frames)

    with (
        between(running_leader.commands, wait_for_the_gate) as address,
        Client(address, timeout_s=0.3, batch_commands=2) as client,
    ):
        with pytest.raises(NoAnswer, match=r"did not answer within 0\.3 s"):
            client.call([deposit(1, "a"), deposit(1, "b"), deposit(1, "c"), USD, deposit(1, "d", asset="USD")])
        open_gate.set()
        results = client.retry()
        assert [result.command_sequence for result in results] == [2, 3, 4, 5, 6]
        assert [result.rejected for result in results] == [None] * 5


def test_after_no_answer_another_call_abandons_the_batches_in_doubt(running_leader: Running) -> None:
    with Client(running_leader.commands) as client:
        client.call([BTC])
    references = []

    def lose_the_first_client(back: RawSocket, frames: list[bytes], batch: wire.Batch, count: int) -> None:
        references.append((batch.client, batch.texts))
        if batch.client != references[0][0]:
            back.send_multipart(frames)

    with (
        between(running_leader.commands, lose_the_first_client) as address,
        Client(address, timeout_s=0.2) as client,
    ):
        with pytest.raises(NoAnswer):
            client.call([deposit(1, "a")])
        (result,) = client.call([deposit(1, "b")])
    assert result.command_sequence == 2
    assert references[-1][1] == b"b"


def test_lost_history_is_reported_and_the_next_call_works(running_leader: Running) -> None:
    with Client(running_leader.commands, client_id=77, first_number=500) as client:
        with pytest.raises(EngineRefused, match="is not the next") as caught:
            client.call([BTC])
        assert caught.value.code == "out_of_order"
        assert client.call([BTC])[0].rejected is None


def test_batches_can_be_sent_as_records_with_a_window(running_leader: Running) -> None:
    with Client(running_leader.commands) as client:
        client.call(DEFINITIONS)
        builder = BatchBuilder(Edge(client.registry))
        connection = Connection(running_leader.commands, window=4)
        try:
            answered = []
            for number in range(30):
                for account in range(10):
                    assert builder.add(deposit(account, f"{number}")) is None
                while connection.full:
                    answered += connection.receive(1.0)
                connection.send(*builder.take())
                assert connection.in_flight <= 4
            while connection.in_flight:
                answered += connection.receive(0.1)
        finally:
            connection.close()
    assert [one.answer.first_number for one in answered] == list(range(1, 301, 10))
    assert sum(len(segment.events) for one in answered for segment in one.answer.segments) == 300
