"""The whole gateway in a thread, beside a real engine: reader, model, orders, REST and WebSocket on a real port."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvloop

from exchange_site.operations.free_addresses import free_ports
from gateway import process
from gateway.feed.finding import LeaderFinder
from gateway.keys.key_ring import KeyRing
from gateway.limits.sharing import LimitSharing
from gateway.market.exchange_info import RateLimits
from gateway.model.history import History, NoHistory
from gateway.model.model import Model
from gateway.model.state import Bounds
from gateway.orders.entry import OrderEntry
from gateway.server.certificate import Certificate
from gateway.server.forwarding import TrustedProxies
from gateway.server.http import Listening
from matching.client.client import Client
from matching.feed.reader import Feed
from matching.transport.network import ZmqNetwork
from matching.workloads.btc_usd import DEFINITIONS
from tests.gateway.small_gateway import Keys, funds
from tests.matching import small_exchange
from tests.matching.small_exchange import until

LIMITS = RateLimits(weight_per_minute=1_000_000, orders_per_10_seconds=100_000, orders_per_day=1_000_000)
_ANSWER_S = 2.0


@dataclass
class RunningGateway:
    engine: small_exchange.Running
    port: int
    keys: Keys
    parts: process.Parts

    @property
    def model(self) -> Model:
        return self.parts.model

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def stream_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def call(self, *commands: Mapping[str, Any], engines: str = "") -> None:
        """Sends commands to the engine as another client, and waits until the gateway's model has them."""
        with Client(engines or self.engine.commands) as client:
            results = client.call(commands)
        assert not [result.rejected for result in results if result.rejected], results
        newest = max(result.block_number or 0 for result in results)
        until(lambda: self.model.block_number >= newest, f"block {newest} in the model")


@contextmanager
def gateway_of(
    engine: small_exchange.Running,
    *,
    history: History | None = None,
    limits: RateLimits = LIMITS,
    has_market_page: bool = True,
    ring: KeyRing | None = None,
    proxies: Sequence[str] = (),
    asked_s: float = 10.0,
    sharing: LimitSharing | None = None,
    certificate: Certificate | None = None,
    connections: int = 10_000,
) -> Iterator[RunningGateway]:
    """A gateway that is ready, until the end of the block. `ring`: its keys, instead of those in memory."""
    keys, port = Keys(), free_ports(1)[0]
    addresses = engine.plan.addresses
    ready: Future[process.Parts] = Future()
    stop = threading.Event()
    services = process.Services(
        address=addresses.commands,
        connect=lambda address: (
            Feed.discover(address, _ANSWER_S)
            if address != addresses.commands
            else Feed(addresses.blocks, addresses.retransmission)
        ),
        find_leader=LeaderFinder(addresses.commands, ZmqNetwork),
        history=history or NoHistory(),
        keys=ring or keys,
        entry=OrderEntry(addresses.commands, ZmqNetwork, asked_s=asked_s),
        bounds=Bounds(trades=10_000, candles=1000, closed_orders=10_000, fills=10_000),
        limits=limits,
        proxies=TrustedProxies(proxies),
        stop_notice_s=0.05,
        sharing=sharing,
        listening=Listening("127.0.0.1", port, certificate=certificate, connections=connections),
        has_market_page=has_market_page,
    )

    def body() -> None:
        try:
            uvloop.run(process.run(services, ready.set_result, stop.is_set))
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield RunningGateway(engine, port, keys, ready.result(60))
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


@contextmanager
def running_gateway(
    limits: RateLimits = LIMITS, *, has_market_page: bool = True, ring: KeyRing | None = None
) -> Iterator[RunningGateway]:
    """With BTC-USD and with two accounts, 1 and 2, that have funds."""
    with (
        small_exchange.leader(small_exchange.plan(ring_blocks=100_000)) as engine,
        gateway_of(engine, limits=limits, has_market_page=has_market_page, ring=ring) as gateway,
    ):
        gateway.call(*DEFINITIONS)
        gateway.call(*funds(1), *funds(2))
        yield gateway


def limit(account: int, side: str, price: str, quantity: str = "1", **fields: Any) -> dict[str, Any]:
    return small_exchange.order(account, side, price, quantity, **fields)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
