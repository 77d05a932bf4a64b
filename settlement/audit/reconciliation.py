"""Compares the engine's live balances, open orders and account settings with the store's, both at the same block.

The store may have projected later blocks meanwhile. The ledger has the earlier value of a balance. An order that has
changed since is counted but not compared, because its row has only the latest state. A setting that has changed since
is not compared either.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from matching.client.client import Client
from matching.commandline.own_keys import SETTLEMENT_KEY, network_of
from matching.core.errors import MatchingError
from matching.core.hashes import hash_text
from settlement.alarms import records
from settlement.audit.differences import Difference, Findings
from settlement.audit.waiting import await_projection
from settlement.clock import Clock, SystemClock
from settlement.errors import NotReady, SettlementError
from settlement.models import ReconciliationRun
from settlement.project.rebuilding import refuse_if_dropped
from settlement.stores.base import OPEN_STATUSES, AccountSetting, Balance, Order, Store, StoreError

MAX_STORED_DIFFERENCES = 100
"""Maximum number of differences that are stored of one run; further ones are only counted."""
MAX_RUNS_WITHOUT_DIFFERENCES = 10_000
"""About a week of one run per minute. Runs with differences are kept forever."""

Source = Literal["command", "schedule", "operator"]


class Report(NamedTuple):
    ok: bool
    block: int
    state_hash: str  # the engine's
    balances: int  # compared
    open_orders: int  # compared, those that wait for their trigger included
    account_settings: int  # compared
    changed_since: int  # orders that later blocks have changed, which are not compared
    difference_count: int
    differences: list[Difference]

    def form(self) -> dict[str, Any]:
        """The JSON document of `manage.py reconcile --json`."""
        return {**self._asdict(), "differences": [difference._asdict() for difference in self.differences]}


class _Held(NamedTuple):
    available: int
    locked: int


class _Open(NamedTuple):
    """An order in the book, or one that waits for its trigger."""

    status: str
    account: int
    symbol: str
    side: str
    price: int | None
    quantity: int | None
    remaining: int
    order_type: str | None = None  # of an order that waits
    trigger_price: int | None = None


class _Setting(NamedTuple):
    status: str | None
    maker_fee: int | None
    taker_fee: int | None


def reconcile(state: Mapping[str, Any], store: Store, clock: Clock, deadline_s: float) -> Report:
    """Compares a state from `matching.client.Client.state` (`matching.node.status.state_of`).

    Raises NotReady if the store does not project that block within `deadline_s`, or drops it before it is compared;
    StoreError.
    """
    number = int(state["block"])
    _wait_for_projection(store, number, clock, deadline_s)
    findings = Findings()
    block = store.get_block(number)
    last_event = block.last_event_sequence if block else 0
    if number and (block is None or hash_text(block.hash) != state["state_hash"]):
        found = f"hash {hash_text(block.hash)}" if block else None
        findings.add("block", number, f"hash {state['state_hash']}", found)
    balances = _compare_balances(state, store, last_event, findings)
    orders, changed_since = _compare_orders(state, store, last_event, findings)
    settings = _compare_settings(state, store, last_event, findings)
    if findings.count:
        refuse_if_dropped(store, number)
    return Report(
        ok=not findings.count,
        block=number,
        state_hash=state["state_hash"],
        balances=balances,
        open_orders=orders,
        account_settings=settings,
        changed_since=changed_since,
        difference_count=findings.count,
        differences=findings.kept,
    )


def run(address: str, open_store: Callable[[], Store], deadline_s: float, source: Source) -> Report:
    """`reconcile_and_store` for the engine at `address`; waits up to `deadline_s` for the engine and for the store."""

    def ask() -> dict[str, Any]:
        with Client(address, timeout_s=deadline_s, make_network=network_of(SETTLEMENT_KEY)) as client:
            return client.state()

    return reconcile_and_store(ask, open_store, clock=SystemClock(), deadline_s=deadline_s, source=source)


def reconcile_and_store(
    ask: Callable[[], Mapping[str, Any]],
    open_store: Callable[[], Store],
    *,
    clock: Clock,
    deadline_s: float,
    source: Source,
) -> Report:
    """Gets the engine's state, compares it, stores the run (also a failed one) and updates the alarm.

    Raises SettlementError, StoreError and MatchingError, after the failed run is stored.
    """
    row = ReconciliationRun(started_at=_now(clock), source=source, block_number=0, difference_count=0, ok=False)
    row.report = {}
    try:
        store = open_store()
        store.connect()  # first: without a store the engine's state is of no use
        report = reconcile(ask(), store, clock, deadline_s)
    except (SettlementError, StoreError, MatchingError) as error:
        row.error = str(error)
        _store_run(row, clock)
        raise
    row.block_number, row.state_hash, row.ok = report.block, report.state_hash, report.ok
    row.difference_count = report.difference_count
    row.report = json.loads(json.dumps(report._replace(differences=report.differences[:MAX_STORED_DIFFERENCES]).form()))
    _store_run(row, clock)
    return report


def delete_old_runs() -> int:
    """Deletes runs without differences except the newest; returns how many."""
    runs = ReconciliationRun.objects
    newest_first = runs.order_by("-id").values_list("id", flat=True)
    last = newest_first[MAX_RUNS_WITHOUT_DIFFERENCES : MAX_RUNS_WITHOUT_DIFFERENCES + 1].first()
    return runs.filter(difference_count=0, id__lte=last or 0).delete()[0]


def _store_run(row: ReconciliationRun, clock: Clock) -> None:
    with records.logging_database_errors("reconciliation"):
        row.save()
        records.update_reconciliation_alarm(_now(clock))


def _now(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.time_ns() / 10**9, UTC)


def _wait_for_projection(store: Store, number: int, clock: Clock, deadline_s: float) -> None:
    projected = await_projection(store, number, clock, deadline_s)
    if projected < number:
        raise NotReady(
            f"The engine is at block {number}, but the store is projected only to block {projected} after "
            f"{deadline_s:g} s: check that settlement is running."
        )


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
    """The balance after `last_event`, from the row or from the newest ledger entry up to that event."""
    if row.sequence <= last_event:
        return _Held(row.available, row.locked)
    before = (last_event + 1, 0)
    entries = store.get_ledger_events_by_account(row.account, 1, asset=row.asset, before=before)
    return _Held(entries[0].available_after, entries[0].locked_after) if entries else _Held(0, 0)


def _compare_orders(state: Mapping[str, Any], store: Store, last_event: int, findings: Findings) -> tuple[int, int]:
    """Returns the number of the engine's open orders that were compared, and of those that have changed since."""
    wanted = {order_id: _Open("open", *fields[:6]) for order_id, *fields in state["open_orders"]}
    wanted |= {order_id: _waiting(*fields) for order_id, *fields in state["pending_orders"]}
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
    """None also for an order that is no longer open."""
    if row is None or row.status not in OPEN_STATUSES:
        return None
    found = _Open(row.status, row.account, row.symbol, row.side, row.price, row.quantity, row.remaining)
    is_waiting = row.status == "waiting"
    return found._replace(order_type=row.order_type, trigger_price=row.trigger_price) if is_waiting else found


def _waiting(
    account: int, symbol: str, side: str, order_type: str, trigger_price: int, price: int | None, quantity: int
) -> _Open:
    """A row of `Engine.pending_orders`."""
    return _Open("waiting", account, symbol, side, price, quantity, quantity, order_type, trigger_price)


def _compare_settings(state: Mapping[str, Any], store: Store, last_event: int, findings: Findings) -> int:
    """Returns the number of the engine's settings."""
    wanted = {tuple(row[:3]): _Setting(*row[3:]) for row in state["account_settings"]}
    count = len(wanted)
    for row in store.account_settings():
        setting = wanted.pop((row.account, row.kind, row.symbol), None)
        if row.sequence <= last_event:
            key = f"{row.account}:{row.kind}:{row.symbol}"
            findings.compare_row("account setting", key, setting, _in_force(row))
    for fields, setting in wanted.items():
        findings.compare_row("account setting", ":".join(map(str, fields)), setting, None)
    return count


def _in_force(row: AccountSetting) -> _Setting | None:
    """None for what every account has unless it is set."""
    if row.status == "active" or (row.kind == "fees" and row.maker_fee is None):
        return None
    return _Setting(row.status, row.maker_fee, row.taker_fee)
