"""Two replicas of one Kafka topic and settlement, under load: replicas or the broker are killed many times.

`KAFKA_KILL_S=300` sets for how many seconds; the default is short.
"""

import json
import os
import random
import signal
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from exchange_site.operations.free_addresses import free_addresses, free_http_address
from matching.client.client import Client, Result
from matching.core import layout
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.errors import MatchingError
from matching.node.follower import re_executed
from matching.storage.input_logs import frames
from matching.storage.input_logs.kafka_topic import PARTITION
from matching.workloads.btc_usd import DEFINITIONS
from scripts.services import Kafka, Running, Server
from tests.matching.kafka import delete_topic, is_recreated, new_topic
from tests.matching.small_exchange import deposit, until
from tests.reference.streams import random_commands
from tests.system.conftest import Process, Start
from tests.system.test_replication import published
from tests.system.test_wal_kills import sequences_of

KILL_S = float(os.environ.get("KAFKA_KILL_S", "20"))
pytestmark = [pytest.mark.processes, pytest.mark.services("kafka"), pytest.mark.timeout(600 + 4 * KILL_S)]

CLIENTS = (81, 82)
EVERY_S = 4.0  # longest time between two kills of a replica
BROKER_EVERY_S = 20.0  # time of one kill of the broker, mostly its restart
PAUSE_S = 0.05  # between two calls of a client: the load must not starve Kafka, replicas and settlement
LATE_S = 0.5


@dataclass
class Trader:
    """A client, its answers in order, and how long it waited for each call."""

    client_id: int
    answered: list[Result] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    failures: list[MatchingError] = field(default_factory=list)

    def trade(self, addresses: str, seed: int, stop: threading.Event) -> None:
        commands = random_commands(seed + self.client_id, 10_000_000, instruments=2, accounts=8)
        try:
            with Client(addresses, client_id=self.client_id, timeout_s=60) as client:
                while not stop.is_set():
                    began_s = time.monotonic()
                    self.answered += client.call(islice(commands, 20))
                    self.waits_s.append(time.monotonic() - began_s)
                    stop.wait(PAUSE_S)
        except MatchingError as error:
            self.failures.append(error)


@contextmanager
def traders(addresses: str, seed: int) -> Iterator[list[Trader]]:
    made = [Trader(client_id) for client_id in CLIENTS]
    stop = threading.Event()
    threads = [threading.Thread(target=one.trade, args=(addresses, seed, stop)) for one in made]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def until_answered(made: list[Trader], lives_s: float) -> None:
    """Waits at least `lives_s`, and until each client has one more answer."""
    counts = [len(one.waits_s) for one in made]
    ends_s = time.monotonic() + lives_s

    def are_answered() -> bool:
        assert not any(one.failures for one in made), [one.failures for one in made]
        is_news = all(len(one.waits_s) > before for one, before in zip(made, counts, strict=True))
        return is_news and time.monotonic() > ends_s

    until(are_answered, "each client to be answered", 120)


@dataclass
class Exchange:
    """Two replicas and settlement over one store. Each replica has its own folder for snapshots."""

    start: Start
    shared: dict[str, str]
    replicas: list[Process]
    settlement: Process
    store: Path

    @property
    def addresses(self) -> str:
        return self.shared["ENGINE_REPLICAS"]

    def kill(self, place: int) -> None:
        """Kills a replica and restarts it with the same folder and addresses."""
        dead = self.replicas[place]
        assert dead.popen.poll() is None, f"the replica ended by itself: {dead.errors}"
        dead.stop(signal.SIGKILL)
        own = {name: value for name, value in dead.environment.items() if name.startswith("ENGINE_")}
        self.replicas[place] = self.start("run_engine", data_dir=dead.data_dir, **{**self.shared, **own})

    def status(self, place: int) -> dict[str, Any]:
        with Client(self.replicas[place].address("COMMAND")) as client:
            return client.status()

    def finish(self) -> int:
        """Waits until both replicas and the store are at the same block. Returns its number."""
        until(lambda: all(one.lines for one in self.replicas), "both replicas to be ready", 120)
        until(lambda: self.status(0)["block"] == self.status(1)["block"], "the replicas to be at one block")
        last = int(self.status(0)["block"])
        until(lambda: self.settled() == last, "settlement")
        return last

    def settled(self) -> int:
        """Number of the last projected block."""
        assert self.settlement.popen.poll() is None, f"settlement ended by itself: {self.settlement.errors}"
        with closing(sqlite3.connect(self.store)) as database:
            row = database.execute("select min(block_number) from settlement_checkpoints").fetchone()
        return int(row[0] or 0)

    def blocks(self) -> list[Block]:
        """All blocks of the store."""
        with closing(sqlite3.connect(self.store)) as database:
            rows = database.execute("select data from engine_blocks order by number").fetchall()
        return [Block.decode(data) for (data,) in rows]


