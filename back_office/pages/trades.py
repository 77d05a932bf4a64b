"""Pages about trades: the list, newest first, and one trade with its orders, ledger entries and block."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from back_office import csv_files, filters, released
from back_office.audit import records
from back_office.audit.codes import Action
from back_office.csv_files import PIECE_ROWS, cells_of
from back_office.filters import BadFilter, Query
from back_office.formats import ReferenceData
from back_office.pages.accounts import account_tabs
from back_office.paging import PAGE_ROWS, Page
from back_office.rows import BlockRow, OrderRow, TradeRow
from back_office.statements.rows import EntryRow
from back_office.trade_totals import totals
from matching.core.codes import HOUSE_ACCOUNT
from matching.core.decimals import INT64_MAX
from settlement.lookups import entries_of_event
from settlement.stores.base import Store, Trade

TRADE_COLUMNS = (
    *("id", "number", "time", "symbol", "price", "quantity", "base", "notional", "quote", "taker_side"),
    *("buyer", "seller", "buyer_order", "seller_order", "maker_order", "taker_order"),
    *("buyer_fee", "seller_fee", "block"),
)

TOTALLED_AT_ONCE = 3_000
"""Totals of more trades are made only on demand, because a page shall take less than 150 ms."""
_SIDE_ROWS = 4 * PAGE_ROWS
"""Read at a time for a page of one side."""


@dataclass(frozen=True, slots=True)
class TradeFilter:
    """Filter of the list; only combinations that the store can look up by key."""

    trade_id: int | None = None
    account: int | None = None
    symbol: str | None = None
    side: str | None = None  # of the account
    day: date | None = None
    first: int | None = None  # first and last sequence, both included
    last: int | None = None
    before: int | None = None
    after: int | None = None
    wants_totals: bool = False  # of more than TOTALLED_AT_ONCE trades, too

    @classmethod
    def read(cls, query: Query, reference: ReferenceData) -> "TradeFilter":
        """Raises BadFilter."""
        wanted = cls(
            trade_id=filters.whole_number(query, "id", "Trade id"),
            account=filters.whole_number(query, "account", "Account"),
            symbol=filters.symbol(query, "symbol", "Instrument"),
            side=filters.side(query, "side", "Side"),
            day=filters.day(query, "day", "Day"),
            first=filters.whole_number(query, "first", "From sequence"),
            last=filters.whole_number(query, "last", "To sequence"),
            before=filters.whole_number(query, "before", "Before"),
            after=filters.whole_number(query, "after", "After"),
            wants_totals=filters.text(query, "totals") == "all",
        )
        wanted.check_combination()
        if wanted.symbol is not None and reference.instrument(wanted.symbol) is None:
            raise BadFilter(f"There is no instrument {wanted.symbol}.")
        return wanted

    def check_combination(self) -> None:
        others = (self.account, self.symbol, self.side, self.day, self.first, self.last)
        if self.trade_id is not None and any(value is not None for value in others):
            raise BadFilter("A trade id names one trade: leave the other fields empty.")
        if self.side is not None and (self.account is None or self.day is None):
            raise BadFilter("A side is that of an account on a day: give both, too.")
        if self.account is not None and self.after is not None:
            raise BadFilter("Trades of an account can only be paged from newer to older: use before instead of after.")
        if self.before is not None and self.after is not None:
            raise BadFilter("Before and after cannot be combined: give one of them.")
        if self.first is not None and self.last is not None:
            filters.check_range(self.first, self.last)

    @property
    def has_totals(self) -> bool:
        return self.account is not None and self.day is not None

    def matches(self, trade: Trade) -> bool:
        """Whether the trade is on the account's side that is wanted."""
        if self.side is None:
            return True
        return self.account == (trade.buyer if self.side == "buy" else trade.seller)


