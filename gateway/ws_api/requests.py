"""Requests of the WebSocket API: read from JSON, and answered in JSON.

Parameters become the texts that a query string would have. A client signs `name=value` of all parameters but the
signature, sorted by name; numbers are taken as they were written.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import orjson

from gateway.rest.errors import ApiError
from gateway.rest.sent import Sent

_MAX_ID = 36
_SIGNING = ("signature", "apiKey")
_RETURN_LIMITS = "returnRateLimits"
_BOOLEANS = {"true": True, "false": False}
_decoder = msgspec.json.Decoder(float_hook=str)


class WsRequest(NamedTuple):
    """`identity` is what the client calls the request. `values` are the parameters without `returnRateLimits`."""

    identity: object
    method: str
    values: Mapping[str, str]
    returns_limits: bool | None
    written_limits: str | None = None  # `returnRateLimits` as it was sent, which is signed like all others

    @property
    def own_values(self) -> Mapping[str, str]:
        """The parameters without those of the signature."""
        if "signature" not in self.values and "apiKey" not in self.values:
            return self.values
        return {name: value for name, value in self.values.items() if name not in _SIGNING}

    @property
    def sent(self) -> Sent:
        """The parameters of a signed request, the text that was signed, and the signature."""
        signed = {name: value for name, value in self.values.items() if name != "signature"}
        if self.written_limits is not None:
            signed[_RETURN_LIMITS] = self.written_limits
        text = "&".join(f"{name}={signed[name]}" for name in sorted(signed))
        return Sent(self.own_values, text.encode("utf-8"), self.values.get("signature"))


def identity_of(message: bytes) -> object:
    """The id of a request, None if it has none that can be told back."""
    try:
        document = _decoder.decode(message)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    identity = document.get("id") if isinstance(document, dict) else None
    return identity if _is_identity(identity) else None


def read(message: bytes) -> WsRequest:
    """Raises ApiError."""
    try:
        document = _decoder.decode(message)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ApiError(-1135, "Invalid JSON Request") from error
    if not isinstance(document, dict):
        raise ApiError(-1135, "Invalid JSON Request")
    if not _is_identity(document.get("id")):
        raise ApiError(-1100, "Illegal characters found in parameter 'id'; legal range is '^[a-zA-Z0-9-_]{1,36}$'.")
    method, parameters = document.get("method"), document.get("params")
    if not isinstance(method, str):
        raise ApiError(-1102, "Mandatory parameter 'method' was not sent, was empty/null, or malformed.")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        raise ApiError(-1100, "Illegal characters found in parameter 'params'; legal range is an object.")
    values = {str(name): _text(value) for name, value in parameters.items() if value is not None}
    limits = values.pop(_RETURN_LIMITS, None)
    returns_limits = None if limits is None else _BOOLEANS.get(limits)
    return WsRequest(document.get("id"), method.removeprefix("v3/"), values, returns_limits, limits)


def answer(identity: object, result: object, limits: Sequence[object] | None) -> bytes:
    """`result` is JSON-able, or bytes that are JSON already."""
    shown = orjson.Fragment(result) if isinstance(result, bytes) else result
    return _written(identity, {"status": 200, "result": shown}, limits)


def refusal(identity: object, error: ApiError, limits: Sequence[object] | None) -> bytes:
    return _written(identity, {"status": error.status, "error": error.body}, limits)


def _written(identity: object, document: Mapping[str, object], limits: Sequence[object] | None) -> bytes:
    shown = {} if limits is None else {"rateLimits": limits}
    return orjson.dumps({"id": identity, **document, **shown})


def _is_identity(identity: object) -> bool:
    if identity is None:
        return True
    if isinstance(identity, int):
        return not isinstance(identity, bool) and abs(identity) < 1 << 63
    return isinstance(identity, str) and len(identity) <= _MAX_ID


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else orjson.dumps(value).decode("utf-8")
