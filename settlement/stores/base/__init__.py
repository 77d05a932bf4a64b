"""The store contract: what settlement writes and what lookups read, whatever the database.

Units are the engine's (matching/core/layout.py): ticks, lots, smallest units, nanoseconds; `definitions` gives what is
needed to turn them into decimals. Every write is absolute and idempotent: the same call again, or a call again with
part of its rows there already, ends in the same rows. Pages are keyset pages: a `before` or `after` key and a limit;
nothing counts and nothing skips.
Errors are drawn in `errors.py`.
"""

from typing import Protocol

from settlement.stores.base.blocks import NOTHING_YET, BlockStore, Checkpoint, StoredBlock
from settlement.stores.base.dead_letters import DeadLetter, DeadLetterStore
from settlement.stores.base.errors import (
    Fenced,
    Outrun,
    StoreError,
    StoreMisconfigured,
    StoreRejected,
    StoreUnavailable,
    StoreUninitialized,
)
from settlement.stores.base.lookups import LookupStore
from settlement.stores.base.projections import (
    MOST_VOLUME,
    WHOLE,
    Balance,
    Before,
    Candle,
    Definition,
    LedgerEvent,
    Order,
    Projection,
    ProjectionStore,
    SingleInserts,
    Slice,
    Tables,
    Trade,
    TradingDay,
)

__all__ = [
    "MOST_VOLUME",
    "NOTHING_YET",
    "WHOLE",
    "Balance",
    "Before",
    "BlockStore",
    "Candle",
    "Checkpoint",
    "DeadLetter",
    "DeadLetterStore",
    "Definition",
    "Fenced",
    "LedgerEvent",
    "LookupStore",
    "Order",
    "Outrun",
    "Projection",
    "ProjectionStore",
    "SingleInserts",
    "Slice",
    "Store",
    "StoreError",
    "StoreMisconfigured",
    "StoreRejected",
    "StoreUnavailable",
    "StoreUninitialized",
    "StoredBlock",
    "Tables",
    "Trade",
    "TradingDay",
]


class Store(BlockStore, ProjectionStore, LookupStore, DeadLetterStore, Protocol):
    """Raises StoreUnavailable or StoreRejected from every method; what else, the method says."""

    def connect(self) -> None:
        """Opens what is needed; safe again. Never called before a fork."""

    def close(self) -> None: ...

    def init(self) -> None:
        """Creates keyspace or tables; safe twice."""

    def ping(self) -> None:
        """Really asks the database."""
