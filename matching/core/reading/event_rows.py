"""EVENT records as named tuples, for readers that look at them one by one."""

from typing import NamedTuple

from matching.core import migrations
from matching.core.blocks import Records
from matching.core.layout import EVENT


class EventRow(NamedTuple):
    """One EVENT record (matching/core/layout.py) as plain integers, in the order of the record's fields.

    The last field of the record is `trade_number`, in layouts 1 and 2 `taker_unlock`; the other one is 0.
    """

    sequence: int
    command_sequence: int
    kind: int
    side: int
    reason: int
    flags: int
    instrument: int
    order_id: int
    account: int
    other_order_id: int
    other_account: int
    price: int
    quantity: int
    amount: int
    buyer_fee: int
    seller_fee: int
    trade_number: int
    taker_unlock: int


_EARLIER_EVENT = migrations.event_type(migrations.OLDEST_LAYOUT)
assert EventRow._fields[:-1] == EVENT.names, "an event row has the fields of an EVENT record"
assert (*EventRow._fields[:-2], EventRow._fields[-1]) == _EARLIER_EVENT.names, "and those of an earlier one"
_new = tuple.__new__  # creates a named tuple in half the time of calling its class


def event_rows(records: Records) -> list[EventRow]:
    """EVENT records as rows: several times faster to read field by field than NumPy records."""
    if records.dtype == _EARLIER_EVENT:
        return [_new(EventRow, (*fields, 0, unlocked)) for *fields, unlocked in records.tolist()]
    return [_new(EventRow, (*fields, 0)) for fields in records.tolist()]
