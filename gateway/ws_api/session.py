"""One connection of the WebSocket API: its key if it has logged on, its subscriptions, its requests on their way."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog
from picows import WSCloseCode

from gateway.keys.key import ApiKey, KeyType
from gateway.limits.orders import OrderLimits
from gateway.limits.weight import WeightLimit
from gateway.model.queries import OlderUnavailable, Unready
from gateway.rest import access, errors
from gateway.rest.application import check_names
from gateway.rest.errors import ApiError
from gateway.rest.parameters import Parameters
from gateway.rest.route import Request, Route, Security, TimeUnit
from gateway.server import traffic
from gateway.server.forwarding import TrustedProxies
from gateway.server.live import LiveListener
from gateway.server.traffic import Traffic
from gateway.user_events.feeds import AccountFeeds
from gateway.ws_api import requests
from gateway.ws_api.methods import COUNTING_ORDERS
from gateway.ws_api.requests import WsRequest

log = structlog.get_logger(__name__)

_SESSION_WEIGHT = 2
_MAX_ON_THEIR_WAY = 1000
_MAX_SUBSCRIPTIONS = 1000
_MAX_SUBSCRIPTIONS_EVER = 65_535
_SIGNING = access.SIGNING_PARAMETERS | {"apiKey", "signature"}
REVOKED = ApiError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)


@dataclass(frozen=True)
class Api:
    """What all sessions share."""

    methods: dict[str, Route]
    keys: access.Keys
    weights: WeightLimit
    orders: OrderLimits
    feeds: AccountFeeds
    proxies: TrustedProxies
    traffic: Traffic
    clock_us: Callable[[], int]


@dataclass(frozen=True, slots=True)
class _Subscription:
    key: ApiKey
    is_of_session: bool
    end: Callable[[], None]


class Session(LiveListener):
    """`forwarded` are the values of X-Forwarded-For in the request that opened the connection."""

    def __init__(
        self,
        api: Api,
        unit: TimeUnit,
        returns_limits: bool,
        *,
        forwarded: Sequence[str],
        ended: Callable[[LiveListener], None],
    ) -> None:
        super().__init__(time.monotonic, ended, unit_ns=unit.value)
        self._api = api
        self._unit = unit
        self._returns_limits = returns_limits
        self._forwarded = forwarded
        self._address = ""
        self._key: ApiKey | None = None
        self._connected_at_us = api.clock_us()
        self._authorized_at_us: int | None = None
        self._subscriptions: dict[int, _Subscription] = {}
        self._next_subscription = 0
        self._unanswered: dict[int, asyncio.Task[None]] = {}
        self._begun = 0
        self._own: dict[str, Callable[[WsRequest], Awaitable[object]]] = {
            "session.logon": self._log_on,
            "session.status": self._status,
            "session.logout": self._log_out,
            "session.subscriptions": self._list_subscriptions,
            "userDataStream.subscribe": self._subscribe,
            "userDataStream.subscribe.signature": self._subscribe_signed,
            "userDataStream.unsubscribe": self._unsubscribe,
        }

    def on_open(self) -> None:
        assert self._transport is not None
        peer = self._transport.underlying_transport.get_extra_info("peername")
        self._address = self._api.proxies.client_of(str(peer[0]) if peer else "", self._forwarded)

    def on_message(self, message: bytes) -> None:
        try:
            request = requests.read(message)
            if len(self._unanswered) >= _MAX_ON_THEIR_WAY:
                raise ApiError(-1003, "Too many requests queued.", status=429)
        except ApiError as error:
            self._api.traffic.count_request(traffic.WEBSOCKET, traffic.OTHER, error.status, error.code)
            self.send(requests.refusal(requests.identity_of(message), error, None))
        else:
            self._begin(request)

    def on_end(self) -> None:
        for subscription in self._subscriptions.values():
            subscription.end()
        self._subscriptions.clear()

    def wrapped(self, event: bytes) -> bytes:
        return b'{"event":%b}' % event

    def check_keys(self) -> None:
        """Ends the session if its key is not valid any more, and the subscriptions of such keys."""
        if self._key is not None and self._api.keys.find(self._key.name) is None:
            self.send(requests.refusal(None, REVOKED, None))
            self.close(WSCloseCode.POLICY_VIOLATION, "The API key is revoked")
            return
        for identity, subscription in list(self._subscriptions.items()):
            if self._api.keys.find(subscription.key.name) is None:
                self._end_subscription(identity)

    def _begin(self, request: WsRequest) -> None:
        self._begun += 1
        task = asyncio.get_running_loop().create_task(self._handle(request, self._begun))
        self._unanswered[self._begun] = task  # held, because the loop does not hold it

    # Requests

    async def _handle(self, request: WsRequest, number: int) -> None:
        try:
            await self._answer(request)
        finally:
            del self._unanswered[number]

    async def _answer(self, request: WsRequest) -> None:
        try:
            result = await self._result(request)
        except ApiError as error:
            self._refuse(request, error)
        except Unready:
            self._refuse(request, errors.unavailable())
        except OlderUnavailable:
            self._refuse(request, errors.disconnected())
        except Exception:  # a bug: the session goes on, and the log has its traceback
            log.error("gateway.request_failed", method=request.method, path="ws-api", exc_info=True)
            self._refuse(request, errors.unexpected())
        else:
            begun = result if isinstance(result, _Begun) else _Begun(result)
            self._count(request, 200)
            self.send(requests.answer(request.identity, begun.result, self._limits(request)))
            begun.begin()

    def _count(self, request: WsRequest, status: int, code: int = 0) -> None:
        method = request.method
        name = method if method in self._api.methods or method in self._own else traffic.OTHER
        self._api.traffic.count_request(traffic.WEBSOCKET, name, status, code)

    def _refuse(self, request: WsRequest, error: ApiError) -> None:
        self._count(request, error.status, error.code)
        self.send(requests.refusal(request.identity, error, self._limits(request)))

    async def _result(self, request: WsRequest) -> object:
        own = self._own.get(request.method)
        if own is not None:
            self._api.weights.charge(self._address, _SESSION_WEIGHT)
            return await own(request)
        route = self._api.methods.get(request.method)
        if route is None:
            self._api.weights.charge(self._address, 1)
            raise ApiError(-1020, "This operation is not supported.")
        values = request.own_values
        parameters = Parameters(values)
        self._api.weights.charge(self._address, route.weight_of(parameters))
        key, expires_at_us = self._authorize(request, route.security)
        check_names(route, values, is_signed="signature" in request.values)
        response = await route.handler(Request(parameters, self._address, self._unit, key, expires_at_us))
        return response.body

    def _authorize(self, request: WsRequest, security: Security) -> tuple[ApiKey | None, int | None]:
        """The key of a request and the last microsecond at which it counts. Raises ApiError."""
        if security is Security.NONE:
            return None, None
        name = request.values.get("apiKey")
        if name is None and self._key is not None:
            key = access.key_for(self._api.keys, self._key.name, security, self._address)
            return key, access.expires_at_us(request.values, self._api.clock_us)
        if name is None:
            raise errors.missing("apiKey")
        key = access.key_for(self._api.keys, name, security, self._address)
        if security not in access.SIGNED:
            return key, None
        return key, access.verify(key, request.sent, self._api.clock_us)

    def _limits(self, request: WsRequest) -> list[object] | None:
        if not (self._returns_limits if request.returns_limits is None else request.returns_limits):
            return None
        used = self._api.weights.used(self._address)
        weight = _limit("REQUEST_WEIGHT", "MINUTE", 1, self._api.weights.per_minute, used)
        key = self._api.keys.find(request.values.get("apiKey", "")) or self._key
        if request.method not in COUNTING_ORDERS or key is None:
            return [weight]
        counts = self._api.orders.used(key.account)
        return [*(_limit("ORDERS", one.name, one.number, limit, count) for one, limit, count in counts), weight]

    # The session

    async def _log_on(self, request: WsRequest) -> object:
        _check_parameters(request, _SIGNING)
        name = request.values.get("apiKey")
        if name is None:
            raise errors.missing("apiKey")
        key = access.key_for(self._api.keys, name, Security.KEY, self._address)
        if key.type is not KeyType.ED25519:
            raise ApiError(-4056, f"{_KEY_NAMES[key.type]} API key is not supported.")
        access.verify(key, request.sent, self._api.clock_us)
        self._key, self._authorized_at_us = key, self._api.clock_us()
        return await self._status(request)

    async def _status(self, request: WsRequest) -> object:
        return {
            "apiKey": self._key.name if self._key else None,
            "authorizedSince": self._time(self._authorized_at_us),
            "connectedSince": self._time(self._connected_at_us),
            "returnRateLimits": self._returns_limits,
            "serverTime": self._time(self._api.clock_us()),
            "userDataStream": bool(self._subscriptions),
        }

    async def _log_out(self, request: WsRequest) -> object:
        _check_parameters(request, frozenset())
        self._key = self._authorized_at_us = None
        for identity in [number for number, one in self._subscriptions.items() if one.is_of_session]:
            self._end_subscription(identity)
        return await self._status(request)

    def _time(self, time_us: int | None) -> int | None:
        return None if time_us is None else time_us * 1000 // self._unit.value

    # User data

    async def _list_subscriptions(self, request: WsRequest) -> object:
        return [{"subscriptionId": identity} for identity in self._subscriptions]

    async def _subscribe(self, request: WsRequest) -> object:
        _check_parameters(request, frozenset())
        if self._key is None:
            raise errors.missing("apiKey")
        key = access.key_for(self._api.keys, self._key.name, Security.KEY, self._address)
        return self._begin_subscription(key, is_of_session=True)

    async def _subscribe_signed(self, request: WsRequest) -> object:
        _check_parameters(request, _SIGNING)
        key, _ = self._authorize(request, Security.READ)
        assert key is not None
        return self._begin_subscription(key, is_of_session=False)

    def _begin_subscription(self, key: ApiKey, *, is_of_session: bool) -> "_Begun":
        if any(one.key.account == key.account for one in self._subscriptions.values()):
            raise ApiError(-2035, "User Data Stream subscription already active.")
        if len(self._subscriptions) >= _MAX_SUBSCRIPTIONS or self._next_subscription >= _MAX_SUBSCRIPTIONS_EVER:
            raise ApiError(-2042, "Maximum subscription ID reached for this connection.")
        identity, self._next_subscription = self._next_subscription, self._next_subscription + 1
        self._subscriptions[identity] = _Subscription(key, is_of_session, lambda: None)

        def begin() -> None:
            if identity in self._subscriptions:
                end = self._api.feeds.subscribe(
                    key.account, self._unit, lambda event: self._send_event(identity, event)
                )
                self._subscriptions[identity] = _Subscription(key, is_of_session, end)

        return _Begun({"subscriptionId": identity}, begin)

    async def _unsubscribe(self, request: WsRequest) -> object:
        _check_parameters(request, frozenset({"subscriptionId"}))
        identity = Parameters(request.values).optional_integer("subscriptionId")
        if not self._subscriptions or (identity is not None and identity not in self._subscriptions):
            raise ApiError(-2036, "User Data Stream subscription not active.")
        for one in list(self._subscriptions) if identity is None else [identity]:
            self._end_subscription(one)
        return {}

    def _end_subscription(self, identity: int) -> None:
        self._subscriptions.pop(identity).end()
        self._send_event(identity, b'{"e":"eventStreamTerminated","E":%d}' % (self._time(self._api.clock_us()) or 0))

    def _send_event(self, identity: int, event: bytes) -> None:
        self.send(b'{"subscriptionId":%d,"event":%b}' % (identity, event))


_KEY_NAMES = {KeyType.HMAC: "HMAC_SHA256", KeyType.RSA: "RSA"}


class _Begun(NamedTuple):
    """A result, and what begins after it was sent."""

    result: object
    begin: Callable[[], None] = lambda: None


def _check_parameters(request: WsRequest, known: frozenset[str]) -> None:
    """Raises ApiError if there are others."""
    surplus = [name for name in request.values if name not in known]
    if surplus and not known:
        raise errors.too_many(len(request.values), surplus[0])
    if surplus:
        raise errors.unread(len(request.values) - len(surplus), len(request.values), surplus[0])


def _limit(kind: str, interval: str, number: int, limit: int, count: int) -> dict[str, object]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit, "count": count}
