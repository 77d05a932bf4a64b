"""Benchmark of the pipeline client → engine → settlement → store, with real processes.

Measures commands a second until their blocks are durable and confirmed to the engine; trades a second until all tables
have them; and the latency of a single command, compared with a bare ZeroMQ round trip of the same sizes, both measured
alternately in the same run. The workload is the hot book of `matching.workloads`; trades a second are measured again
with pairs of orders that trade at once.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from benchmarks import bare_echo
from benchmarks.keyspace import temporary_keyspace
from benchmarks.processes import BenchError, Exchange, exchange
from matching.client.client import Client
from matching.client.connection import Connection
from matching.client.in_flight import Answered
from matching.core import layout
from matching.core.codes import EventKind
from matching.transport import wire
from matching.transport.sockets import RawSocket
from matching.workloads import generated
from matching.workloads.generated import Batch

BATCH_COMMANDS = 1024
_TRADING_DIVISOR = 8  # fewer commands here: settlement needs longer for a trade than the engine for its orders
_TURN = 200  # round trips to the engine, then the same number to the echo server
_WARM_UP = 200
TIMEOUT_S = 30.0
_TRADE = int(EventKind.TRADE)

Say = Callable[[str], object]


@dataclass(frozen=True)
class Throughput:
    """Seconds are counted from the first batch sent; CPU seconds are those used in that time."""

    commands: int
    trades: int
    events: int
    blocks: int
    seconds_answered: float
    seconds_durable: float
    seconds_projected: float
    cpu_seconds_durable: dict[str, float]
    cpu_seconds_projected: dict[str, float]

    def rates(self) -> dict[str, float]:
        return {
            "commands_per_second_answered": round(self.commands / self.seconds_answered),
            "commands_per_second_durable": round(self.commands / self.seconds_durable),
            "events_per_second_projected": round(self.events / self.seconds_projected),
            "trades_per_second_projected": round(self.trades / self.seconds_projected),
        }


@dataclass(frozen=True)
class Latency:
    """Microseconds from sending a command to its answer; `bare`: a ZeroMQ round trip of the same sizes."""

    samples: int
    p50_us: float
    p99_us: float
    bare_p50_us: float
    bare_p99_us: float

    def ratios(self) -> dict[str, float]:
        return {
            "p50_ratio": round(self.p50_us / self.bare_p50_us, 2),
            "p99_ratio": round(self.p99_us / self.bare_p99_us, 2),
        }


@dataclass(frozen=True)
class Pipeline:
    store: str
    batch_commands: int
    cpus: int
    throughput: Throughput
    trading: Throughput  # of pairs of orders that trade at once
    latency: Latency

    def document(self) -> dict[str, Any]:
        """The JSON document of `--json`."""
        return {
            "store": self.store,
            "batch_commands": self.batch_commands,
            "cpus": self.cpus,
            **asdict(self.throughput),
            **self.throughput.rates(),
            "trading": {**asdict(self.trading), **self.trading.rates()},
            "latency": {**asdict(self.latency), **self.latency.ratios()},
        }


def measure(
    commands: int, samples: int, *, store: str, seed: int, parent: Path | None, say: Say, is_plain: bool = False
) -> Pipeline:
    """`store` is sql or scylla; `is_plain`: with sockets without keys.

    Raises BenchError, MatchingError if the engine does not answer, StoreError if the store does not.
    """
    say("making the workload")
    workload = generated.generate("hot", commands + samples + _WARM_UP, seed=seed)
    together = list(workload.stream.part(0, commands).batches(BATCH_COMMANDS))
    trading = generated.pairs(commands // _TRADING_DIVISOR, workload.accounts, len(workload.stream), seed=seed)
    single = list(workload.stream.part(commands, len(workload.stream)).batches(1))
    say("starting engine and settlement")
    with settings_of(store) as chosen, exchange(parent, chosen, is_plain=is_plain) as running:
        address = running.environment["ENGINE_COMMAND_ADDRESS"]
        with Client(address, timeout_s=TIMEOUT_S, make_network=running.make_network) as client:
            client.call(workload.definitions())
        connection = Connection(address, timeout_s=TIMEOUT_S, make_network=running.make_network)
        try:
            for stream in workload.setup:
                last, _ = send_batches(connection, stream.batches(BATCH_COMMANDS))
            running.wait_until_projected(last)
            say(f"sending {commands} commands, {BATCH_COMMANDS} a batch")
            throughput = _throughput(running, connection, together, commands)
            say(f"sending {len(trading.commands)} commands that trade")
            pairs = list(trading.batches(BATCH_COMMANDS))
            traded = _throughput(running, connection, pairs, len(trading.commands))
            say(f"sending {samples} commands one at a time")
            latency = _latency(running, connection, single)
        finally:
            connection.close()
    return Pipeline(store, BATCH_COMMANDS, os.cpu_count() or 1, throughput, traded, latency)


@contextmanager
def settings_of(store: str) -> Iterator[dict[str, str]]:
    """Settings of a temporary store; an SQLite file needs no name, as DATA_DIR is temporary."""
    if store == "sql":
        yield {"SETTLEMENT_STORE": "sql"}
        return
    with temporary_keyspace() as access:
        yield {"SETTLEMENT_STORE": store, "SCYLLA_KEYSPACE": access.keyspace}


def send_batches(connection: Connection, batches: Iterable[Batch]) -> tuple[int, list[Answered]]:
    """Sends batches, as many at once as the connection allows. Returns the last block number and all answers."""
    answers: list[Answered] = []
    for batch in batches:
        while connection.full:
            answers += connection.receive(TIMEOUT_S)
        connection.send(batch.commands, batch.texts)
        answers += connection.receive(0)
    while connection.in_flight:
        answers += connection.receive(TIMEOUT_S)
    return max(segment.block_number for one in answers for segment in one.answer.segments), answers


def _throughput(running: Exchange, connection: Connection, batches: Sequence[Batch], commands: int) -> Throughput:
    before, client_before_s = running.cpu_seconds(), time.process_time()
    first = connection.ask(wire.STATUS)["block"]
    began_s = time.perf_counter()
    last, answers = send_batches(connection, batches)
    answered_s = time.perf_counter()
    running.wait_until_confirmed(connection, last)
    durable_s = time.perf_counter()
    used = {**running.cpu_seconds(), "client": time.process_time()}
    running.wait_until_projected(last)
    projected_s = time.perf_counter()
    used_at_end = {**running.cpu_seconds(), "client": time.process_time()}
    before["client"] = client_before_s
    events = [segment.events["kind"] for one in answers for segment in one.answer.segments]
    return Throughput(
        commands=commands,
        trades=sum(int((kinds == _TRADE).sum()) for kinds in events),
        events=sum(len(kinds) for kinds in events),
        blocks=last - first,
        seconds_answered=answered_s - began_s,
        seconds_durable=durable_s - began_s,
        seconds_projected=projected_s - began_s,
        cpu_seconds_durable=_since(before, used),
        cpu_seconds_projected=_since(before, used_at_end),
    )


def _since(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: round(after[name] - before[name], 2) for name in after if name != "echo"}


def _latency(running: Exchange, connection: Connection, batches: Sequence[Batch]) -> Latency:
    """Measures engine and echo server alternately, so that other load on the machine affects both equally."""
    context: zmq.Context[RawSocket] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.connect(running.environment["BARE_ECHO_ADDRESS"])
    socket.setsockopt(zmq.RCVTIMEO, int(TIMEOUT_S * 1000))
    engine_us: list[float] = []
    bare_us: list[float] = []
    try:
        _, answers = one_at_a_time(connection, batches[:_WARM_UP])
        _echo_round_trips(socket, batches[:_WARM_UP], answers)
        for at in range(_WARM_UP, len(batches), _TURN):
            taken, answers = one_at_a_time(connection, batches[at : at + _TURN])
            engine_us += taken
            bare_us += _echo_round_trips(socket, batches[at : at + _TURN], answers)
        socket.send_multipart([b"", b""])
    except zmq.Again as error:
        raise BenchError(f"The echo server did not answer within {TIMEOUT_S:g} s.") from error
    finally:
        socket.close(linger=100)
        context.term()
    p50, p99 = np.percentile(engine_us, (50, 99)).tolist()
    bare_p50, bare_p99 = np.percentile(bare_us, (50, 99)).tolist()
    return Latency(len(engine_us), *(round(value, 1) for value in (p50, p99, bare_p50, bare_p99)))


def one_at_a_time(connection: Connection, batches: Sequence[Batch]) -> tuple[list[float], list[int]]:
    """(microseconds, answer bytes) of each round trip, in two lists."""
    taken_us, sizes = [], []
    for batch in batches:
        began_s = time.perf_counter()
        connection.send(batch.commands, batch.texts)
        answers = connection.receive(TIMEOUT_S)
        taken_us.append((time.perf_counter() - began_s) * 1e6)
        events = sum(len(segment.events) for one in answers for segment in one.answer.segments)
        sizes.append(layout.ANSWER.itemsize + layout.SEGMENT.itemsize + events * layout.EVENT.itemsize)
    return taken_us, sizes


def _echo_round_trips(socket: RawSocket, batches: Sequence[Batch], answer_bytes: Sequence[int]) -> list[float]:
    taken_us = []
    for batch, size in zip(batches, answer_bytes, strict=True):
        request_bytes = layout.BATCH.itemsize + layout.COMMAND.itemsize + len(batch.texts)
        began_s = time.perf_counter()
        socket.send_multipart([wire.COMMANDS, bare_echo.request(request_bytes, size)])
        socket.recv_multipart()
        taken_us.append((time.perf_counter() - began_s) * 1e6)
    return taken_us
