"""What the model answers about accounts: from its log, completed by the store where an order is older than the log."""

from collections.abc import Collection, Iterable, Sequence
from itertools import islice

from gateway.model.history import History, order_of
from gateway.model.instruments import Instrument
from gateway.model.order_log import UNKNOWN_QUOTE, AccountLog, Entry
from gateway.model.queries import OlderUnavailable
from gateway.model.records import Amendment, Balance, Fees, Fill, Order, OrderList
from gateway.model.state import State
from gateway.model.stored_ranges import NO_END, Span
from matching.core.codes import AccountStatus

_SUMMED = 100_000
"""Fills of one order that are summed up at most."""


class AccountReads:
    """The part of `queries.ReadModel` that is `AccountQueries`."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._state: State | None = None

    @property
    def state(self) -> State:
        raise NotImplementedError

    def instrument(self, identity: int) -> Instrument:
        raise NotImplementedError

    # Funds and terms

    def balances(self, account: int) -> Sequence[Balance]:
        return self.state.replica.balances(account)

    def account_fees(self, account: int, instrument: int) -> Fees:
        return self.state.replica.fees(account, instrument)

    def account_status(self, account: int) -> AccountStatus:
        return self.state.replica.status(account)

    def account_updated_at_ns(self, account: int) -> int:
        return self.state.updated_at_ns.get(account, 0)

    # Orders

    def placed_at_ns(self, order_id: int) -> int | None:
        entry = self.state.orders.entry(order_id)
        return None if entry is None else entry.placed_at_ns

    async def open_orders(self, account: int, instrument: int | None = None) -> Sequence[Order]:
        state = self.state
        entries = [state.orders.entry(order_id) for order_id in state.replica.open_order_ids(account)]
        wanted = [one for one in entries if one is not None and instrument in (None, one.instrument_id)]
        await self._complete(wanted)
        return [entry.order() for entry in wanted if entry.status.is_open]

    async def order(
        self, account: int, instrument: int, *, order_id: int | None = None, client_order_id: str | None = None
    ) -> Order | None:
        if order_id is not None:
            found = await self._order_by_id(account, instrument, order_id)
            if found is not None and client_order_id not in (None, found.client_order_id):
                return None
            return found
        return await self._order_by_name(account, instrument, client_order_id or "")

    async def _order_by_id(self, account: int, instrument: int, order_id: int) -> Order | None:
        entry = self.state.orders.entry(order_id)
        if entry is not None:
            if (entry.account, entry.instrument_id) != (account, instrument):
                return None
            await self._complete([entry])
            if entry.filled_quote == UNKNOWN_QUOTE:
                entry.filled_quote = await self._filled_quote(entry)
            return entry.order()
        if self._is_kept(order_id):
            return None
        row = (await self._history.orders_by_id([order_id])).get(order_id)
        known = self.instrument(instrument)
        if row is None or (row.account, row.symbol) != (account, known.engine_symbol):
            return None
        found = order_of(row, known)
        return found._replace(filled_quote=await self._filled_quote(found)) if found.filled else found

    async def _filled_quote(self, order: Order | Entry) -> int:
        """What an order has traded for, from its fills; UNKNOWN_QUOTE if some of them are not known."""
        filled = order.filled
        try:
            fills = await self.fills(order.account, order.instrument_id, limit=_SUMMED, order_id=order.order_id)
        except OlderUnavailable:  # all else is known
            return UNKNOWN_QUOTE
        is_whole = sum(fill.quantity for fill in fills) == filled == order.filled
        return sum(fill.quote_amount for fill in fills) if is_whole else UNKNOWN_QUOTE

    async def _order_by_name(self, account: int, instrument: int, name: str) -> Order | None:
        log = self.state.orders.of(account, instrument)
        order_id = log.by_name.get(name) if log else None
        if order_id is not None:
            return await self._order_by_id(account, instrument, order_id)
        for order in await self.open_orders(account, instrument):  # those of before the log have no name yet
            if order.client_order_id == name:
                return order
        if self._first_kept() <= 1:
            return None
        found = await self._history.order_named(account, self.instrument(instrument), name)
        # One that the log has is known under its present name, which the store may not have yet.
        return None if found is None or self._is_kept(found.order_id) else found

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
        span = Span(from_order_id or 0, start_ns or 0, NO_END if end_ns is None else end_ns)
        is_from_a_place = from_order_id is not None or start_ns is not None
        await self.open_orders(account, instrument)  # adopts those that are older than the log
        log = self.state.orders.of(account, instrument)
        await self._complete(list(log.orders.values()) if log else [])
        known = {
            entry.order_id: entry.order()
            for entry in (log.orders.values() if log else ())
            if entry.order_id >= span.first and span.start_ns <= entry.placed_at_ns <= span.end_ns
        }
        for order in await self._older_orders(account, instrument, span, limit, known, is_from_a_place=is_from_a_place):
            known.setdefault(order.order_id, order)  # what is in memory is newer
        found = [known[order_id] for order_id in sorted(known)]
        return found[:limit] if is_from_a_place else found[-limit:]

    async def _older_orders(
        self, account: int, instrument: int, span: Span, limit: int, known: Collection[int], *, is_from_a_place: bool
    ) -> Sequence[Order]:
        """Those from before the log that may belong to the answer."""
        before, state = self._first_kept(), self.state
        if before <= max(1, span.first) or (not state.orders.forgotten_order and self._is_of_log(span)):
            return ()
        if is_from_a_place:
            return await self._history.orders_from(account, self.instrument(instrument), before, span, limit)
        if sum(order_id >= before for order_id in known) >= limit:
            return ()
        of = (account, self.instrument(instrument), before)
        return await self._history.orders_before(*of, limit, end_ns=span.end_ns)

    def _is_of_log(self, span: Span) -> bool:
        """Whether it begins after the log."""
        return span.start_ns > self.state.begins_at_ns > 0

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
        span = Span(from_number or 0, start_ns or 0, NO_END if end_ns is None else end_ns)
        is_from_a_place = from_number is not None or start_ns is not None or order_id is not None
        log = self.state.orders.of(account, instrument)
        before = self._first_fill_kept()
        kept = [
            fill
            for fill in (log.fills if log else ())
            if fill.trade_id >= before  # of others one side may be forgotten
            and fill.trade_number >= span.first
            and span.start_ns <= fill.time_ns <= span.end_ns
            and order_id in (None, fill.order_id)
        ]
        older: Sequence[Fill] = ()
        of = (account, self.instrument(instrument), before)
        if before <= 1 or (not self.state.orders.forgotten_fill and self._is_of_log(span)):
            pass
        elif order_id is not None:
            older = [
                fill
                for fill in await self._history.fills_of_order(order_id, *of)
                if fill.trade_number >= span.first and span.start_ns <= fill.time_ns <= span.end_ns
            ]
        elif is_from_a_place:
            older = await self._history.fills_from(*of, span, limit)
        elif len(kept) < limit:
            older = await self._history.fills_before(*of, limit, end_ns=span.end_ns)
        found = sorted((*older, *kept), key=lambda fill: (fill.trade_number, fill.is_maker))
        return found[:limit] if is_from_a_place else found[-limit:]

    def _first_fill_kept(self) -> int:
        """The log has both sides of every trade from this event sequence on."""
        return max(self.state.first_event, self.state.orders.forgotten_fill + 1)

    async def amendments(self, account: int, instrument: int, order_id: int, *, limit: int) -> Sequence[Amendment]:
        entry = self.state.orders.entry(order_id)
        if entry is None or (entry.account, entry.instrument_id) != (account, instrument):
            return ()
        return (entry.amendments or [])[:limit]

    # Order lists

    async def order_list(
        self, account: int, *, order_list_id: int | None = None, list_client_order_id: str | None = None
    ) -> OrderList | None:
        for log in self._logs(account):
            for entry in log.orders.values():
                if entry.order_list_id != entry.order_id:
                    continue  # not the limit leg
                if order_list_id in (None, entry.order_id) and list_client_order_id in (
                    None,
                    entry.list_client_order_id,
                ):
                    return await self._list_of(entry)
        return None

    async def order_lists(
        self,
        account: int,
        *,
        limit: int,
        from_id: int | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> Sequence[OrderList]:
        first, begin, end = from_id or 0, start_ns or 0, NO_END if end_ns is None else end_ns
        heads = [
            entry
            for log in self._logs(account)
            for entry in log.orders.values()
            if entry.order_list_id == entry.order_id >= first and begin <= entry.placed_at_ns <= end
        ]
        heads.sort(key=lambda entry: entry.order_id)
        wanted = islice(heads, limit) if from_id is not None or start_ns is not None else heads[-limit:]
        return [await self._list_of(entry) for entry in wanted]

    async def open_order_lists(self, account: int) -> Sequence[OrderList]:
        await self.open_orders(account)
        lists = [await self._list_of(entry) for entry in self._heads(account)]
        return [one for one in lists if one.is_open]

    def _heads(self, account: int) -> Iterable[Entry]:
        for log in self._logs(account):
            yield from [entry for entry in log.orders.values() if entry.order_list_id == entry.order_id]

    def _logs(self, account: int) -> Iterable[AccountLog]:
        return self.state.orders.of_account(account, self.state.instruments.by_id)

    async def _list_of(self, head: Entry) -> OrderList:
        legs = [head, self.state.orders.entry(head.order_id + 1)]
        known = [leg for leg in legs if leg is not None]
        await self._complete(known)
        return OrderList(
            head.order_id,
            head.list_client_order_id,
            head.account,
            head.instrument_id,
            head.placed_at_ns,
            [leg.order() for leg in known],
        )

    # Orders that are older than the log

    def _first_kept(self) -> int:
        """The log has every order from this id on."""
        return max(self.state.first_command, self.state.orders.forgotten_order + 1)

    def _is_kept(self, order_id: int) -> bool:
        return order_id >= self._first_kept()

    async def _complete(self, entries: Sequence[Entry]) -> None:
        """Gives adopted orders the names and times that the store has."""
        partial = {entry.order_id: entry for entry in entries if entry.is_partial}
        if not partial:
            return
        orders = self.state.orders
        for order_id, row in (await self._history.orders_by_id(list(partial))).items():
            entry, stored = partial[order_id], order_of(row, self.instrument(partial[order_id].instrument_id))
            orders.name(entry, entry.client_order_id or stored.client_order_id)
            entry.placed_at_ns = stored.placed_at_ns
            entry.order_type, entry.time_in_force = int(stored.order_type), int(stored.time_in_force)
            entry.trigger_price = stored.trigger_price
            entry.order_list_id = stored.order_list_id
            entry.working_at_ns = entry.working_at_ns or stored.working_at_ns
            entry.updated_at_ns = entry.updated_at_ns or stored.updated_at_ns
            entry.updated_sequence = entry.updated_sequence or stored.updated_sequence
            entry.is_partial = False
