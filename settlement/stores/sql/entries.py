"""Ledger entries under one ascending integer key instead of two columns."""

from collections.abc import Sequence
from typing import NamedTuple, cast

from settlement.stores.base import LedgerEvent
from settlement.stores.base.columns import ColumnTable, Numbers

LEG_BITS = 4


class Entry(NamedTuple):
    """A row of the table `ledger_events`; see `settlement.stores.base.LedgerEvent`."""

    entry: int  # event_sequence * 16 + leg
    block_number: int
    timestamp_ns: int
    account: int
    asset: str
    kind: str
    delta_available: int
    delta_locked: int
    available_after: int
    locked_after: int


def entries_of(events: Sequence[LedgerEvent]) -> Sequence[Entry]:
    """The rows of these ledger events; columns stay columns."""
    if not isinstance(events, ColumnTable):
        return [Entry((event.event_sequence << LEG_BITS) + event.leg, *event[2:]) for event in events]
    sequences, legs, *columns = events.columns
    entries = (cast(Numbers, sequences).array << LEG_BITS) + cast(Numbers, legs).array
    return ColumnTable(Entry, entry=Numbers(entries), **dict(zip(Entry._fields[1:], columns, strict=True)))
