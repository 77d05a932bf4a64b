"""Loads the rows of projected blocks into StarRocks, batch by batch: the worker of `manage.py run_analytics`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import structlog

from analytics.errors import StarRocksUnavailable
from analytics.starrocks.progress import Progress, ProgressFile
from analytics.starrocks.transactions import Row, Transactions
from analytics.tables import ARCHIVED, ORDERS, reference_rows
from archive.days import day_of_ns
from archive.store_rows import block_batches, ledger_events_of, touched_orders, trades_of
from matching.core.blocks import Block
from matching.core.codes import CommandKind
from settlement.lookups import registry_of
from settlement.stores.base import Store, StoredBlock, StoreUnavailable, Trade

log = structlog.get_logger(__name__)

_ROWS_A_LOAD = 20_000
_IDLE_S = 1.0
_WAITS_S = (1.0, 2.0, 5.0, 15.0, 30.0)
_TRADING_DAYS_COLUMNS = "day, shard, symbol, account, low, high, last_trade_id, traders=to_bitmap(account)"
_DEFINING = (CommandKind.ASSET, CommandKind.INSTRUMENT)


class Status(NamedTuple):
    loaded_block: int
    projected_block: int
    is_up: bool
    error: str = ""


class Services(NamedTuple):
    """What a run needs. `wait` waits for some seconds, or until the run is stopped."""

    store: Store
    transactions: Transactions
    progress: ProgressFile
    stop: Callable[[], bool]
    wait: Callable[[float], object]
    report: Callable[[Status], object] = lambda status: None
    on_rows: Callable[[str, int], object] = lambda table, count: None


def run(services: Services, *, is_once: bool = False) -> int:
    """Loads until it is stopped; `is_once`: until all projected blocks are loaded. Returns the number of blocks.

    What does not answer is asked again; with `is_once` it ends the run. Raises StarRocksRefused, StoreError, OSError;
    with `is_once` also StarRocksUnavailable.
    """
    count = failures = 0
    while not services.stop():
        try:
            done = load_batch(services)
        except (StarRocksUnavailable, StoreUnavailable) as error:
            if is_once:
                raise
            wait_s = _WAITS_S[min(failures, len(_WAITS_S) - 1)]
            failures += 1
            log.warning("analytics.load_failed", error=str(error), attempt=failures, wait_s=wait_s)
            services.report(Status(services.progress.read().next_block - 1, 0, False, str(error)))
            services.wait(wait_s)
            continue
        failures = 0
        count += done
        if done == 0:
            if is_once:
                break
            services.wait(_IDLE_S)
    return count


def load_batch(services: Services) -> int:
    """Loads the next blocks; returns their number, 0 if there are none.

    Blocks from the first dead letter on wait: their rows are missing. Raises StarRocksUnavailable, StarRocksRefused,
    StoreError, OSError.
    """
    progress = services.progress.read()
    projected = services.store.projected().block_number
    blocks = _next_blocks(services.store, progress, projected)
    if blocks:
        through = blocks[-1].number
        services.progress.write(progress._replace(through=through))
        for table, rows, columns in tables_of(services.store, blocks):
            for part, chunk in enumerate(_chunks(rows)):
                label = f"{progress.run}_{table}_{blocks[0].number}_{through}_{part}"
                services.transactions.load(label, table, chunk, columns)
                services.on_rows(table, len(chunk))
        progress = progress._replace(next_block=through + 1, through=0)
        services.progress.write(progress)
    services.report(Status(progress.next_block - 1, projected, True))
    return len(blocks)


def _next_blocks(store: Store, progress: Progress, projected: int) -> list[StoredBlock]:
    if progress.through:
        return list(store.blocks(progress.next_block, progress.through))
    rejected = min((letter.block_number for letter in store.dead_letters()), default=projected + 1)
    return next(block_batches(store, progress.next_block, min(projected, rejected - 1)), [])


def tables_of(store: Store, blocks: Sequence[StoredBlock]) -> Iterator[tuple[str, Iterator[Row], str]]:
    """The rows of each table that these blocks add or change, and the header `columns`.

    Reference data comes first, because views join it. Raises StoreDamaged, StoreError.
    """
    decoded = [Block.decode(block.data) for block in blocks]
    shard = decoded[0].shard
    if any(kind in _DEFINING for block in decoded for kind in block.commands["kind"].tolist()):
        for name, table in reference_rows(registry_of(store.definitions())).items():
            yield name, iter(table.to_pylist()), ""
    trades = trades_of(store, blocks)
    yield "trades", _forms("trades", trades, shard, "timestamp_ns"), ""
    yield "ledger_events", _forms("ledger_events", ledger_events_of(store, blocks), shard, "timestamp_ns"), ""
    orders = store.get_orders(touched_orders(blocks))
    yield ORDERS, _forms(ORDERS, orders, shard, "updated_at_ns"), ""
    yield "trading_days", _trading_days(trades, shard), _TRADING_DAYS_COLUMNS


def _forms(table: str, rows: Iterable[Any], shard: int, time: str) -> Iterator[Row]:
    names = [column.name for column in ARCHIVED[table].columns]
    for row in rows:
        day = day_of_ns(getattr(row, time)).isoformat()
        yield {"day": day, "shard": shard, **{name: getattr(row, name) for name in names}}


def _trading_days(trades: Iterable[Trade], shard: int) -> Iterator[Row]:
    for trade in trades:
        shared = {"day": day_of_ns(trade.timestamp_ns).isoformat(), "shard": shard, "symbol": trade.symbol}
        numbers = {"low": trade.price, "high": trade.price, "last_trade_id": trade.trade_id}
        for account in (trade.buyer, trade.seller):
            yield {**shared, **numbers, "account": account}


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, _ROWS_A_LOAD)):
        yield chunk
