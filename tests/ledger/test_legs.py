"""Ledger legs of events, compared with the worked example of docs/semantics.md and with the reference exchange."""

from collections import defaultdict

import pytest

from ledger.api import MAX_LEGS
from matching.core.blocks import Block
from matching.core.codes import EventKind
from matching.core.registry import Registry
from matching.workloads.btc_usd import DEFINITIONS
from tests.ledger.row_by_row import ZERO_FUNDS, BalanceKey, Funds, Leg, Overdrawn, apply_legs, event_rows, legs
from tests.reference.engine import ReferenceExchange
from tests.reference.streams import random_commands
from tests.settlement.chains import Chain, chain_of, deposit, order, worked_example

BTC, USD = 10**8, 10**6
SEEDS = range(6)


def entries(blocks: list[Block], registry: Registry) -> list[tuple[object, ...]]:
    """(event_sequence, leg, account, asset, kind, deltas, balances after) of all events, in order."""
    balances: dict[BalanceKey, Funds] = {}
    found: list[tuple[object, ...]] = []
    for block in blocks:
        for event in event_rows(block.events):
            moved = legs(event, registry)
            assert len(moved) <= MAX_LEGS
            after = apply_legs(moved, balances)
            found += [
                (event.sequence, place, *leg, *left) for place, (leg, left) in enumerate(zip(moved, after, strict=True))
            ]
    return found


def test_the_worked_example_has_exactly_the_documented_entries() -> None:
    chain = worked_example()
    assert entries(chain.blocks, chain.engine.registry) == [
        (4, 0, 1, "BTC", "deposit", 1 * BTC, 0, 1 * BTC, 0),
        (5, 0, 2, "USD", "deposit", 30_000 * USD, 0, 30_000 * USD, 0),
        (6, 0, 1, "BTC", "lock", -BTC // 2, BTC // 2, BTC // 2, BTC // 2),
        (7, 0, 2, "USD", "lock", -12_600 * USD, 12_600 * USD, 17_400 * USD, 12_600 * USD),
        (8, 0, 2, "USD", "trade_debit", 0, -10_000 * USD, 17_400 * USD, 2_600 * USD),
        (8, 1, 2, "USD", "release", 500 * USD, -500 * USD, 17_900 * USD, 2_100 * USD),
        (8, 2, 2, "BTC", "trade_credit", BTC // 2, 0, BTC // 2, 0),
        (8, 3, 2, "BTC", "fee", -BTC // 1000, 0, 49_900_000, 0),
        (8, 4, 1, "BTC", "trade_debit", 0, -BTC // 2, BTC // 2, 0),
        (8, 5, 1, "USD", "trade_credit", 10_000 * USD, 0, 10_000 * USD, 0),
        (8, 6, 1, "USD", "fee", -10 * USD, 0, 9_990 * USD, 0),
        (8, 7, 0, "BTC", "fee", BTC // 1000, 0, BTC // 1000, 0),
        (8, 8, 0, "USD", "fee", 10 * USD, 0, 10 * USD, 0),
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_entries_of_random_commands_equal_those_of_the_reference_exchange(seed: int) -> None:
    commands = list(random_commands(seed, 1500, instruments=3, wild=False))
    reference = ReferenceExchange()
    for command in commands:
        reference.submit(command)
    chain = chain_of(commands)
    assert entries(chain.blocks, chain.engine.registry) == [tuple(entry.values()) for entry in reference.ledger]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_deltas_of_a_trade_sum_to_zero_for_each_asset(seed: int) -> None:
    chain = chain_of(random_commands(seed, 1500, instruments=3, wild=False))
    trades = 0
    for block in chain.blocks:
        for event in event_rows(block.events):
            if event.kind == EventKind.TRADE:
                trades += 1
                sums: dict[str, int] = defaultdict(int)
                for leg in legs(event, chain.engine.registry):
                    sums[leg.asset] += leg.delta_available + leg.delta_locked
                assert set(sums.values()) == {0}, event
    assert trades > 20


def test_unspent_funds_of_a_quote_quantity_order_are_unlocked_on_its_last_trade() -> None:
    buy = {**order(2, "buy", "1", "1"), "order_type": "market", "quote_quantity": "1000.5"}
    del buy["price"], buy["quantity"]
    chain = Chain().add(*DEFINITIONS, deposit(1, "BTC", "1", "a"), deposit(2, "USD", "5000", "b"))
    chain.add(order(1, "sell", "10000", "0.5"), buy)
    last = legs(event_rows(chain.blocks[-1].events)[-1], chain.engine.registry)[-1]
    assert last == Leg(2, "USD", "unlock", 500_000, -500_000)


def test_a_leg_that_changes_nothing_is_left_out_and_gets_no_number() -> None:
    free = {**DEFINITIONS[2], "maker_fee": 0, "taker_fee": 0}
    chain = Chain().add(*DEFINITIONS[:2], free, deposit(1, "BTC", "1", "a"), deposit(2, "USD", "30000", "b"))
    chain.add(order(1, "sell", "20000", "0.5"), order(2, "buy", "20000", "0.5"))
    kinds = [leg.kind for leg in legs(event_rows(chain.blocks[-1].events)[-1], chain.engine.registry)]
    assert kinds == ["trade_debit", "trade_credit", "trade_debit", "trade_credit"]


def test_a_leg_that_would_make_a_balance_negative_is_refused() -> None:
    balances: dict[BalanceKey, Funds] = {(1, "USD"): (5, 0)}
    with pytest.raises(Overdrawn, match="account 1"):
        apply_legs([Leg(1, "USD", "withdrawal", -6, 0)], balances)
    assert balances == {(1, "USD"): (5, 0)}
    assert ZERO_FUNDS == (0, 0)
