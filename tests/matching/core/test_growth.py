"""Memory pools grow many times, across snapshots: orders, price levels, accounts, balances, references, id pages.

The reference engine is too slow for so many commands, so the tests compute the expected results.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from matching.core import kernel, layout, snapshots
from matching.core.blocks import Block, Records
from matching.core.codes import NONE_ID, CommandKind, EventKind, OrderType, Side, TimeInForce
from matching.core.engine import UNLIMITED, Engine
from matching.core.kernel import Pools
from matching.core.kernel.structures import pools as p
from matching.core.reading.open_orders import OpenOrder, PendingOrder
from matching.core.texts import hashes
from tests.matching.exchanges import KernelExchange
from tests.matching.invariants import check_invariants

BLOCK = 2000
TRADERS = 24_000
Numbers = npt.NDArray[np.int64]

POOLS = ("orders", "leaves", "nodes", "accounts", "traders", "balances", "references")
TABLES = ("client_order_table", "account_table", "trader_table", "balance_table", "reference_table")


def two_instruments() -> Engine:
    exchange = KernelExchange()
    for command in (asset("A"), asset("B"), instrument("A", "B"), instrument("B", "A")):
        exchange.submit(command)
    return exchange.engine


def asset(symbol: str) -> dict[str, Any]:
    return {"command": "asset", "symbol": symbol, "decimals": 0}


def instrument(base: str, quote: str) -> dict[str, Any]:
    names = {"symbol": f"{base}-{quote}", "base": base, "quote": quote, "tick_size": "1", "lot_size": "1"}
    limits = {"min_quantity": "1", "max_quantity": str(2**62), "min_notional": "0", "maker_fee": 0, "taker_fee": 0}
    return {"command": "instrument", **names, **limits}


def commands(kind: CommandKind, count: int, texts: str = "", **fields: Any) -> tuple[Records, bytes]:
    """`count` COMMAND records; a field is one value or an array; `texts` is formatted with the number."""
    records = np.zeros(count, layout.COMMAND)
    records["kind"] = kind
    for name, value in fields.items():
        records[name] = value
    strings = [texts.format(at).encode() for at in range(count)] if texts else [b""] * count
    lengths = np.array([len(string) for string in strings], np.int64)
    records["text_length"], records["text_offset"] = lengths, np.cumsum(lengths) - lengths
    records["text_hash"] = hashes(b"".join(strings), lengths)
    return records, b"".join(strings)


def apply(engine: Engine, records: Records, texts: bytes) -> list[Block]:
    """Applies commands in blocks of 2,000, each validated as a client's batch is."""
    blocks = []
    for start in range(0, len(records), BLOCK):
        part = records[start : start + BLOCK].copy()
        first = int(part["text_offset"][0])
        part["text_offset"] -= np.uint32(first)
        strings = texts[first : first + int(part["text_length"].sum(dtype=np.int64))]
        engine.check(part, strings)
        requests = np.array([(1, 1, 0, 0, len(part), 0)], layout.REQUEST)
        blocks.append(engine.apply(requests, part, strings, engine.block_number + 1))
    return blocks


def events_of(blocks: list[Block], kind: EventKind) -> Records:
    events = np.concatenate([block.events for block in blocks])
    assert (events["kind"] == kind).all(), "something was refused"
    return events


def restored(engine: Engine) -> Engine:
    return snapshots.decode(snapshots.encode(engine))


def sizes(engine: Engine) -> dict[str, int]:
    return {name: len(getattr(engine.pools, name)) for name in (*POOLS, *TABLES, "levels", "children")}


