"""Command log in a Kafka topic with one partition; works with any broker that implements Kafka's protocol.

An idempotent producer writes and waits for all in-sync copies. The consumer starts at the offset in the engine's state;
there is no consumer group and no committed offset. `kafka_topic` checks the topic's configuration before.
"""

import json
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from matching.core.errors import LogUnusable
from matching.storage.input_logs import frames
from matching.storage.input_logs.base import Logged
from matching.storage.input_logs.kafka_topic import PARTITION, Options, Topic
from matching.storage.timestamps import usable_ns

log = structlog.get_logger(__name__)

_TIMEOUT_S = 15.0
_READ_AHEAD_MESSAGES = 128
_POLL_S = 0.2
_UNAVAILABLE_AFTER_S = 2.0
_STATISTICS_MS = 1000
_OVERHEAD_BYTES = 4096
_NS_PER_MS = 1_000_000

_SHARED: dict[str, Any] = {
    "socket.nagle.disable": True,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1000,
    "socket.timeout.ms": 10_000,
    "log_level": 3,  # errors arrive through callbacks
}
_PRODUCER: dict[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 0,  # a message contains a whole block already
    # Never give up: a message that was given up may be written all the same, and nobody could tell.
    "message.timeout.ms": 0,
    "request.timeout.ms": 10_000,
    "message.max.bytes": frames.MAX_BYTES + _OVERHEAD_BYTES,
    "queue.buffering.max.messages": 1000,
    "compression.type": "none",
    "statistics.interval.ms": _STATISTICS_MS,
}
_CONSUMER: dict[str, Any] = {
    "group.id": "exchange-replica",  # required by the client library; not used
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    # Replicas do not write in transactions. With read_committed an open transaction of another program would block
    # reads.
    "isolation.level": "read_uncommitted",
    "enable.partition.eof": True,
    "check.crcs": True,
    "fetch.wait.max.ms": 100,
    "fetch.error.backoff.ms": 50,
    "fetch.queue.backoff.ms": 20,
    "max.partition.fetch.bytes": 4 * frames.MAX_BYTES,
    "queued.max.messages.kbytes": 16_384,
}
_TEMPORARY = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
"""Errors from which the client recovers by itself without losing a message: broker unavailable, partition moves."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    raw: int  # the reading end of a pipe


class KafkaLog:
    """Writes to and reads from one topic. Used by one thread; a background thread fetches messages for it."""

    def __init__(
        self,
        servers: str,
        topic: Topic,
        options: Options | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`options` override the settings of this module. `clock` gives monotonic seconds."""
        self.identity = topic.identity
        self._servers = servers
        self._topic = topic.name
        self._clock = clock
        shared = {"bootstrap.servers": servers, **_SHARED, "error_cb": self._note_error, **(options or {})}
        self._producer = Producer({**_PRODUCER, "stats_cb": self._note_statistics, **shared})
        self._consumer = Consumer({**_CONSUMER, **shared})
        self._unacknowledged: dict[bytes, float] = {}  # key → when it was appended, oldest first
        self._lost: list[bytes] = []
        self._brokers_up = True
        self._failure = ""
        self._arrived: queue.Queue[Logged | None] = queue.Queue(_READ_AHEAD_MESSAGES)  # None: end of the log reached
        self._has_reached_end = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._fetch, name="kafka-fetch", daemon=True)
        reading, self._writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(self._writing, False)
        self.arrival = _Arrival(reading)

    def begin(self, offset: int, applied_ns: int) -> int:
        try:
            low, end = self._consumer.get_watermark_offsets(self._at(offset), timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise LogUnusable(
                f"Kafka at {self._servers} cannot say where topic {self._topic} ends: {error}."
            ) from error
        if offset < low:
            raise LogUnusable(
                f"Topic {self._topic} begins with message {low}, and this engine needs those from {offset} on: they "
                "were removed, by retention or by hand. Start a replica whose snapshot or store is newer."
            )
        if offset > end:
            raise LogUnusable(
                f"Topic {self._topic} ends before message {end}, and this engine has applied those up to {offset - 1}: "
                "the brokers have lost messages. Restore their data, or continue with another topic."
            )
        if offset > low:
            self._refuse_replaced_message(offset - 1, applied_ns)
        self._consumer.assign([self._at(offset)])
        self._thread.start()
        return end

    def _refuse_replaced_message(self, offset: int, applied_ns: int) -> None:
        """A message stored later than the one that this engine applied at this offset is a different message."""
        message = self._read_one(offset)
        if message is None:
            return  # damaged on a broker's disk, but this engine does not need it
        _, time_ms = message.timestamp()
        if usable_ns(time_ms * _NS_PER_MS) > applied_ns:
            raise LogUnusable(
                f"Message {offset} of topic {self._topic} was stored later than the one that this engine has applied "
                "at this offset: the brokers have lost messages and stored others since. Restore their data, or "
                "continue with another topic."
            )

    def _read_one(self, offset: int) -> Message | None:
        """The message at `offset`, None if the client cannot read it. Raises LogUnusable if it does not arrive."""
        self._consumer.assign([self._at(offset)])
        ends_s = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < ends_s:
            message = self._consumer.poll(_POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is None:
                return message if message.offset() == offset else None
            if error.code() not in _TEMPORARY:
                return None
        raise LogUnusable(
            f"Kafka at {self._servers} does not deliver message {offset} of topic {self._topic}: repair it first."
        )

    def _at(self, offset: int) -> TopicPartition:
        return TopicPartition(self._topic, PARTITION, offset)

    def read(self, limit: int) -> list[Logged]:
        self._raise_failure()
        messages: list[Logged] = []
        while len(messages) < limit:
            try:
                message = self._arrived.get_nowait()
            except queue.Empty:
                self._empty_pipe()
                break
            if message is None:
                self._has_reached_end = True
            else:
                messages.append(message)
        return messages

    def append(self, key: bytes, frame: bytes) -> bool:
        self._raise_failure()
        try:
            self._producer.produce(self._topic, frame, key, PARTITION, on_delivery=self._note_delivery)
        except BufferError:
            return False
        except KafkaException as error:
            raise LogUnusable(f"Kafka accepts no message for topic {self._topic}: {error}.") from error
        self._unacknowledged[key] = self._clock()
        return True

    def lost(self) -> list[bytes]:
        self._producer.poll(0)
        self._raise_failure()
        lost, self._lost = self._lost, []
        return lost

    def away(self) -> str:
        if not self._brokers_up:
            return f"Kafka at {self._servers} does not answer: the engine takes no commands until it does."
        waits_s = self._clock() - next(iter(self._unacknowledged.values()), self._clock())
        if waits_s < _UNAVAILABLE_AFTER_S:
            return ""
        return f"Kafka at {self._servers} accepts no messages: the engine takes no commands until it does."

    def has_reached_end(self) -> bool:
        return self._has_reached_end

    def close(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_TIMEOUT_S)
        self._consumer.close()
        self._producer.flush(1.0)  # clients were not answered for the rest
        for end in (self.arrival.raw, self._writing):
            os.close(end)

    # Callbacks of the producer, called in `poll`

    def _note_delivery(self, error: KafkaError | None, message: Message) -> None:
        key = message.key()
        assert isinstance(key, bytes), "every message has a key"
        self._unacknowledged.pop(key, None)
        if error is not None:
            log.warning("kafka.message_lost", error=error.str())
            self._lost.append(key)

    def _note_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fail(f"The Kafka client has failed permanently ({error.str()}): start this replica again.")
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:  # seen in the statistics
            log.info("kafka.client_error", error=error.str())

    def _note_statistics(self, text: str) -> None:
        brokers = json.loads(text)["brokers"].values()
        known = [broker for broker in brokers if broker["nodeid"] >= 0]
        self._brokers_up = any(broker["state"] == "UP" for broker in known or brokers)

    def _fail(self, sentence: str) -> None:
        """Keeps the first failure, as later ones may be its consequence."""
        self._failure = self._failure or sentence
        self._wake()

    def _raise_failure(self) -> None:
        if self._failure:
            raise LogUnusable(self._failure)

    # The background thread

    def _fetch(self) -> None:
        try:
            self._fetch_until_closed()
        except KafkaException as error:
            self._fail(f"Topic {self._topic} cannot be read: {error}.")
        finally:  # also after an unexpected exception: the engine must not wait for messages that nobody fetches
            if not self._closing.is_set():
                self._fail(
                    f"Topic {self._topic} is not read any more, because the reader thread has ended: see the log above."
                )

    def _fetch_until_closed(self) -> None:
        while not self._closing.is_set():
            # `consume` waits until it has as many as asked for: so wait for one, then take what has arrived.
            messages = self._consumer.consume(1, _POLL_S)
            if messages:
                messages += self._consumer.consume(_READ_AHEAD_MESSAGES, 0)
            for message in messages:
                self._take(message)

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is None:
            _, time_ms = message.timestamp()
            offset, key, value = message.offset(), message.key(), message.value()
            assert offset is not None, "a message that was read has an offset"
            self._put(Logged(offset, time_ms * _NS_PER_MS, _bytes(key), _bytes(value)))
        elif error.code() == KafkaError._PARTITION_EOF:
            self._put(None)
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._fail(
                f"Topic {self._topic} does not contain the next message: the topic was created again, or messages were "
                "removed. Start this replica again to see which."
            )
        elif error.code() in _TEMPORARY:
            log.info("kafka.client_error", error=error.str())
        else:  # the client would skip this message, which other replicas may have read
            self._fail(f"Topic {self._topic} cannot be read any further: {error.name()}, {error.str()}.")

    def _put(self, message: Logged | None) -> None:
        """Blocks while the queue is full, so that the number of messages read ahead is bounded."""
        while not self._closing.is_set():
            try:
                self._arrived.put(message, timeout=_POLL_S)
            except queue.Full:
                continue
            self._wake()
            return

    def _wake(self) -> None:
        try:
            os.write(self._writing, b"\0")
        except BlockingIOError:
            return  # the pipe is full: the reader is awake

    def _empty_pipe(self) -> None:
        """Empties the wake-up pipe. Checks the queue again, as a message put meanwhile did not wake the reader."""
        try:
            while os.read(self.arrival.raw, 4096):
                pass
        except BlockingIOError:
            pass
        if not self._arrived.empty():
            self._wake()


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""
