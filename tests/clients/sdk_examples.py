"""The example scripts of the official SDK's repository, run as they are, in a market that has what they name."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.keys.key import KeyType
from matching.client.client import Client
from matching.workloads.btc_usd import instrument
from tests.clients.in_background import in_background
from tests.gateway.running_gateway import RunningGateway, limit
from tests.gateway.signed_client import SignedClient
from tests.matching.small_exchange import deposit

REST, WS_API, STREAMS = "rest_api", "websocket_api", "websocket_streams"
PATIENCE_S = 300
_ERROR = re.compile(r"^ERROR:root:(?:\w+\(\) error|Error received from server for request \S+): (.*)", re.MULTILINE)
_TRADER, _OTHER = 50, 51
_PAUSE_S = 0.05
_SYMBOLS = ("BNB-USDT", "BTC-USDT", "LTC-BTC", "BNB-BTC")
AMENDMENTS = {"BNBUSDT": 1, "BTCUSDT": 9}
"""Orders whose amendments the examples ask for, by symbol."""


@dataclass(frozen=True)
class Ran:
    """What an example printed, and what it logged."""

    printed: str
    logged: str

    @property
    def error(self) -> str:
        """The first error that it logged, or the last line of its traceback; empty if it had none."""
        logged = _ERROR.search(self.logged)
        if logged:
            return logged[1]
        return self.logged.strip().rpartition("\n")[2] if "Traceback (most recent call last):" in self.logged else ""

    @property
    def has_answer(self) -> bool:
        """It logged a response, or printed an event of a stream."""
        return "() response: " in self.logged or bool(self.printed.strip())


@dataclass(frozen=True)
class ExampleMarket:
    """The symbols that examples name. `trader` is the account of their keys; it trades BNBUSDT all the time."""

    gateway: RunningGateway
    trader: SignedClient
    secrets: dict[str, str]

    def run(self, folder: Path, name: str) -> Ran:
        """Runs the example while its account has an open order in BNBUSDT."""
        self.rest("BNBUSDT")
        api = name.partition("/")[0]
        path = {STREAMS: "", WS_API: "/ws-api/v3"}.get(api, "")
        own = {one: value for one, value in os.environ.items() if one != "PYTHONPATH"}
        addresses = {"BASE_PATH": self.gateway.url, "STREAM_URL": f"{self.gateway.stream_url}{path}"}
        keys = self._keys("ED25519_PRIVATE_KEY" in (folder / name).read_text())
        ended = subprocess.run(
            [sys.executable, str(folder / name)],
            cwd=folder,
            env=own | addresses | keys,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return Ran(ended.stdout, ended.stderr)

    def rest(self, symbol: str) -> int:
        """Places a bid that does not trade, and returns its id."""
        order: dict[str, Any] = {
            "symbol": symbol,
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": 2,
            "price": 50,
        }
        answer = self.trader.post("order", **order)
        assert answer.status == 200, answer
        return int(answer.body["orderId"])

    def _keys(self, is_ed25519: bool) -> dict[str, str]:
        if is_ed25519:
            return {"API_KEY": self.secrets["ed25519_key"], "ED25519_PRIVATE_KEY": self.secrets["private"]}
        return {"API_KEY": self.secrets["key"], "API_SECRET": self.secrets["secret"]}


@contextmanager
def example_market(gateway: RunningGateway) -> Iterator[ExampleMarket]:
    """The gateway's engine has had no order yet."""
    gateway.call(
        *({"command": "asset", "symbol": asset, "decimals": 8} for asset in ("BNB", "LTC", "USDT")),
        *({**instrument(*symbol.split("-")), "lot_size": "0.01", "min_quantity": "0.01"} for symbol in _SYMBOLS),
        *(
            deposit(account, f"{asset}-{account}", asset, "1000000")
            for account in (_TRADER, _OTHER)
            for asset in ("BNB", "BTC", "LTC", "USDT")
        ),
    )
    private = ed25519.Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key, secret = gateway.keys.add(_TRADER)
    ed25519_key, _ = gateway.keys.add(_TRADER, key_type=KeyType.ED25519, material=public)
    text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    secrets = {"key": key, "secret": secret, "ed25519_key": ed25519_key, "private": text}
    market = ExampleMarket(gateway, SignedClient(gateway.url, key, secret), secrets)
    for symbol, number in AMENDMENTS.items():
        while market.rest(symbol) < number:
            pass
    with in_background(partial(_trade, gateway.engine.commands)):
        yield market


def _trade(commands: str, stop: threading.Event) -> None:
    """Trades at 100 in both directions, below it a bid whose price is another one each time."""
    with Client(commands) as client:
        for number in count():
            if stop.wait(_PAUSE_S):
                return
            bid = f"{90 + number % 100 / 100:.2f}"
            client.call([{"command": "cancel_all", "account": _OTHER, "symbol": "BNB-USDT"}])
            client.call([limit(_OTHER, "buy", bid, "0.01", symbol="BNB-USDT")])
            for side, other in (("buy", "sell"), ("sell", "buy")):
                client.call(
                    [
                        limit(_OTHER, side, "100.00", "0.01", symbol="BNB-USDT"),
                        limit(_TRADER, other, "100.00", "0.01", symbol="BNB-USDT"),
                    ]
                )
