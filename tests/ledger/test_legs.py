"""Ledger legs of events, compared with the worked example of docs/semantics.md and with the reference exchange."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest

from ledger.api import FUNDS, LEG_KINDS, MAX_LEGS, Legs, Overdrawn, UnknownInstrument, apply_legs, legs_of
from matching.core.blocks import Block
from matching.core.codes import EventKind
from matching.core.reading.event_rows import event_rows
from matching.core.registry import Registry
from matching.workloads.btc_usd import DEFINITIONS
from tests.ledger import row_by_row
from tests.reference.engine import ReferenceExchange
from tests.reference.streams import random_commands
from tests.settlement.chains import Chain, chain_of, deposit, order, worked_example
from tests.settlement.row_by_row.early_blocks import in_early_layout

BTC, USD = 10**8, 10**6
SEEDS = range(6)


class Leg(NamedTuple):
    event: int
    leg: int
    account: int
    asset: str
    kind: str
    delta_available: int
    delta_locked: int


def legs_in(block: Block, registry: Registry) -> Legs:
    is_early = "taker_unlock" in (block.events.dtype.names or ())
    unlocked = block.events["taker_unlock"].copy() if is_early else np.zeros(block.event_count, np.int64)
    return legs_of(block.events.copy(), unlocked, registry)


def read(legs: Legs, block: Block, registry: Registry) -> list[Leg]:
    """With the sequences of the events and the names of assets and kinds."""
    first = block.first_event_sequence
    return [
        Leg(first + event, leg, account, registry.assets[asset].symbol, LEG_KINDS[kind], *deltas)
        for event, leg, account, asset, kind, *deltas in zip(*(column.tolist() for column in legs), strict=True)
    ]


def last_legs(chain: Chain) -> list[Leg]:
    """Of the last event."""
    block, registry = chain.blocks[-1], chain.engine.registry
    return [leg for leg in read(legs_in(block, registry), block, registry) if leg.event == block.last_event_sequence]


def entries(blocks: Sequence[Block], registry: Registry) -> list[tuple[object, ...]]:
    """(event_sequence, leg, account, asset, kind, deltas, balances after) of all events, in order."""
    places: dict[tuple[int, int], int] = {}
    funds = np.zeros(1000, FUNDS)
    found: list[tuple[object, ...]] = []
    for block in blocks:
        legs = legs_in(block, registry)
        keys = zip(legs.account.tolist(), legs.asset.tolist(), strict=True)
        balance_of = np.array([places.setdefault(key, len(places)) for key in keys], np.int64)
        after = apply_legs(legs, balance_of, funds, registry)
        left = zip(after.available.tolist(), after.locked.tolist(), strict=True)
        found += [(*leg, *funds_left) for leg, funds_left in zip(read(legs, block, registry), left, strict=True)]
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
        is_trade = (block.events["kind"] == EventKind.TRADE).tolist()
        sums: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for leg in read(legs_in(block, chain.engine.registry), block, chain.engine.registry):
            assert leg.leg < MAX_LEGS
            if is_trade[leg.event - block.first_event_sequence]:
                sums[leg.event][leg.asset] += leg.delta_available + leg.delta_locked
        trades += len(sums)
        assert {amount for of_event in sums.values() for amount in of_event.values()} <= {0}
    assert trades > 20


@pytest.mark.parametrize("version", [1, 2])
def test_entries_of_early_layouts_equal_those_of_the_reference_row_by_row(version: int) -> None:
    chain = chain_of(random_commands(4, 1500, instruments=3, wild=False))
    blocks, registry = in_early_layout(chain.blocks, version, until=len(chain.blocks)), chain.engine.registry
    rows = [row for block in blocks for row in event_rows(block.events)]
    assert sum(row.taker_unlock != 0 for row in rows) > 5
    balances: dict[row_by_row.BalanceKey, row_by_row.Funds] = {}
    expected: list[tuple[object, ...]] = []
    for row in rows:
        legs = row_by_row.legs(row, registry)
        left = row_by_row.apply_legs(legs, balances)
        expected += [(row.sequence, place, *legs[place], *after) for place, after in enumerate(left)]
    assert entries(blocks, registry) == expected


def test_unspent_funds_of_a_quote_quantity_order_are_unlocked_on_its_last_event() -> None:
    buy = {**order(2, "buy", "1", "1"), "order_type": "market", "quote_quantity": "1000.5"}
    del buy["price"], buy["quantity"]
    chain = Chain().add(*DEFINITIONS, deposit(1, "BTC", "1", "a"), deposit(2, "USD", "5000", "b"))
    chain.add(order(1, "sell", "10000", "0.5"), buy)
    assert last_legs(chain)[-1][2:] == (2, "USD", "unlock", 500_000, -500_000)


def test_a_leg_that_changes_nothing_is_left_out_and_gets_no_number() -> None:
    free = {**DEFINITIONS[2], "maker_fee": 0, "taker_fee": 0}
    chain = Chain().add(*DEFINITIONS[:2], free, deposit(1, "BTC", "1", "a"), deposit(2, "USD", "30000", "b"))
    chain.add(order(1, "sell", "20000", "0.5"), order(2, "buy", "20000", "0.5"))
    assert [(leg.leg, leg.kind) for leg in last_legs(chain)] == [
        *((0, "trade_debit"), (1, "trade_credit"), (2, "trade_debit"), (3, "trade_credit"))
    ]


def test_a_leg_that_would_make_a_balance_negative_is_refused() -> None:
    chain = worked_example()
    block, registry = chain.blocks[-1], chain.engine.registry
    legs = legs_in(block, registry)
    with pytest.raises(
        Overdrawn, match=r"A deposit of .* leaves account 1 with -5 BTC available and 0 locked"
    ) as raised:
        apply_legs(legs, np.zeros(len(legs.event), np.int64), np.array([(-5 - BTC, 0)], FUNDS), registry)
    assert raised.value.event == 0


def test_an_event_of_an_instrument_that_is_not_defined_is_refused() -> None:
    with pytest.raises(UnknownInstrument, match="names id 0, which is not defined"):
        legs_in(worked_example().blocks[-1], Registry())
