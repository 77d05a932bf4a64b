"""Valid commands of every kind, and for each field what can be wrong with it, in the order in which it is judged."""

from typing import Any

from matching.core.codes import PPM
from matching.workloads.btc_usd import BTC, BTC_USD
from tests.matching.small_exchange import deposit, order

Json = dict[str, Any]
GONE = object()
LIMIT_ORDER = order(1, "buy", "100.00", client_order_id="a", post_only=False, self_trade_prevention="none")
MARKET_BUY = {"command": "order", "account": 1, "symbol": "BTC-USD", "side": "buy", "order_type": "market"}
CANCEL = {"command": "cancel", "account": 1, "symbol": "BTC-USD", "client_order_id": "a"}
REPLACE = {**CANCEL, "command": "replace", "price": "100.00", "quantity": "2"}
STOP = {**MARKET_BUY, "order_type": "stop_loss", "trigger_price": "90.00", "quantity": "1", "client_order_id": "a"}
STOP_LIMIT = {**STOP, "order_type": "stop_loss_limit", "price": "89.00"}
OCO = {
    "command": "oco",
    "account": 1,
    "symbol": "BTC-USD",
    "side": "sell",
    "quantity": "1",
    "price": "110.00",
    "client_order_id": "l",
    "trigger_price": "90.00",
    "stop_price": "89.00",
    "stop_client_order_id": "s",
}
UPDATE = {"command": "instrument_update", "symbol": "BTC-USD", "maker_fee": 5}
ACCOUNT_STATUS = {"command": "account_status", "account": 1, "status": "frozen"}
ACCOUNT_FEES = {"command": "account_fees", "account": 1, "maker_fee": 5, "taker_fee": 7}
WITHDRAW = {**deposit(1, "t-1"), "command": "withdraw"}
STATUS = {"command": "instrument_status", "symbol": "BTC-USD", "status": "halted"}
NEW_INSTRUMENT = {**BTC_USD, "symbol": "USD-BTC.2"}
VALID: list[Json] = [
    *(LIMIT_ORDER, {**MARKET_BUY, "quantity": "1"}, {**MARKET_BUY, "quote_quantity": "5"}, CANCEL, REPLACE, WITHDRAW),
    *(
        deposit(1, "t-1"),
        {"command": "cancel_all", "account": 1},
        {"command": "cancel", **CANCEL, "account": 2**63 - 1},
    ),
    *({**BTC, "symbol": "ETH"}, NEW_INSTRUMENT, STATUS),
    {**NEW_INSTRUMENT, "price_band": 50_000, "max_open_orders": 3},
    *(STOP, STOP_LIMIT, OCO, {**OCO, "stop_price": None, "list_client_order_id": "o", "requires_previous": True}),
    *({**LIMIT_ORDER, "visible_quantity": "0.1"}, {**CANCEL, "request_id": "r"}),
    {**REPLACE, "quantity": None, "total_quantity": "2", "new_client_order_id": "b"},
    *(UPDATE, {**UPDATE, "price_band": 1, "max_open_orders": 2, "min_quantity": "1"}, ACCOUNT_STATUS, ACCOUNT_FEES),
    {"command": "account_fees", "account": 1, "symbol": "BTC-USD"},
]

Fault = tuple[str, object, str]
ACCOUNT: list[Fault] = [("account", value, "malformed") for value in (GONE, -1, 2**63, "1", 1.0, True, None)]
SYMBOL: list[Fault] = [("symbol", GONE, "malformed"), ("symbol", 5, "malformed"), ("symbol", "NO-NE", "unknown_symbol")]
PRICE: list[Fault] = [("price", GONE, "malformed"), ("price", 100, "malformed"), ("price", "0.001", "invalid_price")]
QUANTITY: list[Fault] = [
    ("quantity", GONE, "malformed"),
    ("quantity", "1e5", "malformed"),
    ("quantity", "0.00001", "invalid_quantity"),
]
SIDE: list[Fault] = [("side", GONE, "malformed"), ("side", 0, "malformed"), ("side", "hold", "invalid_side")]
ORDER_TYPE: list[Fault] = [
    ("order_type", GONE, "malformed"),
    ("order_type", 1, "malformed"),
    ("order_type", "stop", "invalid_order_type"),
]
PREVENTION: list[Fault] = [("self_trade_prevention", value, "malformed") for value in (0, "all", "")]
REQUIRES: list[Fault] = [("requires_previous", value, "malformed") for value in ("yes", 1, 0)]
TRIGGER_PRICE: list[Fault] = [(name.replace("price", "trigger_price"), value, reason) for name, value, reason in PRICE]
TERMS: list[Fault] = [
    *((name, value, "malformed") for name in ("maker_fee", "taker_fee", "price_band") for value in (-1, PPM, "5", 1.0)),
    *(("max_open_orders", value, "malformed") for value in (-1, 1_000_001, True)),
    *((name, value, "malformed") for name in ("min_quantity", "max_quantity") for value in ("0", "-1", "0.00001", 5)),
    *(("min_notional", value, "malformed") for value in ("-1", "0.0000001", 0)),
]
CLIENT_ORDER_ID: list[Fault] = [("client_order_id", value, "malformed") for value in ("", "x" * 37, "é", "a\tb", 7)]

