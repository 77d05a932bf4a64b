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


_ORDER_FIELDS = ("order_id", "text_hash", "self_trade_prevention", "flags")
"""What `Engine.open_orders` and `Engine.pending_orders` do not tell of an order, after the field to sort by."""
_EXTRA_FIELDS = ("hidden", "visible_quantity", "held", "time_in_force", "state")
_ACCOUNT_FIELDS = ("account", "maker_fee", "taker_fee", "status")
_PRICE_FIELDS = ("last_price", "trade_count")
_BALANCE_FIELDS = ("account", "asset", "available", "locked")
_FIRST_LAYOUT_WITH_CLIENTS = 2
"""Snapshots of layout 1 have the numbers of clients only."""
_REFERENCE_FIELDS = ("account", "kind", "text_hash")


def digest_of(engine: "Engine") -> int:
    """xxh3_64 of registry, counters, clients, open orders in the order of the book, accounts, balances, references."""
    hasher = xxhash.xxh3_64(json.dumps(_described(engine)).encode())
    state, pools = engine.pools.state, engine.pools
    orders = pools.orders[1 : state[p.ORDER_TOP]]
    orders = orders[orders["order_id"] != 0]
    extras = pools.extras[orders["extra"]][np.argsort(orders["order_id"])]
    instruments = pools.instruments[: len(engine.registry.instruments)]
    for rows, names in ((extras, _EXTRA_FIELDS), (instruments, _PRICE_FIELDS)):
        for name in names:
            hasher.update(rows[name].tobytes())
    for rows, fields in (
        (orders, _ORDER_FIELDS),
        (pools.accounts[1 : state[p.ACCOUNT_TOP]], _ACCOUNT_FIELDS),
        (pools.balances[1 : state[p.BALANCE_TOP]], _BALANCE_FIELDS),
        (pools.references[1 : state[p.REFERENCE_TOP]], _REFERENCE_FIELDS),
    ):
        for column in _sorted_columns(rows, fields):
            hasher.update(column.tobytes())
    return int(hasher.intdigest())


def is_same_in_earlier_layout(snapshot: "Engine", engine: "Engine") -> bool:
    """Whether a snapshot of an earlier layout holds the state of `engine`, apart from what that layout did not have.

    Changes the snapshot's engine.
    """
    count = len(engine.registry.instruments)
    if snapshot.clients.log_positions != engine.clients.log_positions or len(snapshot.registry.instruments) != count:
        return False
    if snapshot.layout_version < _FIRST_LAYOUT_WITH_CLIENTS:
        snapshot.clients = engine.clients
    for name in _PRICE_FIELDS:
        snapshot.pools.instruments[name][:count] = engine.pools.instruments[name][:count]
    return digest_of(snapshot) == digest_of(engine)


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
        engine.pending_orders(),
        _queue(engine),
        _partners(engine),
        _own_fees(engine),
    ]


def _queue(engine: "Engine") -> list[int]:
    """The ids of the triggered orders that have not acted yet, in their order."""
    orders = engine.pools.orders
    found = []
    slot = int(engine.pools.state[p.QUEUE_HEAD])
    while slot:
        found.append(int(orders["order_id"][slot]))
        slot = int(orders["next"][slot])
    return found


def _own_fees(engine: "Engine") -> list[tuple[int, ...]]:
    """(account, instrument, maker fee, taker fee) of the accounts that have rates in one instrument alone."""
    top = engine.pools.state[p.TRADER_TOP]
    traders, terms = engine.pools.traders[:top], engine.pools.terms[:top]
    is_own = terms["is_own"] != 0
    columns = traders["account"], traders["instrument"], terms["maker_fee"], terms["taker_fee"]
    return sorted(zip(*(column[is_own].tolist() for column in columns), strict=True))


def _partners(engine: "Engine") -> list[tuple[int, int]]:
    """The ids of the two open legs of each one-cancels-other."""
    pools = engine.pools
    orders = pools.orders[: pools.state[p.ORDER_TOP]]
    partners = pools.extras["partner"][orders["extra"]]
    is_leg = (orders["order_id"] != 0) & (partners != 0)
    pairs = zip(orders["order_id"][is_leg].tolist(), orders["order_id"][partners[is_leg]].tolist(), strict=True)
    return sorted(pair for pair in pairs if pair[0] < pair[1])
