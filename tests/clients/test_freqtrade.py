"""freqtrade trades by a gateway, with real orders, as docs/api-clients.md says. Its configuration is that of the page.

freqtrade needs other versions of packages than the exchange, so pip installs it into an environment of its own. With
FREQTRADE in the environment that program is used instead.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.clients.steady_market import TRADER, steady_market
from tests.gateway.running_gateway import RunningGateway, running_gateway
from tests.gateway.signed_client import SignedClient
from tests.gateway.small_gateway import funds
from tests.matching.small_exchange import until

VERSION = "2026.9"
ACCOUNT = 7
TRADES_S = 600.0
"""A strategy acts on a candle that is complete, so the first order may take two minutes."""
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
    key, secret = gateway.keys.add(ACCOUNT)
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


@pytest.fixture
def freqtrade(tmp_path: Path) -> str:
    """The program."""
    if named := os.environ.get("FREQTRADE"):
        return named
    place = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", place], check=True, env={**os.environ, "PYTHONPATH": ""})
    install = [str(place / "bin" / "pip"), "install", "--quiet", f"freqtrade=={VERSION}"]
    installed = subprocess.run(
        install, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": ""}
    )
    if installed.returncode:
        pytest.skip(f"freqtrade cannot be installed: {installed.stderr[-500:]}")
    return str(place / "bin" / "freqtrade")


@pytest.fixture
def gateway() -> Iterator[RunningGateway]:
    with running_gateway() as running, steady_market(running):
        running.call(*funds(ACCOUNT))
        yield running


@pytest.mark.acceptance("freqtrade buys and sells by the traders' API")
@pytest.mark.timeout(3600)
def test_freqtrade_buys_and_sells(gateway: RunningGateway, freqtrade: str, tmp_path: Path) -> None:
    assert ACCOUNT != TRADER
    (tmp_path / "strategy.py").write_text(STRATEGY)
    (tmp_path / "config.json").write_text(json.dumps(configuration(gateway, tmp_path)))
    client = SignedClient(gateway.url, *gateway.keys.add(ACCOUNT))
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
            answer = client.get("myTrades", symbol="BTCUSD")
            return answer.status == 200 and {trade["isBuyer"] for trade in answer.body} == {True, False}

        try:
            until(has_bought_and_sold, "freqtrade to buy and to sell", patience_s=TRADES_S)
        finally:
            process.terminate()
            process.wait(60)
            sys.stdout.write(log.read_text()[-3000:])
