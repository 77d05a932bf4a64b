"""A market that trades at one price between two deep levels, so what a client sees of it hardly depends on when."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from matching.client.client import Client
from tests.clients.in_background import in_background
from tests.gateway.running_gateway import RunningGateway, limit
from tests.gateway.small_gateway import funds

_MAKER, _OTHER, TRADER, QUOTER = 3, 2, 1, 4
BOT = 7  # takes no part in it
_PAUSE_S = 0.02


@contextmanager
def steady_market(gateway: RunningGateway) -> Iterator[None]:
    """`TRADER` sells to another account at 100; `QUOTER` places and cancels a bid, and never trades."""
    gateway.call(*funds(_MAKER), *funds(QUOTER))
    gateway.call(limit(_MAKER, "buy", "99.90", "500"), limit(_MAKER, "sell", "100.10", "500"))
    with in_background(partial(_trade, gateway.engine.commands)):
        yield


def _trade(commands: str, stop: threading.Event) -> None:
    with Client(commands) as client:
        while not stop.wait(_PAUSE_S):
            pair = [limit(TRADER, "sell", "100.00", "0.01"), limit(_OTHER, "buy", "100.00", "0.01")]
            client.call(pair)
            client.call(pair[::-1])  # takers on both sides
            client.call([limit(QUOTER, "buy", "99.95", "0.01")])
            client.call([{"command": "cancel_all", "account": QUOTER, "symbol": "BTC-USD"}])
