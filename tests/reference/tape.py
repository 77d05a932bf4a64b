"""A small market for tests whose orders have names and whose events are printed in short form."""

from typing import Any

from tests.reference.engine import DEFAULT_LIMITS, ReferenceExchange
from tests.reference.forms import Event
from tests.reference.invariants import Watch
from tests.reference.limits import Limits

ACCOUNTS = (1, 2, 3, 4)
PLENTY = 10**12


class Tape:
    """Assets BASE and QUOTE without decimals, instrument BASE-QUOTE with tick 1 and lot 1, funded accounts."""

    def __init__(self, plenty: int = PLENTY, limits: Limits = DEFAULT_LIMITS, **definition: object) -> None:
        self.exchange = ReferenceExchange(limits)
        self.watch = Watch(self.exchange.state)
        self.names: dict[int, str] = {}
        self.references = 0
        for asset in ("BASE", "QUOTE"):
            self.do("asset", symbol=asset, decimals=0)
        self.add_instrument("BASE-QUOTE", **definition)
        for account in ACCOUNTS:
            for asset in ("BASE", "QUOTE"):
                self.deposit(account, asset, plenty)

    def add_instrument(self, symbol: str, **definition: object) -> list[Event]:
        usual: Event = {"base": "BASE", "quote": "QUOTE", "tick_size": "1", "lot_size": "1", "min_quantity": "1"}
        usual |= {"max_quantity": str(2**62), "min_notional": "0", "maker_fee": 0, "taker_fee": 0}
        return self.do("instrument", symbol=symbol, **{**usual, **definition})

    def do(self, command: str, **fields: object) -> list[Event]:
        events = self.exchange.submit({"command": command, **fields})
        self.watch.check(events)
        return events

    def deposit(self, account: int, asset: str, amount: int) -> list[Event]:
        self.references += 1
        if amount == 0:
            return []
        reference = f"tx-{self.references}"
        return self.do("deposit", account=account, asset=asset, amount=str(amount), reference=reference)

    def place(self, name: str, account: int, side: str, price: int, quantity: int, **more: object) -> list[str]:
        """A limit order; `name` is not its client_order_id."""
        self.names[self.exchange.command_count + 1] = name
        fields: Event = {"account": account, "symbol": "BASE-QUOTE", "side": side, "order_type": "limit"}
        return self.read(self.do("order", **{**fields, "price": str(price), "quantity": str(quantity), **more}))

    def market(self, name: str, account: int, side: str, **more: object) -> list[str]:
        self.names[self.exchange.command_count + 1] = name
        fields: Event = {"account": account, "symbol": "BASE-QUOTE", "side": side, "order_type": "market"}
        return self.read(self.do("order", **{**fields, **more}))

    def trigger(self, name: str, account: int, side: str, order_type: str, trigger: int, **more: object) -> list[str]:
        """An order that waits for its trigger, of 1 lot unless told otherwise."""
        self.names[self.exchange.command_count + 1] = name
        fields: Event = {"account": account, "symbol": "BASE-QUOTE", "side": side, "order_type": order_type}
        return self.read(self.do("order", **{**fields, "trigger_price": str(trigger), "quantity": "1", **more}))

    def oco(self, name: str, account: int, side: str, prices: tuple[int, int], **more: object) -> list[str]:
        """`prices`: of the limit leg, called `name`, and the trigger of the stop leg, called `name` and `-stop`."""
        first = self.exchange.command_count + 1
        self.names |= {first: name, first + 1: f"{name}-stop"}
        fields: Event = {"account": account, "symbol": "BASE-QUOTE", "side": side, "quantity": "1"}
        price, trigger = map(str, prices)
        return self.read(self.do("oco", **{**fields, "price": price, "trigger_price": trigger, **more}))

    def trade_at(self, price: int) -> list[str]:
        """A trade of one lot between accounts 3 and 4, which is then the last; what else it causes is told."""
        self.place("maker", 3, "sell", price, 1)
        return self.place("taker", 4, "buy", price, 1)[2:]

    def update(self, **changes: object) -> None:
        events = self.do("instrument_update", symbol="BASE-QUOTE", **changes)
        assert [event["event"] for event in events] == ["instrument_updated"]

    def account_status(self, account: int, status: str) -> None:
        self.do("account_status", account=account, status=status)

    def cancel(self, name: str, account: int, symbol: str = "BASE-QUOTE") -> list[str]:
        return self.read(self.do("cancel", account=account, symbol=symbol, order_id=self.id_of(name)))

    def replace(
        self, name: str, account: int, price: int, quantity: int, symbol: str = "BASE-QUOTE", **more: object
    ) -> list[str]:
        terms = {"price": str(price), "quantity": str(quantity), **more}
        return self.read(self.do("replace", account=account, symbol=symbol, order_id=self.id_of(name), **terms))

    def status(self, status: str, symbol: str = "BASE-QUOTE") -> None:
        self.do("instrument_status", symbol=symbol, status=status)

    def id_of(self, name: str) -> int:
        """The latest order of that name."""
        return max(order_id for order_id, known in self.names.items() if known == name)

    def read(self, events: list[Event]) -> list[str]:
        return [self._read_one(event) for event in events]

    def _read_one(self, event: Event) -> str:
        kind = event["event"]
        if kind == "rejected":
            return f"refused {event['reason']}"
        if kind == "trade":
            taker, maker = self.names[event["taker_order_id"]], self.names[event["maker_order_id"]]
            return f"{taker} trades {event['quantity']} at {event['price']} with {maker}"
        if kind == "orders_cancelled":
            return f"{event['count']} cancelled"
        if "order_id" not in event:
            return str(kind)
        name = self.names[event["order_id"]]
        if kind == "order_triggered":
            return f"{name} triggered"
        if kind == "order_accepted":
            return f"{name} accepted"
        if kind == "order_replaced":
            return f"{name} {'keeps' if event['kept_priority'] else 'loses'} its place"
        left = event["remaining"] if event["remaining_quote"] is None else f"quote {event['remaining_quote']}"
        return f"{name} cancelled {event['reason']} {left}"

    def book(self) -> list[str]:
        """`o1 buy 5 at 100`, in the order of the summary."""
        rows = self.exchange.open_orders()
        return [f"{self.names[row['order_id']]} {row['side']} {row['remaining']} at {row['price']}" for row in rows]

    def waiting(self) -> list[str]:
        """`s1 sell 5 at 90`: the trigger price, in order of order_id."""
        return [
            f"{self.names[row['order_id']]} {row['side']} {row['quantity']} at {row['trigger_price']}"
            for row in self.exchange.pending_orders()
        ]

    def balance(self, account: int, asset: str) -> tuple[str, str]:
        """(available, locked)"""
        for row in self.exchange.balances():
            if (row["account"], row["asset"]) == (account, asset):
                return row["available"], row["locked"]
        return "0", "0"

    def ledger_of(self, events: list[Event]) -> list[tuple[Any, ...]]:
        """(leg, account, asset, kind, delta_available, delta_locked) of the entries that these events caused."""
        sequences = {event["sequence"] for event in events}
        return [
            tuple(entry[name] for name in ("leg", "account", "asset", "kind", "delta_available", "delta_locked"))
            for entry in self.exchange.ledger
            if entry["event_sequence"] in sequences
        ]
