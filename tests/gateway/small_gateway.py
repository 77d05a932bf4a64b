"""A gateway for tests: a real engine, the read model that follows it, and the REST application on a real port.

Engine and gateway run in threads of this process; clients are whatever a test takes.
"""

import asyncio
import secrets
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from exchange_site.operations.free_addresses import free_ports
from gateway.keys.key import ApiKey, KeyType, Permission
from gateway.keys.signatures import verifier
from gateway.market.exchange_info import RateLimits
from gateway.model.history import NoHistory
from gateway.model.model import Model
from gateway.model.state import Bounds
from gateway.orders.entry import OrderEntry
from gateway.server import http
from gateway.trading import TradingApi
from matching.client.client import Client
from matching.core.engine import Engine
from matching.feed.reader import Feed
from matching.transport.network import ZmqNetwork
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching import small_exchange
from tests.matching.small_exchange import deposit, until

GENEROUS = RateLimits(weight_per_minute=1_000_000, orders_per_10_seconds=100_000, orders_per_day=1_000_000)
READ_AND_TRADE = frozenset(Permission)
_POLL_S = 0.001
_Answer = TypeVar("_Answer")


@dataclass
class Keys:
    """Keys in memory."""

    keys: dict[str, ApiKey] = field(default_factory=dict)

    def find(self, name: str) -> ApiKey | None:
        return self.keys.get(name)

    def note_use(self, name: str) -> None:
        """Nothing keeps it."""

    def add(
        self,
        account: int,
        *,
        key_type: KeyType = KeyType.HMAC,
        material: bytes = b"",
        permissions: frozenset[Permission] = READ_AND_TRADE,
        **properties: Any,
    ) -> tuple[str, str]:
        """Returns the new key's name and its secret."""
        name, secret = secrets.token_hex(32), secrets.token_hex(32)
        found = verifier(key_type, material or secret.encode("ascii"))
        self.keys[name] = ApiKey(name, account, key_type, found, permissions, **properties)
        return name, secret


@dataclass
class SmallGateway:
    engine: small_exchange.Running
    keys: Keys
    port: int
    loop: asyncio.AbstractEventLoop
    model: Model
    entry: OrderEntry

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, *commands: Mapping[str, Any]) -> None:
        """Sends commands to the engine as another client, and waits until the gateway's model has them."""
        with Client(self.engine.commands) as client:
            results = client.call(commands)
        assert not [result.rejected for result in results if result.rejected], results
        newest = max(result.block_number or 0 for result in results)
        until(lambda: self.model.block_number >= newest, f"block {newest} in the model")

    def run(self, awaitable: Coroutine[Any, Any, _Answer]) -> _Answer:
        """Awaits in the gateway's loop."""
        future: Future[_Answer] = asyncio.run_coroutine_threadsafe(awaitable, self.loop)
        return future.result(30)


@contextmanager
def small_gateway(limits: RateLimits = GENEROUS) -> Iterator[SmallGateway]:
    """A gateway with BTC-USD and with two accounts, 1 and 2, that have funds."""
    with small_exchange.leader(small_exchange.plan()) as engine, following(engine, limits) as made:
        made.call(*DEFINITIONS)
        made.call(*funds(1), *funds(2))
        yield made


@contextmanager
def following(engine: small_exchange.Running, limits: RateLimits = GENEROUS) -> Iterator[SmallGateway]:
    """A gateway of an engine that has made no block yet."""
    keys, port = Keys(), free_ports(1)[0]
    ready: Future[tuple[asyncio.AbstractEventLoop, Model, OrderEntry]] = Future()
    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(engine, keys, port, limits, ready, stop)))
    thread.start()
    try:
        loop, model, entry = ready.result(60)
        yield SmallGateway(engine, keys, port, loop, model, entry)
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def funds(account: int) -> list[dict[str, Any]]:
    return [
        deposit(account, f"btc-{account}", "BTC", "1000"),
        deposit(account, f"usd-{account}", "USD", "1000000"),
    ]


async def _serve(
    engine: small_exchange.Running,
    keys: Keys,
    port: int,
    limits: RateLimits,
    ready: "Future[tuple[asyncio.AbstractEventLoop, Model, OrderEntry]]",
    stop: threading.Event,
) -> None:
    model = Model(
        Bounds(trades=10_000, candles=1000, closed_orders=10_000, fills=10_000),
        NoHistory(),
        clock=time.monotonic,
        time_ns=time.time_ns,
    )
    model.begin(Engine())
    entry = OrderEntry(engine.commands, ZmqNetwork)
    entry.start()
    trading = TradingApi(model, entry, keys, limits)
    trading.start()
    following = asyncio.create_task(_follow(engine, model))
    loop = asyncio.get_running_loop()
    try:
        await http.serve(
            trading.application,
            trading.listener,
            http.Listening("127.0.0.1", port),
            ready=lambda: ready.set_result((loop, model, entry)),
            stop=stop.is_set,
        )
    finally:
        following.cancel()
        trading.close()
        entry.close()


async def _follow(engine: small_exchange.Running, model: Model) -> None:
    addresses = engine.plan.addresses
    feed = Feed(addresses.blocks, addresses.retransmission)
    try:
        while True:
            for block in feed.receive(0, 1000):
                if block.number == model.block_number + 1:
                    model.apply(block)
            newest = feed.newest()
            if newest > model.block_number:
                feed.request(model.block_number + 1, newest)
            else:
                model.note_level()
            await asyncio.sleep(_POLL_S)
    finally:
        feed.close()
