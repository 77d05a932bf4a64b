"""Random orders of a few accounts in two instruments, over some days, and the figures of plain Python about them."""

import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from analytics.period import Period
from matching.core.registry import Instrument
from matching.workloads.btc_usd import DEFINITIONS, instrument
from settlement.lookups import registry_of
from settlement.stores.base import Order, Store, Trade
from tests.settlement.chains import deposit

ETH: dict[str, Any] = {"command": "asset", "symbol": "ETH", "decimals": 6}
ACCOUNTS = range(1, 7)
Row = tuple[Any, ...]
_HOUR_NS = 3600 * 10**9


def random_commands(random_: random.Random, count: int) -> Iterator[dict[str, Any]]:
    """Accounts often meet themselves, so that self-trade prevention cancels orders."""
    yield from [*DEFINITIONS, ETH, {**instrument("ETH"), "lot_size": "0.001", "min_quantity": "0.001"}]
    for account in ACCOUNTS:
        for asset, amount in (("BTC", "1000"), ("ETH", "10000"), ("USD", "100000000")):
            yield deposit(account, asset, amount, f"{asset}-{account}")
    for number in range(count):
        yield {
            "command": "order",
            "account": random_.choice(ACCOUNTS),
            "symbol": random_.choice(["BTC-USD", "ETH-USD"]),
            "side": random_.choice(["buy", "sell"]),
            "order_type": "limit",
            "price": f"{random_.randint(19_990, 20_010)}.{random_.randint(0, 99):02}",
            "quantity": f"{random_.randint(1, 40)}.{random_.randint(0, 999):03}",
            "time_in_force": random_.choice(["gtc", "gtc", "gtc", "ioc", "fok"]),
            "self_trade_prevention": random_.choice(["none", "expire_taker", "expire_maker", "expire_both"]),
            "client_order_id": f"order {number}",
        }


class Facts(NamedTuple):
    """What the store has of a period."""

    trades: list[Trade]  # of the period
    placed: list[Order]  # placed in the period
    changed: list[Order]  # last changed in the period
    instruments: dict[str, Instrument]
    bucket_ns: int
    account: int

    def bucket(self, timestamp_ns: int) -> int:
        return timestamp_ns // self.bucket_ns * self.bucket_ns

    def amount(self, trade: Trade) -> int:
        """Quote units."""
        return trade.price * trade.quantity * self.instruments[trade.symbol].quote_unit


def facts(store: Store, period: Period, bucket_ns: int, account: int) -> Facts:
    def is_in(timestamp_ns: int) -> bool:
        return period.from_ns <= timestamp_ns < period.to_ns

    orders = store.get_orders_by_sequence_range(0, 1 << 62, 1_000_000)
    return Facts(
        trades=[one for one in store.get_trades_by_sequence_range(0, 1 << 62, 1_000_000) if is_in(one.timestamp_ns)],
        placed=[order for order in orders if is_in(order.placed_at_ns)],
        changed=[order for order in orders if is_in(order.updated_at_ns)],
        instruments=dict(registry_of(store.definitions()).instrument_by_symbol),
        bucket_ns=bucket_ns,
        account=account,
    )


def _sides(trade: Trade) -> tuple[int, int]:
    """(maker, taker)"""
    return (trade.seller, trade.buyer) if trade.taker_side == "buy" else (trade.buyer, trade.seller)


def volume(known: Facts) -> list[Row]:
    sums: dict[Row, list[int]] = defaultdict(lambda: [0, 0, 0])
    for trade in known.trades:
        for place, value in enumerate((1, trade.quantity, known.amount(trade))):
            sums[known.bucket(trade.timestamp_ns), trade.symbol][place] += value
    return [(*key, *values) for key, values in sorted(sums.items())]


def fees(known: Facts) -> list[Row]:
    base: Counter[Row] = Counter()
    quote: Counter[Row] = Counter()
    for trade in known.trades:
        key = known.bucket(trade.timestamp_ns), trade.symbol
        base[key] += trade.buyer_fee
        quote[key] += trade.seller_fee
    return [(*key, *key[1].split("-"), base[key], quote[key]) for key in sorted(base)]


def spread(known: Facts) -> list[Row]:
    found = []
    for key in sorted({(known.bucket(trade.timestamp_ns), trade.symbol) for trade in known.trades}):
        mine = [trade for trade in known.trades if (known.bucket(trade.timestamp_ns), trade.symbol) == key]
        prices, lots = [], []
        for side in ("buy", "sell"):
            of_side = [trade for trade in mine if trade.taker_side == side]
            lots.append(sum(trade.quantity for trade in of_side))
            paid = sum(trade.price * trade.quantity for trade in of_side)
            prices.append(paid / lots[-1] if lots[-1] else None)
        bought, sold = prices
        found.append((*key, *lots, None if bought is None or sold is None else bought - sold))
    return found


