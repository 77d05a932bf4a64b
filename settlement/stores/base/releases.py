"""Rows that leave the store after they were archived, and the reads of those that have left it.

Released are blocks, trades, ledger events and closed orders up to the `released` checkpoint, which is the last block
of a day. That block itself stays, so that the chain can be continued without the archive. Everything else stays too:
balances, open orders, account settings, candles, transfers, days, definitions, epochs, checkpoints and registers.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from settlement.stores.base.blocks import Checkpoint, StoredBlock
from settlement.stores.base.projections import LedgerEvent, Order, Trade


class ReleaseStore(Protocol):
    def released(self) -> Checkpoint:
        """The block up to which rows may be missing, because the archive has them."""

    def mark_released(self, checkpoint: Checkpoint) -> None:
        """Moves the `released` checkpoint forward; never back. Blocks up to it cannot be replaced from then on.

        Raises settlement.errors.StoreReplaced if the store does not have this block or has not projected it.
        """

    def delete_released(self) -> Iterator[int]:
        """Deletes the released rows, oldest first; yields the number of rows after each batch, which is durable.

        Safe to stop anywhere and to repeat.
        """


class OlderRows(Protocol):
    """Reads of released rows, as the methods of the store with these names. Raises StoreUnavailable.

    Ranges include both ends. `symbol` None: of all instruments.
    """

    def blocks(self, first: int, last: int) -> Iterator[StoredBlock]: ...

    def block_of_event(self, event_sequence: int) -> StoredBlock | None: ...

    def newest_blocks(self, limit: int, last: int) -> list[StoredBlock]: ...

    def trades(self, first: int, last: int, limit: int, symbol: str | None) -> list[Trade]:
        """Oldest first."""

    def newest_trades(self, first: int, last: int, limit: int, symbol: str | None) -> list[Trade]: ...

    def trades_of(
        self, account: int, symbol: str | None, *, first: int, last: int, limit: int, is_newest_first: bool
    ) -> list[Trade]: ...

    def get_orders(self, order_ids: Sequence[int]) -> list[Order]: ...

    def orders(self, first: int, last: int, limit: int) -> list[Order]:
        """Oldest first."""

    def newest_orders(self, last: int, limit: int, symbol: str | None) -> list[Order]: ...

    def orders_of(
        self, account: int, symbol: str | None, *, first: int, last: int, limit: int, is_newest_first: bool
    ) -> list[Order]: ...

    def orders_by_client_order_id(self, account: int, client_order_id: str, limit: int) -> list[Order]:
        """Newest first."""

    def ledger_events(self, first: int, last: int) -> list[LedgerEvent]:
        """By (event_sequence, leg)."""

    def ledger_events_of(
        self, account: int, asset: str | None, limit: int, before: tuple[int, int]
    ) -> list[LedgerEvent]:
        """Newest first."""
