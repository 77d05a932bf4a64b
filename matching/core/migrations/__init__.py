"""Earlier record layouts: their blocks stay readable, and an engine's state goes on in the next layout.

Each module `to_N` leads from layout N - 1 to layout N. A chain changes its layout in a migration block: the block that
follows the last one of the old layout, without commands and events. Its only request has the client number
MIGRATION_CLIENT, the new layout as its first number and the digest of the state as its digest. An engine that executes
the chain changes its layout there, and only there.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matching.core import layout
from matching.core.clients import MIGRATION_CLIENT
from matching.core.migrations import to_2, to_3

if TYPE_CHECKING:
    from matching.core.engine import Engine


class Migration(NamedTuple):
    """From one layout to the next."""

    request: Any
    """The dtype of REQUEST in the layout before."""
    read_requests: Callable[[Any], Any]
    """REQUEST records of the layout before, in the form of the new one."""
    write_requests: Callable[[Any], Any]
    """REQUEST records of the new layout, in the form of the one before."""
    read_clients: Callable[["Engine", Any], None] | None
    """Sets the engine's clients to those in the header of a snapshot of the layout before; None: they are in arrays."""
    carry: Callable[["Engine"], None]
    """Changes the state of an engine at the end of the old chain to that of the new layout."""


def _unchanged(records: Any) -> Any:
    return records


MIGRATIONS = {
    2: Migration(to_2.REQUEST, to_2.read_requests, to_2.write_requests, to_2.read_clients, to_2.carry),
    3: Migration(layout.REQUEST, _unchanged, _unchanged, None, to_3.carry),
}
"""By the layout that a migration leads to."""

FIRST_LAYOUT_WITH_TRIGGERS = 3
"""Blocks of the layouts before can be read, but not executed."""

OLDEST_LAYOUT = min(MIGRATIONS) - 1
"""The oldest layout that this program reads."""

assert sorted(MIGRATIONS) == list(range(OLDEST_LAYOUT + 1, layout.LAYOUT_VERSION + 1)), "one migration to each layout"


def is_readable(version: int) -> bool:
    """Whether this program reads blocks of that layout."""
    return OLDEST_LAYOUT <= version <= layout.LAYOUT_VERSION


def request_type(version: int) -> Any:
    """The dtype of REQUEST in that layout."""
    following = MIGRATIONS.get(version + 1)
    return following.request if following else layout.REQUEST


def event_type(version: int) -> Any:
    """The dtype of EVENT in that layout."""
    return layout.EVENT if version >= FIRST_LAYOUT_WITH_TRIGGERS else to_3.EVENT


def read_requests(records: Any, version: int) -> Any:
    """REQUEST records of that layout in today's form."""
    for number in range(version + 1, layout.LAYOUT_VERSION + 1):
        records = MIGRATIONS[number].read_requests(records)
    return records


def write_requests(records: Any, version: int) -> Any:
    """REQUEST records of today's form in that layout."""
    for number in range(layout.LAYOUT_VERSION, version, -1):
        records = MIGRATIONS[number].write_requests(records)
    return records


def migration_request(version: int, digest: int) -> Any:
    """The request of the block that begins a layout, in today's form. `digest` is that of the state."""
    return np.array([(MIGRATION_CLIENT, version, 0, digest, 0, 0)], layout.REQUEST)
