"""A gateway for tests: a real engine, the read model that follows it, and the REST application on a real port.

Engine and gateway run in threads of this process; clients are whatever a test takes.
"""

import asyncio
import secrets
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvicorn

from exchange_site.operations.free_addresses import free_ports
from gateway.keys.key import ApiKey, KeyType, Permission
from gateway.keys.signatures import verifier
from gateway.limits.orders import OrderLimits
from gateway.limits.weight import WeightLimit
from gateway.model.history import NoHistory
from gateway.model.model import Model
from gateway.model.state import Bounds
from gateway.orders.entry import OrderEntry
from gateway.orders.routes import order_routes
from gateway.rest.application import RestApplication
from gateway.rest.route import Route
from matching.client.client import Client
from matching.core.engine import Engine
from matching.feed.reader import Feed
from matching.transport.network import ZmqNetwork
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching import small_exchange
from tests.matching.small_exchange import deposit, until

READ_AND_TRADE = frozenset(Permission)
_POLL_S = 0.001
_Answer = TypeVar("_Answer")


@dataclass
class Keys:
    """Keys in memory."""

    keys: dict[str, ApiKey] = field(default_factory=dict)

    def find(self, name: str) -> ApiKey | None:
        return self.keys.get(name)

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
def small_gateway(
    more_routes: Sequence[Route] = (), *, weight: int = 1_000_000, orders: tuple[int, int] = (100_000, 1_000_000)
) -> Iterator[SmallGateway]:
    """A gateway with BTC-USD and with two accounts, 1 and 2, that have funds."""
    with small_exchange.leader(small_exchange.plan()) as engine:
        keys, port = Keys(), free_ports(1)[0]
        ready: Future[tuple[asyncio.AbstractEventLoop, Model, OrderEntry]] = Future()
        stop = threading.Event()
        thread = threading.Thread(
            target=lambda: asyncio.run(_serve(engine, keys, port, weight, orders, more_routes, ready, stop))
        )
        thread.start()
        try:
            loop, model, entry = ready.result(60)
            made = SmallGateway(engine, keys, port, loop, model, entry)
            made.call(*DEFINITIONS)
            made.call(*funds(1), *funds(2))
            yield made
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
    weight: int,
    orders: tuple[int, int],
    more_routes: Sequence[Route],
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
    limits = OrderLimits(*orders, time.time)
    model.on_block.append(lambda applied: limits.note_events(applied.events))
    entry = OrderEntry(engine.commands, ZmqNetwork)
    entry.start()
    application = RestApplication(
        [*order_routes(model, entry, limits), *more_routes], keys, WeightLimit(weight, time.time)
    )
    server = uvicorn.Server(uvicorn.Config(application, port=port, log_config=None, lifespan="off", access_log=False))
    serving = asyncio.create_task(server.serve())
    following = asyncio.create_task(_follow(engine, model))
    while not server.started:
        await asyncio.sleep(_POLL_S)
    ready.set_result((asyncio.get_running_loop(), model, entry))
    await asyncio.to_thread(stop.wait)
    server.should_exit = True
    await serving
    following.cancel()
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
