"""Hands the events of an account to its subscribers, each event serialised once for all of them.

The events of one command come in this order: reports of its orders as they happened, the states of order lists,
transfers, then the balances that it changed.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import orjson

from gateway.model.queries import OlderUnavailable, ReadModel
from gateway.model.records import AccountCommand, Order, OrderChange, OrderStatus, Transfer
from gateway.rest.route import TimeUnit
from gateway.user_events import documents
from matching.core.codes import EventKind, Reason

OnEvent = Callable[[bytes], None]
_ACCEPTED, _CANCELLED, _TRADE = EventKind.ORDER_ACCEPTED, EventKind.ORDER_CANCELLED, EventKind.TRADE


@dataclass(frozen=True, slots=True, eq=False)
class _Subscriber:
    unit: TimeUnit
    on_event: OnEvent


class AccountFeeds:
    """Used in the event loop's thread."""

    def __init__(self, model: ReadModel) -> None:
        self._model = model
        self._feeds: dict[int, _Feed] = {}

    @property
    def subscription_count(self) -> int:
        return sum(len(feed.subscribers) for feed in list(self._feeds.values()))

    def subscribe(self, account: int, unit: TimeUnit, on_event: OnEvent) -> Callable[[], None]:
        """Calls `on_event` with each later event of the account, a JSON object. Returns the function that ends it."""
        feed = self._feeds.get(account)
        if feed is None:
            feed = self._feeds[account] = _Feed(self._model, account)
        subscriber = _Subscriber(unit, on_event)
        feed.subscribers.append(subscriber)

        def end() -> None:
            if subscriber in feed.subscribers:
                feed.subscribers.remove(subscriber)
            if not feed.subscribers and self._feeds.get(account) is feed:
                del self._feeds[account]
                feed.close()

        return end


class _Feed:
    """The events of one account."""

    def __init__(self, model: ReadModel, account: int) -> None:
        self.subscribers: list[_Subscriber] = []
        self._model = model
        self._commands: asyncio.Queue[AccountCommand] = asyncio.Queue()
        self._unwatch = model.watch(account, self._commands.put_nowait)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        self._unwatch()
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            command = await self._commands.get()
            if _begins_list(command):
                command = _merged(command, await self._commands.get())
            await self._publish(command)

    async def _publish(self, command: AccountCommand) -> None:
        written: dict[TimeUnit, list[bytes]] = {}
        for unit in {subscriber.unit for subscriber in self.subscribers}:
            made = await self._documents(command, lambda time_ns, unit=unit: time_ns // unit.value)  # type: ignore[misc]
            written[unit] = [orjson.dumps(document) for document in made]
        for subscriber in tuple(self.subscribers):
            for event in written.get(subscriber.unit, ()):
                subscriber.on_event(event)

    async def _documents(self, command: AccountCommand, time: documents.Time) -> list[dict[str, object]]:
        made = []
        for change, order in told(command):
            instrument = self._model.instrument(order.instrument_id)
            known = order if order.client_order_id else await self._named(order)
            made.append(documents.execution_report(change, known, instrument, command.time_ns, time))
        for list_id, account, is_open in _lists(command):
            found = None
            with suppress(OlderUnavailable):  # the reports of its orders are told all the same
                found = await self._model.order_list(account, order_list_id=list_id)
            if found is not None:
                instrument = self._model.instrument(found.instrument_id)
                made.append(documents.list_status(found, is_open, instrument, command.time_ns, time))
        made += [
            documents.balance_update(change, command.time_ns, time)
            for change in command.changes
            if isinstance(change, Transfer)
        ]
        if command.balances:
            made.append(documents.account_position(command.balances, command.time_ns, time))
        return made

    async def _named(self, order: Order) -> Order:
        """An order without a client order id, with that and the time that the store has, if it is older than the log.

        While the store is away it is told as it is known.
        """
        found = None
        with suppress(OlderUnavailable):
            found = await self._model.order(order.account, order.instrument_id, order_id=order.order_id)
        if found is None:
            return order
        return order._replace(client_order_id=found.client_order_id, placed_at_ns=found.placed_at_ns)


def told(command: AccountCommand) -> Iterator[tuple[OrderChange, Order]]:
    """The changes of orders with the orders as traders are told of them.

    An order by quote quantity is filled by its last trade, and its cancellation is left out. A leg of a list that was
    cancelled with the other one was cancelled by the user.
    """
    changes = [change for change in command.changes if isinstance(change, OrderChange)]
    used_up = {
        change.order.order_id
        for change in changes
        if change.event.reason == Reason.QUOTE_QUANTITY_USED and change.order.filled
    }
    last_trade = {change.order.order_id: change for change in changes if change.event.kind == _TRADE}
    cancelled = {
        change.order.order_list_id
        for change in changes
        if change.event.kind == _CANCELLED and change.event.reason == Reason.USER
    }
    for change in changes:
        order, is_cancelled = change.order, change.event.kind == _CANCELLED
        if order.order_id in used_up and is_cancelled:
            continue
        if order.order_id in used_up and last_trade.get(order.order_id) is change:
            order = order._replace(status=OrderStatus.FILLED)
        elif is_cancelled and order.reason == Reason.OCO and order.order_list_id in cancelled:
            order = order._replace(reason=Reason.USER)
        yield change, order


def _begins_list(command: AccountCommand) -> bool:
    """Whether it placed the limit leg of a list; the account's next command is then its stop leg."""
    return any(
        isinstance(change, OrderChange)
        and change.event.kind == _ACCEPTED
        and change.order.order_list_id == change.order.order_id
        for change in command.changes
    )


def _merged(first: AccountCommand, second: AccountCommand) -> AccountCommand:
    """Both as one command."""
    balances = {balance.asset.id: balance for balance in (*first.balances, *second.balances)}
    return replace(
        first,
        last_sequence=second.last_sequence,
        changes=[*first.changes, *second.changes],
        balances=list(balances.values()),
    )


def _lists(command: AccountCommand) -> Sequence[tuple[int, int, bool]]:
    """(list, account, whether it is open) of each list that the command placed or ended.

    A list ends when one leg cancels the other, which is then an order like any other.
    """
    found: dict[int, tuple[int, int, bool]] = {}
    legs: dict[int, set[int]] = {}
    for change in command.changes:
        if isinstance(change, OrderChange) and (list_id := change.order.order_list_id) is not None:
            legs.setdefault(list_id, set()).add(change.order.order_id)
            if change.event.kind == _ACCEPTED:
                found[list_id] = (list_id, change.order.account, True)
            elif change.event.kind == _CANCELLED and len(legs[list_id]) == 2:
                found[list_id] = (list_id, change.order.account, False)
    return list(found.values())
