"""The example scripts of the official SDK, unmodified: those of the endpoints that the gateway has get their answers.

The scripts are in the SDK's repository and not in its package. So this test needs them unpacked: SDK_EXAMPLES is the
path of the folder clients/spot/examples. They log what goes wrong and end with status 0, so the log is what is judged.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.sdk_examples import ExampleMarket, example_market
from tests.gateway.running_gateway import RunningGateway

PASSING = {
    "rest_api/Account": (
        "account_commission all_order_list all_orders get_account get_open_orders my_allocations my_filters my_trades "
        "open_order_list order_amendments rate_limit_order"
    ),
    "rest_api/General": "exchange_info ping time",
    "rest_api/Market": (
        "agg_trades avg_price depth get_trades historical_trades klines ticker24hr ticker_book_ticker ticker_price "
        "ui_klines"
    ),
    "rest_api/Trade": "delete_open_orders",
    "websocket_api/Account": (
        "account_commission account_rate_limits_orders account_status all_order_lists all_orders my_allocations "
        "my_filters my_trades open_order_lists_status open_orders_status order_amendments"
    ),
    "websocket_api/Auth": "session_logout session_status",
    "websocket_api/General": "exchange_info ping time",
    "websocket_api/Market": (
        "avg_price depth ticker24hr ticker_book ticker_price trades_aggregate trades_historical trades_recent"
    ),
    "websocket_api/Trade": "open_orders_cancel_all",
    "websocket_api/UserDataStream": (
        "session_subscriptions user_data_stream_subscribe user_data_stream_subscribe_signature"
    ),
    "websocket_streams": "agg_trade all_mini_ticker avg_price book_ticker diff_book_depth mini_ticker ticker trade",
}
NO_ORDER = "It names no order.", "-1102"
NO_LIST = "It names no order list.", "-1102"
NO_QUANTITY = "Its market order has no quantity.", "-1102"
NO_SYMBOL = "It names no symbol, which only the tickers of 24 hours, of prices and of the best prices allow.", "-1102"
NO_VALUE = "It asks for the member '' of an enumeration, and ends before it sends a request.", "''"
NOT_HERE = "The gateway does not have this endpoint.", "-1000"
NO_METHOD = "The gateway does not have this method.", "-1020"
NO_STREAM = "The gateway does not have this stream.", ""
REFUSED = {
    "rest_api/Account": {
        "get_order": NO_ORDER,
        "get_order_list": NO_LIST,
        "my_prevented_matches": NO_ORDER,
    },
    "rest_api/General": {"execution_rules": NOT_HERE},
    "rest_api/Market": {
        "historical_block_trades": NOT_HERE,
        "reference_price": NOT_HERE,
        "reference_price_calculation": NOT_HERE,
        "ticker": NO_SYMBOL,
        "ticker_trading_day": NO_SYMBOL,
    },
    "rest_api/Trade": {
        "delete_order": NO_ORDER,
        "delete_order_list": NO_LIST,
        "new_order": NO_QUANTITY,
        "order_amend_keep_priority": NO_ORDER,
        "order_cancel_replace": NO_ORDER,
        "order_list_oco": ("Both legs of its list are stop orders.", "-1158"),
        "order_list_opo": NOT_HERE,
        "order_list_opoco": NOT_HERE,
        "order_list_oto": NOT_HERE,
        "order_list_otoco": NOT_HERE,
        "order_oco": ("Both legs of its list have the same price.", "-2010"),
        "order_test": NO_QUANTITY,
        "sor_order": NOT_HERE,
        "sor_order_test": NOT_HERE,
    },
    "websocket_api/Account": {
        "my_prevented_matches": NO_ORDER,
        "order_list_status": NO_LIST,
        "order_status": NO_ORDER,
    },
    "websocket_api/Auth": {"session_logon": ("It logs on with an HMAC secret; only Ed25519 keys can.", "-4056")},
    "websocket_api/General": {"execution_rules": NO_METHOD},
    "websocket_api/Market": {
        "block_trades_historical": NO_METHOD,
        "klines": NO_VALUE,
        "reference_price": NO_METHOD,
        "reference_price_calculation": NO_METHOD,
        "ticker": NO_SYMBOL,
        "ticker_trading_day": NO_SYMBOL,
        "ui_klines": NO_VALUE,
    },
    "websocket_api/Trade": {
        "order_amend_keep_priority": NO_ORDER,
        "order_cancel": NO_ORDER,
        "order_cancel_replace": NO_VALUE,
        "order_list_cancel": NO_LIST,
        "order_list_place": NO_VALUE,
        "order_list_place_oco": NO_VALUE,
        "order_list_place_opo": NO_VALUE,
        "order_list_place_opoco": NO_VALUE,
        "order_list_place_oto": NO_VALUE,
        "order_list_place_otoco": NO_VALUE,
        "order_place": NO_VALUE,
        "order_test_ws_api": NO_VALUE,
        "sor_order_place": NO_VALUE,
        "sor_order_test_ws_api": NO_VALUE,
    },
    "websocket_api/UserDataStream": {"user_data_stream_unsubscribe": ("It has not subscribed.", "-2036")},
    "websocket_streams": {
        "all_market_rolling_window_ticker": NO_VALUE,
        "block_trade": NO_STREAM,
        "kline": NO_VALUE,
        "kline_offset": NO_VALUE,
        "partial_book_depth": NO_VALUE,
        "reference_price": NO_STREAM,
        "rolling_window_ticker": NO_VALUE,
    },
}
"""Why each other example gets no answer, and what it logs."""

PASSED = [f"{folder}/{name}.py" for folder, names in PASSING.items() for name in names.split()]
OTHERS = {f"{folder}/{name}.py": expected for folder, names in REFUSED.items() for name, expected in names.items()}


@pytest.fixture(scope="module")
def folder() -> Path:
    named = os.environ.get("SDK_EXAMPLES")
    if named is None:
        pytest.skip("SDK_EXAMPLES names no folder with the examples of the official SDK")
    return Path(named)


@pytest.fixture(scope="module")
def market(folder: Path, gateway: RunningGateway) -> Iterator[ExampleMarket]:
    with example_market(gateway) as made:
        yield made


@pytest.mark.acceptance("an example of the official SDK gets its answer, unmodified")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PASSED)
def test_an_example_gets_its_answer(market: ExampleMarket, folder: Path, name: str) -> None:
    ran = market.run(folder, name)
    assert (ran.error, ran.has_answer) == ("", True), ran


@pytest.mark.acceptance("an example of the official SDK that cannot pass is told why")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", OTHERS)
def test_an_example_that_cannot_pass_is_told_why(market: ExampleMarket, folder: Path, name: str) -> None:
    _, expected = OTHERS[name]
    ran = market.run(folder, name)
    assert expected in ran.error, ran
    if not expected:
        assert not ran.has_answer, ran


@pytest.mark.acceptance("every example of the official SDK is run")
def test_every_example_is_run(folder: Path) -> None:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*.py")}
    assert found == {*PASSED, *OTHERS}
    assert len(found) == len(PASSED) + len(OTHERS)
