"""Keeps a book changing and trading while a test's client listens."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from matching.client.client import Client
from tests.gateway.running_gateway import RunningGateway, limit

_PAUSE_S = 0.02


@contextmanager
def market(gateway: RunningGateway, seed: int) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=_trade, args=(gateway.engine.commands, seed, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def _trade(commands: str, seed: int, stop: threading.Event) -> None:
    random = Random(seed)
    with Client(commands) as client:
        while not stop.wait(_PAUSE_S):
            side = random.choice(("buy", "sell"))
            middle = 100 + (1 if side == "sell" else -1) * random.randint(-1, 20)
            account = 1 if side == "sell" else 2
            client.call([limit(account, side, f"{middle}.00", "0.01")])
            if random.randrange(20) == 0:
                client.call([{"command": "cancel_all", "account": account, "symbol": "BTC-USD"}])
