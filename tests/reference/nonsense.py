"""Invalid input from careless or hostile clients: whole lines, and values for single fields."""

from typing import Any

# Lines that are not commands.
NONSENSE_LINES = (
    "",
    "   ",
    "{",
    "nonsense",
    "null",
    "[]",
    '"order"',
    "12",
    "true",
    "NaN",
    '{"command":"fly"}',
    '{"command":null}',
    '{"command":["order"]}',
    '{"command":"order"} {}',
    '{"command":"cancel_all","account":NaN}',
    '{"command":"cancel_all","account":1e400}',
    '{"command":"cancel_all","account":1.0}',
    '{"command":"cancel_all","account":' + "9" * 5000 + "}",
    "[" * 100_000,
)

# Values that replace a valid field.
WRONG_VALUES: tuple[object, ...] = (
    *(None, True, False, 0, 1, -1, 12.5, 1e300, 2**62, 2**63 - 1, 2**63, -(2**63), 10**30, [], {}, ["1"]),
    *("", "0", "-0", "00", "1", "-1", "+1", "1.", ".5", "1e5", " 1", "1 ", "1\n", "٣", "0x1", "1_000", "1,5", "--1"),
    *("NaN", "Infinity", "007", "0.5000", "0.00000000000000000001", "4611686018427387904", "4611686018427387905"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "99999999999999999999"),
    *("1" * 36, "x" * 37, "x" * 64, "x" * 65, "9" * 5000, "1." + "0" * 5000, "é", "a\tb", "a b", "\x7f", "\ud800"),
    *("buy", "sell", "hold", "BUY", "limit", "market", "stop", "gtc", "ioc", "fok", "day", "halted", "asleep"),
    *("stop_loss", "stop_loss_limit", "take_profit", "take_profit_limit", "active", "frozen", "no_trading"),
    *("BTC", "btc", "USD", "DOGE", "BTC-USD", "NO-NE", "A" * 32, "A" * 33, "expire_maker", "expire_all", "order"),
)

# Fields that are wrong, or given where they may not be, in a valid command about an order.
_TOO_FINE = "0." + "0" * 30 + "1"
MISUSED_FIELDS: tuple[dict[str, Any], ...] = (
    {"account": "1"},
    {"symbol": "NO-NE"},
    {"side": "hold"},
    {"side": None},
    {"order_type": "stop"},
    {"order_type": 1},
    {"time_in_force": "day"},
    {"time_in_force": "gtc"},
    {"time_in_force": "day", "stop_time_in_force": "day"},
    {"stop_time_in_force": "day"},
    {"post_only": True},
    {"self_trade_prevention": "all"},
    {"client_order_id": ""},
    {"stop_client_order_id": "x" * 37},
    {"list_client_order_id": "x" * 37},
    {"new_client_order_id": 1},
    {"requires_previous": "yes"},
    {"quote_quantity": "5"},
    {"price": "5"},
    {"price": _TOO_FINE},
    {"trigger_price": "5"},
    {"trigger_price": _TOO_FINE},
    {"stop_price": _TOO_FINE},
    {"quantity": None},
    {"quantity": _TOO_FINE},
    {"total_quantity": "5"},
    {"visible_quantity": "5"},
    {"visible_quantity": _TOO_FINE},
)

# Fields added to a valid command.
FIELDS = (
    *("account", "symbol", "asset", "side", "order_type", "price", "quantity", "quote_quantity", "time_in_force"),
    *("post_only", "self_trade_prevention", "client_order_id", "order_id", "amount", "reference", "colour"),
    *("trigger_price", "stop_price", "visible_quantity", "total_quantity", "stop_time_in_force", "requires_previous"),
    *("stop_client_order_id", "list_client_order_id", "new_client_order_id", "request_id", "price_band"),
    *("max_open_orders", "maker_fee", "taker_fee", "status"),
)
