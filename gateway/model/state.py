"""The read model: everything that the gateway knows at one block. See `gateway.model.queries` for what it answers."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.model.market import InstrumentMarket, Instruments
from gateway.model.order_log import OrderLog
from gateway.model.records import Fill, Trade
from gateway.model.replica import Replica
from gateway.model.watching import WatchedBlock, Watchers
from gateway.model.windows import DepthUpdate, DepthWindows
from matching.core.blocks import Block
from matching.core.codes import EventKind, Side
from matching.core.engine import Engine
from matching.core.reading.event_rows import EventRow, event_rows
from matching.core.registry import REGISTRY_EVENTS

_TRADE = int(EventKind.TRADE)
_OF_ORDERS = frozenset(
    map(
        int,
        (
            EventKind.ORDER_ACCEPTED,
            EventKind.TRADE,
            EventKind.ORDER_CANCELLED,
            EventKind.ORDER_REPLACED,
            EventKind.ORDER_TRIGGERED,
        ),
    )
)
_REGISTRY = frozenset(REGISTRY_EVENTS)
_SIDES = tuple(Side)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept in memory."""

    trades: int  # of each instrument
    candles: int  # of each instrument and step: seconds, minutes, hours, days
    closed_orders: int  # of all accounts
    fills: int


@dataclass(frozen=True, slots=True)
class AppliedBlock:
    """What one block changed, for those who publish it."""

    block: Block
    events: Sequence[EventRow]
    trades: dict[int, list[Trade]]  # by instrument
    best_changed: Sequence[int]  # instruments
    registry_changed: bool


class State:
    """The model after one block; replaced as a whole when the gateway begins with another snapshot."""

    def __init__(self, engine: Engine, bounds: Bounds, watchers: Watchers) -> None:
        self.watchers = watchers
        self.replica = Replica(engine)
        self.bounds = bounds
        self.instruments = Instruments(self.replica)
        self.windows = DepthWindows(self.replica)
        self.orders = OrderLog(self.replica.adopt, kept_orders=bounds.closed_orders, kept_fills=bounds.fills)
        self.first_command = engine.next_command_sequence
        """Orders from this id on were placed under the eyes of the log."""
        self.first_event = engine.next_event_sequence
        self.begins_at_ns = engine.timestamp_ns
        self.updated_at_ns: dict[int, int] = {}  # account → time of the block that last changed it
        self._markets: dict[int, InstrumentMarket] = {}

    @property
    def block_number(self) -> int:
        return self.replica.engine.block_number

    @property
    def last_sequence(self) -> int:
        return self.replica.engine.next_event_sequence - 1

    def market(self, instrument: int) -> InstrumentMarket:
        found = self._markets.get(instrument)
        if found is None:
            unit = self.replica.registry.instruments[instrument].quote_unit
            found = InstrumentMarket(unit, kept_trades=self.bounds.trades, kept_candles=self.bounds.candles)
            found.set_best(self.replica.best(instrument), self.last_sequence)
            self._markets[instrument] = found
        return found

    def apply(self, block: Block) -> AppliedBlock:
        """Applies the next block, and tells the watchers. Raises as `Replica.apply`, having applied nothing then."""
        events = event_rows(block.events)
        touched = {event.instrument for event in events if event.kind in _OF_ORDERS}
        for instrument in touched:
            self.market(instrument)
        self.windows.note(touched, block.timestamp_ns, block.last_event_sequence)
        self.orders.adopt_before(block, self.first_command)
        self.replica.apply(block)
        trades = self._fold(block, events)
        registry_changed = any(event.kind in _REGISTRY for event in events)
        if registry_changed:
            self.instruments.refresh()
        sequence = block.last_event_sequence
        best_changed = [one for one in touched if self._markets[one].set_best(self.replica.best(one), sequence)]
        return AppliedBlock(block, events, trades, best_changed, registry_changed)

    def _fold(self, block: Block, events: Sequence[EventRow]) -> dict[int, list[Trade]]:
        orders, at_ns, instruments = self.orders, block.timestamp_ns, self.replica.registry.instruments
        trades: dict[int, list[Trade]] = defaultdict(list)
        watched = WatchedBlock(self.watchers, orders, self.replica, at_ns) if self.watchers else None
        orders.begin(block)
        for event in events:
            fills: tuple[Fill, ...] = ()
            if event.kind in _OF_ORDERS:
                fills = orders.apply(event, instruments[event.instrument])
                if event.kind == _TRADE:
                    trades[event.instrument].append(trade_of(event, at_ns))
                    self.updated_at_ns[event.other_account] = at_ns
            self.updated_at_ns[event.account] = at_ns
            if watched is not None:
                watched.note(event, fills)
        for instrument, made in trades.items():
            self._markets[instrument].add(made)
        if watched is not None:
            watched.note_balances(block, events)
            watched.tell()
        return trades

    def end_window(self) -> list[DepthUpdate]:
        return self.windows.close()


def trade_of(event: EventRow, time_ns: int) -> Trade:
    return Trade(
        event.trade_number,
        event.sequence,
        event.price,
        event.quantity,
        time_ns,
        _SIDES[event.side],
        event.other_order_id,
        event.order_id,
        event.command_sequence,
    )
