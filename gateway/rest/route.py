"""An endpoint of the API, the request that its handler gets and the response that it returns.

    async def depth(request: Request) -> Response:
        limit = request.parameters.optional_integer("limit", 100)
        return Response({"lastUpdateId": 0, "bids": [], "asks": []})

    Route("GET", "/api/v3/depth", depth, weight=5, parameters=frozenset({"symbol", "limit"}))

A handler raises `ApiError` for a request that it refuses. The same handlers answer the WebSocket API.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from gateway.keys.key import ApiKey
from gateway.rest import timing
from gateway.rest.parameters import Parameters


class Security(Enum):
    """What a request needs: nothing, a key, or a signature by a key with this permission."""

    NONE = "none"
    KEY = "key"
    READ = "read"
    TRADE = "trade"


class TimeUnit(Enum):
    """Unit of all times of an answer. The value is its length in nanoseconds."""

    MILLISECOND = 1_000_000
    MICROSECOND = 1_000


class Request(NamedTuple):
    """One request. `parameters` are without the signature.

    `key` is None if the endpoint needs none. `address` is the client's IP address. `expires_at_us` is the last
    microsecond (since 1970 UTC) at which a signed request counts.
    """

    parameters: Parameters
    address: str
    time_unit: TimeUnit = TimeUnit.MILLISECOND
    key: ApiKey | None = None
    expires_at_us: int | None = None

    def time(self, time_ns: int) -> int:
        """A time (ns since 1970 UTC) in the unit that the client wants."""
        return time_ns // self.time_unit.value

    def check_time(self, now_us: int) -> None:
        """Raises ApiError if the request does not count any more: to be called before the engine is asked."""
        if self.expires_at_us is not None:
            timing.check(self.expires_at_us, now_us)

    @property
    def account(self) -> int:
        """The account of the key. Only for handlers of routes that need a key."""
        assert self.key is not None
        return self.key.account


class Response(NamedTuple):
    """`body` is JSON-able (dict, list, str, int, bool, None), or bytes that are JSON already.

    `headers` may be a function, because the WebSocket API does not ask for them.
    """

    body: object
    status: int = 200
    headers: Mapping[str, str] | Callable[[], Mapping[str, str]] = MappingProxyType({})


Handler = Callable[[Request], Awaitable[Response]]
Weight = int | Callable[[Parameters], int]


@dataclass(frozen=True, slots=True)
class Route:
    """`parameters` are the names that the endpoint reads; a request with another one is refused.

    Those of signed requests (timestamp, recvWindow, signature) need not be named.
    """

    method: str
    path: str
    handler: Handler
    weight: Weight
    security: Security = Security.NONE
    parameters: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def weight_of(self, parameters: Parameters) -> int:
        return self.weight if isinstance(self.weight, int) else self.weight(parameters)
