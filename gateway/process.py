"""The gateway's process: reader, model, order entry, REST and WebSocket in one event loop.

The edges are passed in: no setting and no signal is read here.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gateway.feed.applying import Applier
from gateway.feed.backfill import backfill
from gateway.feed.reading import FindLeader, Reader
from gateway.limits.sharing import LimitSharing
from gateway.market.exchange_info import RateLimits
from gateway.market_page.application import MarketPage
from gateway.model.history import History
from gateway.model.model import Model
from gateway.model.state import Bounds
from gateway.orders.entry import OrderEntry
from gateway.rest.access import Keys
from gateway.server import http
from gateway.server.forwarding import TrustedProxies
from gateway.streams.server import StreamServer
from gateway.trading import TradingApi
from matching.feed.reader import Feed

_POLL_S = 0.02
_HISTORY_S = 10.0
"""How long a start waits for older trades and candles at most; they are completed afterwards otherwise."""


@dataclass(frozen=True)
class Services:
    """The gateway's edges. `address` and `connect` are those of `Reader`."""

    address: str
    connect: Callable[[str], Feed]
    find_leader: FindLeader
    history: History
    keys: Keys
    entry: OrderEntry
    bounds: Bounds
    limits: RateLimits
    proxies: TrustedProxies
    stop_notice_s: float  # between the announcement of a stop to WebSocket clients and the stop
    listening: http.Listening
    sharing: LimitSharing | None = None  # with other gateways
    has_market_page: bool = True


@dataclass(frozen=True)
class Parts:
    """What is served, for health and metrics."""

    model: Model
    applier: Applier
    streams: StreamServer
    trading: TradingApi
    entry: OrderEntry
    http_connections: Collection[object]


async def run(services: Services, ready: Callable[[Parts], None], stop: Callable[[], bool]) -> None:
    """Serves until `stop()`. `ready` is called once when the model is level with the engine and the port listens.

    Raises what the reader raises (`gateway.feed.reading`), OSError for a port that cannot be used.
    """
    model = Model(services.bounds, services.history, clock=time.monotonic, time_ns=time.time_ns)
    streams = StreamServer(model, time.time_ns)
    trading = TradingApi(model, services.entry, services.keys, services.limits, services.proxies)
    application = MarketPage(model, trading.application) if services.has_market_page else trading.application
    reader: Reader | None = None
    history: set[asyncio.Task[None]] = set()

    def complete() -> None:
        task = asyncio.ensure_future(backfill(model, services.history))
        history.add(task)
        task.add_done_callback(history.discard)

    model.on_begin.append(complete)

    def begin_again() -> None:
        assert reader is not None, "blocks come from the reader"
        reader.begin_again()

    applier = Applier(model, asyncio.get_running_loop(), begin_again)
    reader = Reader(
        services.connect, services.find_leader, applier.deliver, address=services.address, clock=time.monotonic
    )
    is_stopped = threading.Event()
    threads = ThreadPoolExecutor(1, "reader")
    reading = threads.submit(reader.run, is_stopped.is_set)
    services.entry.start()

    async def announce_stop() -> None:
        if streams.connection_count or trading.connection_count:
            streams.announce_end()
            trading.announce_end()
            await asyncio.sleep(services.stop_notice_s)

    def ends() -> bool:
        return stop() or reading.done()

    try:
        while not (model.is_ready or ends()):
            await asyncio.sleep(_POLL_S)
        if history and not ends():
            await asyncio.wait(history, timeout=_HISTORY_S)
        if not ends():
            streams.start()
            trading.start()
            if services.sharing is not None:
                services.sharing.start(trading.counts, trading.weights.bans)
            await http.serve(
                application,
                lambda request: trading.listener(request) or streams.listener(request),
                services.listening,
                ready=lambda connections: ready(Parts(model, applier, streams, trading, services.entry, connections)),
                stop=ends,
                before_stop=announce_stop,
            )
    finally:
        for task in history:
            task.cancel()
        if services.sharing is not None:
            await services.sharing.close()
        trading.close()
        streams.close()
        services.entry.close()
        applier.close()
        is_stopped.set()
        threads.shutdown()
    reading.result()