@pytest.mark.parametrize("restarts", [False, True])
def test_pools_grow_for_thousands_of_accounts_prices_and_orders_and_are_freed(restarts: bool) -> None:
    engine = two_instruments()
    before = sizes(engine)
    at: Numbers = np.arange(TRADERS, dtype=np.int64)
    accounts, prices = 5 + at * 3_000_017, 1 + (at * 7919 % TRADERS) * (2**18 + 1)
    deposits = apply(engine, *commands(CommandKind.DEPOSIT, TRADERS, "d{}", account=accounts, amount=5))
    events_of(deposits, EventKind.DEPOSITED)
    first = engine.next_command_sequence
    for turn in np.split(at, 4):
        engine = restored(engine) if restarts else engine
        terms = {"account": accounts[turn], "side": Side.SELL, "price": prices[turn], "quantity": 5}
        events_of(apply(engine, *commands(CommandKind.ORDER, len(turn), "c{}", **terms)), EventKind.ORDER_ACCEPTED)

    grown = sizes(engine)
    assert all(grown[name] > 2 * before[name] for name in POOLS), (before, grown)
    assert all(grown[name] > before[name] for name in (*TABLES, "levels", "children")), (before, grown)
    expected = [
        OpenOrder(first + int(k), int(accounts[k]), "A-B", "sell", int(prices[k]), 5, 5) for k in np.argsort(prices)
    ]
    assert engine.open_orders() == expected
    check_invariants(engine, {"A": 5 * TRADERS})

    odd = at[1::2]
    cancels = commands(CommandKind.CANCEL, len(odd), account=accounts[odd], order_id=first + odd)
    events_of(apply(engine, *cancels), EventKind.ORDER_CANCELLED)
    engine = restored(engine) if restarts else engine
    assert engine.open_orders() == [order for order in expected if (order.order_id - first) % 2 == 0]
    check_invariants(engine, {"A": 5 * TRADERS})
    blocks = apply(engine, *commands(CommandKind.CANCEL_ALL, TRADERS, account=accounts))
    events = np.concatenate([block.events for block in blocks])
    counts = events[events["kind"] == EventKind.ORDERS_CANCELLED]["quantity"]
    assert counts.tolist() == [1, 0] * (TRADERS // 2)
    check_invariants(engine, {"A": 5 * TRADERS})


@pytest.mark.parametrize("restarts", [False, True])
def test_pools_grow_for_thousands_of_waiting_orders_icebergs_and_own_fees(restarts: bool) -> None:
    engine, count = two_instruments(), 6_000
    at: Numbers = np.arange(count, dtype=np.int64)
    waiting, icebergs = 5 + 2 * at, 6 + 2 * at
    triggers, prices = 2 + (at * 7919 % count) * 97, 10**6 + at * (2**18 + 1)
    both = np.concatenate([waiting, icebergs])
    apply(engine, *commands(CommandKind.DEPOSIT, 2 * count, "d{}", account=both, amount=5))
    apply(engine, *commands(CommandKind.DEPOSIT, 1, "b", account=1, instrument=1, amount=2**40))
    before = {name: len(getattr(engine.pools, name)) for name in ("extras", "terms", "leaves")}
    first = engine.next_command_sequence
    terms: dict[str, Any] = {"side": Side.SELL, "quantity": 5}
    stops: dict[str, Any] = {
        "order_type": OrderType.STOP_LOSS_LIMIT,
        "amount": triggers,
        "price": prices + 64,
        "account": waiting,
    }
    apply(engine, *commands(CommandKind.ORDER, count, "s{}", **terms, **stops))
    engine = restored(engine) if restarts else engine
    shown: dict[str, Any] = {"amount": 2, "price": prices, "account": icebergs}
    apply(engine, *commands(CommandKind.ORDER, count, "i{}", **terms, **shown))
    rates: dict[str, Any] = {"instrument": NONE_ID, "price": 7, "quantity": 9, "account": both}
    events_of(apply(engine, *commands(CommandKind.ACCOUNT_FEES, 2 * count, **rates)), EventKind.ACCOUNT_FEES_CHANGED)
    engine = restored(engine) if restarts else engine
    assert all(len(getattr(engine.pools, name)) > size for name, size in before.items()), before
    pending = [
        PendingOrder(first + k, 5 + 2 * k, "A-B", "sell", "stop_loss_limit", int(triggers[k]), int(prices[k]) + 64, 5)
        for k in range(count)
    ]
    assert engine.pending_orders() == pending
    assert {order.visible for order in engine.open_orders()} == {2}
    check_invariants(engine, {"A": 10 * count, "B": 2**40})

    # A trade at 300,000 triggers about half of them, which then rest at distant prices.
    sale: dict[str, Any] = {"account": icebergs[-1], "side": Side.SELL, "time_in_force": TimeInForce.IOC}
    apply(engine, *commands(CommandKind.DEPOSIT, 1, "last", account=icebergs[-1], amount=1))
    apply(engine, *commands(CommandKind.ORDER, 1, account=1, side=Side.BUY, price=300_000, quantity=1))
    (block,) = apply(engine, *commands(CommandKind.ORDER, 1, price=300_000, quantity=1, **sale))
    triggered = block.events[block.events["kind"] == EventKind.ORDER_TRIGGERED]
    expected = sorted(
        (order for order in pending if order.trigger_price >= 300_000), key=lambda one: -one.trigger_price
    )
    assert triggered["order_id"].tolist() == [order.order_id for order in expected]
    assert len(engine.open_orders()) == count + len(expected) > 1.4 * count
    engine = restored(engine) if restarts else engine
    check_invariants(engine, {"A": 10 * count + 1, "B": 2**40})
    apply(engine, *commands(CommandKind.CANCEL_ALL, 2 * count, account=both))
    check_invariants(engine, {"A": 10 * count + 1, "B": 2**40})
    assert engine.pools.state[p.EXTRA_COUNT] == engine.pools.state[p.LEAF_COUNT] == 0


def test_orders_with_distant_ids_use_a_page_each_and_free_it() -> None:
    engine = two_instruments()
    apply(engine, *commands(CommandKind.DEPOSIT, 1, "d", account=1, amount=10**6))
    first_size = len(engine.pools.page_orders)
    nobody = commands(CommandKind.CANCEL, p.PAGE_SIZE - 1, account=9, order_id=2**40)
    order = commands(CommandKind.ORDER, 1, account=1, side=Side.SELL, price=7, quantity=1)
    resting = []
    for turn in range(3 * first_size):
        resting.append(engine.next_command_sequence)
        apply(engine, *order)
        apply(engine, *nobody)
        if turn % 50 == 7:
            engine = restored(engine)
    assert len(engine.pools.page_orders) > 2 * first_size
    assert [order.order_id for order in engine.open_orders()] == resting
    check_invariants(engine, {"A": 10**6})
    for order_id in resting[::2]:
        apply(engine, *commands(CommandKind.CANCEL, 1, account=1, order_id=order_id))
    check_invariants(engine, {"A": 10**6})
    (block,) = apply(engine, *commands(CommandKind.CANCEL_ALL, 1, account=1))
    assert block.events["order_id"].tolist() == [*resting[1::2], 0]
    assert engine.pools.state[p.PAGE_COUNT] == 0
    for _ in range(2 * first_size):  # returned pages are reused
        apply(engine, *order)
        apply(engine, *nobody)
    assert engine.pools.state[p.PAGE_TOP] == 3 * first_size + 1
    check_invariants(engine, {"A": 10**6})


def test_a_thousand_definitions_copy_instruments_and_supplies_a_few_times() -> None:
    exchange = KernelExchange()
    copies = {"instruments": 0, "supplies": 0}
    exchange.submit(asset("A0"))
    for number in range(1, 1000):
        before = exchange.engine.pools
        exchange.submit(asset(f"A{number}"))
        exchange.submit(instrument(f"A{number}", f"A{number - 1}"))
        for name in copies:
            copies[name] += getattr(exchange.engine.pools, name) is not getattr(before, name)
    assert len(exchange.engine.registry.instruments) == 999
    assert max(copies.values()) <= 6, "64 slots, doubled until there are enough"
    restored = snapshots.decode(snapshots.encode(exchange.engine))
    assert len(restored.pools.instruments) == 999, "snapshots hold only what is defined"
    assert len(restored.pools.supplies) == 1000


def with_nodes(engine: Engine, room: int) -> Pools:
    """The engine's pools with room for that many nodes."""
    nodes, children = np.zeros(room, layout.NODE), np.zeros(64 * room, np.uint32)
    used = int(engine.pools.state[p.NODE_TOP])
    nodes[:used], children[: 64 * used] = engine.pools.nodes[:used], engine.pools.children[: 64 * used]
    return engine.pools._replace(nodes=nodes, children=children, node_sums=np.zeros(room, p.SUMS))


def test_the_least_room_is_enough_for_a_first_distant_price_in_every_instrument() -> None:
    count = 60
    exchange = KernelExchange()
    for number in range(count + 1):
        exchange.submit(asset(f"A{number}"))
    for number in range(count):
        exchange.submit(instrument(f"A{number}", f"A{number + 1}"))
    engine, each = exchange.engine, np.arange(count)
    apply(
        engine,
        *commands(CommandKind.DEPOSIT, count + 1, "{}", account=1, amount=10, instrument=np.arange(count + 1)),
    )
    order: dict[str, Any] = {"account": 1, "instrument": each, "quantity": 1}
    apply(engine, *commands(CommandKind.ORDER, count, side=Side.BUY, price=1, **order))
    used = int(engine.pools.state[p.NODE_TOP])
    pools = next(pools for room in range(used, 10**6) if p.reserve(pools := with_nodes(engine, room), count) is pools)
    distant, _ = commands(CommandKind.ORDER, count, side=Side.SELL, price=1 << 61, **order)
    rows, accepted = np.empty(4 * count + 200, layout.EVENT), np.zeros(count, np.uint8)
    kernel.process(distant, rows, accepted, pools, UNLIMITED, 0, 0)
    assert accepted.all()
    assert int(pools.state[p.ORDER_COUNT]) == 2 * count
    assert int(pools.state[p.NODE_TOP]) <= len(pools.nodes)
