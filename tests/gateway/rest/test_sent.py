"""What was signed are the bytes that were sent, and what they mean does not depend on how a client encodes them."""

from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rest.errors import ApiError
from gateway.rest.sent import read
from tests.matching.examples import examples

NAMES = st.text(min_size=1, max_size=8).filter(lambda name: name != "signature")
VALUES = st.text(max_size=12)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, str], list[bytes]]:
    """Parameters, and each as a client may encode it."""
    values = draw(st.dictionaries(NAMES, VALUES, max_size=6))
    encoded = []
    for name, value in values.items():
        encode: Callable[..., str] = draw(st.sampled_from([quote, quote_plus]))
        encoded.append(f"{encode(name, safe='')}={encode(value, safe='')}".encode("ascii"))
    return values, encoded


@examples(100)
@given(pairs(), st.data())
def test_values_and_signed_bytes_of_any_place_of_the_signature(
    made: tuple[dict[str, str], list[bytes]], data: st.DataObject
) -> None:
    values, encoded = made
    cut = data.draw(st.integers(0, len(encoded)))
    query, body = encoded[:cut], encoded[cut:]
    signed = b"&".join(query) + b"&".join(body)
    part = data.draw(st.sampled_from([query, body]))
    part.insert(data.draw(st.integers(0, len(part))), b"signature=ab%2Fc+d%3D")
    found = read(b"&".join(query), b"&".join(body))
    assert found.values == values
    assert found.signed_bytes == signed
    assert found.signature == "ab/c+d="


@examples(100)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(query: bytes, body: bytes) -> None:
    with suppress(ApiError):
        found = read(query, body)
        assert found.signature is not None or found.signed_bytes == query + body


def test_the_query_string_wins() -> None:
    assert read(b"a=1", b"a=2&b=3").values == {"a": "1", "b": "3"}


def test_a_signature_in_base64_may_be_sent_as_it_is() -> None:
    assert read(b"a=1&signature=Ab+/c==", b"").signature == "Ab+/c=="


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        (b"a=1&a=1", -1101, "Duplicate values for parameter 'a' detected."),
        (b"signature=1&signature=1", -1101, "Duplicate values for parameter 'signature' detected."),
        (b"a=%ff", -1100, "Illegal characters found in a parameter."),
        (b"&".join(b"p%d=1" % at for at in range(202)), -1101, "Too many parameters; expected '200' at most."),
    ],
)
def test_what_is_refused(query: bytes, code: int, text: str) -> None:
    with pytest.raises(ApiError) as refused:
        read(query, b"")
    assert (refused.value.code, refused.value.message) == (code, text)
