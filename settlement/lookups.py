"""Lookups for commands and pages, built on the store contract, and the text and JSON forms of trades."""

from collections.abc import Iterable, Iterator
from typing import Any

from ledger.api import MAX_LEGS
from matching.core.registry import Instrument, Registry
from settlement.project.trail import time_text
from settlement.stores.base import Definition, LedgerEvent, Store, Trade

_PAGE = 4096


class ReversedRange(ValueError):
    """A range whose end is before its beginning; the message is a sentence for users."""


def refuse_reversed(first: int, last: int) -> None:
    """Checks a range with both ends included. Raises ReversedRange."""
    if first > last:
        raise ReversedRange(f"The range begins at {first}, after its end {last}.")


def registry_of(definitions: Iterable[Definition]) -> Registry:
    """The registry of stored definitions, which are in order."""
    return Registry.from_definitions((definition.kind, definition.text) for definition in definitions)


def trades_between(store: Store, first: int, last: int) -> Iterator[Trade]:
    """The trades of a range of sequences, oldest first; read by pages, because a range may have millions."""
    while page := store.get_trades_by_sequence_range(first, last, _PAGE):
        yield from page
        first = page[-1].trade_id + 1


def entries_of_event(
    store: Store, event_sequence: int, accounts: Iterable[int], instrument: Instrument | None
) -> list[LedgerEvent]:
    """The ledger entries of an event on these accounts, by leg. `instrument`: of its orders; None: unknown.

    Entries are read by account, because on ScyllaDB the ledger is partitioned by account: a lookup by event would read
    every account that has entries near it.
    """
    assets = [instrument.base.symbol, instrument.quote.symbol] if instrument else [None]
    before = event_sequence + 1, 0
    found = [
        entry
        for account in dict.fromkeys(accounts)
        for asset in assets
        for entry in store.get_ledger_events_by_account(account, MAX_LEGS, asset=asset, before=before)
        if entry.event_sequence == event_sequence
    ]
    return sorted(found, key=lambda entry: entry.leg)


def trade_form(trade: Trade, registry: Registry) -> dict[str, Any]:
    """The JSON form of a trade: decimals as strings in their shortest form, ids as integers.

    trade_number is null in blocks before record layout 3.
    """
    instrument = registry.instrument_by_symbol[trade.symbol]
    return {
        "trade_id": trade.trade_id,
        "trade_number": trade.trade_number,
        "time": time_text(trade.timestamp_ns),
        "symbol": trade.symbol,
        "price": instrument.tick.text(trade.price),
        "quantity": instrument.lot.text(trade.quantity),
        "taker_side": trade.taker_side,
        "maker_order_id": trade.maker_order_id,
        "taker_order_id": trade.taker_order_id,
        "buyer": trade.buyer,
        "seller": trade.seller,
        "buyer_fee": instrument.base.unit.text(trade.buyer_fee),
        "buyer_fee_asset": instrument.base.symbol,
        "seller_fee": instrument.quote.unit.text(trade.seller_fee),
        "seller_fee_asset": instrument.quote.symbol,
        "block_number": trade.block_number,
    }


def trade_text(trade: Trade, registry: Registry) -> str:
    """A trade on one line."""
    form = trade_form(trade, registry)
    form["number"] = "" if trade.trade_number is None else f" trade {trade.trade_number}"
    return (
        "{trade_id}  {time}  {symbol}{number}  {quantity} at {price}, taker {taker_side}; buyer {buyer} (fee "
        "{buyer_fee} {buyer_fee_asset}), seller {seller} (fee {seller_fee} {seller_fee_asset}); orders "
        "{maker_order_id} and {taker_order_id}; block {block_number}"
    ).format(**form)
