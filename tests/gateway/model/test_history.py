"""A model that began late, or forgets early, answers from the store what one that has seen and kept all answers."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from gateway.model.history import StoreHistory
from gateway.model.model import Model
from gateway.model.order_log import UNKNOWN_QUOTE
from gateway.model.records import Fill, Order
from gateway.model.state import Bounds
from matching.core.engine import Engine
from settlement.project.projection import EmptyTables, Projector
from settlement.stores.sql.store import SqlStore
from tests.gateway.model.source import ACCOUNTS, BOUNDS, Source, model, random_blocks

_COMMANDS = 400
_FORGETFUL = Bounds(trades=10, candles=10, closed_orders=15, fills=25)


@pytest.fixture
def store(transactional_db: None) -> SqlStore:
    made = SqlStore()
    made.connect()
    return made


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as one:
        yield one
        one.submit(connections.close_all).result()


@pytest.mark.parametrize(("begins_at", "bounds"), [(60, BOUNDS), (0, _FORGETFUL), (60, _FORGETFUL)])
def test_orders_and_fills_are_those_of_a_model_that_has_seen_all(
    seed: int, store: SqlStore, executor: Executor, begins_at: int, bounds: Bounds
) -> None:
    source, whole, late = Source(), model(), model(bounds, StoreHistory(store, executor))
    whole.begin(Engine())
    if not begins_at:
        late.begin(Engine())
    blocks = []
    for number, block in enumerate(random_blocks(source, seed, _COMMANDS)):
        whole.apply(block)
        blocks.append(block)
        if number == begins_at and begins_at:
            late.begin(source.snapshot())
        elif number > begins_at or not begins_at:
            late.apply(block)
    store.insert_rows(Projector(EmptyTables(), kept=None).project(blocks))
    asyncio.run(compare(whole, late))


async def compare(whole: Model, late: Model) -> None:
    for account in ACCOUNTS:
        assert comparable(await whole.open_orders(account)) == comparable(await late.open_orders(account))
        for instrument in whole.instruments():
            of = (account, instrument.id)
            orders, fills = await whole.orders(*of, limit=1000), await whole.fills(*of, limit=1000)
            assert comparable(await late.orders(*of, limit=1000)) == comparable(orders)
            assert fills_of(await late.fills(*of, limit=1000)) == fills_of(fills)
            assert comparable(await late.orders(*of, limit=7)) == comparable(orders[-7:])
            assert fills_of(await late.fills(*of, limit=7)) == fills_of(fills[-7:])
            await compare_spans(whole, late, orders, fills)
            for order in orders[:: max(1, len(orders) // 5)]:
                await compare_one(whole, late, order)


async def compare_spans(whole: Model, late: Model, orders: Sequence[Order], fills: Sequence[Fill]) -> None:
    """Pages by time and by id that begin, or end, anywhere."""
    for order in orders[:: max(1, len(orders) // 4)]:
        of, at_ns = (order.account, order.instrument_id), order.placed_at_ns
        for span in ({"start_ns": at_ns}, {"end_ns": at_ns}, {"start_ns": at_ns, "end_ns": at_ns + 10**12}):
            for limit in (3, 1000):
                expected = await whole.orders(*of, limit=limit, **span)
                assert comparable(await late.orders(*of, limit=limit, **span)) == comparable(expected)
                traded = await whole.fills(*of, limit=limit, **span)
                assert fills_of(await late.fills(*of, limit=limit, **span)) == fills_of(traded)
    for fill in fills[:: max(1, len(fills) // 4)]:
        of = (fill.account, fill.instrument_id)
        expected_fills = await whole.fills(*of, limit=5, from_number=fill.trade_number)
        assert fills_of(await late.fills(*of, limit=5, from_number=fill.trade_number)) == fills_of(expected_fills)


async def compare_one(whole: Model, late: Model, order: Order) -> None:
    of = (order.account, order.instrument_id)
    from_there = {"limit": 5, "from_order_id": order.order_id}
    assert comparable(await late.orders(*of, **from_there)) == comparable(await whole.orders(*of, **from_there))
    found = await late.order(*of, order_id=order.order_id)
    assert found is not None
    assert comparable([found]) == comparable([order])
    assert found.filled_quote == order.filled_quote
    assert fills_of(await late.fills(*of, limit=1000, order_id=order.order_id)) == fills_of(
        await whole.fills(*of, limit=1000, order_id=order.order_id)
    )
    if order.client_order_id:
        named = await late.order(*of, client_order_id=order.client_order_id)
        expected = await whole.order(*of, client_order_id=order.client_order_id)
        assert named is not None
        assert expected is not None
        assert named.order_id == expected.order_id


def comparable(orders: Any) -> list[Order]:
    """Without what the store does not have."""
    return [
        order._replace(
            filled_quote=UNKNOWN_QUOTE,
            met_order_id=None,
            prevented_quantity=0,
            working_at_ns=None,
            updated_sequence=0,
            updated_at_ns=0,
        )
        for order in orders
    ]


def fills_of(fills: Any) -> list[Fill]:
    return [fill._replace(order_list_id=None) for fill in fills]
