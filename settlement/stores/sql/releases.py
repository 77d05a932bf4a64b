"""Deletes the rows of released blocks in batches, each in a transaction of its own."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

from settlement.stores.base import OPEN_STATUSES, StoredBlock
from settlement.stores.sql import statements as sql
from settlement.stores.sql.session import Session

_BATCH_ROWS = 5000
_BATCH_BLOCKS = 64
"""Each has up to 1 MiB."""


class _Released(NamedTuple):
    table: str
    key: str
    last: int  # the largest key of a released row
    condition: str = ""  # of rows that do not stay, besides the key
    batch: int = _BATCH_ROWS


def delete(session: Session, anchor: StoredBlock, turn: Callable[[], AbstractContextManager[None]]) -> Iterator[int]:
    """Yields the number of rows after each batch. `anchor` is the last released block, which stays.

    The blocks go last: whoever reads a block of the store finds its rows there too.
    """
    for released in _released(anchor):
        after = 0
        while (last := _end_of_batch(session, released, after)) is not None:
            with turn(), session.transaction():
                deleted = session.run(
                    f"DELETE FROM {released.table} WHERE {released.key} > %s AND {released.key} <= %s"
                    f"{released.condition}",
                    [after, last],
                )
            yield deleted
            after = last


def _released(anchor: StoredBlock) -> list[_Released]:
    event, before = anchor.last_event_sequence, anchor.number - 1
    is_closed = f" AND updated_sequence <= {event} AND status NOT IN ({', '.join(map(repr, OPEN_STATUSES))})"
    return [
        _Released("settled_trades", "trade_id", event),
        _Released("ledger_events", "entry", ((event + 1) << sql.LEG_BITS) - 1),
        _Released("orders", "order_id", anchor.last_command_sequence, is_closed),
        _Released("engine_block_parts", "number", before, batch=_BATCH_BLOCKS),
        _Released("engine_blocks", "number", before, batch=_BATCH_BLOCKS),
    ]


def _end_of_batch(session: Session, released: _Released, after: int) -> int | None:
    """The key of the last row of the batch after key `after`; None if there is no row."""
    page = (
        f"SELECT {released.key} AS row_key FROM {released.table} WHERE {released.key} > %s AND {released.key} <= %s"
        f"{released.condition} ORDER BY {released.key} LIMIT %s"
    )
    ((last,),) = session.rows(f"SELECT max(row_key) FROM ({page}) AS page", [after, released.last, released.batch])
    return last  # type: ignore[no-any-return]
