"""The digest of an engine's whole state, which is the same however the engine came to it.

The pools themselves differ between an engine that was restored from a snapshot and one that was not, for example in the
sizes of their hash tables. So the digest is of their contents, sorted.
"""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from matching.core.kernel.structures import pools as p

if TYPE_CHECKING:
    from matching.core.engine import Engine


_ORDER_FIELDS = ("order_id", "text_hash", "self_trade_prevention", "post_only")
"""What `Engine.open_orders` does not tell of an order, after the field to sort by."""
_BALANCE_FIELDS = ("account", "asset", "available", "locked")
_REFERENCE_FIELDS = ("account", "kind", "text_hash")


def digest_of(engine: "Engine") -> int:
    """xxh3_64 of registry, counters, clients, open orders in the order of the book, balances and references."""
    hasher = xxhash.xxh3_64(json.dumps(_described(engine)).encode())
    state, pools = engine.pools.state, engine.pools
    orders = pools.orders[1 : state[p.ORDER_TOP]]
    for rows, fields in (
        (orders[orders["order_id"] != 0], _ORDER_FIELDS),
        (pools.balances[1 : state[p.BALANCE_TOP]], _BALANCE_FIELDS),
        (pools.references[1 : state[p.REFERENCE_TOP]], _REFERENCE_FIELDS),
    ):
        for column in _sorted_columns(rows, fields):
            hasher.update(column.tobytes())
    return int(hasher.intdigest())


def _sorted_columns(rows: Any, fields: Sequence[str]) -> Iterator[Any]:
    """The fields one by one, by the first field, then the second, and so on."""
    order = np.lexsort([rows[name] for name in reversed(fields)])
    return (rows[name][order] for name in fields)


def _described(engine: "Engine") -> list[Any]:
    clients = engine.clients
    return [
        engine.block_number,
        engine.state_hash,
        engine.timestamp_ns,
        engine.next_command_sequence,
        engine.next_event_sequence,
        engine.registry.dump(),
        list(clients.known.items()),
        sorted(clients.floors.items()),
        clients.floor,
        sorted(clients.log_positions.items()),
        engine.open_orders(),
    ]
