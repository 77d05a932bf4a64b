"""The engine's live state against the store's, also when the store is behind or ahead of the answer."""

import json
from typing import Any

import pytest
from django.db import connection

from matching.engine import Engine
from settlement import reconciliation
from settlement.errors import NotReady
from settlement.models import ReconciliationRun
from settlement.stores.base import Checkpoint, Store
from tests.reference.streams import random_commands
from tests.settlement.chains import chain_of
from tests.settlement.conftest import Settle
from tests.settlement.fakes import FakeClock, feed_of

COMMANDS = list(random_commands(5, 300, instruments=2, accounts=4, wild=False))
CHAIN = chain_of(COMMANDS, 16)
BLOCKS = CHAIN.blocks
LAST = BLOCKS[-1].number


def state(engine: Engine) -> dict[str, Any]:
    """As it comes from the wire."""
    answer = {
        "block": engine.block_number,
        "state_hash": f"{engine.state_hash:016x}",
        "balances": engine.balances(),
        "open_orders": engine.open_orders(),
    }
    return json.loads(json.dumps(answer))  # type: ignore[no-any-return]


STATE = state(CHAIN.engine)


@pytest.fixture
def settled(store: Store, settle: Settle, clock: FakeClock) -> Store:
    settle(store, feed_of(clock, BLOCKS))
    return store


def told(store: Store, clock: FakeClock, answer: dict[str, Any] = STATE) -> list[str]:
    report = reconciliation.reconcile(answer, store, clock, deadline_s=1)
    assert report.ok is not bool(report.differences)
    return [f"{found.what} {found.key}" for found in report.differences]


def test_engine_and_store_agree(settled: Store, clock: FakeClock) -> None:
    report = reconciliation.reconcile(STATE, settled, clock, deadline_s=1)
    assert report.ok
    assert report.block == LAST
    assert report.balances == len(STATE["balances"]) > 8
    assert report.open_orders == len(STATE["open_orders"]) > 10
    assert report.changed_since == 0


def test_an_empty_engine_and_an_empty_store_agree(store: Store, clock: FakeClock) -> None:
    assert told(store, clock, state(Engine())) == []


@pytest.mark.parametrize("number", range(5, LAST, 4))
def test_a_store_that_has_gone_on_is_compared_as_it_was(settled: Store, clock: FakeClock, number: int) -> None:
    engine = Engine()
    for block in BLOCKS[:number]:
        engine.follow(block)
    report = reconciliation.reconcile(state(engine), settled, clock, deadline_s=1)
    assert report.differences == []
    assert report.open_orders + report.changed_since == len(engine.open_orders())


@pytest.mark.parametrize("field", ["balances", "open_orders"])
def test_what_the_engine_has_more_or_less_is_named(settled: Store, clock: FakeClock, field: str) -> None:
    rows = STATE[field]
    shorter = {**STATE, field: rows[1:]}
    name = f"balance {rows[0][0]}:{rows[0][1]}" if field == "balances" else f"order {rows[0][0]}"
    assert told(settled, clock, shorter) == [name]
    place = 2 if field == "balances" else 6
    changed = [*rows[0][:place], rows[0][place] + 1, *rows[0][place + 1 :]]
    assert told(settled, clock, {**STATE, field: [changed, *rows[1:]]}) == [name]
    assert len(told(settled, clock, {**STATE, field: [*rows, [10**9, *rows[0][1:]]]})) == 1


def test_a_changed_balance_and_a_changed_order_of_the_store_are_named(settled: Store, clock: FakeClock) -> None:
    order_id = STATE["open_orders"][0][0]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE balances SET locked = locked + 1 WHERE account = 1 AND asset = 'BTC'")
        cursor.execute("UPDATE orders SET remaining = remaining + 1 WHERE order_id = %s", [order_id])
    assert sorted(told(settled, clock)) == ["balance 1:BTC", f"order {order_id}"]


def test_another_chain_is_named(settled: Store, clock: FakeClock) -> None:
    assert told(settled, clock, {**STATE, "state_hash": "0" * 16}) == [f"block {LAST}"]


def test_it_waits_for_the_projection(settled: Store, clock: FakeClock) -> None:
    behind = iter([Checkpoint(LAST - 2, 0, 1)] * 3)
    projected = settled.projected
    settled.projected = lambda: next(behind, None) or projected()  # type: ignore[method-assign]
    assert told(settled, clock) == []


def test_a_projection_that_does_not_come_is_told(settled: Store, clock: FakeClock) -> None:
    with pytest.raises(NotReady, match="is settlement running"):
        told(settled, clock, {**STATE, "block": LAST + 1})


def test_every_run_is_recorded(settled: Store, clock: FakeClock) -> None:
    reconciliation.recorded(lambda: STATE, settled, clock, 1)
    reconciliation.recorded(lambda: {**STATE, "balances": STATE["balances"][1:]}, settled, clock, 1)
    worse, good = ReconciliationRun.objects.all()
    assert (good.ok, good.block_number, good.difference_count) == (True, LAST, 0)
    assert (worse.ok, worse.difference_count) == (False, 1)
    assert worse.report["differences"][0]["what"] == "balance"
