"""Pages about the API keys of traders: the list, and one with its revocation.

A secret is in no page but the one that answers its creation (`api_key_form`).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from back_office import filters
from back_office.audit import api_keys
from back_office.filters import BadFilter
from back_office.paging import PAGE_ROWS, Page, page_before
from gateway.models import StoredApiKey

log = structlog.get_logger(__name__)

MAY_CREATE = "gateway.add_storedapikey"
MAY_REVOKE = "gateway.change_storedapikey"

_SHOWN_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class ApiKeyRow:
    """`beginning`: enough of the name to tell keys apart."""

    id: int
    name: str
    beginning: str
    account: int
    kind: str
    permissions: str
    networks: str
    label: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: StoredApiKey) -> "ApiKeyRow":
        return cls(
            id=key.pk,
            name=key.name,
            beginning=f"{key.name[:_SHOWN_CHARACTERS]}…",
            account=key.account,
            kind=key.type,
            permissions=key.permissions.replace(",", ", "),
            networks=key.networks.replace(",", ", "),
            label=key.label,
            created_at=key.created_at,
            last_used_at=key.last_used_at,
            revoked_at=key.revoked_at,
        )


class ApiKeyPages:
    def keys(self, request: HttpRequest) -> TemplateResponse:
        """The newest first; `account`: those of one account."""
        context: dict[str, Any] = {"title": "API keys", "form": request.GET, "page": Page([])}
        context["may_create"] = request.user.has_perm(MAY_CREATE)
        try:
            account = filters.whole_number(request.GET, "account", "Account")
            before = filters.whole_number(request.GET, "before", "Before")
        except BadFilter as refusal:
            context["refusal"] = str(refusal)
            return TemplateResponse(request, "back_office/api_keys.html", context, status=400)
        found = StoredApiKey.objects.order_by("-id")
        if account is not None:
            found = found.filter(account=account)
        if before is not None:
            found = found.filter(id__lt=before)
        page = page_before(list(found[: PAGE_ROWS + 1]), lambda key: key.pk, is_first=before is None)
        context["page"] = Page([ApiKeyRow.of(key) for key in page.rows], page.older, is_first=page.is_first)
        return TemplateResponse(request, "back_office/api_keys.html", context)

    def key(self, request: HttpRequest, number: int) -> TemplateResponse:
        row = ApiKeyRow.of(_stored(number))
        context = {"title": f"API key {row.beginning}", "key": row, "may_revoke": request.user.has_perm(MAY_REVOKE)}
        return TemplateResponse(request, "back_office/api_key.html", context)

    def revoke(self, request: HttpRequest, number: int) -> HttpResponse:
        """Does the same as `manage.py revoke_api_key`."""
        stored = _stored(number)
        try:
            reason = filters.needed_reason(request.POST)
        except BadFilter as refusal:
            messages.error(request, str(refusal))
            return redirect("office:api_key", number)
        is_revoked = api_keys.revoke(stored.name, reason=reason)
        if is_revoked:
            log.info("site.api_key_revoked", key=stored.name, by=request.user.get_username())
            messages.success(request, "The key has been revoked. Gateways refuse it within a second.")
        else:
            messages.info(request, "The key has already been revoked.")
        return redirect("office:api_key", number)


def _stored(number: int) -> StoredApiKey:
    found = StoredApiKey.objects.filter(pk=number).first()
    if found is None:
        raise Http404(f"There is no API key with the number {number}.")
    return found
