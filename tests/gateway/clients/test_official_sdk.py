"""The official SDK (binance-sdk-spot) trades by the gateway's API; its own models read every answer."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketAPI
from binance_common.errors import BadRequestError
from binance_sdk_spot.spot import Spot
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.keys.key import KeyType
from tests.gateway.running_gateway import RunningGateway
from tests.gateway.trading import Market, new_market

_PATIENCE_S = 60.0


@pytest.fixture
def market(gateway: RunningGateway) -> Market:
    made = new_market(gateway)
    made.trade_at("100")
    made.trader("trader")
    return made


@pytest.fixture
def rest(market: Market) -> Any:
    key, secret = market.gateway.keys.add(market.accounts["trader"])
    configuration = ConfigurationRestAPI(
        api_key=key, api_secret=secret, base_path=market.gateway.url, timeout=10_000, retries=0
    )
    return Spot(config_rest_api=configuration).rest_api


def order(market: Market, **more: Any) -> dict[str, Any]:
    return {
        "symbol": market.symbol,
        "side": "BUY",
        "type": "LIMIT",
        "time_in_force": "GTC",
        "quantity": 1.0,
        "price": 90.0,
        **more,
    }


def test_an_order_by_rest(market: Market, rest: Any) -> None:
    placed = rest.new_order(**order(market)).data()
    assert (placed.status, placed.orig_qty) == ("NEW", "1.00000000")
    assert rest.get_order(symbol=market.symbol, order_id=placed.order_id).data().status == "NEW"
    assert [one.order_id for one in rest.get_open_orders(symbol=market.symbol).data()] == [placed.order_id]
    amended = rest.order_amend_keep_priority(symbol=market.symbol, new_qty=0.5, order_id=placed.order_id).data()
    assert amended.amended_order.qty == "0.50000000"
    rest.order_amendments(symbol=market.symbol, order_id=placed.order_id).data()
    replaced = rest.order_cancel_replace(
        **order(market), cancel_replace_mode="STOP_ON_FAILURE", cancel_order_id=placed.order_id
    ).data()
    assert replaced.new_order_result == "SUCCESS"
    cancelled = rest.delete_order(symbol=market.symbol, order_id=replaced.new_order_response.order_id).data()
    assert cancelled.status == "CANCELED"
    assert rest.order_test(**order(market)).data() is not None
    with pytest.raises(BadRequestError, match="Unknown order sent"):
        rest.delete_order(symbol=market.symbol, order_id=10**12)


READ: list[tuple[str, Callable[[Market], dict[str, Any]]]] = [
    ("get_account", lambda market: {"omit_zero_balances": True}),
    ("account_commission", lambda market: {"symbol": market.symbol}),
    ("all_orders", lambda market: {"symbol": market.symbol}),
    ("my_trades", lambda market: {"symbol": market.symbol}),
    ("rate_limit_order", lambda market: {}),
    ("my_filters", lambda market: {"symbol": market.symbol}),
    ("my_allocations", lambda market: {"symbol": market.symbol}),
    ("my_prevented_matches", lambda market: {"symbol": market.symbol, "order_id": 1}),
    ("all_order_list", lambda market: {}),
    ("open_order_list", lambda market: {}),
]


@pytest.mark.parametrize(("method", "parameters"), READ, ids=[name for name, _ in READ])
def test_what_an_account_reads(
    market: Market, rest: Any, method: str, parameters: Callable[[Market], dict[str, Any]]
) -> None:
    market.place("trader", "SELL", "1", "110")
    assert getattr(rest, method)(**parameters(market)).data() is not None


def test_an_order_list_by_rest(market: Market, rest: Any) -> None:
    placed = rest.order_list_oco(
        symbol=market.symbol,
        side="SELL",
        quantity=1.0,
        above_type="LIMIT_MAKER",
        above_price=110.0,
        below_type="STOP_LOSS",
        below_stop_price=90.0,
    ).data()
    assert placed.list_order_status == "EXECUTING"
    assert rest.get_order_list(order_list_id=placed.order_list_id).data().list_order_status == "EXECUTING"
    cancelled = rest.delete_order_list(symbol=market.symbol, order_list_id=placed.order_list_id).data()
    assert cancelled.list_order_status == "ALL_DONE"


def test_a_session_by_the_websocket_api(market: Market) -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key, _ = market.gateway.keys.add(market.accounts["trader"], key_type=KeyType.ED25519, material=public)
    configuration = ConfigurationWebSocketAPI(
        api_key=key,
        private_key=private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        stream_url=f"{market.gateway.stream_url}/ws-api/v3",
    )
    client: Any = Spot(config_ws_api=configuration)

    async def body() -> None:
        connection = await client.websocket_api.create_connection()
        try:
            logged_on = (await connection.session_logon()).data()
            assert logged_on.result.api_key == key
            placed = (await connection.order_place(**order(market))).data()
            assert placed.result.status == "NEW"
            status = (await connection.order_status(symbol=market.symbol, order_id=placed.result.order_id)).data()
            assert status.result.status == "NEW"
            cancelled = (await connection.open_orders_cancel_all(symbol=market.symbol)).data()
            assert len(cancelled.result) == 1
            assert (await connection.account_status()).data().result.can_trade
            assert (await connection.session_status()).data().result.api_key == key
        finally:
            await connection.close_connection(close_session=True)

    asyncio.run(asyncio.wait_for(body(), _PATIENCE_S))
