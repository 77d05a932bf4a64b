"""Lookups for commands and pages, built on the store contract, and the text and JSON forms of trades."""

from collections.abc import Iterable, Iterator
from typing import Any

from ledger.api import MAX_LEGS
from matching.core.hashes import hash_text
from matching.core.registry import Instrument, Registry
from settlement.project.trail import time_text
from settlement.stores.base import Definition, LedgerEvent, Store, StoredBlock, Trade

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


def header_of(store: Store, number: int) -> StoredBlock | None:
    """The block with empty `data`, which may be large."""
    found = next(iter(store.newest_blocks(1, number + 1)), None)
    return found if found is not None and found.number == number else None


def first_block_since(store: Store, time_ns: int) -> StoredBlock | None:
    """The header of the first block at or after a time; None: there is none.

    A block's time is never earlier than that of the block before, so a binary search finds it.
    """
    found = next(iter(store.newest_blocks(1)), None)
    if found is None or found.timestamp_ns < time_ns:
        return None
    first = 1
    while first < found.number:
        number = (first + found.number) // 2
        middle = header_of(store, number)
        if middle is None or middle.timestamp_ns < time_ns:  # None: it has left the store, as older ones
            first = number + 1
        else:
            found = middle
    return found


def first_event_since(store: Store, time_ns: int) -> int:
    """The sequence of the first event at or after a time; of the next one to come if there is none.

    The events of a block have its time.
    """
    block = first_block_since(store, time_ns)
    if block is not None:
        return block.first_event_sequence
    newest = next(iter(store.newest_blocks(1)), None)
    return newest.last_event_sequence + 1 if newest else 1


def first_unprojected_event(store: Store) -> int:
    """The sequence after the last event of the last block that is projected."""
    last = next(iter(store.newest_blocks(1, store.projected().block_number + 1)), None)
    return last.last_event_sequence + 1 if last else 1


def blocks_of_digest(store: Store, digest: str) -> list[StoredBlock]:
    """The blocks for which a signed checkpoint states this chain digest, newest first, with empty `data`.

    The signature is not checked. A checkpoint of a block that the store does not have, or has with another hash, counts
    for nothing.
    """
    found: dict[int, StoredBlock] = {}
    for checkpoint in store.checkpoints_of_digest(digest):
        header = header_of(store, checkpoint.block_number)
        if header and hash_text(header.hash) == checkpoint.state_hash:
            found[header.number] = header
    return list(found.values())


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