# For each command its fields in the order in which they are judged: what is wrong with one, and the reason.
FAULTS: dict[str, tuple[Json, list[list[Fault]]]] = {
    "order": (
        LIMIT_ORDER,
        [
            ACCOUNT,
            SYMBOL,
            SIDE,
            ORDER_TYPE,
            [("time_in_force", [], "malformed"), ("time_in_force", "day", "invalid_time_in_force")],
            [("post_only", "yes", "malformed"), ("post_only", 1, "malformed")],
            PREVENTION,
            CLIENT_ORDER_ID,
            REQUIRES,
            [("quote_quantity", "5", "invalid_quantity"), ("quote_quantity", 5, "invalid_quantity")],
            PRICE,
            [("trigger_price", "5", "invalid_price"), ("trigger_price", 5, "invalid_price")],
            QUANTITY,
            [("visible_quantity", "0.00001", "invalid_quantity"), ("visible_quantity", 5, "malformed")],
        ],
    ),
    "market order": (
        {**MARKET_BUY, "quantity": "1"},
        [
            ACCOUNT,
            SYMBOL,
            SIDE,
            [("time_in_force", "gtc", "invalid_time_in_force"), ("time_in_force", 5, "malformed")],
            [("post_only", "yes", "malformed"), ("post_only", True, "invalid_time_in_force")],
            PREVENTION,
            CLIENT_ORDER_ID,
            REQUIRES,
            [("quote_quantity", "5", "invalid_quantity")],
            [("price", "100.00", "invalid_price"), ("price", False, "invalid_price")],
            [("trigger_price", "5", "invalid_price")],
            QUANTITY[1:],  # without one, the order is by quote_quantity
            [("visible_quantity", "0.1", "invalid_quantity")],
        ],
    ),
    "trigger order": (
        STOP,
        [
            ACCOUNT,
            SYMBOL,
            SIDE,
            ORDER_TYPE[1:],
            [("time_in_force", value, "invalid_time_in_force") for value in ("gtc", "fok")],
            [("post_only", True, "invalid_time_in_force"), ("post_only", 0, "malformed")],
            PREVENTION,
            CLIENT_ORDER_ID,
            REQUIRES,
            [("quote_quantity", "5", "invalid_quantity")],
            [("price", "100.00", "invalid_price"), ("price", 7, "invalid_price")],
            TRIGGER_PRICE,
            QUANTITY,
            [("visible_quantity", "0.1", "invalid_quantity")],
        ],
    ),
    "trigger order with a price": (
        STOP_LIMIT,
        [
            ORDER_TYPE,
            [("time_in_force", "day", "invalid_time_in_force"), ("time_in_force", 5, "malformed")],
            [("post_only", True, "invalid_time_in_force")],
            PREVENTION,
            CLIENT_ORDER_ID,
            REQUIRES,
            [("quote_quantity", "5", "invalid_quantity")],
            PRICE,
            TRIGGER_PRICE,
            QUANTITY,
            [("visible_quantity", "0.1", "invalid_quantity"), ("visible_quantity", 5, "invalid_quantity")],
        ],
    ),
    "oco": (
        OCO,
        [
            ACCOUNT,
            SYMBOL,
            SIDE,
            [("stop_time_in_force", "day", "invalid_time_in_force"), ("stop_time_in_force", 1, "malformed")],
            PREVENTION,
            CLIENT_ORDER_ID,
            [(f"stop_{name}", value, reason) for name, value, reason in CLIENT_ORDER_ID],
            [(name.replace("client", "list_client"), value, reason) for name, value, reason in CLIENT_ORDER_ID],
            REQUIRES,
            PRICE,
            TRIGGER_PRICE,
            [("stop_price", 5, "malformed"), ("stop_price", "0.001", "invalid_price")],
            QUANTITY,
        ],
    ),
    "cancel": (
        CANCEL,
        [
            ACCOUNT,
            SYMBOL,
            [("client_order_id", GONE, "malformed"), ("order_id", 1, "malformed")],
            [("request_id", value, "malformed") for value in ("", "x" * 37, 7)],
        ],
    ),
    "cancel_all": ({"command": "cancel_all", "account": 1}, [ACCOUNT, SYMBOL[1:]]),
    "replace": (
        REPLACE,
        [
            ACCOUNT,
            SYMBOL,
            CLIENT_ORDER_ID,
            [("new_client_order_id", value, "malformed") for value in ("", "x" * 37, 7)],
            PRICE,
            [*QUANTITY, ("total_quantity", "1", "invalid_quantity"), ("total_quantity", 1, "invalid_quantity")],
        ],
    ),
    "instrument_update": (UPDATE, [SYMBOL, [*TERMS, ("maker_fee", GONE, "malformed")]]),
    "account_status": (
        ACCOUNT_STATUS,
        [ACCOUNT, [("status", value, "malformed") for value in (GONE, None, "asleep", 0)]],
    ),
    "account_fees": (
        {**ACCOUNT_FEES, "symbol": "BTC-USD"},
        [
            ACCOUNT,
            [("symbol", 5, "malformed"), ("symbol", "NO-NE", "unknown_symbol")],
            [(name, value, "malformed") for name in ("maker_fee", "taker_fee") for value in (None, -1, PPM, "5", 1.0)],
        ],
    ),
    "deposit": (
        deposit(1, "t-1"),
        [
            ACCOUNT,
            [("asset", GONE, "malformed"), ("asset", {}, "malformed"), ("asset", "DOGE", "unknown_asset")],
            [("amount", 1, "malformed"), ("amount", "0.000000001", "invalid_amount")],
            [("reference", value, "malformed") for value in (GONE, "", "x" * 65, "a\nb")],
        ],
    ),
    "instrument": (
        NEW_INSTRUMENT,
        [
            [("symbol", "usd", "malformed")],
            [("base", "DOGE", "unknown_asset"), ("base", None, "malformed")],
            [("quote", "DOGE", "unknown_asset"), ("quote", 1, "malformed")],
            [("tick_size", "0", "malformed"), ("base", "USD", "malformed"), *TERMS],
        ],
    ),
}


def changed(command: Json, changes: Json) -> Json:
    return {name: value for name, value in {**command, **changes}.items() if value is not GONE}
