"""Triggered orders are reckoned by sums of whole parts of the book: as by the reference, and with little work."""

import json
import subprocess
from typing import Any

import numpy as np
import pytest

from matching.core import layout
from matching.core.codes import CommandKind, EventKind, OrderType, SelfTradePrevention, Side, TimeInForce
from matching.core.engine import Engine
from tests.matching.interpreted_programs import run_interpreted
from tests.matching.small_exchange import batch, defined_engine, deposit
from tests.matching.triggered_foks_program import FAULTS

MARKETS = 18
TAKER, MAKER, SELLER = 1, 2, 3
LEVELS, FOKS = 20_000, 500
BEST, TRIGGER = 1000, 900  # ticks
EACH = 64 + 7 * 64
"""Orders, levels, leaves and nodes that a reckoning may look at: 64 orders, what is left of a leaf and of two nodes
above it on the way up, and as much on the way down."""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run_interpreted("triggered_foks_program", *arguments)


def seen_in(*arguments: object) -> dict[str, int]:
    ended = run(*arguments)
    assert ended.returncode == 0, ended.stderr
    seen: dict[str, int] = json.loads(ended.stdout)
    return seen


@pytest.mark.processes
@pytest.mark.parametrize("singly", [0, 2])
def test_random_cascades_give_the_events_of_the_reference_and_know_only_what_is_true(singly: int, seed: int) -> None:
    seen = seen_in(seed % 1000, MARKETS, singly, "")
    assert all(seen.get(name) for name in ("leaves", "nodes", "traders", "fok_not_fillable", "self_trade", "oco")), seen


@pytest.mark.processes
def test_lots_before_an_own_order_are_known_while_its_level_stays_as_it_is() -> None:
    assert seen_in(6, MARKETS, 0, "")["places"] > 10


@pytest.mark.processes
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    ended = run(7, 2 * MARKETS, 0, fault)
    assert ended.returncode != 0
    assert "AssertionError" in ended.stderr


# Work is counted on books of 20,000 prices with 500 triggered FOKs; by levels that were ten million.


def apply(engine: Engine, count: int, **columns: Any) -> None:
    """Places orders, all accepted."""
    records = np.zeros(count, layout.COMMAND)
    records["kind"] = CommandKind.ORDER
    for name, values in columns.items():
        records[name] = values
    first_number = engine.clients.last_number(1, 0) + 1
    requests = np.array([(1, first_number, 0, 0, count, 0)], layout.REQUEST)
    block = engine.apply(requests, records, b"", 1)
    assert block.command_count == count
    assert not (block.events["kind"] == EventKind.REJECTED).any()


def book_of(asks: int, step: int) -> Engine:
    """Asks of 2 lots, each `step` ticks above the one before."""
    engine = defined_engine()
    accounts = (TAKER, MAKER, SELLER)
    funds = [
        deposit(account, asset, asset, amount)
        for account in accounts
        for asset, amount in (("BTC", "1000000"), ("USD", "100000000000"))
    ]
    made = batch(engine, 1, engine.clients.last_number(1, 0) + 1, funds)
    engine.apply(np.array([(1, made.first_number, 0, 0, len(funds), 0)], layout.REQUEST), made.commands, made.texts, 1)
    prices = BEST + step * np.arange(asks)
    apply(engine, asks, account=MAKER, side=Side.SELL, price=prices, quantity=2)
    return engine


def waiting(count: int, price: int, quantity: int) -> dict[str, Any]:
    """Buys that are triggered together, every second one a FOK for `quantity`; the others are IOC for a lot."""
    is_fok = np.arange(count) % 2 == 0
    return {
        "account": TAKER,
        "side": Side.BUY,
        "order_type": OrderType.STOP_LOSS_LIMIT,
        "time_in_force": np.where(is_fok, TimeInForce.FOK, TimeInForce.IOC),
        "price": price,
        "amount": TRIGGER,
        "quantity": np.where(is_fok, quantity, 1),
    }


def work_of_cascade(engine: Engine) -> int:
    apply(engine, 1, account=MAKER, side=Side.BUY, price=TRIGGER, quantity=1)
    apply(engine, 1, account=SELLER, side=Side.SELL, price=TRIGGER, quantity=1)
    return engine.touched


@pytest.mark.parametrize(("step", "first"), [(1, 4), (64, 4), (4096, 40)])
def test_foks_between_small_fills_do_not_look_at_every_level(step: int, first: int) -> None:
    """`first`: how often each level is looked at for the first sums, more where prices are far from each other."""
    engine = book_of(LEVELS, step)
    apply(engine, FOKS, **waiting(FOKS, BEST + LEVELS * step, 2 * LEVELS + 1))
    assert work_of_cascade(engine) < first * LEVELS + FOKS * EACH


def test_foks_between_orders_that_rest_do_not_look_at_every_level() -> None:
    engine = book_of(LEVELS, 1)
    terms = waiting(FOKS, BEST + LEVELS, 4 * LEVELS)
    is_sale = terms["quantity"] == 1
    terms["side"] = np.where(is_sale, Side.SELL, Side.BUY)
    terms["order_type"] = np.where(is_sale, OrderType.TAKE_PROFIT_LIMIT, OrderType.STOP_LOSS_LIMIT)
    terms["time_in_force"] = np.where(is_sale, TimeInForce.GTC, TimeInForce.FOK)
    terms["price"] = np.where(is_sale, BEST + 1 + np.arange(FOKS) * 7919 % (LEVELS - 1), BEST + LEVELS)
    terms["account"] = np.where(is_sale, MAKER, TAKER)
    apply(engine, FOKS, **terms)
    assert work_of_cascade(engine) < 4 * LEVELS + FOKS * EACH


@pytest.mark.parametrize("prevention", [SelfTradePrevention.EXPIRE_TAKER, SelfTradePrevention.EXPIRE_MAKER])
def test_foks_do_not_look_at_the_other_orders_of_their_account_that_wait(prevention: SelfTradePrevention) -> None:
    """Its two orders in the book are newer than all that wait."""
    engine = book_of(LEVELS, 1)
    apply(engine, FOKS, **waiting(FOKS, BEST + LEVELS, 2 * LEVELS + 1), self_trade_prevention=prevention)
    apply(engine, 2, account=TAKER, side=Side.SELL, price=BEST + LEVELS - np.arange(2), quantity=1)
    assert work_of_cascade(engine) < 4 * LEVELS + FOKS * EACH


def test_foks_do_not_look_at_every_order_before_their_own_one() -> None:
    """It stands in the middle of one level; the FOKs want more than there is before it and less than there is."""
    engine = book_of(1, 1)
    apply(engine, 2000, account=MAKER, side=Side.SELL, price=BEST + 200, quantity=2)
    apply(engine, 1, account=TAKER, side=Side.SELL, price=BEST + 200, quantity=1)
    apply(engine, 2000, account=MAKER, side=Side.SELL, price=BEST + 200, quantity=2)
    terms = waiting(FOKS, BEST + 200, 6000)
    terms["quantity"] = 6000
    terms["time_in_force"] = TimeInForce.FOK
    apply(engine, FOKS, **terms)
    assert work_of_cascade(engine) < 4000 + FOKS * EACH
