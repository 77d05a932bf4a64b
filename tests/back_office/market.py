"""A small market, written through the store interface: two instruments, some accounts, many trades."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import xxhash

from matching.core.codes import CommandKind, EventKind, Side
from matching.core.reading.event_rows import EventRow
from matching.core.registry import Registry, canonical
from matching.workloads.btc_usd import BTC, BTC_USD, USD, instrument
from settlement.stores.base import (
    AccountSetting,
    Balance,
    Candle,
    Checkpoint,
    Definition,
    LedgerEvent,
    Order,
    Projection,
    Store,
    StoredBlock,
    Trade,
    TradingDay,
    Transfer,
)
from tests.ledger.row_by_row import Funds, apply_legs, legs
from tests.settlement.chains import Chain

MINUTE_NS = 60_000_000_000
EMPTY_BLOCK = Chain().end_block().data
"""The bytes of every block, because no page shows them. They can be read, and have no events."""


DEFINITIONS: list[tuple[CommandKind, dict[str, object]]] = [
    (CommandKind.ASSET, BTC),
    (CommandKind.ASSET, {**BTC, "symbol": "ETH"}),
    (CommandKind.ASSET, USD),
    (CommandKind.INSTRUMENT, BTC_USD),
    (CommandKind.INSTRUMENT, instrument("ETH")),
]


@dataclass
class Market:
    """Each call adds commands with their events; `settle` closes the block and writes them."""

    store: Store
    time_ns: int
    registry: Registry = field(default_factory=Registry)
    command: int = 0
    event: int = 0
    block: int = 0
    hash: int = 0
    prev_hash: int = 0
    first_command: int = 1
    first_event: int = 1
    funds: dict[tuple[int, str], Funds] = field(default_factory=dict)
    candles: dict[tuple[str, int], Candle] = field(default_factory=dict)
    transfers: list[Transfer] = field(default_factory=list)
    days: dict[str, TradingDay] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)
    settled: list[Trade] = field(default_factory=list)
    orders: dict[int, Order] = field(default_factory=dict)
    entries: list[LedgerEvent] = field(default_factory=list)
    definitions: list[Definition] = field(default_factory=list)
    settings: list[AccountSetting] = field(default_factory=list)
    touched: dict[tuple[int, str], Balance] = field(default_factory=dict)

    def open(self, accounts: int = 4) -> None:
        """Adds reference data, and deposits for accounts 1 to `accounts`."""
        self._define(DEFINITIONS)
        for account in range(1, accounts + 1):
            for asset, amount in (("BTC", 10**12), ("ETH", 10**13), ("USD", 10**16)):
                self.deposit(account, asset, amount)
        self.settle()

    def add_instruments(self, assets: Iterable[str]) -> None:
        """Adds assets, each with an instrument quoted in USD."""
        for asset in assets:
            definition: dict[str, object] = {"command": "asset", "symbol": asset, "decimals": 8}
            self._define([(CommandKind.ASSET, definition), (CommandKind.INSTRUMENT, instrument(asset))])

    def _define(self, definitions: Iterable[tuple[CommandKind, dict[str, object]]]) -> None:
        for kind, definition in definitions:
            self.command += 1
            self.event += 1
            text = canonical(definition)
            self.registry.apply(kind, text)
            self.definitions.append(Definition(self.event, kind, text))

    def deposit(self, account: int, asset: str, amount: int) -> None:
        self.command += 1
        asset_id = self.registry.asset_by_symbol[asset].id
        self._event(EventKind.DEPOSITED, instrument=asset_id, account=account, amount=amount)
        kind, reference = "deposit", f"tx-{self.event}"
        place = self.event, self.block + 1, self.time_ns
        self.transfers.append(Transfer(*place, account, asset, kind, amount, reference))

    def place(self, account: int, symbol: str, side: str, price: int, quantity: int) -> int:
        """Adds a resting limit order; returns its order_id."""
        self.command += 1
        instrument = self.registry.instrument_by_symbol[symbol]
        buys = side == "buy"
        locked = price * quantity * instrument.quote_unit if buys else quantity * instrument.lot_units
        self._event(
            EventKind.ORDER_ACCEPTED,
            side=Side.BUY if buys else Side.SELL,
            instrument=instrument.id,
            account=account,
            amount=locked,
        )
        self.orders[self.command] = Order(
            order_id=self.command,
            account=account,
            symbol=symbol,
            side=side,
            order_type="limit",
            time_in_force="gtc",
            post_only=False,
            self_trade_prevention="expire_taker",
            client_order_id=f"c-{self.command}",
            price=price,
            quantity=quantity,
            quote_quantity=None,
            filled=0,
            remaining=quantity,
            status="open",
            reason=None,
            placed_at_ns=self.time_ns,
            updated_at_ns=self.time_ns,
            updated_sequence=self.event,
        )
        return self.command

    def trade(self, symbol: str, price: int, quantity: int, maker: int, taker: int, taker_side: str = "buy") -> Trade:
        """Adds a maker order and a taker order that fill each other at the maker's price; fees of 1000 and 2000 ppm."""
        maker_id = self.place(maker, symbol, "sell" if taker_side == "buy" else "buy", price, quantity)
        taker_id = self.place(taker, symbol, taker_side, price, quantity)
        instrument = self.registry.instrument_by_symbol[symbol]
        buyer, seller = (taker, maker) if taker_side == "buy" else (maker, taker)
        rates = (2000, 1000) if taker_side == "buy" else (1000, 2000)
        buyer_fee = quantity * instrument.lot_units * rates[0] // 1_000_000
        seller_fee = price * quantity * instrument.quote_unit * rates[1] // 1_000_000
        self._event(
            EventKind.TRADE,
            side=Side.BUY if taker_side == "buy" else Side.SELL,
            instrument=instrument.id,
            order_id=taker_id,
            account=taker,
            other_order_id=maker_id,
            other_account=maker,
            price=price,
            quantity=quantity,
            buyer_fee=buyer_fee,
            seller_fee=seller_fee,
        )
        for order_id in (maker_id, taker_id):
            self.orders[order_id] = self.orders[order_id]._replace(
                filled=quantity, remaining=0, status="filled", updated_sequence=self.event
            )
        trade = Trade(
            trade_id=self.event,
            block_number=self.block + 1,
            timestamp_ns=self.time_ns,
            symbol=symbol,
            price=price,
            quantity=quantity,
            taker_side=taker_side,
            maker_order_id=maker_id,
            taker_order_id=taker_id,
            buyer=buyer,
            seller=seller,
            buyer_fee=buyer_fee,
            seller_fee=seller_fee,
        )
        self.trades.append(trade)
        self._count(trade)
        return trade

    def settle(self) -> None:
        """Closes, appends and projects the block."""
        self.block += 1
        digest = xxhash.xxh3_64_intdigest(f"block {self.block}".encode())
        block = StoredBlock(
            number=self.block,
            hash=digest,
            prev_hash=self.hash,
            epoch=1,
            timestamp_ns=self.time_ns,
            first_command_sequence=self.first_command,
            last_command_sequence=self.command,
            first_event_sequence=self.first_event,
            last_event_sequence=self.event,
            trade_count=len(self.trades),
            data=EMPTY_BLOCK,
        )
        self.prev_hash, self.hash = self.hash, digest
        self.first_command, self.first_event = self.command + 1, self.event + 1
        self.store.append_blocks([block])
        self.store.insert_batch(
            Projection(
                checkpoint=Checkpoint(block.number, block.hash, block.epoch),
                trades=self.trades,
                orders=list(self.orders.values()),
                ledger_events=self.entries,
                balances=list(self.touched.values()),
                candles=[
                    candle for candle in self.candles.values() if candle.last_trade_id >= block.first_event_sequence
                ],
                days=list(self.days.values()),
                definitions=self.definitions,
                settings=self.settings,
                transfers=self.transfers,
            )
        )
        self.settled += self.trades
        self.trades, self.orders, self.entries, self.definitions = [], {}, [], []
        self.touched, self.settings, self.transfers = {}, [], []

    def run(
        self,
        trades: int,
        symbol: str = "BTC-USD",
        *,
        a_block: int = 5,
        step_ns: int = 1_500_000_000,
        accounts: Sequence[int] = (1, 2, 3, 4),
    ) -> None:
        """Adds trades whose prices are a reproducible random walk of `trades` steps."""
        walk = random.Random(7)
        price = 6_512_350 if symbol == "BTC-USD" else 341_200
        for number in range(1, trades + 1):
            self.time_ns += step_ns
            price = max(1, price + walk.randint(-900, 920))
            maker, taker = walk.sample(accounts, 2)
            self.trade(symbol, price, walk.randint(1, 25_000), maker, taker, walk.choice(("buy", "sell")))
            if number % a_block == 0:
                self.settle()
        if self.first_command <= self.command:
            self.settle()

    def skip(self, sequences: int) -> None:
        """Skips sequences, as if that many commands and events without rows had been executed."""
        self.command += sequences
        self.event += sequences
        self.first_command, self.first_event = self.command + 1, self.event + 1

    def _event(self, kind: EventKind, **fields: int) -> None:
        self.event += 1
        values = {"sequence": self.event, "command_sequence": self.command, "kind": kind, **fields}
        entries = legs(EventRow._make(int(values.get(name, 0)) for name in EventRow._fields), self.registry)
        for leg, (entry, (available, locked)) in enumerate(zip(entries, apply_legs(entries, self.funds), strict=True)):
            self.entries.append(
                LedgerEvent(
                    event_sequence=self.event,
                    leg=leg,
                    block_number=self.block + 1,
                    timestamp_ns=self.time_ns,
                    account=entry.account,
                    asset=entry.asset,
                    kind=entry.kind,
                    delta_available=entry.delta_available,
                    delta_locked=entry.delta_locked,
                    available_after=available,
                    locked_after=locked,
                )
            )
            self.touched[entry.account, entry.asset] = Balance(
                entry.account, entry.asset, available, locked, self.event
            )

    def _count(self, trade: Trade) -> None:
        minute = trade.timestamp_ns // MINUTE_NS * MINUTE_NS
        old = self.candles.get((trade.symbol, minute))
        self.candles[trade.symbol, minute] = Candle(
            symbol=trade.symbol,
            minute_ns=minute,
            open=old.open if old else trade.price,
            high=max(old.high, trade.price) if old else trade.price,
            low=min(old.low, trade.price) if old else trade.price,
            close=trade.price,
            volume=trade.quantity + (old.volume if old else 0),
            trade_count=1 + (old.trade_count if old else 0),
            last_trade_id=trade.trade_id,
        )
        day = datetime.fromtimestamp(trade.timestamp_ns // 10**9, UTC).date()
        first = self.days[day.isoformat()].first_trade_id if day.isoformat() in self.days else trade.trade_id
        self.days[day.isoformat()] = TradingDay(day, first, trade.trade_id)
