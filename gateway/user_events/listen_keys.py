"""Listen keys: names of user data streams, which older clients ask for by REST and open as a stream of that name."""

import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass

from gateway.keys.key import ApiKey
from gateway.rest.errors import ApiError
from gateway.rest.route import Request, Response, Route, Security

_ALPHABET = string.ascii_letters + string.digits
_LENGTH = 60
_VALID_S = 3600.0
_MAX_KEYS = 100_000
_PATH = "/api/v3/userDataStream"
_PARAMETERS = frozenset({"listenKey"})


@dataclass(slots=True)
class ListenKey:
    name: str
    key: ApiKey
    expires_at_s: float


class ListenKeys:
    """Kept in the memory of one gateway. An API key has one at a time. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_name: dict[str, ListenKey] = {}
        self._by_key: dict[str, ListenKey] = {}

    def routes(self) -> list[Route]:
        return [
            Route("POST", _PATH, self.begin, 2, Security.KEY),
            Route("PUT", _PATH, self.extend, 2, Security.KEY, _PARAMETERS),
            Route("DELETE", _PATH, self.end, 2, Security.KEY, _PARAMETERS),
        ]

    def find(self, name: str) -> ListenKey | None:
        """None if there is none, or if it has expired."""
        found = self._by_name.get(name)
        if found is not None and self._clock() >= found.expires_at_s:
            self._remove(found)
            return None
        return found

    async def begin(self, request: Request) -> Response:
        """The key's listen key, which counts for another hour, or a new one."""
        assert request.key is not None
        known = self._by_key.get(request.key.name)
        found = known and self.find(known.name)
        if found is None:
            self._make_room()
            name = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
            found = ListenKey(name, request.key, 0.0)
            self._by_name[name] = self._by_key[request.key.name] = found
        found.expires_at_s = self._clock() + _VALID_S
        return Response({"listenKey": found.name})

    async def extend(self, request: Request) -> Response:
        self._named(request).expires_at_s = self._clock() + _VALID_S
        return Response({})

    async def end(self, request: Request) -> Response:
        self._remove(self._named(request))
        return Response({})

    def _named(self, request: Request) -> ListenKey:
        """Raises ApiError."""
        found = self.find(request.parameters.text("listenKey"))
        if found is None or found.key.account != request.account:
            raise ApiError(-1125, "This listenKey does not exist.")
        return found

    def _make_room(self) -> None:
        """Forgets those that have expired, and then the oldest one if there are too many."""
        for found in [one for one in self._by_name.values() if self._clock() >= one.expires_at_s]:
            self._remove(found)
        if len(self._by_name) >= _MAX_KEYS:
            self._remove(next(iter(self._by_name.values())))

    def _remove(self, found: ListenKey) -> None:
        self._by_name.pop(found.name, None)
        if self._by_key.get(found.key.name) is found:
            del self._by_key[found.key.name]
