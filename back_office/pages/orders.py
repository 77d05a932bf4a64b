"""Pages about orders: all of them, newest first; the open ones; and one order with its trades and ledger entries."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from back_office.paging import PAGE_ROWS, Page, page_before
from back_office.rows import OrderRow, TradeRow
from back_office.statements.rows import EntryRow
from matching.core.codes import HOUSE_ACCOUNT
from settlement.lookups import entries_of_event
from settlement.stores.base import Order, Store, Trade

SEARCHED_TRADES = 200
"""No table is keyed by order: its trades are searched among this many of its account in its instrument."""


ORDER_COLUMNS = (
    *("id", "account", "symbol", "side", "kind", "time_in_force", "post_only", "client_order_id"),
    *("price", "trigger_price", "quantity", "visible_quantity", "quote_quantity", "filled", "remaining"),
    *("status", "reason", "placed", "triggered", "updated", "other_leg"),
)


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Filter of the list; only combinations that the store can look up by key."""

    order_id: int | None = None
    account: int | None = None
    symbol: str | None = None
    client_order_id: str | None = None
    before: int | None = None

    @classmethod
    def read(cls, query: Query, reference: ReferenceData) -> "OrderFilter":
        """Raises BadFilter."""
        wanted = cls(
            order_id=filters.whole_number(query, "id", "Order id"),
            account=filters.whole_number(query, "account", "Account"),
            symbol=filters.symbol(query, "symbol", "Instrument"),
            client_order_id=filters.text(query, "client_order_id") or None,
            before=filters.whole_number(query, "before", "Before"),
        )
        others = (wanted.account, wanted.symbol, wanted.client_order_id)
        if wanted.order_id is not None and any(value is not None for value in others):
            raise BadFilter("An order id names one order: leave the other fields empty.")
        if wanted.client_order_id is not None and wanted.account is None:
            raise BadFilter("Different accounts can use the same client order id: give the account, too.")
        if wanted.symbol is not None and reference.instrument(wanted.symbol) is None:
            raise BadFilter(f"There is no instrument {wanted.symbol}.")
        return wanted


class OrderPages:
    def __init__(self, store: Store, reference: ReferenceData) -> None:
        self.store = store
        self.reference = reference

    def orders(self, request: HttpRequest) -> HttpResponse:
        try:
            wanted = OrderFilter.read(request.GET, self.reference)
        except BadFilter as refusal:
            return self._refused(request, refusal)
        context = self._form(request)
        if wanted.order_id is not None:
            return redirect("office:order", wanted.order_id)
        if wanted.account is not None:
            context |= {"account": wanted.account, "tabs": account_tabs(wanted.account, "orders")}
        page = self._page(wanted)
        context["is_from_archive"] = released.are_orders(self.store, page.rows)
        rows = [OrderRow.of(order, self.reference) for order in page.rows]
        context["page"] = Page(rows, page.older, is_first=page.is_first)
        return TemplateResponse(request, "back_office/orders.html", context)

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """All orders that the filter finds, as CSV, newest first."""
        try:
            wanted = OrderFilter.read(request.GET, self.reference)
        except BadFilter as refusal:
            return self._refused(request, refusal)
        records.append(Action.LIST_EXPORT, target="list:orders", after=request.GET.dict())
        rows = (OrderRow.of(order, self.reference) for order in self._all(wanted))
        return csv_files.download(request, "orders", ORDER_COLUMNS, map(cells_of(ORDER_COLUMNS), rows))

    def _form(self, request: HttpRequest) -> dict[str, Any]:
        """The list's context without rows."""
        instruments = self.reference.registry().instruments
        return {"title": "Orders", "form": request.GET, "page": Page([]), "instruments": instruments}

    def _refused(self, request: HttpRequest, refusal: BadFilter) -> TemplateResponse:
        context = {**self._form(request), "refusal": str(refusal)}
        return TemplateResponse(request, "back_office/orders.html", context, status=400)

    def open_orders(self, request: HttpRequest) -> HttpResponse:
        """Orders in the book and those that wait for their trigger, oldest first."""
        context: dict[str, Any] = {"title": "Open orders", "page": Page([])}
        try:
            after = filters.whole_number(request.GET, "after", "After")
        except BadFilter as refusal:
            return TemplateResponse(
                request, "back_office/open_orders.html", {**context, "refusal": str(refusal)}, status=400
            )
        found = list(self.store.open_orders(after, PAGE_ROWS + 1))
        rows = [OrderRow.of(order, self.reference) for order in found[:PAGE_ROWS]]
        context |= {"page": Page(rows, is_first=after is None), "next": rows[-1].id if len(found) > PAGE_ROWS else None}
        return TemplateResponse(request, "back_office/open_orders.html", context)

    def order(self, request: HttpRequest, order_id: int) -> TemplateResponse:
        order = next(iter(self.store.get_orders([order_id])), None)
        if order is None:
            raise Http404(f"There is no order {order_id}: no settled order has this command sequence.")
        trades = self._trades(order)
        last = [trade for trade in trades if trade.trade_id == order.updated_sequence]
        parties = [party for trade in last for party in (trade.buyer, trade.seller, HOUSE_ACCOUNT)] or [order.account]
        instrument = self.reference.instrument(order.symbol)
        entries = entries_of_event(self.store, order.updated_sequence, parties, instrument)
        context = {
            "title": f"Order {order_id}",
            "is_from_archive": released.are_orders(self.store, [order]),
            "order": OrderRow.of(order, self.reference),
            "trades": [TradeRow.of(trade, self.reference) for trade in trades],
            "missing": sum(trade.quantity for trade in trades) < order.filled,
            "searched": SEARCHED_TRADES,
            "entries": [EntryRow.of(entry, self.reference) for entry in entries],
        }
        return TemplateResponse(request, "back_office/order.html", context)

    def _page(self, wanted: OrderFilter) -> Page[Order]:
        found = self._found(wanted, PAGE_ROWS + 1)
        return page_before(found, lambda order: order.order_id, is_first=wanted.before is None)

    def _all(self, wanted: OrderFilter) -> Iterator[Order]:
        """The orders that match, newest first."""
        if wanted.order_id is not None:
            yield from self.store.get_orders([wanted.order_id])
            return
        while found := self._found(wanted, PIECE_ROWS):
            yield from found
            if wanted.client_order_id is not None or len(found) < PIECE_ROWS:
                return
            wanted = replace(wanted, before=found[-1].order_id)

    def _found(self, wanted: OrderFilter, limit: int) -> list[Order]:
        before, symbol = wanted.before, wanted.symbol
        if wanted.account is None:
            return self.store.newest_orders(limit, before=before, symbol=symbol)
        if wanted.client_order_id is None:
            return self.store.get_orders_by_account(wanted.account, limit, before=before, symbol=symbol)
        named = self.store.get_orders_by_client_order_id(wanted.account, wanted.client_order_id, limit)
        return [order for order in named if symbol in (None, order.symbol)]

    def _trades(self, order: Order) -> list[Trade]:
        """The order's trades among the newest SEARCHED_TRADES of its account and instrument up to its last event."""
        if not order.filled:
            return []
        found = self.store.get_trades_by_account(
            order.account, SEARCHED_TRADES, before=order.updated_sequence + 1, symbol=order.symbol
        )
        return [trade for trade in found if order.order_id in (trade.maker_order_id, trade.taker_order_id)]
