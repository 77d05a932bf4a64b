"""Order validation: returns the first reject reason that applies, in the order of docs/semantics.md, section 4."""

from typing import Any

import numpy as np

from matching.core.codes import AMOUNT_LIMIT
from matching.core.kernel import crossing, funds
from matching.core.kernel.compiling import inlined
from matching.core.kernel.constants import (
    ACCEPTED,
    BELOW_MIN_NOTIONAL,
    BUY,
    DUPLICATE_CLIENT_ORDER_ID,
    FOK,
    FOK_NOT_FILLABLE,
    INSTRUMENT_HALTED,
    INSUFFICIENT_BALANCE,
    INVALID_PRICE,
    INVALID_QUANTITY,
    MARKET,
    NO_LIQUIDITY,
    NOTIONAL_OVERFLOW,
    POST_ONLY_WOULD_MATCH,
    QUOTE_QUANTITY_TOO_SMALL,
    TRADING,
)
from matching.core.kernel.structures import tables
from matching.core.layout import NO_ASK

INT64_MAX = (1 << 63) - 1


@inlined
def validate_order(pools: Any, command: Any, trader: Any) -> Any:
    """(ACCEPTED, amount that the order locks), or (reject reason, 0). `trader` 0: not known yet."""
    instrument_id = np.int64(command["instrument"])
    instrument = pools.instruments[instrument_id]
    nothing = np.int64(0)
    if instrument["status"] != TRADING:
        return INSTRUMENT_HALTED, nothing
    side = np.int64(command["side"])
    market = command["order_type"] == MARKET
    price, quantity, amount = command["price"], command["quantity"], command["amount"]
    by_quote = market and amount != 0
    if by_quote:
        if amount <= 0:
            return INVALID_QUANTITY, nothing
        if amount > AMOUNT_LIMIT:
            return NOTIONAL_OVERFLOW, nothing
        if amount < instrument["min_notional"]:
            return BELOW_MIN_NOTIONAL, nothing
    else:
        reason = validate_price_and_quantity(instrument, market, price, quantity, np.int64(0))
        if reason != ACCEPTED:
            return reason, nothing
    if trader != 0 and command["text_hash"] != np.uint64(0):
        if tables.find_client_order(pools, trader, command["text_hash"]) != 0:
            return DUPLICATE_CLIENT_ORDER_ID, nothing

    account = command["account"]
    prevention = np.int64(command["self_trade_prevention"])
    needed = amount
    if not by_quote:
        if market and side == BUY:
            _, needed = crossing.simulate_fill(
                pools, instrument_id, account, side, prevention, np.int64(NO_ASK), quantity
            )
        else:
            needed = crossing.locked_amount(instrument, side, price, quantity)
    if trader != 0:
        payer = pools.balances[crossing.paying_balance(pools.traders[trader], side)]
        enough = payer["available"] >= needed
    else:
        asset = np.int64(instrument["quote"]) if side == BUY else np.int64(instrument["base"])
        enough = funds.available(pools, account, asset) >= needed
    if not enough:
        return INSUFFICIENT_BALANCE, nothing

    if not market:
        if command["post_only"] != 0 and crossing.crosses(instrument, side, price):
            return POST_ONLY_WOULD_MATCH, nothing
        if command["time_in_force"] == FOK:
            lots, _ = crossing.simulate_fill(pools, instrument_id, account, side, prevention, price, quantity)
            if lots < quantity:
                return FOK_NOT_FILLABLE, nothing
        return ACCEPTED, needed
    if crossing.best_opposite_level(instrument, side) == 0:
        return NO_LIQUIDITY, nothing
    if by_quote and amount < instrument["best_ask"] * instrument["quote_unit"]:
        return QUOTE_QUANTITY_TOO_SMALL, nothing
    return ACCEPTED, needed


@inlined
def validate_price_and_quantity(instrument: Any, market: Any, price: Any, quantity: Any, filled: Any) -> Any:
    """Reject reason for price and quantity of an order by quantity. `filled`: lots traded before a replace, else 0."""
    if not market and price <= 0:
        return INVALID_PRICE
    if quantity <= 0 or quantity < instrument["min_quantity"] or quantity > instrument["max_quantity"]:
        return INVALID_QUANTITY
    if quantity > instrument["quantity_limit"] or filled > INT64_MAX - quantity:
        return NOTIONAL_OVERFLOW
    if not market:
        if funds.product_exceeds(price, quantity, instrument["notional_limit"]):
            return NOTIONAL_OVERFLOW
        if price * quantity * instrument["quote_unit"] < instrument["min_notional"]:
            return BELOW_MIN_NOTIONAL
    return ACCEPTED
