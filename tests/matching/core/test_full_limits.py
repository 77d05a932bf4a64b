"""The limits of one command's work at their full size: a million orders met, cancelled, or triggered."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numba import config

from matching.core import layout, snapshots
from matching.core.blocks import Block, Records
from matching.core.codes import CommandKind, EventKind, OrderType, Reason, Side, TimeInForce
from matching.core.engine import Engine
from matching.core.kernel.structures import pools as p
from tests.matching.small_exchange import batch, defined_engine, deposit

MILLION = 1_000_000
MAKER, TRADER = 1, 2
PRICE = 10_000  # ticks
BLOCK_COMMANDS = 8192

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="takes hours where the kernel is interpreted")


def orders(count: int, account: int, side: Side, **fields: int) -> Records:
    """COMMAND records of `count` equal orders for one lot."""
    made = np.zeros(count, layout.COMMAND)
    made["kind"], made["side"], made["account"] = CommandKind.ORDER, side, account
    for name, value in {"price": PRICE, "quantity": 1, **fields}.items():
        made[name] = value
    return made


def blocks(engine: Engine, commands: Records) -> Iterator[Block]:
    engine.check(commands, b"")
    while len(commands):
        some = commands[:BLOCK_COMMANDS].copy()
        block = engine.apply(np.array([(0, 0, 0, 0, len(some), 0)], layout.REQUEST), some, b"", 1)
        yield block
        commands = commands[block.command_count :]


def place(engine: Engine, commands: Records) -> None:
    for block in blocks(engine, commands):
        assert (block.events["kind"] == EventKind.ORDER_ACCEPTED).all()


def do(engine: Engine, command: Records) -> Records:
    """The events of one command."""
    (block,) = blocks(engine, command)
    return block.events


@pytest.fixture
def engine() -> Engine:
    """An engine in which both accounts have funds."""
    made = defined_engine()
    funds = [deposit(account, "btc", "BTC", "10000") for account in (MAKER, TRADER)]
    funds += [deposit(account, "usd", "USD", "1000000000") for account in (MAKER, TRADER)]
    records = batch(made, 1, 1, funds)
    made.apply(np.array([(1, 1, 0, 0, len(funds), 0)], layout.REQUEST), records.commands, records.texts, 1)
    return made


def kinds(events: Records) -> list[tuple[EventKind, int]]:
    """The kinds of events in order, each with how many follow one another."""
    starts = np.flatnonzero(np.diff(events["kind"], prepend=0)).tolist()
    ends = [*starts[1:], len(events)]
    return [(EventKind(int(events["kind"][start])), end - start) for start, end in zip(starts, ends, strict=True)]


def test_a_taker_meets_a_million_makers(engine: Engine) -> None:
    place(engine, orders(MILLION + 10, MAKER, Side.SELL))
    events = do(engine, orders(1, TRADER, Side.BUY, quantity=MILLION + 5, time_in_force=TimeInForce.FOK))
    assert events["reason"].tolist() == [Reason.NONE, Reason.FOK_NOT_FILLABLE]
    events = do(engine, orders(1, TRADER, Side.BUY, quantity=MILLION + 5))
    assert kinds(events) == [
        (EventKind.ORDER_ACCEPTED, 1),
        (EventKind.TRADE, MILLION),
        (EventKind.ORDER_CANCELLED, 1),
    ]
    assert (int(events["reason"][-1]), int(events["quantity"][-1])) == (Reason.WORK_LIMIT, 5)
    assert engine.open_order_count == 10
    market = {"price": 0, "order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC}
    events = do(engine, orders(1, TRADER, Side.BUY, quantity=MILLION, **market))
    assert kinds(events)[1] == (EventKind.TRADE, 10)
    assert int(events["reason"][-1]) == Reason.NO_LIQUIDITY


def test_cancel_all_cancels_a_million_orders(engine: Engine) -> None:
    place(engine, orders(MILLION + 10, MAKER, Side.SELL))
    command = np.zeros(1, layout.COMMAND)
    command["kind"], command["account"] = CommandKind.CANCEL_ALL, MAKER
    for expected in (MILLION, 10, 0):
        events = do(engine, command)
        assert len(events) == expected + 1
        assert (events["kind"][:-1] == EventKind.ORDER_CANCELLED).all()
        assert int(events["quantity"][-1]) == expected
        assert (np.diff(events["order_id"][:-1]) > 0).all()
    assert engine.open_order_count == 0
    assert (2, "BTC", 10_000 * 10**8, 0) in engine.balances()


def test_the_queue_of_triggered_orders_goes_on_in_the_next_command_after_a_million_events(engine: Engine) -> None:
    triggers = 600_000
    stop: dict[str, Any] = {"price": 0, "order_type": OrderType.STOP_LOSS, "time_in_force": TimeInForce.IOC}
    place(engine, orders(1, MAKER, Side.BUY, quantity=triggers + 1))
    place(engine, orders(triggers, TRADER, Side.SELL, amount=PRICE, **stop))
    first_stop = engine.next_command_sequence - triggers
    events = do(engine, orders(1, TRADER, Side.SELL))
    assert len(events) == MILLION
    done = events["order_id"][events["kind"] == EventKind.ORDER_TRIGGERED].tolist()
    assert done == list(range(first_stop, first_stop + MILLION // 2 - 1))
    assert engine.pools.state[p.QUEUE_HEAD] != 0

    other = snapshots.decode(snapshots.encode(engine))
    refused = orders(1, TRADER, Side.BUY, quantity=0)
    (block,) = blocks(engine, refused)
    assert [same.data for same in blocks(other, refused)] == [block.data]
    assert set(block.events["command_sequence"].tolist()) == {block.first_command_sequence}
    left = block.events["order_id"][block.events["kind"] == EventKind.ORDER_TRIGGERED].tolist()
    assert done + left == list(range(first_stop, first_stop + triggers))
    assert int(block.events["reason"][-1]) == Reason.INVALID_QUANTITY
    assert len(block.events) == 2 * len(left) + 1
    assert engine.pools.state[p.QUEUE_HEAD] == 0
    assert engine.open_order_count == 0
