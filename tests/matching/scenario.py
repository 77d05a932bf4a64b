"""Scenario scripts: each line has an action, at least two spaces, and the expected result.

    place o1 bid 100 x5          rests
    place o2 ask 99 x7 ioc       fills o1:5, cancelled ioc x2
    market m1 bid x3             refused no_liquidity
    market m2 bid for 500        fills o4:5
    replace o5 101 x3            loses its place, fills o6:3
    cancel o5                    cancelled user x3
    book                         bid 100 x3, ask 101 x2

Every order has its own account, unless `by NAME` gives one. Options after an order: ioc, fok, post-only, and a
self-trade mode: none, expire_taker, expire_maker, expire_both. Prices are in ticks, quantities in lots. Each line is
applied to the kernel and to the reference engine; trades are at the maker's price.
"""

import re

from tests.matching.both import Both, Event

PLENTY = str(10**12)
USUAL = {"tick_size": "1", "lot_size": "1", "min_quantity": "1", "max_quantity": "1000000", "min_notional": "0"}
SIDES = {"bid": "buy", "ask": "sell"}


def check(tape: str) -> None:
    """Runs a script. Raises AssertionError at the first line with another result."""
    market = _Market()
    for line in filter(None, map(str.strip, tape.splitlines())):
        said, _, expected = re.sub(r" {2,}", "\t", line).partition("\t")
        words = said.split()
        found = market.book() if words[0] == "book" else market.do(*words)
        assert found == expected, f"{said}: {found}"
        market.both.check()


class _Market:
    def __init__(self) -> None:
        self.both = Both()
        self.accounts: dict[str, int] = {}
        self.order_ids: dict[str, int] = {}
        self.owners: dict[int, int] = {}
        for asset in ("A", "B"):
            self.both.do("asset", symbol=asset, decimals=0)
        fees = {"maker_fee": 1000, "taker_fee": 2000}
        self.both.do("instrument", symbol="A-B", base="A", quote="B", **USUAL, **fees)

    def do(self, what: str, name: str, *words: str) -> str:
        if what == "place":
            return self.place(name, *words)
        if what == "market":
            return self.market(name, *words)
        order_id = self.order_ids[name]
        order = {"account": self.owners[order_id], "symbol": "A-B", "order_id": order_id}
        if what == "cancel":
            return self.read(self.both.do("cancel", **order), order_id)
        assert what == "replace", what
        price, lots = words
        return self.read(self.both.do("replace", **order, price=price, quantity=lots.removeprefix("x")), order_id)

    def place(self, name: str, side: str, price: str, lots: str, *more: str) -> str:
        terms = {"order_type": "limit", "side": SIDES[side], "price": price, "quantity": lots.removeprefix("x")}
        return self.order(name, terms, list(more))

    def market(self, name: str, side: str, *more: str) -> str:
        terms: Event = {"order_type": "market", "side": SIDES[side]}
        if more[0] == "for":
            terms["quote_quantity"], more = more[1], more[2:]
        else:
            terms["quantity"], more = more[0].removeprefix("x"), more[1:]
        return self.order(name, terms, list(more))

    def order(self, name: str, terms: Event, more: list[str]) -> str:
        owner = name
        if "by" in more:
            at = more.index("by")
            owner = more[at + 1]
            del more[at : at + 2]
        for word in more:
            if word == "post-only":
                terms["post_only"] = True
            elif word in ("ioc", "fok"):
                terms["time_in_force"] = word
            else:
                terms["self_trade_prevention"] = word
        account = self.account(owner)
        order_id = self.both.reference.command_count + 1
        self.order_ids[name], self.owners[order_id] = order_id, account
        return self.read(self.both.do("order", account=account, symbol="A-B", **terms), order_id)

    def account(self, owner: str) -> int:
        if owner not in self.accounts:
            account = self.accounts[owner] = len(self.accounts) + 1
            for asset in ("A", "B"):
                self.both.do("deposit", account=account, asset=asset, amount=PLENTY, reference=asset)
        return self.accounts[owner]

    def read(self, events: list[Event], order_id: int) -> str:
        """The effects of a command on that order, in the order of events."""
        said: list[str] = []
        for event in events:
            kind = event["event"]
            if kind == "rejected":
                said.append(f"refused {event['reason']}")
            elif kind == "order_replaced":
                said.append(f"{'keeps' if event['kept_priority'] else 'loses'} its place")
            elif kind == "trade":
                fill = f"{self.name(event['maker_order_id'])}:{event['quantity']}"
                if said and said[-1].startswith("fills"):
                    said[-1] += f" {fill}"
                else:
                    said.append(f"fills {fill}")
            elif kind == "order_cancelled":
                left = f"x{event['remaining']}" if event["remaining_quote"] is None else event["remaining_quote"]
                whose = "" if event["order_id"] == order_id else f"{self.name(event['order_id'])} "
                said.append(f"{whose}cancelled {event['reason']} {left}")
        order = self.both.reference.open.get(order_id)
        if order is not None and events[0]["event"] in ("order_accepted", "order_replaced"):
            said.append("rests" if len(said) == 0 else f"rests x{order.open_lots}")
        return ", ".join(said) or "done"

    def name(self, order_id: int) -> str:
        return next(name for name, known in self.order_ids.items() if known == order_id)

    def book(self) -> str:
        """The lots at each price, best price first on both sides."""
        engine = self.both.kernel.engine
        depth = engine.depth(engine.registry.instruments[0], 100)
        levels = [f"{side} {price} x{lots}" for side in SIDES for price, lots in depth[f"{side}s"]]
        return ", ".join(levels) or "empty"
