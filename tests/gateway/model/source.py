"""An engine that makes blocks of random commands, and a model that follows it: what tests of the model begin with."""

import time
from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Any

import numpy as np

from gateway.model.history import History, NoHistory
from gateway.model.model import Model
from gateway.model.state import Bounds
from matching.client.edge import BatchBuilder, Edge
from matching.core import layout, snapshots
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.workloads.btc_usd import DEFINITIONS
from tests.reference.streams import random_commands

ACCOUNTS = range(8)
_CLIENT = 1
_DEFINITIONS = ("asset", "instrument", "instrument_status")
BOUNDS = Bounds(trades=100_000, candles=100_000, closed_orders=100_000, fills=100_000)
START_NS = 1_796_000_000_000_000_000


class Source:
    """Makes blocks. The time of each is `time_ns`."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.time_ns = START_NS
        self._builder = BatchBuilder(Edge(self.engine.registry))

    def block(self, commands: Iterable[Mapping[str, Any]]) -> Block | None:
        """None if the edge refuses all of them."""
        for command in commands:
            self._builder.add(command)
        records, texts = self._builder.take()
        if not len(records):
            return None
        self.engine.check(records, texts)
        first = self.engine.clients.last_number(_CLIENT, 0) + 1
        requests = np.array([(_CLIENT, first, 0, 0, len(records), 0)], layout.REQUEST)
        block = self.engine.apply(requests, records, texts, self.time_ns)
        assert block.command_count == len(records)
        return block

    def snapshot(self) -> Engine:
        """An equal engine."""
        return snapshots.decode(snapshots.encode(self.engine))


def random_blocks(source: Source, seed: int, count: int, *, most: int = 6) -> Iterator[Block]:
    """Blocks of up to `most` of `count` random commands, at random times."""
    random = Random(seed)
    waiting: list[Mapping[str, Any]] = []
    size = random.randint(1, most)
    for command in random_commands(seed, count, wild=False):
        waiting.append(command)
        if len(waiting) < size and command["command"] not in _DEFINITIONS:
            continue
        source.time_ns += random.choice((0, 1_000_000, 30_000_000, 250_000_000, 70_000_000_000))
        block = source.block(waiting)
        waiting, size = [], random.randint(1, most)
        if block is not None:
            yield block


def model(bounds: Bounds = BOUNDS, history: History | None = None) -> Model:
    return Model(bounds, history or NoHistory(), clock=time.monotonic, time_ns=lambda: 0)


def defined() -> tuple[Source, Model]:
    """With BTC-USD and accounts 1 and 2 that have funds."""
    source, made = Source(), model()
    made.begin(Engine())
    apply(source, made, *DEFINITIONS)
    for account in (1, 2):
        for asset in ("BTC", "USD"):
            given = {"command": "deposit", "account": account, "asset": asset, "amount": "1000000", "reference": asset}
            apply(source, made, given)
    return source, made


def apply(source: Source, made: Model, *commands: Mapping[str, Any]) -> None:
    """Each command in a block of its own."""
    for command in commands:
        block = source.block([command])
        assert block is not None, command
        made.apply(block)