@pytest.fixture
def exchange(start: Start, tmp_path: Path, empty_store: Path) -> Callable[[str], Exchange]:
    def run(servers: str) -> Exchange:
        topic = new_topic(servers)
        own = [free_addresses(http=["ENGINE_HTTP_ADDRESS"]) for _ in range(2)]
        store = tmp_path / "store.sqlite3"
        store.write_bytes(empty_store.read_bytes())
        shared = {
            "INPUT_LOG": "kafka",
            "KAFKA_BOOTSTRAP_SERVERS": servers,
            "KAFKA_COMMAND_TOPIC": topic.name,
            "ENGINE_REPLICAS": ",".join(one["ENGINE_COMMAND_ADDRESS"] for one in own),
            "ENGINE_SNAPSHOT_BLOCKS": "100",
            "DATABASE_URL": f"sqlite:///{store}",
            "SETTLEMENT_HTTP_ADDRESS": free_http_address(),
        }
        replicas = [start("run_engine", **{**shared, **one}) for one in own]
        settlement = start("run_settlement", **{**shared, **own[0], "ENGINE_HTTP_ADDRESS": free_http_address()})
        for one in replicas:
            one.wait_until_ready()
        return Exchange(start, shared, replicas, settlement, store)

    return run


def check(exchange: Exchange, made: list[Trader], seed: int) -> None:
    """Checks that store and replicas have the same chain, and that it has each answered command exactly once."""
    last = exchange.finish()
    blocks = exchange.blocks()
    again = Engine()
    for block in blocks:
        block.verify(again.block_number + 1, again.state_hash)
        re_executed(again, block)
    assert again.block_number == last, f"seed {seed}"
    for place, one in enumerate(exchange.replicas):
        oldest = exchange.status(place)["ring"]["first"]
        held = published(one, oldest, last)
        assert [block.data for block in held] == [block.data for block in blocks[oldest - 1 :]], f"seed {seed}"
    done = sequences_of(blocks)
    for trader in made:
        assert not trader.failures, f"seed {seed}: {trader.failures}"
        taken = [result for result in trader.answered if not (result.rejected and result.command_sequence is None)]
        known = [result for result in taken if not result.forgotten]
        expected = done[trader.client_id][: len(taken)]
        for result, sequence in zip(taken, expected, strict=True):
            assert result.forgotten or result.command_sequence == sequence, f"seed {seed}"
        assert len(known) > 50, f"seed {seed}: client {trader.client_id} got too few answers"
    verified = exchange.start("verify_settlement", "--json", data_dir=exchange.settlement.data_dir, **exchange.shared)
    until(lambda: verified.popen.poll() is not None, "verify_settlement", 300)
    verified.stop()
    report = json.loads(verified.lines[-1])
    assert (verified.popen.returncode, report["ok"]) == (0, True), (f"seed {seed}", report["differences"])
    tell(made, last, report["trades"])


def tell(made: list[Trader], last: int, trades: int) -> None:
    commands = sum(len(one.answered) for one in made)
    print(f"{last} blocks, {commands} commands, {trades} trades")  # noqa: T201
    for one in made:
        late = [wait for wait in one.waits_s if wait > LATE_S]
        longest = max(one.waits_s, default=0)
        print(  # noqa: T201
            f"client {one.client_id}: without service {sum(late):.1f} s in {len(late)} waits of over {LATE_S} s, "
            f"longest {longest:.2f} s, of {sum(one.waits_s):.1f} s"
        )


def test_killed_replicas_leave_one_chain_without_gaps(
    exchange: Callable[[str], Exchange], kafka: Running, seed: int
) -> None:
    moments = random.Random(seed)
    running = exchange(kafka.address)
    ends_s = time.monotonic() + KILL_S
    beginnings, kills = [], 0
    with traders(running.addresses, seed) as made:
        while time.monotonic() < ends_s:
            until(lambda: all(one.lines for one in running.replicas), "both replicas to be ready", 120)
            until_answered(made, moments.uniform(EVERY_S / 4, EVERY_S))
            running.kill(moments.randrange(2))
            kills += 1
        beginnings = [line for one in running.replicas for line in one.lines]
    check(running, made, seed)
    print(f"{kills} kills; {beginnings}")  # noqa: T201


