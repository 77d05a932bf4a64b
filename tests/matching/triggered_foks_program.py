"""A program: random books in which one command triggers many orders, interpreted and by the reference engine.

It also checks all that `sums` and `own_orders` know, after every triggered order. `test_triggered_foks` starts it with
NUMBA_DISABLE_JIT=1, and with the name of a fault to plant.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

from matching.core.codes import AMOUNT_LIMIT
from matching.core.kernel import limits
from matching.core.kernel.execution import own_orders, sums, triggers
from matching.core.kernel.structures import book
from matching.core.layout import RESTING
from matching.workloads.btc_usd import BTC, USD, instrument
from tests.matching.both import Both

Command = dict[str, Any]

ACCOUNTS = range(1, 6)
MAKERS = range(3, 9)  # some are those of the orders that wait
MODES = ("none", "expire_taker", "expire_maker", "expire_both")
STEPS = (1, 3, 64, 70, 4096, 300_000)
"""Ticks between neighbouring prices: many in a leaf, one in each, one in each node."""

FAULTS = {
    "trades": (sums, "forget"),
    "rests": (sums, "forget_path"),
    "own lots": (sums, "change"),
    "own that rest": (own_orders, "enter"),
}
"""What is left out, by the name of the fault."""


def market(random: Random, number: int) -> Iterator[Command]:
    """Orders that rest on both sides of a price, those that wait for a trade there, and the order that makes it."""
    rises = number % 2 == 0
    step, depth = STEPS[number // 2 % len(STEPS)], random.randint(30, 90)
    if number % 3 == 0:  # long queues
        depth = random.randint(2, 5)
    middle = random.choice((depth * step + 3, 10**9))
    yield from trade(middle - 1 if rises else middle + 1)
    for _ in range(random.randint(40, 120)):
        yield resting(random, rises, middle, step, depth)
    for _ in range(random.randint(5, 40)):
        yield waiting(random, rises, middle, step, depth)
    yield from trade(middle)
    for account in {*ACCOUNTS, *MAKERS}:
        yield {"command": "cancel_all", "account": account}


def trade(price: int) -> Iterator[Command]:
    yield order(99, "sell", price, 1)
    yield order(98, "buy", price, 1, time_in_force="ioc")


def resting(random: Random, rises: bool, middle: int, step: int, depth: int) -> Command:
    side = random.choice(("buy", "sell"))
    distance = random.randint(1, depth) * step + 1
    price = middle - distance if side == "buy" else middle + distance
    made = order(random.choice(MAKERS), side, price, random.randint(1, 6))
    kind = random.random()
    if kind < 0.15:
        return {**made, "visible_quantity": "0.0001"}
    if kind < 0.3 and (side == "buy") == rises:  # the stop leg is triggered, and its limit leg cancelled
        return {**made, "command": "oco", "trigger_price": decimal(middle)}
    return made


def waiting(random: Random, rises: bool, middle: int, step: int, depth: int) -> Command:
    side = random.choice(("buy", "sell"))
    order_type = "stop_loss" if (side == "buy") == rises else "take_profit"
    distance = random.randint(-depth // 4, depth) * step
    price = max(1, middle + distance if side == "buy" else middle - distance)
    made = order(random.choice(ACCOUNTS), side, price, random.choice((1, 2, 8, 30, 80, 150, 250)))
    made |= {"trigger_price": decimal(middle), "self_trade_prevention": random.choice(MODES)}
    if random.random() < 0.1:
        return {**made, "order_type": order_type, "price": None}
    terms = random.choice(("fok", "fok", "fok", "ioc", "gtc", "gtc"))
    return {**made, "order_type": f"{order_type}_limit", "time_in_force": terms}


def order(account: int, side: str, price: int, lots: int, **fields: Any) -> Command:
    made = {"command": "order", "account": account, "symbol": "BTC-USD", "side": side, "order_type": "limit"}
    return {**made, "price": decimal(price), "quantity": f"{lots / 10_000:.4f}", **fields}


def decimal(ticks: int) -> str:
    return f"{ticks // 100}.{ticks % 100:02d}"


def check_known(pools: Any, seen: Counter[str]) -> None:
    """What is known of leaves, nodes and traders is what the book has."""
    run = sums.current_run(pools)
    root, height = (int(pools.instruments[0][name]) for name in ("root", "height"))
    quote_unit = int(pools.instruments[0]["quote_unit"])

    def check_below(index: int, height: int) -> tuple[int, int, bool]:
        """(lots, cost, whether something below is not known)"""
        lots = cost = 0
        is_unknown = False
        for digit in range(64):
            if not int((pools.nodes if height else pools.leaves)[index]["bits"]) >> digit & 1:
                continue
            if height:
                below, spent, unknown = check_below(int(pools.children[64 * index + digit]), height - 1)
                is_unknown |= unknown
            else:
                level = 64 * index + digit
                below = int(pools.levels[level]["quantity"]) + int(pools.hidden_lots[level])
                spent = below * (int(pools.leaves[index]["base"]) + digit) * quote_unit
            lots, cost = lots + below, cost + spent
        row = (pools.node_sums if height else pools.leaf_sums)[index]
        if row["run"] != run:
            return lots, cost, True
        assert not is_unknown, "known above what is not"
        assert (int(row["lots"]), int(row["cost"])) == (lots, min(cost, AMOUNT_LIMIT + 1))
        seen["nodes" if height else "leaves"] += 1
        return lots, cost, False

    check_below(root, height)
    for trader in range(1, len(pools.own_lists)):
        if pools.own_lists[trader]["run"] == run:
            seen["traders"] += 1
            check_own(pools, trader, seen)


def check_own(pools: Any, trader: int, seen: Counter[str]) -> None:
    found, slot = set(), int(pools.own_lists[trader]["first"])
    while slot:
        found |= {slot} if pools.orders[slot]["order_id"] else set()
        slot = int(pools.own_links[slot]["next"])
    orders = pools.orders
    mine = (orders["order_id"] != 0) & (orders["trader"] == trader)
    there_are = {int(slot) for slot in mine.nonzero()[0] if pools.extras[orders[slot]["extra"]]["state"] == RESTING}
    assert found == there_are
    assert len(found) == book.orders_in_book(pools, trader)
    for slot in found:
        known = int(own_orders.lots_before(pools, slot))
        if known >= 0:
            seen["places"] += 1
            assert known == lots_before(pools, trader, int(pools.orders[slot]["level"]))


def lots_before(pools: Any, trader: int, level: int) -> int:
    lots, slot = 0, int(pools.levels[level]["head"])
    while pools.orders[slot]["trader"] != trader:
        lots += int(pools.orders[slot]["remaining"])
        slot = int(pools.orders[slot]["next"])
    return lots


def main(seed: int, count: int, singly: int, fault: str) -> None:
    limits.LOOKED_AT_SINGLY = singly
    act, seen = triggers._act, Counter[str]()

    def checked(pools: Any, *rest: Any) -> Any:
        made = act(pools, *rest)
        check_known(pools, seen)
        return made

    triggers._act = checked
    if fault:
        setattr(*FAULTS[fault], lambda *_: None)
    random = Random(seed)
    both = Both()
    for definition in (BTC, USD, {**instrument("BTC"), "max_quantity": "1000"}):
        both.do(**definition)
    for account in {*ACCOUNTS, *MAKERS, 98, 99}:
        for asset in ("BTC", "USD"):
            both.do("deposit", account=account, asset=asset, amount="1000000000", reference=asset)
    for number in range(count):
        for command in market(random, number):
            for event in both.do(**command):
                seen[str(event.get("reason") or event["event"])] += 1
        both.check()
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
