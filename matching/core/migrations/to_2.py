"""From layout 1 to layout 2: a REQUEST carries the owner of its client and the digest of its batch.

In layout 1 a client was only a number and the number of its last command. Which key it belonged to and what its batches
contained is not known, so all clients are forgotten: ids from before are refused from then on. How far input logs were
read is kept.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from matching.core import layout
from matching.core.clients import FIRST_LOG_CLIENT

if TYPE_CHECKING:
    from matching.core.engine import Engine

REQUEST = np.dtype(
    [
        ("client", "<u8"),
        ("first_number", "<u8"),
        ("command_count", "<u4"),
        ("padding", "<u4"),
    ]
)
assert REQUEST.itemsize == 24

_COMMON = ("client", "first_number", "command_count")


def read_requests(records: Any) -> Any:
    """Layout 1 to layout 2, without owner and digest."""
    read = np.zeros(len(records), layout.REQUEST)
    for name in _COMMON:
        read[name] = records[name]
    return read


def write_requests(records: Any) -> Any:
    """Layout 2 to layout 1."""
    written = np.zeros(len(records), REQUEST)
    for name in _COMMON:
        written[name] = records[name]
    return written


def read_clients(engine: "Engine", header: Any) -> None:
    """`header` is that of a snapshot of layout 1: its clients are pairs of client number and last number."""
    engine.clients.log_positions = {client: last for client, last in header["clients"] if client >= FIRST_LOG_CLIENT}


def carry(engine: "Engine") -> None:
    engine.clients.forget_all(engine.timestamp_ns)
