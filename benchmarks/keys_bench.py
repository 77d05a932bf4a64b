"""The cost of keys: an engine with CURVE sockets and one with plain sockets, measured in turn.

Each round sends the same commands to both: many in batches, then some one at a time. The ratios are those of the
medians of all rounds. Settlement does not run, so that it takes no time of a round. The block stream is measured apart,
as bytes from a publisher to a subscriber.
"""

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pipeline_bench import BATCH_COMMANDS, one_at_a_time, send_batches
from benchmarks.processes import BenchError, Exchange, exchange
from exchange_site.operations.free_addresses import free_zmq_address
from matching.client.client import Client
from matching.client.connection import Connection
from matching.commandline.own_keys import KeyName, network_in
from matching.transport import wire
from matching.transport.key_register import KeyRole
from matching.transport.network import ZmqNetwork
from matching.transport.sockets import Kind
from matching.workloads import generated
from matching.workloads.generated import Batch

_TIMEOUT_S = 120.0
_FRAME_BYTES = 64 << 10
_STREAM_BYTES = 256 << 20
Say = Callable[[str], None]


@dataclass
class Rounds:
    """Of one engine: a figure for each round."""

    commands_per_second: list[float] = field(default_factory=list)
    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    stream_mb_per_second: list[float] = field(default_factory=list)

    def medians(self) -> dict[str, float]:
        return {name: round(statistics.median(values), 1) for name, values in asdict(self).items()}


@dataclass(frozen=True)
class Cost:
    """Both engines' rounds. A ratio over 1 says that keys cost something."""

    plain: Rounds
    keys: Rounds

    def ratios(self) -> dict[str, float]:
        plain, keys = self.plain.medians(), self.keys.medians()
        return {
            "commands": round(plain["commands_per_second"] / keys["commands_per_second"], 2),
            "p50": round(keys["p50_us"] / plain["p50_us"], 2),
            "p99": round(keys["p99_us"] / plain["p99_us"], 2),
            "stream": round(plain["stream_mb_per_second"] / keys["stream_mb_per_second"], 2),
        }

    def document(self) -> dict[str, Any]:
        return {"plain": asdict(self.plain), "keys": asdict(self.keys), "ratios": self.ratios()}


def measure(rounds: int, commands: int, samples: int, *, seed: int, parent: Path | None, say: Say) -> Cost:
    """`commands` in batches and `samples` one at a time, in each round and to each engine. Raises BenchError."""
    say("making the workload")
    workload = generated.generate("hot", rounds * (commands + samples), seed=seed)
    found = Cost(Rounds(), Rounds())
    with ExitStack() as opened:
        sides = []
        for is_plain, into in ((True, found.plain), (False, found.keys)):
            running = opened.enter_context(exchange(parent, {}, is_plain=is_plain, settlement=()))
            connection = _prepared(running, workload)
            opened.callback(connection.close)
            sides.append((running, connection, into))
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            first = number * (commands + samples)
            together = list(workload.stream.part(first, first + commands).batches(BATCH_COMMANDS))
            single = list(workload.stream.part(first + commands, first + commands + samples).batches(1))
            for running, connection, into in sides if number % 2 else reversed(sides):
                _round(connection, together, single, into)
                into.stream_mb_per_second.append(_stream(running))
    return found


def _prepared(running: Exchange, workload: generated.Workload) -> Connection:
    address = running.environment["ENGINE_COMMAND_ADDRESS"]
    with Client(address, timeout_s=_TIMEOUT_S, make_network=running.make_network) as client:
        client.call(workload.definitions())
    connection = Connection(address, timeout_s=_TIMEOUT_S, make_network=running.make_network)
    for stream in workload.setup:
        send_batches(connection, stream.batches(BATCH_COMMANDS))
    return connection


def _round(connection: Connection, together: Sequence[Batch], single: Sequence[Batch], into: Rounds) -> None:
    began_s = time.perf_counter()
    send_batches(connection, together)
    into.commands_per_second.append(sum(len(one.commands) for one in together) / (time.perf_counter() - began_s))
    taken_us, _ = one_at_a_time(connection, single)
    p50, p99 = np.percentile(taken_us, (50, 99)).tolist()
    into.p50_us.append(p50)
    into.p99_us.append(p99)


def _stream(running: Exchange) -> float:
    """MB/s from a publisher to a subscriber of this process, in frames of 64 KiB."""
    address = free_zmq_address()
    with ExitStack() as opened:
        sending, receiving = _networks(running)
        opened.callback(sending.close)
        opened.callback(receiving.close)
        publisher = sending.bind(Kind.PUB, address, wire.BLOCK_LIMITS)
        opened.callback(publisher.close)
        subscriber = receiving.connect(Kind.SUB, address, wire.READER_LIMITS)
        opened.callback(subscriber.close)
        deadline_s = time.monotonic() + _TIMEOUT_S
        while not receiving.wait([subscriber], 0.01):
            publisher.send(b"are you there")
            if time.monotonic() > deadline_s:
                raise BenchError(f"The subscriber of the block stream did not connect within {_TIMEOUT_S:g} s.")
        frame = bytes(_FRAME_BYTES)
        received = threading.Semaphore(0)
        window = wire.BLOCK_LIMITS.send_queue // 4  # libzmq counts what was read in steps of half a queue

        def publish() -> None:
            for number in range(_STREAM_BYTES // _FRAME_BYTES):
                if number >= window and not received.acquire(timeout=_TIMEOUT_S):
                    return
                publisher.send(frame)

        thread = threading.Thread(target=publish)
        began_s = time.perf_counter()
        thread.start()
        opened.callback(thread.join)
        left = _STREAM_BYTES
        while left > 0:
            message = subscriber.receive()
            if message is None:
                if not receiving.wait([subscriber], _TIMEOUT_S):
                    raise BenchError("The block stream stopped.")
            elif len(message[0]) == _FRAME_BYTES:
                left -= _FRAME_BYTES
                received.release()
        return _STREAM_BYTES / 1e6 / (time.perf_counter() - began_s)


def _networks(running: Exchange) -> tuple[ZmqNetwork, ZmqNetwork]:
    """Of an engine and of a reader."""
    if running.environment["PLAIN_SOCKETS"] == "true":
        return ZmqNetwork(), ZmqNetwork()
    folder = Path(running.environment["DATA_DIR"])
    return network_in(folder, KeyName(KeyRole.ENGINE))(), running.make_network()
