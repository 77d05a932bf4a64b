"""freqtrade trades by a gateway, with real orders, as docs/api-clients.md says. Its configuration is that of the page.

freqtrade needs other versions of packages than the exchange, so pip installs it into an environment of its own. With
FREQTRADE in the environment that program is used instead. With FREQTRADE_TRADING_S it trades for that many seconds more
after its first purchase and sale.
"""

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.clients.steady_market import BOT, TRADER
from tests.environments import environment_with
from tests.gateway.running_gateway import RunningGateway
from tests.gateway.signed_client import SignedClient
from tests.matching.small_exchange import until

VERSION = "2026.9"
TRADES_S = 600.0
"""A strategy acts on a candle that is complete, so the first order may take two minutes."""
TRADING_S = float(os.environ.get("FREQTRADE_TRADING_S", "0"))
_ASKED_EVERY_S = 0.5
DOCUMENT = (settings.BASE_DIR / "docs" / "api-clients.md").read_text()
STRATEGY = """
from freqtrade.strategy import IStrategy


class BuysAndSells(IStrategy):
    timeframe = "1m"
    minimal_roi = {}
    stoploss = -0.99
    startup_candle_count = 0
    process_only_new_candles = False

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe["enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe

    def custom_exit(self, pair, trade, current_time, current_rate, current_profit, **kwargs):
        return "sell again"
"""


def exchange_part(gateway: RunningGateway) -> dict[str, Any]:
    """That of the page, for this gateway."""
    part = DOCUMENT.split("\n## freqtrade\n")[1]
    text = re.findall(r"^```json\n(.*?)^```", part, re.MULTILINE | re.DOTALL)[0]
    key, secret = gateway.keys.add(BOT)
    for written, real in (("127.0.0.1:8080", f"127.0.0.1:{gateway.port}"), ("KEY", key), ("SECRET", secret)):
        text = text.replace(written, real)
    found: dict[str, Any] = json.loads(text)
    return found


def configuration(gateway: RunningGateway, folder: Path) -> dict[str, Any]:
    at_best = {"price_side": "other", "use_order_book": True, "order_book_top": 1}
    return {
        "exchange": exchange_part(gateway),
        "dry_run": False,
        "initial_state": "running",
        "trading_mode": "spot",
        "stake_currency": "USD",
        "stake_amount": 100,
        "max_open_trades": 1,
        "timeframe": "1m",
        "entry_pricing": at_best,
        "exit_pricing": at_best,
        "pairlists": [{"method": "StaticPairList"}],
        "internals": {"process_throttle_secs": 1},
        "db_url": f"sqlite:///{folder / 'trades.sqlite'}",
        "strategy": "BuysAndSells",
        "strategy_path": str(folder),
    }


class Fills:
    """The account's trades by id. Asked for again and again: the gateway here keeps only the newest."""

    def __init__(self, client: SignedClient) -> None:
        self._client = client
        self._asked_s = 0.0
        self.by_id: dict[int, dict[str, Any]] = {}

    def update(self) -> None:
        if time.monotonic() < self._asked_s + _ASKED_EVERY_S:
            return
        answer = self._client.get("myTrades", symbol="BTCUSD", limit=1000)
        assert answer.status == 200, answer
        self.by_id |= {trade["id"]: trade for trade in answer.body}
        self._asked_s = time.monotonic()

    @property
    def sides(self) -> set[bool]:
        return {trade["isBuyer"] for trade in self.by_id.values()}

    def by_order(self) -> dict[str, Decimal]:
        """The filled quantity of each order."""
        filled: dict[str, Decimal] = {}
        for trade in self.by_id.values():
            order = str(trade["orderId"])
            filled[order] = filled.get(order, Decimal(0)) + Decimal(trade["qty"])
        return filled


def closed_orders(folder: Path) -> dict[str, Decimal]:
    """What freqtrade's own database says: id and filled quantity of each order that it knows to be filled."""
    with sqlite3.connect(folder / "trades.sqlite") as database:
        rows = database.execute("SELECT order_id, filled FROM orders WHERE status = 'closed'").fetchall()
    return {order: Decimal(str(filled)) for order, filled in rows}


@pytest.fixture
def freqtrade(tmp_path: Path) -> str:
    """The program."""
    if named := os.environ.get("FREQTRADE"):
        return named
    return str(environment_with(f"freqtrade=={VERSION}", tmp_path / "environment") / "freqtrade")


@pytest.mark.acceptance("freqtrade buys and sells by the traders' API")
@pytest.mark.timeout(3600)
def test_freqtrade_buys_and_sells(bots_gateway: RunningGateway, freqtrade: str, tmp_path: Path) -> None:
    assert BOT != TRADER
    (tmp_path / "strategy.py").write_text(STRATEGY)
    (tmp_path / "config.json").write_text(json.dumps(configuration(bots_gateway, tmp_path)))
    fills = Fills(SignedClient(bots_gateway.url, *bots_gateway.keys.add(BOT)))
    log = tmp_path / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [freqtrade, "trade", "--config", tmp_path / "config.json", "--user-data-dir", tmp_path],
            stdout=written,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": ""},
            cwd=tmp_path,
        )

        def has_bought_and_sold() -> bool:
            assert process.poll() is None, log.read_text()[-3000:]
            fills.update()
            return fills.sides == {True, False}

        try:
            until(has_bought_and_sold, "freqtrade to buy and to sell", patience_s=TRADES_S)
            ends_s = time.monotonic() + TRADING_S
            until(
                lambda: has_bought_and_sold() and time.monotonic() >= ends_s,
                "the end of trading",
                patience_s=TRADING_S + TRADES_S,
            )
        finally:
            process.terminate()
            process.wait(60)
            sys.stdout.write(log.read_text()[-3000:])
    closed = closed_orders(tmp_path)

    def filled() -> dict[str, Decimal]:
        fills.update()
        return {order: quantity for order, quantity in fills.by_order().items() if order in closed}

    assert closed
    until(lambda: filled() == closed, "the trades of all orders that freqtrade knows to be filled")
    assert " ERROR " not in log.read_text()
    sys.stdout.write(f"{len(closed)} orders were filled.\n")