def test_a_broker_that_is_killed_under_load_loses_nothing_that_was_answered(
    exchange: Callable[[str], Exchange], launch: Callable[[Server], Running], seed: int
) -> None:
    broker = launch(Kafka())
    running = exchange(broker.address)
    away_s = []
    with traders(running.addresses, seed) as made:
        for _ in range(max(2, int(KILL_S / BROKER_EVERY_S))):
            until_answered(made, LATE_S)
            broker.kill()
            killed_s = time.monotonic()
            until(lambda: running.status(0)["halted"] and running.status(1)["halted"], "both replicas to halt")
            assert "Kafka at" in running.status(0)["halted_reason"]
            broker = broker.restart()
            away_s.append(round(time.monotonic() - killed_s, 1))
        until_answered(made, LATE_S)
    check(running, made, seed)
    print(f"the broker was away for {away_s} s")  # noqa: T201


def test_a_topic_that_was_deleted_and_recreated_is_refused(exchange: Callable[[str], Exchange], kafka: Running) -> None:
    running = exchange(kafka.address)
    dead = running.replicas[0]
    dead.stop()
    name = running.shared["KAFKA_COMMAND_TOPIC"]
    delete_topic(kafka.address, name)
    until(lambda: is_recreated(kafka.address, name), "the topic to be gone")
    again = running.start("run_engine", data_dir=dead.data_dir, **running.shared)
    until(lambda: "event='engine.replica_not_listed'" in "".join(again.errors), "the line of the log")
    assert again.popen.wait(60) == 1
    again.stop()
    assert "start this one with --take-over" in again.errors[-1]


def test_a_replica_that_is_catching_up_serves_health_and_stops_when_another_engine_takes_over(
    start: Start, kafka: Running
) -> None:
    shared = {
        "INPUT_LOG": "kafka",
        "KAFKA_BOOTSTRAP_SERVERS": kafka.address,
        "KAFKA_COMMAND_TOPIC": new_topic(kafka.address).name,
    }
    first = start("run_engine", **shared).wait_until_ready()
    with Client(first.address("COMMAND")) as client:
        client.call([*DEFINITIONS, *(deposit(1, f"{at}") for at in range(10))])
    assert first.stop() == 0

    store = {"DATABASE_URL": f"sqlite:///{first.data_dir}/exchange.sqlite3"}
    again = start("run_engine", **shared, **store, ENGINE_RING_BLOCKS="2")
    health = f"http://{again.address('HTTP')}/health"
    until(lambda: again.popen.poll() is not None or asked(f"{health}/live") == 200, "the replica to answer", 120)
    assert asked(f"{health}/ready") == 503
    assert again.lines == [], "the replica does not take commands yet"

    start("run_engine", "--take-over", **store).wait_until_ready()
    assert again.popen.wait(60) == 1
    again.stop()
    assert "has begun epoch 2: this replica's log is no longer valid" in again.errors[-1]
    assert again.lines == []


def asked(url: str) -> int:
    """HTTP status, 0 without an answer."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_an_engine_does_not_start_on_a_topic_of_an_earlier_record_layout(start: Start, kafka: Running) -> None:
    topic = new_topic(kafka.address)
    frame = bytearray(frames.encode([b"a batch of an earlier layout"]))
    frame[6:8] = (layout.LAYOUT_VERSION - 1).to_bytes(2, "little")
    producer = Producer({"bootstrap.servers": kafka.address})
    producer.produce(topic.name, bytes(frame), partition=PARTITION)
    producer.flush()
    engine = start(
        "run_engine",
        INPUT_LOG="kafka",
        KAFKA_BOOTSTRAP_SERVERS=kafka.address,
        KAFKA_COMMAND_TOPIC=topic.name,
    )
    assert engine.popen.wait(60) == 1
    engine.stop()
    assert "Message 0 of the log has" in engine.errors[-1]
    assert f"layout {layout.LAYOUT_VERSION - 1}" in engine.errors[-1]
    assert "manage.py migrate_layout" in engine.errors[-1]
