"""The engine's state in the gateway: the engine itself, which executes every block again.

So balances, books, fees and statuses are those of the engine by construction: the events that come out are compared
with the block byte for byte.
"""

import numpy as np
import numpy.typing as npt

from gateway.model.order_log import UNKNOWN_QUOTE, Entry
from gateway.model.records import Balance, Fees, Level, OrderStatus
from matching.core import kernel, layout
from matching.core.blocks import Block
from matching.core.codes import NO_FEE, AccountStatus, CommandFlag, OrderType, Side, TimeInForce
from matching.core.engine import Engine
from matching.core.registry import Registry
from matching.node.follower import re_executed

Levels = npt.NDArray[np.int64]
"""int64[n, 2] of (price in ticks, visible lots), best first."""

_FIRST_ROWS = 1024
_LEVEL_BITS = 6


class Replica:
    """Reads of one engine's state. It is replaced as a whole when the gateway begins with another snapshot."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._rows = np.empty((_FIRST_ROWS, 2), np.int64)

    @property
    def registry(self) -> Registry:
        return self.engine.registry

    def apply(self, block: Block) -> None:
        """Executes the next block. Raises BadBlock or HashMismatch for one that does not follow, Diverged."""
        block.verify(self.engine.block_number + 1, self.engine.state_hash)
        re_executed(self.engine, block)

    # Books

    def levels(self, instrument: int, side: Side) -> Levels:
        """A copy of all levels of one side."""
        while True:
            count = kernel.list_levels(self.engine.pools, instrument, int(side), self._rows)
            if count < len(self._rows):
                return self._rows[:count].copy()
            self._rows = np.empty((2 * len(self._rows), 2), np.int64)

    def best(self, instrument: int) -> tuple[Level, Level]:
        """The best bid and the best ask; (0, 0) for an empty side."""
        pools = self.engine.pools
        row = pools.instruments[instrument]
        bid, ask = int(row["best_bid_level"]), int(row["best_ask_level"])
        levels = pools.levels
        return (
            Level(int(row["best_bid"]), int(levels[bid]["quantity"])) if bid else Level(0, 0),
            Level(int(row["best_ask"]), int(levels[ask]["quantity"])) if ask else Level(0, 0),
        )

    def last_price(self, instrument: int) -> int:
        return int(self.engine.pools.instruments[instrument]["last_price"])

    def trade_count(self, instrument: int) -> int:
        return int(self.engine.pools.instruments[instrument]["trade_count"])

    # Accounts

    def balances(self, account: int) -> list[Balance]:
        found = (self.balance(account, asset.id) for asset in self.registry.assets)
        return [balance for balance in found if balance is not None]

    def balance(self, account: int, asset: int) -> Balance | None:
        """None if the account never had the asset."""
        pools = self.engine.pools
        index = kernel.find_balance(pools, account, asset)
        if not index:
            return None
        row = pools.balances[index]
        return Balance(self.registry.assets[asset], int(row["available"]), int(row["locked"]))

    def fees(self, account: int, instrument: int) -> Fees:
        pools = self.engine.pools
        row = pools.instruments[instrument]
        if trader := kernel.find_trader(pools, account, instrument):
            row = pools.terms[trader] if pools.traders[trader]["has_terms"] else row
        elif owner := kernel.find_account(pools, account):
            row = pools.accounts[owner] if pools.accounts[owner]["maker_fee"] != NO_FEE else row
        return Fees(int(row["maker_fee"]), int(row["taker_fee"]))

    def status(self, account: int) -> AccountStatus:
        owner = kernel.find_account(self.engine.pools, account)
        return AccountStatus(int(self.engine.pools.accounts[owner]["status"])) if owner else AccountStatus.ACTIVE

    def open_order_ids(self, account: int) -> list[int]:
        """By order id."""
        pools = self.engine.pools
        owner = kernel.find_account(pools, account)
        slot = int(pools.accounts[owner]["first_order"]) if owner else 0
        found = []
        while slot:
            order = pools.orders[slot]
            found.append(int(order["order_id"]))
            slot = int(order["account_next"])
        return found

    # Orders that the log does not have

    def adopt(self, order_id: int) -> Entry | None:
        """What the state has of an open order: neither its name nor its times, nor what it has paid."""
        pools = self.engine.pools
        slot = kernel.find_order(pools, order_id)
        if not slot:
            return None
        order = pools.orders[slot]
        trader = pools.traders[int(order["trader"])]
        extra = pools.extras[int(order["extra"])] if order["extra"] else np.zeros((), layout.EXTRA)
        waits = int(extra["state"]) != layout.RESTING
        is_trigger = int(extra["trigger_price"]) != 0
        price = int(extra["price"]) if waits else self._price(int(order["level"]))
        filled = int(order["filled"])
        return Entry(
            order_id=order_id,
            account=int(trader["account"]),
            instrument_id=int(trader["instrument"]),
            client_order_id="",
            list_client_order_id="",
            side=int(order["side"]),
            order_type=int(extra["order_type"]) if is_trigger else int(OrderType.LIMIT),
            time_in_force=int(extra["time_in_force"]) if is_trigger else int(TimeInForce.GTC),
            post_only=bool(int(order["flags"]) & CommandFlag.POST_ONLY),
            prevention=int(order["self_trade_prevention"]),
            price=price or None,
            trigger_price=int(extra["trigger_price"]) or None,
            quantity=filled + int(order["remaining"]) + int(extra["hidden"]),
            quote_quantity=None,
            visible_quantity=int(extra["visible_quantity"]) or None,
            order_list_id=self._list_of(order_id, int(extra["partner"])),
            filled=filled,
            filled_quote=UNKNOWN_QUOTE if filled else 0,
            status=OrderStatus.WAITING if waits else OrderStatus.OPEN,
            placed_at_ns=0,
            working_at_ns=None if waits else 0,
            updated_at_ns=0,
            updated_sequence=0,
            is_partial=True,
        )

    def _price(self, level: int) -> int:
        leaf = self.engine.pools.leaves[level >> _LEVEL_BITS]
        return int(leaf["base"]) + (level & ((1 << _LEVEL_BITS) - 1))

    def _list_of(self, order_id: int, partner: int) -> int | None:
        """The list of an order whose other leg is open, in the slot `partner`; 0: there is none."""
        return min(order_id, int(self.engine.pools.orders[partner]["order_id"])) if partner else None
