"""ccxt's own live test suite passes against a gateway beside a real engine: synchronous, asyncio, WebSocket."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import ccxt_suite
from tests.clients.steady_market import QUOTER, TRADER, steady_market
from tests.gateway.running_gateway import RunningGateway, running_gateway


@pytest.fixture(scope="module")
def moving() -> Iterator[RunningGateway]:
    with running_gateway() as running, steady_market(running):
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ccxt")


ACCOUNTS = {"sync": TRADER, "async": TRADER, "ws": TRADER, "ws-orders": QUOTER}
LONG = ("async", "ws")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.acceptance(f"ccxt's own suite passes: {kind}") if kind in LONG else ())
        for kind in ccxt_suite.FLAGS
    ],
)
def test_the_suite_passes(moving: RunningGateway, folder: Path, kind: str) -> None:
    """ccxt's own live test suite passes against a gateway."""
    key, secret = moving.keys.add(ACCOUNTS[kind])
    try:
        verdict = ccxt_suite.run(folder, kind, url=moving.url, key=key, secret=secret)
    except ccxt_suite.NoSuite as error:
        pytest.skip(f"the wheel with ccxt's suite cannot be fetched: {error}")
    assert verdict.is_good, f"{verdict}\n{verdict.output}"


def test_lines_are_judged() -> None:
    """Lines as the suite prints them."""
    done = "[INFO] TESTING DONE       binance fetchTicker"
    assert ccxt_suite.judged(done, {"fetchTicker"}).is_good
    assert ccxt_suite.judged(done, {"fetchTicker", "fetchOHLCV"}).missing == ["fetchOHLCV"]
    for line in ("[INFO] TESTING FAILED     binance fetchOHLCV", "[TEST_WARNING] binance fetchOHLCV []"):
        assert not ccxt_suite.judged(f"{done}\n{line}", {"fetchTicker"}).is_good
    assert not ccxt_suite.judged("", set()).is_good