def active_accounts(known: Facts) -> list[Row]:
    traders: dict[int, set[int]] = defaultdict(set)
    placers: dict[int, set[int]] = defaultdict(set)
    for trade in known.trades:
        traders[known.bucket(trade.timestamp_ns)] |= {trade.buyer, trade.seller}
    for order in known.placed:
        placers[known.bucket(order.placed_at_ns)].add(order.account)
    return [(bucket, len(traders[bucket]), len(placers[bucket])) for bucket in sorted({*traders, *placers})]


def order_to_trade(known: Facts) -> list[Row]:
    orders = Counter((known.bucket(order.placed_at_ns), order.symbol) for order in known.placed)
    trades = Counter((known.bucket(trade.timestamp_ns), trade.symbol) for trade in known.trades)
    return [
        (*key, orders[key], trades[key], orders[key] / trades[key] if trades[key] else None)
        for key in sorted({*orders, *trades})
    ]


def maker_taker(known: Facts) -> list[Row]:
    lots: dict[Row, list[int]] = defaultdict(lambda: [0, 0])
    for trade in known.trades:
        for place, account in enumerate(_sides(trade)):
            lots[known.bucket(trade.timestamp_ns), trade.symbol, account][place] += trade.quantity
    return [(*key, made, took, took / (made + took)) for key, (made, took) in sorted(lots.items())]


def self_trades_prevented(known: Facts) -> list[Row]:
    found: dict[Row, list[int]] = defaultdict(list)
    for order in known.changed:
        if order.reason == "self_trade":
            found[known.bucket(order.updated_at_ns), order.symbol].append(order.account)
    return [(*key, len(accounts), len(set(accounts))) for key, accounts in sorted(found.items())]


def account_profit(known: Facts) -> list[Row]:
    base: Counter[str] = Counter()
    quote: Counter[str] = Counter()
    last_price: dict[Row, int] = {}
    rows: dict[Row, Row] = {}
    for trade in known.trades:
        last_price[known.bucket(trade.timestamp_ns), trade.symbol] = trade.price
    for trade in known.trades:
        unit = known.instruments[trade.symbol]
        if trade.buyer == known.account:
            base[trade.symbol] += trade.quantity * unit.lot_units - trade.buyer_fee
            quote[trade.symbol] -= known.amount(trade)
        if trade.seller == known.account:
            base[trade.symbol] -= trade.quantity * unit.lot_units
            quote[trade.symbol] += known.amount(trade) - trade.seller_fee
        if known.account in (trade.buyer, trade.seller):
            key = known.bucket(trade.timestamp_ns), trade.symbol
            worth = base[trade.symbol] * last_price[key] * unit.quote_unit
            value = abs(worth) // unit.lot_units * (1 if worth > 0 else -1)  # truncated
            rows[key] = (base[trade.symbol], quote[trade.symbol], last_price[key], quote[trade.symbol] + value)
    return [(*key, *values) for key, values in sorted(rows.items())]


def top_accounts(known: Facts) -> list[Row]:
    sums: Counter[int] = Counter()
    counts: Counter[int] = Counter()
    for trade in known.trades:
        for account in (trade.buyer, trade.seller):
            sums[account] += known.amount(trade)
            counts[account] += 1
    ranked = sorted(sums, key=lambda account: (-sums[account], account))
    return [(place, "USD", one, counts[one], sums[one]) for place, one in enumerate(ranked[:20], 1)]


def market_quality(known: Facts) -> list[Row]:
    found = []
    symbols = {trade.symbol for trade in known.trades} | {order.symbol for order in known.changed}
    for symbol in sorted(symbols):
        trades = [trade for trade in known.trades if trade.symbol == symbol]
        ended = [order for order in known.changed if order.symbol == symbol]
        filled = [order for order in ended if order.status == "filled"]
        cancelled = sum(order.status == "cancelled" for order in ended)
        times = [(order.updated_at_ns - order.placed_at_ns) / 10**6 for order in filled]
        prices = [trade.price for trade in trades]
        found.append(
            (
                symbol,
                len(trades) or None,
                min(prices, default=None),
                max(prices, default=None),
                statistics.median(trade.quantity for trade in trades) if trades else None,
                len({_sides(trade)[0] for trade in trades}) or None,
                len(filled) if ended else None,
                cancelled if ended else None,
                cancelled / (len(filled) + cancelled) if filled or cancelled else None,
                statistics.median(times) if times else None,
            )
        )
    return found


def heat_map(known: Facts) -> list[Row]:
    trades: Counter[Row] = Counter()
    accounts: dict[Row, set[int]] = defaultdict(set)
    for trade in known.trades:
        hours = trade.timestamp_ns // _HOUR_NS
        key = (hours // 24 + 3) % 7, hours % 24  # 1970-01-01 was a Thursday
        trades[key] += 1
        accounts[key] |= {trade.buyer, trade.seller}
    return [(*key, trades[key], len(accounts[key])) for key in sorted(trades)]


FIGURES: dict[str, Callable[[Facts], list[Row]]] = {
    figure.__name__: figure
    for figure in (
        account_profit,
        active_accounts,
        fees,
        heat_map,
        maker_taker,
        market_quality,
        order_to_trade,
        self_trades_prevented,
        spread,
        top_accounts,
        volume,
    )
}
