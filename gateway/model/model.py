"""The read model: a state that blocks move on, whoever waits for it, and what it answers (`gateway.model.queries`)."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from gateway.model.account_reads import AccountReads
from gateway.model.history import History
from gateway.model.instruments import Instrument
from gateway.model.intervals import DAY_NS, Interval
from gateway.model.queries import Unready
from gateway.model.records import AccountCommand, AggregateTrade, BookTicker, Candle, Depth, Ticker, Trade
from gateway.model.state import AppliedBlock, Bounds, State
from gateway.model.watching import Watchers
from gateway.model.windows import DepthUpdate
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.registry import Asset

MAX_BEHIND_S = 1.0
"""The model is ready while it was level with the engine within this time."""


def _settle(waiters: Iterable["asyncio.Future[bool]"], *, is_there: bool) -> None:
    for future in waiters:
        if not future.done():
            future.set_result(is_there)


class Model(AccountReads):
    """Implements `queries.ReadModel`. All methods must be called in the event loop's thread.

    `clock` returns monotonic seconds, `time_ns` the time of day.
    """

    def __init__(
        self, bounds: Bounds, history: History, *, clock: Callable[[], float], time_ns: Callable[[], int]
    ) -> None:
        self._bounds = bounds
        self._clock = clock
        self._time_ns = time_ns
        self._watchers = Watchers()
        self._waiters: dict[int, list[asyncio.Future[bool]]] = {}  # by block
        self._level_at_s: float | None = None
        self.on_block: list[Callable[[AppliedBlock], None]] = []
        """Called after each block, in order."""
        self.on_window: list[Callable[[Sequence[DepthUpdate]], None]] = []
        """Called at the end of each window in which a book has changed."""
        self.on_begin: list[Callable[[], None]] = []
        """Called when the model has begun with a snapshot: nothing that was published before continues."""
        super().__init__(history)

    # Moved on by the feed

    def begin(self, engine: Engine) -> None:
        """Begins with this state, which is the model's own from now on."""
        self._state = State(engine, self._bounds, self._watchers)
        self._level_at_s = None
        for begun in self.on_begin:
            begun()
        self._wake()

    def apply(self, block: Block) -> None:
        """Applies the next block. Raises as `State.apply`."""
        state = self.state
        if state.windows.ends_before(block.timestamp_ns):
            self.end_window()
        applied = state.apply(block)
        for published in self.on_block:
            published(applied)
        self._wake()

    def end_window(self) -> None:
        """Ends the window of depth updates."""
        updates = self.state.end_window()
        if updates:
            for published in self.on_window:
                published(updates)

    def note_level(self) -> None:
        """Records that the model has every block that the engine has told of."""
        self._level_at_s = self._clock()

    def _wake(self) -> None:
        if self._waiters:
            for number in [one for one in self._waiters if one <= self.block_number]:
                _settle(self._waiters.pop(number), is_there=True)

    # How new it is

    @property
    def state(self) -> State:
        """Raises Unready before the first snapshot."""
        if self._state is None:
            raise Unready("The gateway has not yet read the engine's state.")
        return self._state

    @property
    def block_number(self) -> int:
        return self._state.block_number if self._state else 0

    @property
    def block_time_ns(self) -> int:
        return self._state.replica.engine.timestamp_ns if self._state else 0

    @property
    def last_sequence(self) -> int:
        return self._state.last_sequence if self._state else 0

    @property
    def behind_s(self) -> float:
        """Seconds since the model was level with the engine; infinite before it has been."""
        return float("inf") if self._level_at_s is None else self._clock() - self._level_at_s

    @property
    def is_ready(self) -> bool:
        return self._state is not None and self.behind_s <= MAX_BEHIND_S

    def check_ready(self) -> None:
        if not self.is_ready:
            raise Unready("The gateway is behind the engine, or the engine does not answer.")

    async def wait_for_block(self, number: int, *, timeout_s: float = 1.0) -> None:
        if self.block_number >= number:
            return
        loop, waiters = asyncio.get_running_loop(), self._waiters.get(number)
        if waiters is None:  # one timer for all that wait for a block, because these are often hundreds
            waiters = self._waiters[number] = []
            loop.call_later(timeout_s, self._give_up, number, waiters)
        future: asyncio.Future[bool] = loop.create_future()
        waiters.append(future)
        if not await future:
            raise Unready("The gateway is behind the engine.")

    def _give_up(self, number: int, waiters: list[asyncio.Future[bool]]) -> None:
        if self._waiters.get(number) is waiters:
            del self._waiters[number]
        _settle(waiters, is_there=False)

    def watch(self, account: int, on_command: Callable[[AccountCommand], None]) -> Callable[[], None]:
        return self._watchers.add(account, on_command)

    # Market data

    def instruments(self) -> Sequence[Instrument]:
        return list(self.state.instruments.visible())

    def instrument(self, identity: int) -> Instrument:
        return self.state.instruments.by_id[identity]

    def instrument_named(self, symbol: str) -> Instrument | None:
        return self.state.instruments.by_symbol.get(symbol)

    def assets(self) -> Sequence[Asset]:
        return self.state.replica.registry.assets

    def depth(self, instrument: int, limit: int) -> Depth:
        return self.state.windows.depth(instrument, limit)

    def book_ticker(self, instrument: int) -> BookTicker:
        return self.state.market(instrument).book_ticker()

    def last_price(self, instrument: int) -> int:
        return self.state.replica.last_price(instrument)

    def trades(self, instrument: int, *, limit: int, from_number: int | None = None) -> Sequence[Trade]:
        return self.state.market(instrument).tape.trades(limit=limit, from_number=from_number)

    def aggregate_trades(
        self,
        instrument: int,
        *,
        limit: int,
        from_id: int | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> Sequence[AggregateTrade]:
        tape = self.state.market(instrument).tape
        return tape.aggregates(limit=limit, from_id=from_id, start_ns=start_ns, end_ns=end_ns)

    def candles(
        self,
        instrument: int,
        interval: Interval,
        *,
        limit: int,
        start_ns: int | None = None,
        end_ns: int | None = None,
        offset_ns: int = 0,
    ) -> Sequence[Candle]:
        series = self.state.market(instrument).candles
        return series.candles(
            interval,
            limit=limit,
            now_ns=self._now_ns(),
            start_ns=start_ns,
            end_ns=end_ns,
            offset_ns=offset_ns,
        )

    def ticker(self, instrument: int, *, start_ns: int, end_ns: int) -> Ticker:
        return self.state.market(instrument).ticker(start_ns, end_ns, self.last_price(instrument))

    def ticker_24h(self, instrument: int) -> Ticker:
        now_ns = self._now_ns()
        return self.ticker(instrument, start_ns=now_ns - DAY_NS, end_ns=now_ns)

    def _now_ns(self) -> int:
        """The time of day, but not before the newest block."""
        return max(self._time_ns(), self.block_time_ns)
