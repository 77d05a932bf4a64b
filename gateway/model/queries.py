"""The read interface of the model, for everything that answers traders.

The model is as new as the newest block that has arrived. Methods without `async` only read memory and never wait. Those
with `async` may ask the store for what is older than the model keeps. All run in the event loop's thread.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.model.instruments import Instrument
from gateway.model.intervals import Interval
from gateway.model.records import (
    AccountCommand,
    AggregateTrade,
    Amendment,
    Balance,
    BookTicker,
    Candle,
    Depth,
    Fees,
    Fill,
    Order,
    OrderList,
    Ticker,
    Trade,
)
from matching.core.codes import AccountStatus
from matching.core.registry import Asset


class Unready(Exception):
    """The model is not there yet, or is behind the engine: answer with 503 and ask again later."""


class OlderUnavailable(Exception):
    """What was asked for is older than the model keeps, and the store did not answer: answer with 503."""


class MarketQueries(Protocol):
    """Public data. `instrument` arguments are ids."""

    def instruments(self) -> Sequence[Instrument]:
        """All visible instruments, in the order in which they were added."""

    def instrument(self, identity: int) -> Instrument: ...

    def instrument_named(self, symbol: str) -> Instrument | None:
        """By the symbol without a dash, in upper case; None if there is none."""

    def assets(self) -> Sequence[Asset]: ...

    def depth(self, instrument: int, limit: int) -> Depth: ...

    def book_ticker(self, instrument: int) -> BookTicker: ...

    def last_price(self, instrument: int) -> int:
        """Of the last trade, in ticks; 0: there was none."""

    def trades(self, instrument: int, *, limit: int, from_number: int | None = None) -> Sequence[Trade]:
        """The newest ones, or from a trade number on; oldest first. Only those that the model keeps."""

    def aggregate_trades(
        self,
        instrument: int,
        *,
        limit: int,
        from_id: int | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> Sequence[AggregateTrade]:
        """Oldest first: from an id on, or of a time (both ends included), or the newest ones."""

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
        """Oldest first: from `start_ns` on, otherwise the newest ones up to `end_ns`. `offset_ns`: the time zone's."""

    def ticker(self, instrument: int, *, start_ns: int, end_ns: int) -> Ticker:
        """Statistics from `start_ns` to `end_ns`, with minutes as the smallest step."""

    def ticker_24h(self, instrument: int) -> Ticker:
        """Of the 24 hours before now, rolling."""


class AccountQueries(Protocol):
    def balances(self, account: int) -> Sequence[Balance]:
        """All assets that the account has ever had, by asset; zeros too."""

    def account_fees(self, account: int, instrument: int) -> Fees:
        """What the account pays in this instrument now."""

    def account_status(self, account: int) -> AccountStatus: ...

    def account_updated_at_ns(self, account: int) -> int:
        """Time of the block that last changed a balance of the account, as far as the model has seen; 0: never."""

    def placed_at_ns(self, order_id: int) -> int | None:
        """When an order was placed; None if the model does not keep it."""

    async def open_orders(self, account: int, instrument: int | None = None) -> Sequence[Order]:
        """By order id. Waiting ones too."""

    async def order(
        self, account: int, instrument: int, *, order_id: int | None = None, client_order_id: str | None = None
    ) -> Order | None:
        """By either name, or by both, which then must fit. Of several of one client order id: the newest."""

    async def orders(
        self,
        account: int,
        instrument: int,
        *,
        limit: int,
        from_order_id: int | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> Sequence[Order]:
        """Open and closed ones, by order id: from an id on, or placed in a time (both ends included), or the newest."""

    async def fills(
        self,
        account: int,
        instrument: int,
        *,
        limit: int,
        order_id: int | None = None,
        from_number: int | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> Sequence[Fill]:
        """By trade number: of one order, from a number on, of a time (both ends included), or the newest."""

    async def order_list(
        self, account: int, *, order_list_id: int | None = None, list_client_order_id: str | None = None
    ) -> OrderList | None: ...

    async def order_lists(
        self,
        account: int,
        *,
        limit: int,
        from_id: int | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> Sequence[OrderList]: ...

    async def open_order_lists(self, account: int) -> Sequence[OrderList]: ...

    async def amendments(self, account: int, instrument: int, order_id: int, *, limit: int) -> Sequence[Amendment]:
        """Oldest first, as far as the model keeps them."""


class ReadModel(MarketQueries, AccountQueries, Protocol):
    @property
    def block_number(self) -> int:
        """Of the newest applied block; 0: none."""

    @property
    def block_time_ns(self) -> int: ...

    @property
    def last_sequence(self) -> int:
        """Of the newest applied event."""

    def check_ready(self) -> None:
        """Raises Unready while the model is not there yet or behind the engine by more than a second."""

    async def wait_for_block(self, number: int, *, timeout_s: float = 1.0) -> None:
        """Returns when this block has been applied, at once if it has been. Raises Unready after the time.

        An engine's answer names the block of each command.
        """

    def watch(self, account: int, on_command: Callable[[AccountCommand], None]) -> Callable[[], None]:
        """Calls `on_command` for each later command that changes this account. Returns the function that ends it.

        It is called after the command's whole block has been applied, before any `wait_for_block` returns.
        """
