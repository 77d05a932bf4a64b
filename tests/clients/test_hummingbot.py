"""hummingbot's own connector trades by a gateway, as docs/api-clients.md says: orders, a cancel, fills, balances.

hummingbot compiles for many minutes and needs other versions of packages than the exchange. So this test needs an
environment that has it: HUMMINGBOT is the path of that environment's Python interpreter.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest
from django.conf import settings

from tests.clients.steady_market import BOT, TRADER
from tests.gateway.running_gateway import RunningGateway
from tests.gateway.signed_client import SignedClient

DOCUMENT = (settings.BASE_DIR / "docs" / "api-clients.md").read_text()
DAY = """
import asyncio
import time
from decimal import Decimal

from hummingbot.core.clock import Clock, ClockMode
from hummingbot.core.data_type.common import OrderType

PAIR = "BTC-USD"
PATIENCE_S = 120


async def until(condition, what):
    ends_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends_s, (what, exchange.status_dict)
        await asyncio.sleep(0.02)


async def ended(name):
    await until(lambda: (order := exchange._order_tracker.fetch_order(name)) and order.is_done, f"the end of {name}")
    return exchange._order_tracker.fetch_order(name)


async def day():
    await until(lambda: exchange.ready, "the connector")
    before = exchange.get_balance("BTC")

    resting = exchange.buy(PAIR, Decimal("0.5"), OrderType.LIMIT, Decimal("90"))
    await until(lambda: (order := exchange.in_flight_orders.get(resting)) and order.exchange_order_id, "an open order")
    exchange.cancel(PAIR, resting)
    cancelled = await ended(resting)
    assert cancelled.is_cancelled, cancelled

    bought = await ended(exchange.buy(PAIR, Decimal("0.5"), OrderType.MARKET, Decimal("NaN")))
    assert bought.is_filled and bought.executed_amount_base == Decimal("0.5"), bought
    fee = bought.cumulative_fee_paid("BTC")
    assert fee > 0, bought
    await until(lambda: exchange.get_balance("BTC") - before == Decimal("0.5") - fee, "the balance after the purchase")

    sold = await ended(exchange.sell(PAIR, Decimal("0.3"), OrderType.LIMIT, Decimal("99.90")))
    assert sold.is_filled and sold.executed_amount_base == Decimal("0.3"), sold
    print(cancelled.exchange_order_id, bought.exchange_order_id, sold.exchange_order_id)


async def main():
    global exchange
    exchange = make_exchange()
    clock = Clock(ClockMode.REALTIME, tick_size=0.5)
    clock.add_iterator(exchange)
    with clock:
        ticking = asyncio.ensure_future(clock.run_til(time.time() + 3600))
        await day()
        ticking.cancel()
        await asyncio.wait([ticking])


asyncio.run(main())
"""


def program(gateway: RunningGateway, key: str, secret: str) -> str:
    """The day, with the connector that the page makes, for this gateway."""
    part = DOCUMENT.split("\n## hummingbot\n")[1]
    text = re.findall(r"^```py\n(.*?)^```", part, re.MULTILINE | re.DOTALL)[0]
    for written, real in (
        ("127.0.0.1:8080", f"127.0.0.1:{gateway.port}"),
        ('"KEY"', repr(key)),
        ('"SECRET"', repr(secret)),
    ):
        assert written in text
        text = text.replace(written, real)
    body = "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())
    return f"def make_exchange():\n{body}    return exchange\n{DAY}"


@pytest.fixture
def hummingbot() -> str:
    """The interpreter."""
    named = os.environ.get("HUMMINGBOT")
    if named is None:
        pytest.skip("HUMMINGBOT names no Python interpreter that has hummingbot")
    return named


@pytest.mark.acceptance("hummingbot's connector trades by the traders' API")
@pytest.mark.timeout(900)
def test_hummingbot_walks_a_scripted_day(bots_gateway: RunningGateway, hummingbot: str, tmp_path: Path) -> None:
    assert BOT != TRADER
    key, secret = bots_gateway.keys.add(BOT)
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        [hummingbot, "-c", program(bots_gateway, key, secret)],
        cwd=tmp_path,
        env=own,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    cancelled, bought, sold = ended.stdout.split()[-3:]
    answer = SignedClient(bots_gateway.url, key, secret).get("allOrders", symbol="BTCUSD")
    found = {str(order["orderId"]): (order["status"], order["executedQty"]) for order in answer.body}
    assert found == {
        cancelled: ("CANCELED", "0.00000000"),
        bought: ("FILLED", "0.50000000"),
        sold: ("FILLED", "0.30000000"),
    }
