"""The official SDK (binance-sdk-spot), pointed at a gateway, and a strict look at what its models make of answers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_sdk_spot.spot import Spot
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import BaseModel

from gateway.keys.key import KeyType
from tests.gateway.trading import Market

PATIENCE_S = 60.0
UNKNOWN = "additional_properties"
"""Where a model of the SDK puts what it does not know."""


@dataclass(frozen=True)
class Call:
    """A method of the SDK. `parameters` are made from the ids of orders that `prepared` has placed.

    `unknown` are the fields that Binance's documents have in the answer, and the SDK's model of it has not.
    """

    method: str
    parameters: Callable[[Market, Mapping[str, int]], Mapping[str, Any]] = lambda market, ids: {}
    unknown: Sequence[str] = ()


def of_symbol(**more: Any) -> Callable[[Market, Mapping[str, int]], Mapping[str, Any]]:
    return lambda market, ids: {"symbol": market.symbol, **more}


def limit_order(market: Market, **more: Any) -> dict[str, Any]:
    wanted = {"side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": 1.0, "price": 90.0}
    return {"symbol": market.symbol, **wanted, **more}


OCO = {
    "side": "SELL",
    "quantity": 1.0,
    "above_type": "LIMIT_MAKER",
    "above_price": 110.0,
    "below_type": "STOP_LOSS",
    "below_stop_price": 90.0,
}
OLD_OCO = {"side": "SELL", "quantity": 1.0, "price": 110.0, "stop_price": 90.0}


def prepared(market: Market) -> dict[str, int]:
    """The trader has traded, has an amended order, an order to cancel or replace, and two lists; ids by name."""
    client = market.trader("trader")
    market.trade_at("100")
    market.place("maker", "SELL", "0.5", "100")
    traded = market.place("trader", "BUY", "0.5", "100").body["orderId"]
    amended = market.place("trader", "BUY", "1", "90").body["orderId"]
    client.put("order/amend/keepPriority", symbol=market.symbol, orderId=amended, newQty="0.5")
    single = market.place("trader", "BUY", "1", "91").body["orderId"]
    legs: dict[str, Any] = {
        "aboveType": "LIMIT_MAKER",
        "abovePrice": "120",
        "belowType": "STOP_LOSS",
        "belowStopPrice": "80",
    }
    found = client.post("orderList/oco", symbol=market.symbol, side="SELL", quantity="1", **legs).body["orderListId"]
    return {"traded": traded, "amended": amended, "single": single, "list": found}


def rest_of(market: Market) -> Any:
    key, secret = market.gateway.keys.add(market.accounts["trader"])
    configuration = ConfigurationRestAPI(
        api_key=key, api_secret=secret, base_path=market.gateway.url, timeout=10_000, retries=0
    )
    return Spot(config_rest_api=configuration).rest_api


async def in_session(market: Market, work: Callable[[Any], Awaitable[None]]) -> None:
    """Does `work` with a session of the WebSocket API by an Ed25519 key."""
    private = ed25519.Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key, _ = market.gateway.keys.add(market.accounts["trader"], key_type=KeyType.ED25519, material=public)
    configuration = ConfigurationWebSocketAPI(
        api_key=key,
        private_key=private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        stream_url=f"{market.gateway.stream_url}/ws-api/v3",
        timeout=10_000,
    )
    client: Any = Spot(config_ws_api=configuration)
    connection = await client.websocket_api.create_connection()
    try:
        await work(connection)
    finally:
        await connection.close_connection(close_session=True)


async def with_streams(market: Market, work: Callable[[Any], Awaitable[None]]) -> None:
    configuration = ConfigurationWebSocketStreams(stream_url=market.gateway.stream_url)
    client: Any = Spot(config_ws_streams=configuration)
    connection = await client.websocket_streams.create_connection()
    try:
        await work(connection)
    finally:
        await connection.close_connection(close_session=True)


def run(work: Awaitable[None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work, PATIENCE_S)

    asyncio.run(bounded())


def unknown_fields(answer: object, path: str = "") -> Iterator[str]:
    """The places in an answer that the SDK's model has no field for."""
    if isinstance(answer, BaseModel):
        surplus = getattr(answer, UNKNOWN, None) or {}
        yield from (f"{path}.{name}" for name in surplus)
        for name, value in answer:
            if name != UNKNOWN:
                yield from unknown_fields(value, f"{path}.{name}")
    elif isinstance(answer, list):
        for one in answer[:1]:
            yield from unknown_fields(one, f"{path}[]")
