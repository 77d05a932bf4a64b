"""What the ledger's pages need of a store; every store of settlement's contract has it."""

from collections.abc import Iterator, Sequence
from typing import Protocol


class Balance(Protocol):
    """Amounts in the asset's smallest unit."""

    @property
    def account(self) -> int: ...

    @property
    def asset(self) -> str: ...

    @property
    def available(self) -> int: ...

    @property
    def locked(self) -> int: ...

    @property
    def sequence(self) -> int: ...


class Entry(Protocol):
    """One change of one balance, in the asset's smallest unit."""

    @property
    def event_sequence(self) -> int: ...

    @property
    def leg(self) -> int: ...

    @property
    def block_number(self) -> int: ...

    @property
    def timestamp_ns(self) -> int: ...

    @property
    def account(self) -> int: ...

    @property
    def asset(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def delta_available(self) -> int: ...

    @property
    def delta_locked(self) -> int: ...

    @property
    def available_after(self) -> int: ...

    @property
    def locked_after(self) -> int: ...


class LedgerReader(Protocol):
    def balances(self, after: tuple[int, str] | None = None, limit: int | None = None) -> Iterator[Balance]: ...

    def balances_of(self, account: int) -> Sequence[Balance]: ...

    def get_ledger_events_by_account(
        self, account: int, limit: int, *, asset: str | None = None, before: tuple[int, int] | None = None
    ) -> Sequence[Entry]: ...
