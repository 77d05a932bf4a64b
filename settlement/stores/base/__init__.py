"""The store contract: the writes of settlement and the reads of lookups, the same for all databases.

Units are the engine's (matching/core/layout.py): ticks, lots, smallest units, nanoseconds; `definitions` returns the
data that converts them to decimals. Every write sets absolute values and is idempotent: repeating a call, also one that
was done in part, gives the same rows. Pages are keyset pages: a `before` or `after` key and a limit, without counts or
offsets. The error hierarchy is in `errors.py`.
"""

from typing import Protocol

from settlement.stores.base.blocks import IDENTITY_BYTES, NOTHING_YET, BlockStore, Checkpoint, StoredBlock
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
from settlement.stores.base.key_registers import KeyRegisterStore, StoredRegister
from settlement.stores.base.lookups import LookupStore
from settlement.stores.base.projections import (
    MAX_VOLUME,
    OPEN_STATUSES,
    WHOLE,
    AccountSetting,
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
    Transfer,
)
from settlement.stores.base.releases import OlderRows, ReleaseStore
from settlement.stores.base.signed_checkpoints import SignedCheckpointStore, StoredCheckpoint

__all__ = [
    "IDENTITY_BYTES",
    "MAX_VOLUME",
    "NOTHING_YET",
    "OPEN_STATUSES",
    "WHOLE",
    "AccountSetting",
    "Balance",
    "Before",
    "BlockStore",
    "Candle",
    "Checkpoint",
    "DeadLetter",
    "DeadLetterStore",
    "Definition",
    "Fenced",
    "KeyRegisterStore",
    "LedgerEvent",
    "LookupStore",
    "OlderRows",
    "Order",
    "Outrun",
    "Projection",
    "ProjectionStore",
    "ReleaseStore",
    "SignedCheckpointStore",
    "SingleInserts",
    "Slice",
    "Store",
    "StoreError",
    "StoreMisconfigured",
    "StoreRejected",
    "StoreUnavailable",
    "StoreUninitialized",
    "StoredBlock",
    "StoredCheckpoint",
    "StoredRegister",
    "Tables",
    "Trade",
    "TradingDay",
    "Transfer",
]


class Store(
    BlockStore,
    ProjectionStore,
    LookupStore,
    ReleaseStore,
    DeadLetterStore,
    KeyRegisterStore,
    SignedCheckpointStore,
    Protocol,
):
    """Every method raises StoreUnavailable and StoreRejected; further errors are in its docstring."""

    def connect(self) -> None:
        """Opens the connections; safe to repeat. Must not be called before a fork."""

    def close(self) -> None: ...

    def init(self) -> None:
        """Creates the keyspace or tables that are missing; safe to repeat."""

    def carry_over(self) -> None:
        """Fills tables that an earlier version did not have, after `init`, by the one process that writes.

        Safe to repeat; costs a few reads if there is nothing to do.
        """

    def ping(self) -> None:
        """Sends a statement to the database, to check that it answers."""
