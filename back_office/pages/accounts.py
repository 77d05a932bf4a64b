"""Pages about accounts: the list of balances, and the balances and statement of one account."""

import re
from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from analytics.errors import QueryTooLarge
from back_office import filters, released
from back_office.audit import records
from back_office.audit.codes import Action
from back_office.customers import descriptions
from back_office.filters import BadFilter, Query
from back_office.formats import ReferenceData
from back_office.paging import PAGE_ROWS, Page, page_before
from back_office.statements import files
from back_office.statements.entries import PeriodRow, Statement, StatementFilter
from back_office.statements.rows import BalanceRow, EntryRow
from matching.core.decimals import INT64_MAX
from settlement.stores.base import LedgerEvent, Store

MAY_DESCRIBE = "back_office.change_customer"

_BALANCE_KEY = re.compile(r"([0-9]{1,19}):([A-Z0-9._-]{1,32})", re.ASCII)
_TRANSFERS = ("deposit", "withdrawal")


class AccountPages:
    def __init__(self, store: Store, reference: ReferenceData) -> None:
        self.store = store
        self.reference = reference

    def accounts(self, request: HttpRequest) -> HttpResponse:
        """All balances, ordered by account and asset. An account number in the form redirects to that account."""
        context: dict[str, Any] = {"title": "Accounts", "form": request.GET}
        try:
            account = filters.whole_number(request.GET, "account", "Account")
            after = _balance_key(request.GET)
        except BadFilter as refusal:
            return TemplateResponse(
                request, "back_office/accounts.html", {**context, "refusal": str(refusal), "page": Page([])}, status=400
            )
        if account is not None:
            return redirect("office:account", account)
        found = list(self.store.balances(after, PAGE_ROWS + 1))
        rows = [BalanceRow.of(balance, self.reference) for balance in found[:PAGE_ROWS]]
        context["next"] = f"{rows[-1].account}:{rows[-1].asset}" if len(found) > PAGE_ROWS else None
        context["page"] = Page(rows, is_first=after is None)
        return TemplateResponse(request, "back_office/accounts.html", context)

    def account(self, request: HttpRequest, account: int) -> TemplateResponse:
        context: dict[str, Any] = {"title": f"Account {account}", "account": account}
        context["tabs"] = account_tabs(account, "statement")
        balances = self.store.balances_of(account)
        settings = self.store.account_settings_of(account)
        customer = descriptions.of(account)
        if not balances and not settings and customer is None:
            raise Http404(f"Account {account} does not exist: it has no settled balance, ledger entry or setting.")
        statuses = [setting.status for setting in settings if setting.status]
        context |= {"customer": customer, "may_describe": request.user.has_perm(MAY_DESCRIBE)}
        context["status"] = statuses[0].replace("_", " ") if statuses else "active"
        context["fees"] = [setting for setting in settings if setting.maker_fee is not None]
        context["balances"] = [BalanceRow.of(balance, self.reference) for balance in balances]
        try:
            wanted = StatementFilter.read(account, request.GET, self.reference)
        except BadFilter as refusal:
            context |= {"refusal": str(refusal), "form": request.GET, "page": Page([])}
            return TemplateResponse(request, "back_office/account.html", context, status=400)
        statement = Statement(self.store, wanted)
        entries = statement.newest(PAGE_ROWS + 1, wanted.before)
        context |= {"form": request.GET, "asset": wanted.asset, "days": wanted.days}
        context["is_from_archive"] = released.are_entries(self.store, entries[:PAGE_ROWS])
        context["page"] = self._page(entries, is_first=wanted.before is None)
        context["period"] = [
            PeriodRow.of(opening, closing, self.reference)
            for opening, closing in zip(statement.openings(), statement.closings(), strict=True)
        ]
        return TemplateResponse(request, "back_office/account.html", context)

    def export(self, request: HttpRequest, account: int) -> HttpResponseBase:
        """The statement as CSV or Parquet, newest first."""
        try:
            kind = filters.text(request.GET, "format") or files.FORMATS[0]
            if kind not in files.FORMATS:
                raise BadFilter(f"Format must be one of {', '.join(files.FORMATS)}.")
            wanted = StatementFilter.read(account, request.GET, self.reference)
            response = files.download(request, kind, Statement(self.store, wanted), wanted, self.reference)
        except (BadFilter, QueryTooLarge) as refusal:
            context = {"title": f"Account {account}", "sentence": str(refusal)}
            return TemplateResponse(request, "back_office/refusal.html", context, status=400)
        records.append(Action.LIST_EXPORT, target=f"list:statement of {account}", after=request.GET.dict())
        return response

    def describe(self, request: HttpRequest, account: int) -> HttpResponse:
        """Keeps name, external id and note of the account's owner."""
        try:
            descriptions.describe(account, descriptions.Description.read(request.POST))
        except BadFilter as refusal:
            messages.error(request, f"Nothing was changed: {refusal}")
        else:
            messages.success(request, "The customer was saved.")
        return redirect("office:account", account)

    def _page(self, found: Sequence[LedgerEvent], *, is_first: bool) -> Page[EntryRow]:
        page = page_before(found, _place, is_first=is_first)
        moved = [entry.event_sequence for entry in page.rows if entry.kind in _TRANSFERS]
        transfers = self.store.get_transfers(moved) if moved else []
        references = {transfer.event_sequence: transfer.reference for transfer in transfers}
        rows = [EntryRow.of(entry, self.reference, references.get(entry.event_sequence, "")) for entry in page.rows]
        return Page(rows, page.older, is_first=page.is_first)


def account_tabs(account: int, active: str) -> list[dict[str, Any]]:
    """Tabs of the pages about one account, for the theme's navigation component."""
    links = {
        "statement": reverse("office:account", args=[account]),
        "orders": f"{reverse('office:orders')}?account={account}",
        "trades": f"{reverse('office:trades')}?account={account}",
    }
    icons = {"statement": "account_balance", "orders": "list_alt", "trades": "swap_horiz"}
    return [
        {"title": name.capitalize(), "link": link, "icon": icons[name], "active": name == active}
        for name, link in links.items()
    ]


def _place(entry: LedgerEvent) -> str:
    return f"{entry.event_sequence}-{entry.leg}"


def _balance_key(query: Query) -> tuple[int, str] | None:
    value = filters.text(query, "after")
    if not value:
        return None
    match = _BALANCE_KEY.fullmatch(value)
    if not match or int(match[1]) > INT64_MAX:
        raise BadFilter("After must be an account and an asset such as 7:BTC.")
    return int(match[1]), match[2]
