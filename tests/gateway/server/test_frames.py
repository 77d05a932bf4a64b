"""Frames of every length, as another implementation reads them."""

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from gateway.server.frames import frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000])
def test_a_frame_has_the_message(size: int) -> None:
    message = bytes(range(32, 127)) * (size // 95 + 1)
    message = message[:size]
    client = ClientProtocol(parse_uri("ws://127.0.0.1"), max_size=None, state=State.OPEN)
    client.receive_data(frame(message) + frame(b"next"))
    first, second = client.events_received()
    assert (first.opcode, first.fin, bytes(first.data)) == (Opcode.TEXT, True, message)  # type: ignore[union-attr]
    assert bytes(second.data) == b"next"  # type: ignore[union-attr]
