"""The engine's answers in words: one sentence for each event that an action can cause, and for each reject reason."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matching.core.codes import Reason, name_of

Event = Mapping[str, Any]

_REASONS = {
    Reason.MALFORMED: "A value is not valid: a fee or band outside its range, or an invalid symbol.",
    Reason.UNKNOWN_ASSET: "There is no such asset.",
    Reason.UNKNOWN_SYMBOL: "There is no such instrument.",
    Reason.INVALID_PRICE: "The price is not a multiple of the tick size.",
    Reason.INVALID_QUANTITY: (
        "A quantity is not a multiple of the lot size, or the smallest is larger than the largest one."
    ),
    Reason.INVALID_AMOUNT: "The amount is zero, has too many decimal places for the asset, or is too large.",
    Reason.INSTRUMENT_HALTED: "The instrument is halted, so its orders cannot be cancelled.",
    Reason.INSUFFICIENT_BALANCE: "The account's available balance is smaller than the amount.",
    Reason.UNKNOWN_ORDER: "The order is not open any more.",
    Reason.SUPPLY_OVERFLOW: "More of this asset than the engine can count would exist.",
    Reason.DUPLICATE_REFERENCE: "The reference has been used before for this account, so nothing was applied again.",
    Reason.ALREADY_EXISTS: "An asset or instrument with this symbol exists already.",
    Reason.ACCOUNT_RESTRICTED: "The account is frozen.",
}


def reason(code: Reason) -> str:
    """A sentence for an operator."""
    return _REASONS.get(code, f"The reason is {name_of(code).replace('_', ' ')}.")


def refusal(name: str) -> str:
    """The sentence of a reason as events name it: "duplicate_reference"."""
    return reason(next(code for code in Reason if name_of(code) == name))


def in_words(events: Sequence[Event]) -> str:
    """What the events of an accepted command say."""
    counted = [event for event in events if event["event"] == "orders_cancelled"]
    told = [_EVENTS[event["event"]](event) for event in counted or events if event["event"] in _EVENTS]
    return " ".join(told) or "The engine accepted it."


def _fees(event: Event) -> str:
    where = event["symbol"] or "all instruments"
    if event["maker_fee"] is None:
        return f"Account {event['account']} has no fees of its own in {where} any more."
    return (
        f"Account {event['account']} pays {event['maker_fee']} ppm as maker and {event['taker_fee']} ppm as taker in "
        f"{where}."
    )


def _orders_cancelled(event: Event) -> str:
    count = event["count"]
    return f"{count} order{'' if count == 1 else 's'} of account {event['account']} cancelled."


def _order_cancelled(event: Event) -> str:
    if event["remaining"] is None:
        return f"Order {event['order_id']} was cancelled; {event['remaining_quote']} of its quote quantity were left."
    return f"Order {event['order_id']} was cancelled; {event['remaining']} were left of it."


_EVENTS: dict[str, Callable[[Event], str]] = {
    "asset_added": lambda event: f"Asset {event['symbol']} was added with {event['decimals']} decimal places.",
    "instrument_added": lambda event: f"Instrument {event['symbol']} was added.",
    "instrument_status_changed": lambda event: f"{event['symbol']} is now {event['status'].replace('_', ' ')}.",
    "instrument_updated": lambda event: f"The values of {event['symbol']} were changed.",
    "account_status_changed": lambda event: f"Account {event['account']} is now {event['status'].replace('_', ' ')}.",
    "account_fees_changed": _fees,
    "deposited": lambda event: f"{event['amount']} {event['asset']} were credited to account {event['account']}.",
    "withdrawn": lambda event: f"{event['amount']} {event['asset']} were debited to account {event['account']}.",
    "order_cancelled": _order_cancelled,
    "orders_cancelled": _orders_cancelled,
}
