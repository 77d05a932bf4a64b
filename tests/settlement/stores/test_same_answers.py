"""The same blocks settled into two stores: every lookup and every command answers the same, to the byte."""

import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from io import StringIO
from itertools import product, zip_longest
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from settlement import lookups, wiring
from settlement.project.columns.trades import day_of
from settlement.stores.base import Store
from settlement.stores.sql.store import SqlStore
from tests.reference.streams import FAR_ACCOUNT, random_commands
from tests.settlement.chains import chain_of
from tests.settlement.conftest import STORES, Settle, restarted, tables
from tests.settlement.fakes import FakeClock, feed_of
from tests.settlement.rows import MOST

ON_THE_OTHERS = pytest.mark.parametrize("store", [name for name in STORES if name != "sql"], indirect=True)

BLOCKS = chain_of(random_commands(11, 240, instruments=2, accounts=6, wild=False), block_size=9).blocks
LAST_EVENT = BLOCKS[-1].first_event_sequence + len(BLOCKS[-1].events) - 1
LIMITS = (7, 1000)
KEYS = (-1, 0, LAST_EVENT // 2, LAST_EVENT + 1, MOST, 10**30)

SMALL = {
    "BLOCKS_PER_BUCKET": 4,
    "BUCKET_SIZE": 20,
    "SLICE_SIZE": 10,
    "ACCOUNTS_PER_BUCKET": 2,
    "PART_SIZE": 100,
    "_BITS": 2,
    "PAGE": 7,
    "FIRST_PAGE": 2,
    "BLOCK_PAGE": 3,
    "KEYS_PER_STATEMENT": 5,
    "_MIN_ENTRIES": 2,
}
"""Partitions, nodes of indexes and pages, so small that some hundred events lie in many. No table knows the sizes."""
assert 2 * SMALL["PART_SIZE"] < LAST_EVENT

NO_NAME = "NOT-THERE"
DAYS = sorted({day_of(block.timestamp_ns) for block in BLOCKS})


@pytest.fixture
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the stores have them, or those that are given, in every module that knows one."""
    given: dict[str, int] = getattr(request, "param", {})
    stores = [module for name, module in sys.modules.items() if name.startswith("settlement.stores.")]
    for name, size in given.items():
        knowing = [module for module in stores if name in vars(module)]
        assert knowing, name
        for module in knowing:
            monkeypatch.setattr(module, name, size)


@pytest.fixture
def both(sizes: None, store: Store, settle: Settle, clock: FakeClock, folder: Path) -> tuple[Store, Store]:
    """The SQL store and another one, opened by a process that has not written them."""
    plain = SqlStore()
    for one in (plain, store):
        settle(one, feed_of(clock, BLOCKS))
        shutil.rmtree(folder)
        folder.mkdir()
    return plain, restarted(store)


def walked(page: Callable[..., list[Any]], key: Callable[[Any], Any]) -> Iterator[list[Any]]:
    """Page after page, each before the last row of the one that came first."""
    start = None
    while found := page(before=start):
        yield found
        start = key(found[-1])


def of_trades(store: Store, symbols: list[Any]) -> Iterator[Any]:
    yield from map(store.get_trade_by_id, (*range(LAST_EVENT + 2), *KEYS))
    for symbol, low, high in product(symbols, KEYS, KEYS):
        yield store.newest_trades(7, before=high, after=low, symbol=symbol)
        yield store.get_trades_by_sequence_range(low, high, 7, symbol)
    for symbol, limit in product(symbols, LIMITS):
        yield from walked(partial(store.newest_trades, limit, symbol=symbol), attrgetter("trade_id"))
    yield from map(store.trading_day, (date(1970, 1, 1), *DAYS))


def of_orders(store: Store, symbols: list[Any]) -> Iterator[Any]:
    yield sorted(store.get_orders([*range(LAST_EVENT), *KEYS]), key=attrgetter("order_id"))
    yield list(store.open_orders())
    for low, high in product(KEYS, KEYS):
        yield store.get_orders_by_sequence_range(low, high, 7)
    for symbol, limit in product(symbols, LIMITS):
        yield from walked(partial(store.newest_orders, limit, symbol=symbol), attrgetter("order_id"))


def of_accounts(store: Store, assets: list[Any]) -> Iterator[Any]:
    for account, limit in product((*range(8), FAR_ACCOUNT, *KEYS), LIMITS):
        yield store.balances_of(account)
        yield from walked(partial(store.get_trades_by_account, account, limit), attrgetter("trade_id"))
        yield from walked(partial(store.get_orders_by_account, account, limit), attrgetter("order_id"))
        for asset in assets:
            ledger = partial(store.get_ledger_events_by_account, account, limit, asset=asset)
            yield from walked(ledger, attrgetter("event_sequence", "leg"))
    for account, asset, event in product((*range(8), FAR_ACCOUNT, *KEYS), assets, (*range(0, LAST_EVENT, 9), *KEYS)):
        yield store.newest_ledger_events(account, event, asset=asset)
    for low, high in product(KEYS, KEYS):
        yield store.get_ledger_events(low, high)
        yield store.get_transfers_by_sequence_range(low, high)
    for limit in LIMITS:
        yield from walked(partial(_balances, store, limit), attrgetter("account", "asset"))


def of_accounts_in_instruments(store: Store, named: list[Any]) -> Iterator[Any]:
    middle = LAST_EVENT // 2
    for account, symbol, limit in product((*range(4), FAR_ACCOUNT, -1, 10**30), named, (3, 1000)):
        trades = partial(store.get_trades_by_account, account, limit, symbol=symbol)
        yield from walked(trades, attrgetter("trade_id"))
        orders = partial(store.get_orders_by_account, account, limit, symbol=symbol)
        yield from walked(orders, attrgetter("order_id"))
        for low, high in ((-1, 10**30), (0, middle), (middle, MOST), (MOST, 0)):
            yield store.get_trades_by_account_range(account, symbol, first=low, last=high, limit=limit)
            yield store.get_orders_by_account_range(account, symbol, first=low, last=high, limit=limit)
    named_orders = [order for order in store.get_orders(range(LAST_EVENT)) if order.client_order_id is not None]
    names = sorted({(order.account, order.client_order_id or "") for order in named_orders})
    assert len(names) > 10
    for account, name in (*names, (0, NO_NAME), (-1, NO_NAME), (10**30, NO_NAME)):
        yield store.get_orders_by_client_order_id(account, name, 1)
        yield store.get_orders_by_client_order_id(account, name, 100)


def _balances(store: Store, limit: int, before: Any) -> list[Any]:
    """They alone are read upwards."""
    return list(store.balances(before, limit))


def of_blocks(store: Store) -> Iterator[Any]:
    for number in (*range(len(BLOCKS) + 2), *KEYS):
        yield [store.get_block(number), store.block_of_event(number)]
    for limit in LIMITS:
        yield from walked(partial(store.newest_blocks, limit), attrgetter("number"))
    yield from (list(store.blocks(low, high)) for low, high in product(KEYS, KEYS))
    yield [store.appended(), store.projected(), store.projecting(), store.epochs(), store.definitions()]


@ON_THE_OTHERS
@pytest.mark.parametrize("sizes", [{}, SMALL], indirect=True, ids=["one bucket", "many buckets"])
def test_every_lookup_finds_the_same_rows_in_the_same_order(both: tuple[Store, Store]) -> None:
    plain, other = both
    assert tables(other) == tables(plain)
    registry = lookups.registry_of(plain.definitions())
    named = [NO_NAME, *registry.instrument_by_symbol]
    symbols = [None, *named]
    assets = [None, NO_NAME, *registry.asset_by_symbol]
    asked: tuple[tuple[Callable[..., Iterator[Any]], list[Any]], ...] = (
        (of_trades, [symbols]),
        (of_orders, [symbols]),
        (of_accounts, [assets]),
        (of_accounts_in_instruments, [named]),
        (of_blocks, []),
    )
    for ask, names in asked:
        answers = ask(plain, *names), ask(other, *names)
        for place, (one, two) in enumerate(zip_longest(*answers)):
            assert one == two, (ask, place)
    for symbol, limit in product(named, LIMITS):
        assert plain.candles(symbol, limit) == other.candles(symbol, limit)


@ON_THE_OTHERS
def test_commands_print_the_same_bytes(both: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    def printed(store: Store, *words: object) -> str:
        monkeypatch.setattr(wiring, "store", lambda: store)
        out = StringIO()
        call_command(*map(str, words), stdout=out)
        return out.getvalue()

    trades = list(lookups.trades_between(both[0], 0, MOST))
    assert len(trades) > 20
    everything = "list_trades", "--from-sequence", 0, "--to-sequence", MOST
    some = "list_trades", "--from-sequence", trades[9].trade_id, "--to-sequence", trades[19].trade_id
    for command in (everything, some, *(("get_trade", trade.trade_id) for trade in trades)):
        for form in ((), ("--json",)):
            plain, other = (printed(store, *command, *form) for store in both)
            assert plain == other
            assert plain
