"""One WebSocket connection of a consumer of streams: its requests, and the events that wait to be sent."""

from collections import deque
from collections.abc import Callable, Iterable

import msgspec
import orjson
from picows import WSCloseCode

from gateway.server.live import LiveListener
from gateway.streams.channels import Channels, Form
from gateway.streams.names import Stream, stream

MAX_STREAMS = 1024
MAX_MESSAGES_A_SECOND = 5
_COMBINED = "combined"


class RequestRefused(Exception):
    """The text and the code are those of the API."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Connection(LiveListener):
    def __init__(
        self,
        channels: Channels,
        streams: Iterable[Stream],
        form: Form,
        *,
        clock: Callable[[], float],
        ended: Callable[[LiveListener], None],
    ) -> None:
        super().__init__(clock, ended, unit_ns=form.unit_ns)
        self._channels = channels
        self._first = tuple(streams)
        self._form = form
        self._streams: dict[str, Stream] = {}
        self._received_at_s: deque[float] = deque(maxlen=MAX_MESSAGES_A_SECOND)

    @property
    def form(self) -> Form:
        return self._form

    def on_open(self) -> None:
        for one in self._first:
            self._subscribe(one)

    def on_message(self, message: bytes) -> None:
        if self._is_too_fast():
            self.close(WSCloseCode.POLICY_VIOLATION, "Too many requests")
        else:
            self.send(self._answer(message))

    def on_end(self) -> None:
        for one in self._streams.values():
            self._channels.remove(one, self)
        self._streams.clear()

    # Requests

    def _is_too_fast(self) -> bool:
        now_s, received = self._clock(), self._received_at_s
        is_full = len(received) == MAX_MESSAGES_A_SECOND and now_s - received[0] < 1.0
        received.append(now_s)
        return is_full

    def _answer(self, text: bytes) -> bytes:
        identity: object = None
        try:
            request = _decoded(text)
            identity = _identity(request)
            result = self._handle(request)
        except RequestRefused as error:
            return orjson.dumps({"error": {"code": error.code, "msg": str(error)}, "id": identity})
        return orjson.dumps({"result": result, "id": identity})

    def _handle(self, request: dict[str, object]) -> object:
        """The result of a request. Raises RequestRefused."""
        handlers = {
            "SUBSCRIBE": self._handle_subscribe,
            "UNSUBSCRIBE": self._handle_unsubscribe,
            "LIST_SUBSCRIPTIONS": self._handle_list,
            "SET_PROPERTY": self._handle_set_property,
            "GET_PROPERTY": self._handle_get_property,
        }
        method = request.get("method")
        if method is None:
            raise RequestRefused(2, "Invalid request: missing field `method`")
        if not isinstance(method, str) or method not in handlers:
            known = ", ".join(f"`{name}`" for name in handlers)
            raise RequestRefused(2, f"Invalid request: unknown variant `{str(method)[:40]}`, expected one of {known}")
        parameters = request.get("params", [])
        if not isinstance(parameters, list):
            raise RequestRefused(2, "Invalid request: params must be a list")
        return handlers[method](parameters)

    def _handle_subscribe(self, parameters: list[object]) -> None:
        wanted = _streams(parameters)
        if len(self._streams.keys() | {one.name for one in wanted}) > MAX_STREAMS:
            raise RequestRefused(2, f"Invalid request: a connection has at most {MAX_STREAMS} streams")
        for one in wanted:
            self._subscribe(one)

    def _subscribe(self, one: Stream) -> None:
        if one.name not in self._streams:
            self._streams[one.name] = one
            self._channels.add(one, self)

    def _handle_unsubscribe(self, parameters: list[object]) -> None:
        for one in _streams(parameters):
            if self._streams.pop(one.name, None) is not None:
                self._channels.remove(one, self)
                self.forget_newest(one.name)

    def _handle_list(self, parameters: list[object]) -> list[str]:
        return list(self._streams)

    def _handle_set_property(self, parameters: list[object]) -> None:
        _check_property(parameters, count=2)
        if not isinstance(parameters[1], bool):
            raise RequestRefused(1, "Invalid value type: expected Boolean")
        for one in self._streams.values():
            self._channels.remove(one, self)
        self._form = self._form._replace(is_combined=parameters[1])
        for one in self._streams.values():
            self._channels.add(one, self)

    def _handle_get_property(self, parameters: list[object]) -> bool:
        _check_property(parameters, count=1)
        return self._form.is_combined


def _decoded(text: bytes) -> dict[str, object]:
    try:
        request = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RequestRefused(3, "Invalid JSON: the message cannot be read") from error
    if not isinstance(request, dict):
        raise RequestRefused(2, "Invalid request: a request is a JSON object")
    return request


def _identity(request: dict[str, object]) -> object:
    identity = request.get("id")
    is_number = isinstance(identity, int) and not isinstance(identity, bool) and abs(identity) < 1 << 63
    if identity is None or is_number or (isinstance(identity, str) and len(identity) <= 36):
        return identity
    raise RequestRefused(2, "Invalid request: request ID must be an integer, a string of up to 36 characters or null")


def _streams(names: list[object]) -> list[Stream]:
    """Raises RequestRefused."""
    found = [stream(name) if isinstance(name, str) else None for name in names]
    known = [one for one in found if one is not None]
    if not names or len(known) < len(found):
        raise RequestRefused(2, "Invalid request: invalid stream")
    return known


def _check_property(parameters: list[object], *, count: int) -> None:
    if len(parameters) != count:
        raise RequestRefused(2, f"Invalid request: expected {count} parameters")
    if parameters[0] != _COMBINED:
        raise RequestRefused(0, "Unknown property")
