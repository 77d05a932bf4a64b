"""The market page while its engine, or its gateway, is killed and started again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome

from exchange_site.operations.free_addresses import free_addresses
from matching.client.client import Client
from matching.workloads.btc_usd import DEFINITIONS
from tests.gateway.market_page.market_view import MarketView, market_view
from tests.gateway.signed_client import SignedClient
from tests.gateway.small_gateway import funds
from tests.system.conftest import ROOT, Process, Start

pytestmark = [pytest.mark.services("browser"), pytest.mark.processes, pytest.mark.timeout(900)]

START_S = 180.0


class Exchange:
    """An engine with a write-ahead log and a gateway, as processes on one folder."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._settings: dict[str, Any] = {"ENABLE_LOCAL_WAL": "true", **free_addresses()}
        self.engine = self.start("run_engine").wait_until_ready()
        self.gateway = self.start("run_gateway").wait_until_ready()
        with Client(self.engine.address("COMMAND")) as client:
            client.call([*DEFINITIONS, *funds(1), *funds(2)])
        self.traders = {account: SignedClient(self.url, *self._key(account)) for account in (1, 2)}

    def start(self, command: str) -> Process:
        started = self._start(command, **self._settings)
        self._settings["data_dir"] = started.data_dir
        return started

    @property
    def url(self) -> str:
        return f"http://{self._settings['GATEWAY_ADDRESS']}"

    def trade(self, price: str) -> None:
        """Account 1 sells a hundredth to account 2."""
        for account, side in ((1, "SELL"), (2, "BUY")):
            order: dict[str, Any] = {"symbol": "BTCUSD", "side": side, "type": "LIMIT", "timeInForce": "GTC"}
            answer = self.traders[account].post("order", **order, quantity="0.01", price=price)
            assert answer.status == 200, answer.body

    def _key(self, account: int) -> tuple[str, str]:
        arguments = ["create_api_key", "--account", str(account), "--permissions", "read,trade", "--json"]
        made = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, "DATA_DIR": str(Path(self._settings["data_dir"]))},
            capture_output=True,
            text=True,
            check=True,
        )
        document = json.loads(made.stdout)
        return document["api_key"], document["secret"]


@pytest.fixture
def exchange(start: Start) -> Exchange:
    return Exchange(start)


@pytest.fixture
def view(browser: Chrome) -> Iterator[MarketView]:
    with market_view(browser) as one:
        yield one


def until_last_is(view: MarketView, price: str) -> None:
    view.until(lambda page: view.text("last") == price, START_S)


def test_a_killed_engine_and_a_killed_gateway_end_in_a_live_page(exchange: Exchange, view: MarketView) -> None:
    view.open_live(f"{exchange.url}/market/BTC-USD")
    exchange.trade("100.25")
    until_last_is(view, "100.25")
    view.run("window.isOpenedOnce = true")

    exchange.engine.stop(signal.SIGKILL)
    view.until_state("engine away")
    exchange.engine = exchange.start("run_engine").wait_until_ready()
    view.until_state("live", START_S)
    exchange.trade("101.5")
    until_last_is(view, "101.50")
    assert view.tape_prices() == ["101.50", "100.25"]

    exchange.gateway.stop(signal.SIGKILL)
    view.until_state("reconnecting")
    exchange.gateway = exchange.start("run_gateway").wait_until_ready()
    view.until_state("live", START_S)
    exchange.trade("102.75")
    until_last_is(view, "102.75")

    assert view.run("return window.isOpenedOnce"), "the page was loaded again"
    assert not view.complaints()
