"""The API of traders as one part: REST, the WebSocket API and user data streams over one model and one engine."""

import time
from collections.abc import Callable

from picows import WSListener, WSUpgradeRequest

from gateway.limits.orders import OrderLimits
from gateway.limits.weight import WeightLimit
from gateway.market.exchange_info import RateLimits
from gateway.market.routes import market_routes
from gateway.model.model import Model
from gateway.orders.desk import Engine
from gateway.orders.routes import order_routes
from gateway.rest.access import Keys
from gateway.rest.application import RestApplication, now_us
from gateway.server.forwarding import TrustedProxies
from gateway.server.traffic import Traffic
from gateway.user_events.feeds import AccountFeeds
from gateway.user_events.listen_keys import ListenKeys
from gateway.user_events.streams import UserStreams
from gateway.ws_api.methods import methods
from gateway.ws_api.server import WsApiServer
from gateway.ws_api.session import Api


class TradingApi:
    """Used in the event loop, between `start` and `close`."""

    def __init__(
        self,
        model: Model,
        engine: Engine,
        keys: Keys,
        limits: RateLimits,
        proxies: TrustedProxies,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` returns seconds since 1970."""
        orders = OrderLimits(limits.orders_per_10_seconds, limits.orders_per_day, clock)
        self.traffic = Traffic()
        self.weights = WeightLimit(limits.weight_per_minute, clock)
        self._feeds = feeds = AccountFeeds(model)
        listen_keys = ListenKeys(time.monotonic)
        routes = [
            *order_routes(model, engine, orders, self.traffic),
            *listen_keys.routes(),
            *market_routes(model, limits, time.time_ns),
        ]
        self.application = RestApplication(routes, keys, self.weights, proxies, self.traffic)
        self.counts = [self.weights.counts, self.weights.refused, *orders.counts]
        """What several gateways may share."""
        self._ws_api = WsApiServer(
            Api(methods(routes), keys, self.weights, orders, feeds, proxies, self.traffic, now_us)
        )
        self._user_streams = UserStreams(listen_keys, feeds, keys)
        model.on_block.append(lambda applied: orders.note_events(applied.events))
        model.on_begin.append(self._ws_api.end_all)
        model.on_begin.append(self._user_streams.end_all)

    def start(self) -> None:
        """From now on it is checked that the keys of open connections are still valid."""
        self._ws_api.start()
        self._user_streams.start()

    def close(self) -> None:
        self._ws_api.close()
        self._user_streams.close()

    def announce_end(self) -> None:
        """Tells all clients that their connections will be closed soon."""
        self._ws_api.announce_end()
        self._user_streams.announce_end()

    @property
    def session_count(self) -> int:
        """Open connections of the WebSocket API."""
        return self._ws_api.session_count

    @property
    def user_stream_count(self) -> int:
        """Open connections of user data streams by listen key."""
        return self._user_streams.connection_count

    @property
    def subscription_count(self) -> int:
        """Subscriptions to the user data of an account."""
        return self._feeds.subscription_count

    @property
    def slow_sessions(self) -> int:
        """Sessions of the WebSocket API that were cut off because their client was too slow."""
        return self._ws_api.slow_consumers

    @property
    def slow_user_streams(self) -> int:
        return self._user_streams.slow_consumers

    @property
    def connection_count(self) -> int:
        """Open connections of the WebSocket API and of user data streams by listen key."""
        return self.session_count + self.user_stream_count

    def listener(self, request: WSUpgradeRequest) -> WSListener | None:
        """The listener of a new WebSocket connection; None if its path is neither of the two."""
        return self._ws_api.listener(request) or self._user_streams.listener(request)
