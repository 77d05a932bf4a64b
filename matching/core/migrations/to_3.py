"""From layout 2 to layout 3: trigger orders, icebergs, order lists, price bands, status and fees of accounts.

The rules of the layouts before are gone from the engine. Their blocks are read, and what their events say is applied to
the state (`matching.core.kernel.effects`), but no command is executed. Nothing that an order holds changes.

A snapshot of those layouts lacks the last prices and the numbers of trades, so no chain is continued from one.
`migrate_layout` compares them with the state that the events give.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from matching.core import layout

if TYPE_CHECKING:
    from matching.core.engine import Engine

# COMMAND, ORDER and CLIENT have the same bytes in both layouts: what was `post_only` is a bit of `flags`, and what was
# padding is 0.
EVENT = np.dtype(
    [("taker_unlock" if name == "trade_number" else name, layout.EVENT[name]) for name in layout.EVENT.names or ()]
)

ACCOUNT = np.dtype([("account", "<i8"), ("first_order", "<u4"), ("last_order", "<u4")])
assert ACCOUNT.itemsize == 16

TRADER = np.dtype(
    [
        ("account", "<i8"),
        ("owner", "<u4"),
        ("instrument", "<u4"),
        ("base_balance", "<u4"),
        ("quote_balance", "<u4"),
        ("padding", "<u8"),
    ]
)
assert TRADER.itemsize == 32

INSTRUMENT = np.dtype(
    [
        ("best_bid", "<i8"),
        ("best_ask", "<i8"),
        ("best_bid_level", "<u4"),
        ("best_ask_level", "<u4"),
        ("root", "<u4"),
        ("height", "<u4"),
        ("quote_unit", "<i8"),
        ("lot_units", "<i8"),
        ("notional_limit", "<i8"),
        ("quantity_limit", "<i8"),
        ("min_quantity", "<i8"),
        ("max_quantity", "<i8"),
        ("min_notional", "<i8"),
        ("maker_fee", "<i8"),
        ("taker_fee", "<i8"),
        ("base", "<u4"),
        ("quote", "<u4"),
        ("house_base", "<u4"),
        ("house_quote", "<u4"),
        ("status", "<u4"),
        ("padding", "<u4"),
    ]
)
assert INSTRUMENT.itemsize == 128

_FIRST_STATE_OF_3 = 18

POOL_TYPES = {
    "orders": layout.ORDER,
    "levels": layout.LEVEL,
    "leaves": layout.LEAF,
    "nodes": layout.NODE,
    "children": np.dtype(np.uint32),
    "directory": np.dtype(np.uint32),
    "pages": np.dtype(np.uint32),
    "page_orders": np.dtype(np.int64),
    "accounts": ACCOUNT,
    "traders": TRADER,
    "balances": layout.BALANCE,
    "references": layout.REFERENCE,
    "instruments": INSTRUMENT,
    "supplies": np.dtype(np.int64),
    "client_order_table": np.dtype(np.uint64),
    "account_table": np.dtype(np.uint64),
    "trader_table": np.dtype(np.uint64),
    "balance_table": np.dtype(np.uint64),
    "reference_table": np.dtype(np.uint64),
    "state": np.dtype(np.int64),
}
"""The arrays of the pools in a snapshot of layouts 1 and 2, in order."""


def read_pools(arrays: dict[str, Any]) -> dict[str, Any]:
    """The pools of a snapshot of layouts 1 and 2 in the form of layout 3."""
    read = {name: arrays[name] for name in POOL_TYPES}
    read["state"] = _state(arrays["state"])
    read["extras"] = np.zeros(1, layout.EXTRA)
    read["trigger_trees"] = np.zeros(2 * len(arrays["instruments"]), layout.TRIGGER_TREE)
    read["instruments"] = _widened(arrays["instruments"], layout.INSTRUMENT)
    read["instruments"]["rise_at"] = layout.NO_ASK
    read["accounts"] = _widened(arrays["accounts"], layout.ACCOUNT)
    read["traders"] = _widened(arrays["traders"], layout.TRADER)
    read["terms"] = np.zeros(len(arrays["traders"]), layout.TERMS)
    for name in ("accounts", "terms"):
        read[name]["maker_fee"] = read[name]["taker_fee"] = -1
    _link_traders(read["accounts"], read["traders"], read["terms"])
    open_orders = arrays["orders"][arrays["orders"]["order_id"] != 0]
    counts = np.bincount(open_orders["trader"], minlength=len(read["traders"]))
    read["traders"]["open_orders"] = counts
    return read


def _state(state: Any) -> Any:
    from matching.core.kernel.structures import pools as p  # loads Numba; clients import this module to read blocks

    wider = np.zeros(p.STATE_SIZE, np.int64)
    wider[:_FIRST_STATE_OF_3] = state[:_FIRST_STATE_OF_3]
    wider[p.EXTRA_TOP] = 1
    return wider


def _widened(rows: Any, record: Any) -> Any:
    wider = np.zeros(len(rows), record)
    for name in rows.dtype.names:
        if name != "padding":
            wider[name] = rows[name]
    return wider


def _link_traders(accounts: Any, traders: Any, terms: Any) -> None:
    """Links the traders of each account as if they had been created in the order of their indexes."""
    for index, owner in enumerate(traders["owner"].tolist()):
        if index:
            terms["next"][index] = accounts["first_trader"][owner]
            accounts["first_trader"][owner] = index


def carry(engine: "Engine") -> None:
    """Clients stay known, but not whether their last command was accepted. Trades before count as trades of layout 3."""
