"""The engine's live state against the store's balances and open orders, as both were at one block.

The store may have projected later blocks by the time it is asked. A balance's ledger tells what it was then; an order
that changed since is left to the next run (and counted), for its row holds its last state only.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from settlement.clock import Clock
from settlement.differences import Difference, Findings
from settlement.errors import NotReady
from settlement.models import ReconciliationRun
from settlement.stores.base import Balance, Order, Store

_ASK_AGAIN_S = 0.05


class Report(NamedTuple):
    ok: bool
    block: int
    state_hash: str  # the engine's
    balances: int  # compared
    open_orders: int  # compared
    changed_since: int  # orders that later blocks have changed: not compared
    difference_count: int
    differences: list[Difference]

    def form(self) -> dict[str, Any]:
        """The JSON document of `manage.py reconcile --json`."""
        return {**self._asdict(), "differences": [difference._asdict() for difference in self.differences]}


class _Held(NamedTuple):
    available: int
    locked: int


class _Open(NamedTuple):
    account: int
    symbol: str
    side: str
    price: int | None
    quantity: int | None
    remaining: int


def reconcile(state: Mapping[str, Any], store: Store, clock: Clock, deadline_s: float) -> Report:
    """Compares a state as `matching.client.Client.state` gives it: block, state_hash, balances, open_orders in units.

    Raises NotReady when the store does not project that block within `deadline_s`, and StoreError.
    """
    number = int(state["block"])
    _wait_for_projection(store, number, clock, deadline_s)
    findings = Findings()
    block = store.get_block(number)
    last_event = block.last_event_sequence if block else 0
    if number and (block is None or f"{block.hash:016x}" != state["state_hash"]):
        found = f"hash {block.hash:016x}" if block else None
        findings.add("block", number, f"hash {state['state_hash']}", found)
    balances = _compare_balances(state, store, last_event, findings)
    orders, changed_since = _compare_orders(state, store, last_event, findings)
    return Report(
        ok=not findings.count,
        block=number,
        state_hash=state["state_hash"],
        balances=balances,
        open_orders=orders,
        changed_since=changed_since,
        difference_count=findings.count,
        differences=findings.kept,
    )


def recorded(ask: Callable[[], Mapping[str, Any]], store: Store, clock: Clock, deadline_s: float) -> Report:
    """Asks the engine, compares, and keeps the report in the table of reconciliation runs."""
    started_at = datetime.fromtimestamp(clock.time_ns() / 10**9, UTC)
    report = reconcile(ask(), store, clock, deadline_s)
    ReconciliationRun.objects.create(
        started_at=started_at,
        block_number=report.block,
        state_hash=report.state_hash,
        ok=report.ok,
        difference_count=report.difference_count,
        report=json.loads(json.dumps(report.form())),
    )
    return report


def _wait_for_projection(store: Store, number: int, clock: Clock, deadline_s: float) -> None:
    deadline = clock.monotonic() + deadline_s
    while (projected := store.projected().block_number) < number:
        if clock.monotonic() >= deadline:
            raise NotReady(
                f"The engine is at block {number}, the store is projected to block {projected} and does not get "
                f"further within {deadline_s:g} s: is settlement running?"
            )
        clock.sleep(_ASK_AGAIN_S)


def _compare_balances(state: Mapping[str, Any], store: Store, last_event: int, findings: Findings) -> int:
    wanted = {(account, asset): _Held(available, locked) for account, asset, available, locked in state["balances"]}
    count = len(wanted)
    for row in store.balances():
        held = _as_of(row, store, last_event)
        key = (row.account, row.asset)
        findings.compare_row("balance", f"{key[0]}:{key[1]}", wanted.pop(key, _Held(0, 0)), held)
    for (account, asset), held in wanted.items():
        findings.compare_row("balance", f"{account}:{asset}", held, None)
    return count


def _as_of(row: Balance, store: Store, last_event: int) -> _Held:
    """The balance after `last_event`: the row's, or that of its newest ledger entry up to there."""
    if row.sequence <= last_event:
        return _Held(row.available, row.locked)
    before = (last_event + 1, 0)
    entries = store.get_ledger_events_by_account(row.account, 1, asset=row.asset, before=before)
    return _Held(entries[0].available_after, entries[0].locked_after) if entries else _Held(0, 0)


def _compare_orders(state: Mapping[str, Any], store: Store, last_event: int, findings: Findings) -> tuple[int, int]:
    """How many open orders of the engine were compared, and how many had changed since."""
    wanted = {order_id: _Open(*fields) for order_id, *fields in state["open_orders"]}
    changed_since = 0
    ids = list(wanted)
    rows = {order.order_id: order for order in store.get_orders(ids)}
    for order_id, order in wanted.items():
        row = rows.get(order_id)
        if row is not None and row.updated_sequence > last_event:
            changed_since += 1
        else:
            findings.compare_row("order", order_id, order, _open(row))
    for row in store.open_orders():
        if row.order_id not in wanted and row.updated_sequence <= last_event:
            findings.compare_row("order", row.order_id, None, _open(row))
    return len(wanted) - changed_since, changed_since


def _open(row: Order | None) -> _Open | None:
    """None also for an order that is open no more."""
    if row is None or row.status != "open":
        return None
    return _Open(row.account, row.symbol, row.side, row.price, row.quantity, row.remaining)
