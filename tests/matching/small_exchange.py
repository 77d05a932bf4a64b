"""A small exchange for tests: definitions, batches of commands, and engines that run in threads on real sockets."""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exchange_site.operations.free_addresses import free_ports
from matching.client.edge import BatchBuilder, Edge
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.epochs import Epoch
from matching.feed.reader import Feed
from matching.node import process
from matching.node.sequencer import Sequencer
from matching.node.services import Services
from matching.storage.disk import LocalDisk
from matching.storage.history import History, StoredUpTo
from matching.storage.input_logs.base import CommandLog, InputLog
from matching.storage.input_logs.memory import MemoryLog
from matching.storage.ring import Ring
from matching.storage.snapshot_files import DirectWriter, SnapshotFolder, Snapshotter
from matching.transport import wire
from matching.transport.network import ZmqNetwork
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.histories import STORE, MemoryHistory

PATIENCE_S = 30.0


def deposit(account: int, reference: str, asset: str = "BTC", amount: str = "1000") -> dict[str, Any]:
    return {"command": "deposit", "account": account, "asset": asset, "amount": amount, "reference": reference}


def order(account: int, side: str, price: str, quantity: str = "1", **fields: Any) -> dict[str, Any]:
    return {
        "command": "order",
        "account": account,
        "symbol": "BTC-USD",
        "side": side,
        "order_type": "limit",
        "price": price,
        "quantity": quantity,
        **fields,
    }


def trading(count: int) -> list[dict[str, Any]]:
    """Deposits for two accounts, then `count` orders of which every second one trades."""
    funds = [deposit(1, "t-1", amount="1000000"), deposit(2, "t-2", asset="USD", amount="1000000000")]
    return funds + [order(1 + at % 2, ("sell", "buy")[at % 2], "100.00") for at in range(count)]


def defined_engine() -> Engine:
    """An engine with the assets and the instrument, in three blocks."""
    engine = Engine()
    sequencer = Sequencer(engine, Ring(100, 1 << 20), lambda: 1, 1024)
    for number, definition in enumerate(DEFINITIONS, 1):
        sequencer.sequence([batch(engine, 999, number, [definition])])
    return engine


def batch(engine: Engine, client: int, first_number: int, commands: Iterable[Mapping[str, Any]]) -> wire.Batch:
    """A batch as decoded from a message."""
    builder = BatchBuilder(Edge(engine.registry))
    for command in commands:
        assert builder.add(command) is None, command
    records, texts = builder.take()
    return wire.decode_batch(wire.encode_batch(client, first_number, records, texts))


def until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Waits until a condition holds that other threads or processes cause. Fails after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience_s:g} s for {what}"
        time.sleep(0.002)


def until_heard(feed: Feed, condition: Callable[[], object], what: str) -> None:
    """Reads the feed and discards its blocks until the condition holds."""

    def looked() -> object:
        feed.receive(0.02, 1000)
        return condition()

    until(looked, what)


def plan(*, ring_blocks: int = 1000, ring_bytes: int = 1 << 28, block_commands: int = 64) -> process.Plan:
    addresses = wire.Addresses(*(f"tcp://127.0.0.1:{port}" for port in free_ports(3)))
    return process.Plan(addresses, ring_blocks, ring_bytes, block_commands)


@dataclass
class Running:
    """An engine in a thread; `failure` is the exception that ended it, if any."""

    plan: process.Plan
    parts: process.Parts
    thread: threading.Thread
    failures: list[Exception]

    @property
    def commands(self) -> str:
        return self.plan.addresses.commands


def confirmation(running: Running, number: int) -> wire.Confirmation:
    """Settlement's confirmation of a block that this engine has made."""
    block = running.parts.ring.get_any(number)
    assert block is not None
    return wire.Confirmation(number, block.hash, STORE)


def no_snapshots() -> Snapshotter:
    """A snapshotter that neither finds nor writes snapshots."""
    folder = SnapshotFolder(LocalDisk(), Path("/dev/null/snapshots"), 1)
    return Snapshotter(folder, DirectWriter(folder), 0)


def services(
    history: History,
    *,
    input_log: InputLog | None = None,
    snapshotter: Snapshotter | None = None,
    engine: str = "one",
    superseded: Callable[[], Epoch | None] = lambda: None,
    stored: Callable[[], StoredUpTo | None] = lambda: None,
    take_over: bool = False,
) -> Services:
    """Services with real clocks and sockets."""
    return Services(
        history=history,
        input_log=input_log or MemoryLog(),
        snapshotter=snapshotter or no_snapshots(),
        make_network=ZmqNetwork,
        monotonic=time.monotonic,
        time_ns=time.time_ns,
        engine=engine,
        superseded=superseded,
        stored=stored,
        take_over=take_over,
    )


@contextmanager
def leader(
    plan: process.Plan, *, input_log: InputLog | None = None, settled: Callable[[], Iterable[Block]] = tuple
) -> Iterator[Running]:
    with leader_with(plan, services(MemoryHistory(settled()), input_log=input_log)) as one:
        yield one


@contextmanager
def leader_with(plan: process.Plan, services: Services) -> Iterator[Running]:
    with _running(plan, lambda ready, stop: process.lead(plan, services, ready, stop)) as one:
        yield one


@contextmanager
def follower(plan: process.Plan, address: str, history: History | None = None) -> Iterator[Running]:
    """A follower; it can only be promoted with `history`."""
    with follower_with(plan, services(history or MemoryHistory(), engine="another"), address) as one:
        yield one


@contextmanager
def follower_with(plan: process.Plan, own: Services, address: str) -> Iterator[Running]:
    with _running(
        plan,
        lambda ready, stop: process.follow_leader(plan, own, address, timeout_s=PATIENCE_S, ready=ready, stop=stop),
    ) as one:
        yield one


@contextmanager
def replica_with(
    plan: process.Plan, own: Services, command_log: CommandLog, joined: process.Ready = lambda parts: None
) -> Iterator[Running]:
    """A replica that has caught up with the log; `joined` is called before that."""
    instance = secrets.token_bytes(8)

    def run(ready: process.Ready, stop: Callable[[], bool]) -> None:
        process.replicate(plan, own, command_log, instance=instance, joined=joined, ready=ready, stop=stop)

    with _running(plan, run) as one:
        yield one


@contextmanager
def _running(plan: process.Plan, run: Callable[[process.Ready, Callable[[], bool]], None]) -> Iterator[Running]:
    stop = threading.Event()
    started: list[process.Parts] = []
    failures: list[Exception] = []

    def body() -> None:
        try:
            run(started.append, stop.is_set)
        except Exception as error:  # noqa: BLE001 (the test checks it)
            failures.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    try:
        until(lambda: started or failures, "the engine to start", 120)  # the first start may compile the kernel
        if not started:
            raise failures[0]
        yield Running(plan, started[0], thread, failures)
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
