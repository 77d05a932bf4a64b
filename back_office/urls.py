"""The back office's addresses, and what all its pages have in common: staff only, read-only, one frame, refusals in
one sentence. What an operator may do has an address of its own, a permission, and leads back to a page.
The pages themselves are settlement's and the ledger's; they stand before the admin's own addresses.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import structlog
from django.contrib import admin
from django.db import Error as DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST, require_safe

from back_office import outages, readers
from back_office.formats import ReferenceData
from back_office.pages.accounts import AccountPages
from back_office.pages.alarms import MAY_ACKNOWLEDGE, AlarmPages
from back_office.pages.blocks import BlockPages
from back_office.pages.dead_letters import MAY_REPLAY, DeadLetterPages
from back_office.pages.jump import JumpPages
from back_office.pages.orders import OrderPages
from back_office.pages.overview import OverviewPages
from back_office.pages.reconciliations import MAY_RECONCILE, ReconciliationPages
from back_office.pages.trades import TradePages
from matching.core.decimals import INT64_MAX
from settlement import tasks, wiring
from settlement.errors import CannotRun
from settlement.stores.base import StoreError

log = structlog.get_logger(__name__)

View = Callable[..., HttpResponseBase]


def framed(view: Callable[..., HttpResponse], *, bare: bool = False) -> View:
    """The view as a page of the back office. `bare`: a part of a page, which needs no frame."""
    return admin.site.admin_view(require_safe(_refusing(view, bare=bare)))


def permitted(view: Callable[..., HttpResponse], permission: str) -> View:
    """The view as something that an operator with this permission does; it leads back to a page."""

    @wraps(view)
    def act(request: HttpRequest, **numbers: int) -> HttpResponse:
        if request.user.has_perm(permission):
            return view(request, **numbers)
        sentence = f"Your account may not do this: it needs the permission {permission}."
        return _refusal(request, "Not permitted", sentence, 403)

    return admin.site.admin_view(require_POST(_refusing(act)))


def _refusing(view: Callable[..., HttpResponse], *, bare: bool = False) -> Callable[..., HttpResponse]:
    @wraps(view)
    def page(request: HttpRequest, **numbers: int) -> HttpResponse:
        try:
            response = view(request, **_within_reach(numbers))
        except Http404 as missing:
            response = _refusal(request, "Not found", str(missing), 404)
        except (StoreError, CannotRun) as failure:
            response = _refusal(request, "The store does not answer", str(failure), 503)
        except DatabaseError as failure:
            log.error("database does not answer", error=str(failure))
            response = _refusal(request, "The database does not answer", outages.SENTENCE, 503)
        if isinstance(response, TemplateResponse) and not bare:
            response.context_data = {**admin.site.each_context(request), **(response.context_data or {})}
        return response

    return page


def _within_reach(numbers: dict[str, int]) -> dict[str, int]:
    """The numbers of an address; one that no store could hold is not found."""
    for number in numbers.values():
        if number > INT64_MAX:
            raise Http404(f"There is nothing with number {number}: the largest is {INT64_MAX}.")
    return numbers


def _refusal(request: HttpRequest, title: str, sentence: str, status: int) -> TemplateResponse:
    return TemplateResponse(request, "back_office/refusal.html", {"title": title, "sentence": sentence}, status=status)


store = readers.store()
reference = ReferenceData(lambda: store.definitions())


def pages() -> list[URLPattern]:
    overview = OverviewPages(store, readers.engine(), reference)
    trades, orders = TradePages(store, reference), OrderPages(store, reference)
    blocks, accounts = BlockPages(store, reference), AccountPages(store, reference)
    finder, alarms = JumpPages(store, reference), AlarmPages()
    letters = DeadLetterPages(store, lambda: wiring.dead_letters(store))
    reconciliations = ReconciliationPages(tasks.reconcile_soon)
    views: list[tuple[str, View, str]] = [
        ("", framed(overview.overview), "overview"),
        ("overview/live/", framed(overview.live, bare=True), "live"),
        ("trades/", framed(trades.trades), "trades"),
        ("trades/<int:trade_id>/", framed(trades.trade), "trade"),
        ("orders/", framed(orders.orders), "orders"),
        ("orders/<int:order_id>/", framed(orders.order), "order"),
        ("accounts/", framed(accounts.accounts), "accounts"),
        ("accounts/<int:account>/", framed(accounts.account), "account"),
        ("blocks/", framed(blocks.blocks), "blocks"),
        ("blocks/<int:number>/", framed(blocks.block), "block"),
        ("find/", framed(finder.jump), "jump"),
        ("alarms/", framed(alarms.alarms), "alarms"),
        ("alarms/<int:number>/acknowledge/", permitted(alarms.acknowledge, MAY_ACKNOWLEDGE), "acknowledge"),
        ("reconciliations/", framed(reconciliations.runs), "reconciliations"),
        ("reconciliations/<int:number>/", framed(reconciliations.run), "reconciliation"),
        ("reconciliations/now/", permitted(reconciliations.reconcile, MAY_RECONCILE), "reconcile"),
        ("dead_letters/", framed(letters.letters), "dead_letters"),
        ("dead_letters/<int:number>/", framed(letters.letter), "dead_letter"),
        ("dead_letters/<int:number>/replay/", permitted(letters.replay, MAY_REPLAY), "replay"),
    ]
    return [path(route, view, name=name) for route, view, name in views]


app_name = "office"
urlpatterns: list[Any] = pages()
