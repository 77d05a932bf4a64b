"""ccxt's own live test suite passes against a gateway beside a real engine: synchronous, asyncio, WebSocket."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import ccxt_suite
from tests.gateway.clients.market_maker import market
from tests.gateway.running_gateway import RunningGateway, limit, running_gateway
from tests.gateway.small_gateway import funds

MAKERS_OF_DEPTH, TRADER = 3, 1


@pytest.fixture(scope="module")
def moving() -> Iterator[RunningGateway]:
    """A market that trades, whose sides are never empty; account 1 is among those who trade."""
    with running_gateway() as running:
        running.call(*funds(MAKERS_OF_DEPTH))
        running.call(limit(MAKERS_OF_DEPTH, "buy", "70", "5"), limit(MAKERS_OF_DEPTH, "sell", "130", "5"))
        with market(running, 3):
            yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ccxt")


@pytest.mark.parametrize("kind", ccxt_suite.FLAGS)
def test_the_suite_passes(moving: RunningGateway, folder: Path, kind: str) -> None:
    key, secret = moving.keys.add(TRADER)
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