class TradePages:
    def __init__(self, store: Store, reference: ReferenceData) -> None:
        self.store = store
        self.reference = reference

    def trades(self, request: HttpRequest) -> HttpResponse:
        try:
            wanted = TradeFilter.read(request.GET, self.reference)
        except BadFilter as refusal:
            return self._refused(request, refusal)
        context = self._form(request)
        if wanted.trade_id is not None:
            return redirect("office:trade", wanted.trade_id)
        if wanted.account is not None:
            context |= {"account": wanted.account, "tabs": account_tabs(wanted.account, "trades")}
            if wanted.has_totals:
                context |= self._totals(wanted, wanted.account)
        found = self._page(wanted)
        rows = [TradeRow.of(trade, self.reference) for trade in found.rows]
        context["is_from_archive"] = released.are_trades(self.store, found.rows)
        context["page"] = Page(rows, found.older, found.newer, found.is_first)
        return TemplateResponse(request, "back_office/trades.html", context)

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """All trades that the filter finds, as CSV, newest first."""
        try:
            wanted = TradeFilter.read(request.GET, self.reference)
        except BadFilter as refusal:
            return self._refused(request, refusal)
        records.append(Action.LIST_EXPORT, target="list:trades", after=request.GET.dict())
        found = self._all(wanted)
        if wanted.trade_id is not None:
            found = filter(None, [self.store.get_trade_by_id(wanted.trade_id)])
        rows = (TradeRow.of(trade, self.reference) for trade in found)
        return csv_files.download(request, "trades", TRADE_COLUMNS, map(cells_of(TRADE_COLUMNS), rows))

    def _form(self, request: HttpRequest) -> dict[str, Any]:
        """The list's context without rows."""
        instruments = self.reference.registry().instruments
        return {"title": "Trades", "form": request.GET, "page": Page([]), "instruments": instruments}

    def _refused(self, request: HttpRequest, refusal: BadFilter) -> TemplateResponse:
        context = {**self._form(request), "refusal": str(refusal)}
        return TemplateResponse(request, "back_office/trades.html", context, status=400)

    def trade(self, request: HttpRequest, trade_id: int) -> TemplateResponse:
        trade = self.store.get_trade_by_id(trade_id)
        if trade is None:
            raise Http404(f"There is no trade {trade_id}: no settled trade has this event sequence.")
        block = self.store.get_block(trade.block_number)
        orders = {
            order.order_id: order for order in self.store.get_orders([trade.maker_order_id, trade.taker_order_id])
        }
        parties = trade.buyer, trade.seller, HOUSE_ACCOUNT
        entries = entries_of_event(self.store, trade_id, parties, self.reference.instrument(trade.symbol))
        context = {
            "title": f"Trade {trade_id}",
            "is_from_archive": released.are_trades(self.store, [trade]),
            "trade": TradeRow.of(trade, self.reference),
            "header": block and BlockRow.of(block),
            "orders": [
                (role, orders.get(order_id) and OrderRow.of(orders[order_id], self.reference))
                for role, order_id in (("Maker", trade.maker_order_id), ("Taker", trade.taker_order_id))
            ],
            "entries": [EntryRow.of(entry, self.reference) for entry in entries],
        }
        return TemplateResponse(request, "back_office/trade.html", context)

    def _totals(self, wanted: TradeFilter, account: int) -> dict[str, Any]:
        limit = csv_files.MAX_ROWS if wanted.wants_totals else TOTALLED_AT_ONCE
        found = list(islice(self._all(replace(wanted, before=None)), limit + 1))
        if len(found) > limit:
            return {"too_many_for_totals": limit, "may_total": not wanted.wants_totals}
        return {"totals": totals(found, account, wanted.side, self.reference)}

    def _all(self, wanted: TradeFilter, piece_rows: int = PIECE_ROWS) -> Iterator[Trade]:
        """The trades that match, newest first."""
        lowest, highest = self._bounds(wanted)
        if wanted.before is not None:
            highest = min(highest, wanted.before - 1)
        while lowest <= highest:
            found = self._found(wanted, lowest, highest, piece_rows)
            yield from filter(wanted.matches, found)
            if len(found) < piece_rows:
                return
            highest = found[-1].trade_id - 1

    def _bounds(self, wanted: TradeFilter) -> tuple[int, int]:
        """First and last trade id that can match; the first is the larger one if none can."""
        lowest, highest = wanted.first or 0, INT64_MAX if wanted.last is None else wanted.last
        if wanted.day is not None:
            day = self.store.trading_day(wanted.day)
            if day is None:
                return 1, 0
            lowest, highest = max(lowest, day.first_trade_id), min(highest, day.last_trade_id)
        return lowest, highest

    def _page(self, wanted: TradeFilter) -> Page[Trade]:
        lowest, highest = self._bounds(wanted)
        if wanted.after is not None:
            page = self._newer_than(wanted.after, lowest, highest, wanted.symbol)
            if page.rows:
                return page
        if wanted.before is not None:
            highest = min(highest, wanted.before - 1)
        return self._older(wanted, lowest, highest)

    def _older(self, wanted: TradeFilter, lowest: int, highest: int) -> Page[Trade]:
        """The newest trades from `highest` down to `lowest`."""
        if lowest > highest:
            return Page([], is_first=wanted.before is None)
        if wanted.side is None:
            found = self._found(wanted, lowest, highest, PAGE_ROWS + 1)
        else:
            found = list(islice(self._all(wanted, _SIDE_ROWS), PAGE_ROWS + 1))
        rows, is_first = found[:PAGE_ROWS], wanted.before is None
        return Page(
            rows,
            older=str(rows[-1].trade_id) if len(found) > PAGE_ROWS else None,
            newer=None if is_first or wanted.account is not None or not rows else str(rows[0].trade_id),
            is_first=is_first,
        )

    def _found(self, wanted: TradeFilter, lowest: int, highest: int, limit: int) -> Sequence[Trade]:
        """The newest trades from `highest` down to `lowest`, of both sides."""
        before = None if highest == INT64_MAX else highest + 1
        if wanted.account is None:
            after = lowest - 1 if lowest > 0 else None
            return self.store.newest_trades(limit, before=before, after=after, symbol=wanted.symbol)
        found = self.store.get_trades_by_account(wanted.account, limit, before=before, symbol=wanted.symbol)
        return [trade for trade in found if trade.trade_id >= lowest]

    def _newer_than(self, key: int, lowest: int, highest: int, symbol: str | None) -> Page[Trade]:
        """The page of trades directly newer than `key`, read in ascending order so that no trade is left out."""
        lowest = max(lowest, key + 1)
        if lowest > highest:
            return Page([])
        found = self.store.get_trades_by_sequence_range(lowest, highest, PAGE_ROWS + 1, symbol)
        rows = found[:PAGE_ROWS][::-1]
        more = len(found) > PAGE_ROWS
        newer = str(rows[0].trade_id) if more else None
        return Page(rows, older=str(rows[-1].trade_id) if rows else None, newer=newer, is_first=not more)
