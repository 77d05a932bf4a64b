"""What a client has sent: the parameters of a query string and a body, and the bytes that it has signed.

A client signs the text of its parameters as it sends them. That text cannot be made again from the decoded values,
since clients encode differently, so the signed bytes are the ones sent, without the pair of the signature:

    query  symbol=BTCUSD&signature=1f…&side=BUY
    body   quantity=1
    signed symbol=BTCUSD&side=BUYquantity=1

Neither Content-Type nor the place of a parameter matters, because clients do not agree on them either.
"""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from gateway.rest import errors
from gateway.rest.errors import ApiError

_SIGNATURE = "signature"
_MAX_PARAMETERS = 200


class Sent(NamedTuple):
    """`signature` is None if there was none."""

    values: Mapping[str, str]
    signed_bytes: bytes
    signature: str | None


def read(query: bytes, body: bytes) -> Sent:
    """A parameter in both has the value of the query string. Raises ApiError."""
    in_query, signed_query, query_signature = _read_part(query)
    if not body:
        return Sent(in_query, signed_query, query_signature)
    in_body, signed_body, body_signature = _read_part(body)
    signature = body_signature if query_signature is None else query_signature
    return Sent({**in_body, **in_query}, signed_query + signed_body, signature)


def _read_part(text: bytes) -> tuple[dict[str, str], bytes, str | None]:
    """Decoded values, the text without the signature, and the signature."""
    if not text:
        return {}, b"", None
    pairs = text.decode("latin-1").split("&", _MAX_PARAMETERS)  # one character for each byte
    if len(pairs) > _MAX_PARAMETERS:
        raise ApiError(-1101, f"Too many parameters; expected '{_MAX_PARAMETERS}' at most.")
    is_plain = text.isascii() and b"%" not in text and b"+" not in text
    values: dict[str, str] = {}
    signed: list[str] = []
    signature: str | None = None
    for pair in pairs:
        name, _, value = pair.partition("=")
        if not is_plain:
            name = _decoded(name)
        if name == _SIGNATURE:
            if signature is not None:
                raise errors.duplicate(_SIGNATURE)
            # A plus is a digit of base64, and only a space where a form is decoded.
            signature = unquote(value, "latin-1")
            continue
        signed.append(pair)
        if not pair:
            continue
        if name in values:
            raise errors.duplicate(name)
        values[name] = value if is_plain else _decoded(value)
    return values, "&".join(signed).encode("latin-1"), signature


def _decoded(raw: str) -> str:
    try:
        return unquote_to_bytes(raw.replace("+", " ").encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ApiError(-1100, "Illegal characters found in a parameter.") from error
