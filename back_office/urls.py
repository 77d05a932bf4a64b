"""URLs of the back office, and what all its views share.

Pages are read-only, for staff with the permissions that the table below names; errors are shown as one sentence in the
common layout. Actions have URLs of their own, accept only POST, need a permission and redirect to a page. These URLs
come before those of Django's admin.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import structlog
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseError
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST, require_safe

from analytics import wiring as analytics_wiring
from back_office import outages, readers
from back_office.access import permissions
from back_office.access.invitations import InvitationView
from back_office.access.permissions import (
    ALARMS,
    API_KEYS,
    AUDIT_LOG,
    BALANCES,
    BLOCKS,
    DEAD_LETTERS,
    ENTRIES,
    INSTRUMENTS,
    ORDERS,
    RECONCILIATIONS,
    REQUESTS,
    TRADES,
)
from back_office.actions.kinds import DECIDE
from back_office.formats import ReferenceData
from back_office.pages.accounts import MAY_DESCRIBE, AccountPages
from back_office.pages.alarms import MAY_ACKNOWLEDGE, AlarmPages
from back_office.pages.analytics import SECONDS, AnalyticsPages
from back_office.pages.api_key_form import ApiKeyForm
from back_office.pages.api_keys import MAY_CREATE, MAY_REVOKE, ApiKeyPages
from back_office.pages.audit_log import AuditLogPages
from back_office.pages.blocks import BlockPages
from back_office.pages.dead_letters import MAY_REPLAY, DeadLetterPages
from back_office.pages.instruments import InstrumentPages
from back_office.pages.jump import JumpPages
from back_office.pages.notifications import NotificationPages
from back_office.pages.orders import OrderPages
from back_office.pages.overview import OverviewPages
from back_office.pages.reconciliations import MAY_RECONCILE, ReconciliationPages
from back_office.pages.request_forms import RequestForms
from back_office.pages.requests import RequestPages
from back_office.pages.trades import TradePages
from back_office.second_factor.pages import MAY_RESET, MAY_SEE, SecondFactorPages, UserSecondFactorPages
from gateway.keys.commandline import secret_cipher
from matching.core.decimals import INT64_MAX
from settlement import tasks, wiring
from settlement.errors import CannotRun
from settlement.stores.base import StoreError

log = structlog.get_logger(__name__)

View = Callable[..., HttpResponseBase]


def page_view(view: View, *needed: str, bare: bool = False) -> View:
    """Makes a page of the back office from a view, for staff with all `needed` permissions.

    `bare`: a fragment of a page, without the common layout.
    """
    permitted = _with_permissions(view, needed, "see this page")
    return admin.site.admin_view(require_safe(_with_error_pages(permitted, bare=bare)))


def action_view(view: View, *needed: str) -> View:
    """Makes an action from a view, for staff with all `needed` permissions; it redirects to a page."""
    permitted = _with_permissions(view, needed, "do this")
    return admin.site.admin_view(require_POST(_with_error_pages(permitted)))


def _with_permissions(view: View, needed: Sequence[str], what: str) -> View:
    @wraps(view)
    def permitted(request: HttpRequest, **numbers: int) -> HttpResponseBase:
        if lacking := permissions.missing(request.user, needed):
            raise PermissionDenied(permissions.refusal(what, lacking))
        return view(request, **numbers)

    return permitted


def _with_error_pages(view: View, *, bare: bool = False) -> View:
    @wraps(view)
    def page(request: HttpRequest, **numbers: int) -> HttpResponseBase:
        try:
            response = view(request, **_checked_numbers(numbers))
        except Http404 as missing:
            response = _refusal(request, "Not found", str(missing), 404)
        except PermissionDenied as refused:
            response = _refusal(request, "Not permitted", str(refused), 403)
        except (StoreError, CannotRun) as failure:
            response = _refusal(request, "The store does not answer", str(failure), 503)
        except DatabaseError as failure:
            log.error("site.database_unavailable", error=str(failure))
            response = _refusal(request, "The database does not answer", outages.SENTENCE, 503)
        if isinstance(response, TemplateResponse) and not bare:
            common = {**admin.site.each_context(request), "bar": readers.watch().raised}
            response.context_data = {**common, **(response.context_data or {})}
        return response

    return page


def _checked_numbers(numbers: dict[str, int]) -> dict[str, int]:
    """Checks the numbers of a URL. Raises Http404 for one that is larger than any stored number can be."""
    for number in numbers.values():
        if number > INT64_MAX:
            raise Http404(f"Nothing has the number {number}: the largest possible number is {INT64_MAX}.")
    return numbers


def _refusal(request: HttpRequest, title: str, sentence: str, status: int) -> TemplateResponse:
    return TemplateResponse(request, "back_office/refusal.html", {"title": title, "sentence": sentence}, status=status)


store = readers.store()
reference = ReferenceData(lambda: store.definitions())


def pages() -> list[URLPattern]:
    overview = OverviewPages(store, readers.engine(), reference, unwritten=lambda: readers.watch().of_database())
    trades, orders = TradePages(store, reference), OrderPages(store, reference)
    blocks, accounts = BlockPages(store, reference), AccountPages(store, reference)
    finder, alarms = JumpPages(store, reference), AlarmPages(lambda: readers.watch().raised)
    letters = DeadLetterPages(store, lambda: wiring.dead_letters(store))
    audit_log, notifications = AuditLogPages(), NotificationPages()
    figures = AnalyticsPages(
        lambda tree, period: analytics_wiring.embedded(store, at_most_s=SECONDS).ask(tree, period), reference
    )
    keys, key_form = ApiKeyPages(), ApiKeyForm(secret_cipher)
    reconciliations = ReconciliationPages(tasks.reconcile_soon)
    requests, forms = RequestPages(), RequestForms(store, reference)
    factor, factor_of_user = SecondFactorPages(), UserSecondFactorPages()
    views: list[tuple[str, View, str]] = [
        ("", page_view(overview.overview, BLOCKS), "overview"),
        ("overview/live/", page_view(overview.live, BLOCKS, bare=True), "live"),
        ("trades/", page_view(trades.trades, TRADES), "trades"),
        ("trades/csv/", page_view(trades.export, TRADES), "trades_csv"),
        ("trades/<int:trade_id>/", page_view(trades.trade, TRADES, ORDERS, ENTRIES, BLOCKS), "trade"),
        ("orders/", page_view(orders.orders, ORDERS), "orders"),
        ("orders/csv/", page_view(orders.export, ORDERS), "orders_csv"),
        ("orders/open/", page_view(orders.open_orders, ORDERS), "open_orders"),
        ("orders/<int:order_id>/", page_view(orders.order, ORDERS, TRADES, ENTRIES), "order"),
        ("accounts/", page_view(accounts.accounts, BALANCES), "accounts"),
        ("accounts/<int:account>/", page_view(accounts.account, BALANCES, ENTRIES), "account"),
        ("accounts/<int:account>/csv/", page_view(accounts.export, BALANCES, ENTRIES), "statement_csv"),
        ("accounts/<int:account>/describe/", action_view(accounts.describe, MAY_DESCRIBE), "describe"),
        ("instruments/", page_view(InstrumentPages(reference).instruments, INSTRUMENTS), "instruments"),
        ("blocks/", page_view(blocks.blocks, BLOCKS), "blocks"),
        ("blocks/<int:number>/", page_view(blocks.block, BLOCKS, TRADES), "block"),
        ("analytics/", page_view(figures.market, TRADES, ORDERS), "analytics"),
        ("analytics/export/", page_view(figures.export_market, TRADES, ORDERS), "analytics_export"),
        ("analytics/accounts/", page_view(figures.accounts, TRADES, BALANCES), "analytics_accounts"),
        (
            "analytics/accounts/export/",
            page_view(figures.export_accounts, TRADES, BALANCES),
            "analytics_accounts_export",
        ),
        ("find/", page_view(finder.jump), "jump"),
        ("alarms/", page_view(alarms.alarms, ALARMS), "alarms"),
        ("alarms/bar/", page_view(alarms.bar, ALARMS, bare=True), "alarm_bar"),
        ("alarms/<int:number>/acknowledge/", action_view(alarms.acknowledge, MAY_ACKNOWLEDGE), "acknowledge"),
        ("alarms/<int:number>/mute/", action_view(notifications.mute, MAY_ACKNOWLEDGE), "mute"),
        ("alarms/unmute/", action_view(notifications.unmute, MAY_ACKNOWLEDGE), "unmute"),
        ("alarms/test_notification/", action_view(notifications.test, MAY_ACKNOWLEDGE), "test_notification"),
        ("requests/", page_view(requests.requests, REQUESTS), "requests"),
        ("requests/<int:number>/", page_view(requests.request, REQUESTS), "request"),
        ("requests/<int:number>/state/", page_view(requests.state, REQUESTS, bare=True), "request_state"),
        ("requests/<int:number>/approve/", action_view(requests.approve, DECIDE), "approve"),
        ("requests/<int:number>/refuse/", action_view(requests.refuse, DECIDE), "refuse"),
        ("requests/<int:number>/withdraw/", action_view(requests.withdraw, REQUESTS), "withdraw"),
        ("requests/new/", page_view(forms.form, REQUESTS), "request_form"),
        ("requests/preview/", action_view(forms.preview, REQUESTS), "request_preview"),
        ("requests/ask/", action_view(forms.ask, REQUESTS), "ask"),
        ("api_keys/", page_view(keys.keys, API_KEYS), "api_keys"),
        ("api_keys/<int:number>/", page_view(keys.key, API_KEYS), "api_key"),
        ("api_keys/<int:number>/revoke/", action_view(keys.revoke, MAY_REVOKE), "revoke_api_key"),
        ("api_keys/new/", page_view(key_form.form, API_KEYS, MAY_CREATE), "new_api_key"),
        ("api_keys/create/", action_view(key_form.create, MAY_CREATE), "create_api_key"),
        ("audit_log/", page_view(audit_log.log, AUDIT_LOG), "audit_log"),
        ("audit_log/csv/", page_view(audit_log.export, AUDIT_LOG), "audit_log_csv"),
        ("reconciliations/", page_view(reconciliations.runs, RECONCILIATIONS), "reconciliations"),
        ("reconciliations/<int:number>/", page_view(reconciliations.run, RECONCILIATIONS), "reconciliation"),
        ("reconciliations/now/", action_view(reconciliations.reconcile, MAY_RECONCILE), "reconcile"),
        ("dead_letters/", page_view(letters.letters, DEAD_LETTERS), "dead_letters"),
        ("dead_letters/<int:number>/", page_view(letters.letter, DEAD_LETTERS), "dead_letter"),
        ("dead_letters/<int:number>/replay/", action_view(letters.replay, MAY_REPLAY), "replay"),
        ("second_factor/", page_view(factor.own), "second_factor"),
        ("second_factor/begin/", action_view(factor.begin), "begin_second_factor"),
        ("second_factor/confirm/", action_view(factor.confirm), "confirm_second_factor"),
        ("second_factor/backup_codes/", action_view(factor.new_codes), "new_backup_codes"),
        ("second_factor/remove/", action_view(factor.remove), "remove_second_factor"),
        ("second_factor/code/", page_view(factor.code), "second_factor_code"),
        ("second_factor/verify/", action_view(factor.verify), "verify_second_factor"),
        ("users/<int:number>/second_factor/", page_view(factor_of_user.user, MAY_SEE), "user_second_factor"),
        (
            "users/<int:number>/second_factor/reset/",
            action_view(factor_of_user.reset, MAY_RESET),
            "reset_second_factor",
        ),
    ]
    return [path(route, view, name=name) for route, view, name in views]


def public() -> list[URLPattern]:
    """Pages that need no login."""
    return [path("invitation/<uidb64>/<token>/", InvitationView.as_view(), name="invitation")]


app_name = "office"
urlpatterns: list[Any] = [*pages(), *public()]
