"""A real Kafka topic as the command log."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest
from confluent_kafka import KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from matching.client.client import Client
from matching.core.errors import LogUnusable
from matching.storage.input_logs import frames
from matching.storage.input_logs.base import Logged
from matching.storage.input_logs.kafka import KafkaLog
from matching.storage.input_logs.kafka_topic import PARTITION, Topic
from matching.transport.network import ZmqNetwork
from matching.workloads.btc_usd import DEFINITIONS
from scripts.services import Running as Server
from tests.matching.histories import MemoryHistory
from tests.matching.kafka import delete_topic, is_recreated, new_topic
from tests.matching.replicas import blocks, until_equal
from tests.matching.small_exchange import PATIENCE_S, Running, deposit, plan, replica_with, services, trading, until

pytestmark = pytest.mark.services("kafka")


@pytest.fixture
def topic(kafka: Server) -> Topic:
    return new_topic(kafka.address)


@contextmanager
def reading(kafka: Server, topic: Topic, offset: int = 0) -> Iterator[KafkaLog]:
    with closing(KafkaLog(kafka.address, topic)) as log:
        log.begin(offset, time.time_ns())
        yield log


def until_read(log: KafkaLog, count: int) -> list[Logged]:
    found: list[Logged] = []
    network = ZmqNetwork()

    def all_there() -> bool:
        log.lost()
        network.wait([log.arrival], 0.1)
        found.extend(log.read(100))
        return len(found) >= count

    until(all_there, f"{count} messages")
    network.close()
    return found


@contextmanager
def replicas(kafka: Server, topic: Topic, history: MemoryHistory, count: int = 2) -> Iterator[list[Running]]:
    with ExitStack() as opened:
        logs = [opened.enter_context(closing(KafkaLog(kafka.address, topic))) for _ in range(count)]
        yield [opened.enter_context(replica_with(plan(), services(history), log)) for log in logs]


def test_all_readers_of_a_topic_see_the_same_order_and_times(kafka: Server, topic: Topic) -> None:
    with reading(kafka, topic) as one, reading(kafka, topic) as other:
        for at in range(50):
            assert one.append(b"a%d" % at, b"from one")
            assert other.append(b"b%d" % at, b"from the other")
        seen = until_read(one, 100)
        assert seen == until_read(other, 100)
        assert [message.key for message in seen if message.key[:1] == b"a"] == [b"a%d" % at for at in range(50)]
        assert [message.offset for message in seen] == list(range(100))
        assert all(message.time_ns % 1_000_000 == 0 and message.time_ns > 0 for message in seen)
        until(lambda: not one.lost() and not one.read(1) and one.has_reached_end(), "the end to be told")
        assert not one.away()
    with reading(kafka, topic, 60) as late:
        assert until_read(late, 40) == seen[60:]


def test_messages_that_were_removed_and_are_needed_are_refused(kafka: Server, topic: Topic) -> None:
    with reading(kafka, topic) as log:
        for at in range(10):
            log.append(b"%d" % at, b"message")
        until_read(log, 10)
    partition = TopicPartition(topic.name, PARTITION, 7)
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.delete_records([partition])[partition].result()
    with closing(KafkaLog(kafka.address, topic)) as log:
        with pytest.raises(LogUnusable, match="begins with message 7, and this engine needs those from 6 on"):
            log.begin(6, time.time_ns())
        with pytest.raises(LogUnusable, match="ends before message 10, and this engine has applied those up to 10"):
            log.begin(11, time.time_ns())
        assert log.begin(7, time.time_ns()) == 10


def test_messages_that_are_removed_while_they_are_needed_are_an_error(kafka: Server, topic: Topic) -> None:
    """As for a replica that was paused for longer than the topic retains messages."""
    with reading(kafka, topic) as log:
        log.append(b"1", b"message")
        until_read(log, 1)
        delete_topic(kafka.address, topic.name)

        def is_refused() -> bool:
            try:
                log.read(1)
            except LogUnusable as error:
                return topic.name in str(error)
            return bool(log.away())

        log.append(b"2", b"message")
        until(is_refused, "the topic's end to be told")


def test_a_message_damaged_on_the_brokers_disk_is_an_error(kafka: Server, topic: Topic) -> None:
    with reading(kafka, topic) as log:
        for key in (b"1", b"2", b"3"):
            log.append(key, b"the message of " + key)
            until_read(log, 1)
    (segment,) = (kafka.folder / "data").rglob(f"{topic.name}-{PARTITION}/*.log")
    with segment.open("r+b") as file:
        file.seek(segment.read_bytes().index(b"message of 2"))
        file.write(b"M")
    with reading(kafka, topic) as log, pytest.raises(LogUnusable, match=r"cannot be read any further: _BAD_MSG, .*CRC"):
        until_read(log, 2)
    with reading(kafka, topic, 2) as log:  # an engine that has applied the message does not need it
        assert [message.key for message in until_read(log, 1)] == [b"3"]


def test_messages_at_the_offsets_of_lost_ones_are_refused(kafka: Server, topic: Topic) -> None:
    def written() -> list[Logged]:
        with reading(kafka, topic) as log:
            for key in (b"1", b"2"):
                log.append(key, b"message")
            return until_read(log, 2)

    applied = written()[-1].time_ns
    with closing(KafkaLog(kafka.address, topic)) as log:
        assert log.begin(2, applied) == 2
    delete_topic(kafka.address, topic.name)
    until(lambda: is_recreated(kafka.address, topic.name), "the topic to be gone")
    newest = written()[-1].time_ns
    with closing(KafkaLog(kafka.address, topic)) as log:
        with pytest.raises(LogUnusable, match=r"Message 1 .* was stored later than the one that this engine"):
            log.begin(2, applied)
        assert log.begin(2, newest) == 2


def test_a_foreign_transaction_does_not_block_readers_and_is_reported_as_skipped(kafka: Server, topic: Topic) -> None:
    with replicas(kafka, topic, MemoryHistory()) as (one, other), Client(one.commands) as client:
        client.call(DEFINITIONS)
        stranger = Producer({"bootstrap.servers": kafka.address, "transactional.id": topic.name})
        stranger.init_transactions()
        stranger.begin_transaction()
        stranger.produce(topic.name, b"no message", partition=PARTITION)
        stranger.flush()
        client.call([deposit(1, "while it is open")])
        until_equal(one, other)
        assert one.parts.board.skipped_messages == other.parts.board.skipped_messages == 1
        stranger.commit_transaction()
    with replicas(kafka, topic, MemoryHistory()) as (one, _):
        stranger = Producer({"bootstrap.servers": kafka.address})
        stranger.produce(topic.name, b"next", partition=PARTITION)
        stranger.flush()
        one.thread.join(PATIENCE_S)
        assert isinstance(one.failures[0], LogUnusable)
        assert "in a transaction, whose end takes an offset" in str(one.failures[0])


def test_a_reader_that_ends_by_itself_is_an_error(kafka: Server, topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[object] = []
    monkeypatch.setattr(threading, "excepthook", ended.append)
    with reading(kafka, topic) as log:
        monkeypatch.setattr(log, "_take", None)
        log.append(b"1", b"message")
        with pytest.raises(LogUnusable, match="is not read any more, because the reader thread has ended"):
            until_read(log, 1)
    assert len(ended) == 1


def test_unreachable_brokers_are_retried_and_other_errors_are_not(kafka: Server, topic: Topic) -> None:
    class Failing(Message):
        """An error as the client library raises it; a real broker cannot be made to cause it."""

        def __init__(self, code: int) -> None:
            super().__init__(topic=topic.name, partition=PARTITION, error=KafkaError(code))

    for code in (KafkaError._TRANSPORT, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._TIMED_OUT):
        with closing(KafkaLog(kafka.address, topic)) as log:
            log._take(Failing(code))
            assert log.read(1) == []
    for code in (KafkaError._BAD_MSG, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._BAD_COMPRESSION):
        with closing(KafkaLog(kafka.address, topic)) as log:
            log._take(Failing(code))
            with pytest.raises(LogUnusable, match="cannot be read any further"):
                log.read(1)


@contextmanager
def link(port: int, kafka: Server) -> Iterator[None]:
    """Connections to `port` reach Kafka."""

    def carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # the other side has closed
            while data := source.recv(65_536):
                target.sendall(data)

    def accept() -> None:
        with suppress(OSError):  # the listening socket was shut down
            while True:
                near, _ = listening.accept()
                far = opened.enter_context(socket.create_connection((kafka.host, kafka.port)))
                opened.enter_context(near)
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=carry, args=ends, daemon=True).start()

    with ExitStack() as opened, socket.create_server((kafka.host, port)) as listening:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()


def test_messages_queued_while_the_connection_is_down_are_sent_when_it_is_back(
    kafka: Server, topic: Topic, free_port: Callable[[], int]
) -> None:
    port = free_port()
    with reading(kafka, topic) as reader:
        with closing(KafkaLog(f"{kafka.host}:{port}", topic, {"log_level": 0})) as cut_off:
            assert cut_off.append(b"1", b"late")
            until(lambda: not cut_off.lost() and cut_off.away(), "it to say so")
            with link(port, kafka):
                until(lambda: not cut_off.lost() and not cut_off.away(), "the link to be back")
                assert [message.key for message in until_read(reader, 1)] == [b"1"]
        with closing(KafkaLog(f"{kafka.host}:{port}", topic, {"log_level": 0})) as stopped:
            assert stopped.append(b"2", b"never")
        assert reader.append(b"3", b"next")
        assert [message.key for message in until_read(reader, 1)] == [b"3"]


def test_two_replicas_under_load_publish_the_same_bytes(kafka: Server, topic: Topic) -> None:
    with replicas(kafka, topic, MemoryHistory()) as (one, other):
        with Client(one.commands) as client:
            client.call(DEFINITIONS)
        until_equal(one, other)
        answered: list[int] = []

        def trade(address: str) -> None:
            with Client(address, batch_commands=16) as client:
                answered.append(len(client.call(trading(2000))))

        threads = [threading.Thread(target=trade, args=(running.commands,)) for running in (one, other, one)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until_equal(one, other)
        assert answered == [2002] * 3
        assert [block.data for block in blocks(one)] == [block.data for block in blocks(other)]
        times = [block.timestamp_ns for block in blocks(one)]
        assert times == sorted(times)


def test_foreign_messages_in_the_topic_are_skipped_by_all_replicas(kafka: Server, topic: Topic) -> None:
    with replicas(kafka, topic, MemoryHistory()) as (one, other), Client(one.commands) as client:
        client.call(DEFINITIONS)
        stranger = Producer({"bootstrap.servers": kafka.address})
        for value in (b"no message", None, b"", frames.encode([b"no batch"])):
            stranger.produce(topic.name, value, partition=PARTITION)
        stranger.flush()
        client.call([deposit(1, "after")])
        until_equal(one, other)
        assert [block.data for block in blocks(one)] == [block.data for block in blocks(other)]
        assert one.parts.board.skipped_messages == other.parts.board.skipped_messages == 4


def test_a_restarted_replica_continues_at_its_position_in_the_log(kafka: Server, topic: Topic) -> None:
    history = MemoryHistory()
    with replicas(kafka, topic, history, 1) as (one,), Client(one.commands) as client:
        client.call([*DEFINITIONS, deposit(1, "before")])
        history.append(blocks(one)[:2])
        with replicas(kafka, topic, history, 1) as (again,):
            assert again.parts.recovered is not None
            assert again.parts.recovered.from_history == 2
            client.call([deposit(1, "after")])
            until_equal(one, again)
            assert [block.data for block in blocks(one)] == [block.data for block in blocks(again)]
