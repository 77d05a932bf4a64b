"""The engine is stopped, another process binds its addresses and publishes a block that it made itself."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
import zmq

from exchange_site.operations.free_addresses import free_addresses, free_http_address
from matching.client.client import Client
from matching.client.edge import BatchBuilder, Edge
from matching.core import layout
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.feed.reader import Feed
from matching.workloads.btc_usd import DEFINITIONS
from simulator.trust.forged_blocks import forged
from tests.matching.small_exchange import deposit, until, until_heard
from tests.system.background import in_background
from tests.system.conftest import DATABASE, START_S, Process, Start

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

CREDITED = 10**18


def self_made_block(engine: Process) -> Block:
    """The next block: a deposit of 10^14 whose event credits 10^18, with a right hash. Needs no key and no file."""
    own = Engine()
    with closing(Feed(engine.address("BLOCK"), engine.address("RETRANSMIT"))) as feed:
        until_heard(feed, feed.newest, "a heartbeat")
        feed.request(1, last := feed.newest())
        found: dict[int, Block] = {}

        def has_all() -> bool:
            found.update({block.number: block for block in feed.receive(0.1, 100)})
            return last in found

        until(has_all, "the blocks")
    for number in range(1, last + 1):
        own.follow(found[number])
    builder = BatchBuilder(Edge(own.registry))
    assert builder.add(deposit(1, "self-made", amount="1000000")) is None
    commands, texts = builder.take()
    requests = np.array([(7, 1, 0, 0, 1, 0)], layout.REQUEST)
    return forged(own.apply(requests, commands, texts, own.timestamp_ns + 1), CREDITED)


@contextmanager
def impersonated(engine: Process, status: dict[str, Any], block: Block) -> Iterator[None]:
    """Publishes the block, and heartbeats that announce it, on the addresses of the engine, which has ended."""
    heartbeat = json.dumps({**status, "block": block.number, "state_hash": f"{block.hash:016x}"}).encode()

    def publish(stop: threading.Event) -> None:
        with zmq.Context() as context, context.socket(zmq.PUB) as publisher, context.socket(zmq.ROUTER) as router:
            publisher.bind(engine.address("BLOCK"))
            router.bind(engine.address("RETRANSMIT"))
            while not stop.wait(0.05):
                publisher.send_multipart([b"block", block.data])
                publisher.send_multipart([b"status", heartbeat])
                while router.poll(0):
                    sender, verb, *_ = router.recv_multipart()
                    if verb in (b"blocks", b"status"):
                        router.send_multipart(
                            [sender, *([b"block", block.data] if verb == b"blocks" else [verb, heartbeat])]
                        )

    with in_background(publish):
        yield


def stored(engine: Process, question: str) -> list[Any]:
    with closing(sqlite3.connect(engine.data_dir / DATABASE)) as database:
        return database.execute(question).fetchall()


def appended(engine: Process) -> int:
    (number,) = stored(engine, "SELECT max(number) FROM engine_blocks")[0]
    return int(number or 0)


def test_a_self_made_block_is_neither_stored_nor_projected_and_the_true_engine_goes_on(start: Start) -> None:
    shared = free_addresses(http=["ENGINE_HTTP_ADDRESS"])
    engine = start("run_engine", **shared).wait_until_ready()
    run_settlement = partial(
        start, "run_settlement", data_dir=engine.data_dir, SETTLEMENT_HTTP_ADDRESS=free_http_address(), **shared
    )
    settlement = run_settlement()
    with Client(engine.address("COMMAND")) as client:
        client.call([*DEFINITIONS, deposit(1, "true")])
        status = client.status()
    until(lambda: appended(engine) == status["block"], "settlement of the true blocks", START_S)
    block = self_made_block(engine)
    engine.stop()
    with impersonated(engine, status, block):
        until(lambda: settlement.popen.poll() is not None or appended(engine) == block.number, "the end", START_S)
    settlement.stop()
    assert settlement.popen.returncode == 1, "it goes on"
    assert f"Block {block.number}, received from the engine, is not what its commands give" in settlement.errors[-1]
    assert "Make sure that only your engine listens at its addresses, start that engine, then" in settlement.errors[-1]
    assert appended(engine) == status["block"]
    assert stored(engine, "SELECT kind FROM alarms WHERE cleared_at IS NULL") == [("incident",)]

    engine = start("run_engine", data_dir=engine.data_dir, **shared).wait_until_ready()
    settlement = run_settlement()
    with Client(engine.address("COMMAND")) as client:
        client.call([deposit(1, "goes on")])
        last = client.status()["block"]
        assert client.state()["balances"] == [[1, "BTC", 2 * 1000_00000000, 0]]
    until(lambda: appended(engine) == last, "settlement of the next block", START_S)
    until(lambda: stored(engine, "SELECT available FROM balances") == [(2 * 1000_00000000,)], "projection", START_S)
