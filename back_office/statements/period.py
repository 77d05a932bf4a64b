"""The days of a statement, and the events that are in them."""

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from back_office import filters
from back_office.filters import BadFilter, Query
from settlement.stores import block_headers
from settlement.stores.base import Store

_EPOCH = date(1970, 1, 1)
_DAY_NS = 86_400 * 10**9


class Events(NamedTuple):
    """The events `first` ≤ event < `end`."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Days:
    """UTC days, both included; None: from the first one, to the last one."""

    first: date | None
    last: date | None

    @classmethod
    def read(cls, query: Query) -> "Days | None":
        """None without days. Raises BadFilter."""
        first, last = filters.day(query, "from", "From"), filters.day(query, "to", "To")
        if first and last and first > last:
            raise BadFilter(f"The period begins on {first}, after its end {last}.")
        return cls(first, last) if first or last else None

    @property
    def begin_text(self) -> str:
        """The first moment, in ISO 8601 form; "" for a period without a beginning."""
        return f"{self.first}T00:00:00.000Z" if self.first else ""

    @property
    def end_text(self) -> str:
        """The last moment; "" for a period without an end."""
        return f"{self.last}T23:59:59.999Z" if self.last else ""

    def events(self, store: Store) -> Events:
        """The projected events of these days.

        It ends at the last projected block, so that rows that are read later do not have entries after the closing
        balance.
        """
        end = block_headers.first_unprojected_event(store)
        if self.last is not None:
            end = min(end, block_headers.first_event_since(store, _midnight_ns(self.last) + _DAY_NS))
        first = 0 if self.first is None else block_headers.first_event_since(store, _midnight_ns(self.first))
        return Events(min(first, end), end)


def _midnight_ns(day: date) -> int:
    return (day - _EPOCH).days * _DAY_NS
