"""Asking for an action in three steps: the form, a preview of what it will do, and the request itself.

The preview signs what it shows. So what is asked for is what was shown, by the person who saw it; and a form that is
sent twice, or again later, asks once.
"""

import secrets
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core import signing
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from back_office import filters
from back_office.access import permissions
from back_office.actions import kinds, parameters, previews, requests
from back_office.actions.kinds import TABLE, Field, Form, Kind
from back_office.actions.requests import Wish
from back_office.audit import records
from back_office.filters import BadFilter, Query
from back_office.formats import ReferenceData
from settlement.stores.base import Store

FORM_LIFETIME_S = 3600
"""A preview that is older may describe another market."""

_SALT = "back_office.actions.preview"
_FORM_BYTES = 24
_KNOWN = {"symbol": "instruments", "asset": "assets", "base": "assets", "quote": "assets"}
_KEYBOARDS = {Form.WHOLE: "numeric", Form.DECIMAL: "decimal"}


@dataclass(frozen=True, slots=True)
class Input:
    """A field of the form with what is in it."""

    field: Field
    value: str

    @property
    def keyboard(self) -> str:
        """Which keys a telephone shows."""
        return _KEYBOARDS.get(self.field.form, "text")

    @property
    def known(self) -> str:
        """Which list of known symbols the browser offers; "" for none."""
        return "" if self.field.label == "Symbol" else _KNOWN.get(self.field.name, "")


class RequestForms:
    def __init__(self, store: Store, reference: ReferenceData) -> None:
        self.store = store
        self.reference = reference

    def form(self, request: HttpRequest) -> HttpResponse:
        """An empty form, or one with what the address gives; without a kind the list of those that the user may ask."""
        own = _kinds_of(request)
        if not filters.text(request.GET, "kind"):
            choices = [(str(kind), TABLE[kind].title) for kind in own]
            context = {"title": "New request", "choices": choices}
            return TemplateResponse(request, "back_office/request_kinds.html", context)
        return self._form(request, _kind(request, request.GET), request.GET)

    def preview(self, request: HttpRequest) -> HttpResponse:
        """Changes nothing; POST, because a reason does not belong into an address."""
        kind = _kind(request, request.POST)
        try:
            reason = _required_reason(request.POST)
            found = parameters.read(kind, request.POST, self.store, self.reference)
        except BadFilter as refusal:
            return self._form(request, kind, request.POST, str(refusal))
        lines = previews.preview(kind, found, self.store, self.reference)
        wish = Wish(secrets.token_urlsafe(_FORM_BYTES), kind, found, lines, reason)
        context = {
            "title": TABLE[kind].title,
            "kind": str(kind),
            "lines": lines,
            "reason": reason,
            "given": [(field.name, found.get(field.name, "")) for field in TABLE[kind].fields],
            "two_persons": kinds.needs_two_persons(kind),
            "signed": signing.dumps([request.user.pk, *wish], salt=_SALT, compress=True),
        }
        return TemplateResponse(request, "back_office/request_preview.html", context)

    def ask(self, request: HttpRequest) -> HttpResponse:
        wish = _signed_wish(request)
        made, is_new = requests.ask(wish, request.user)
        if not is_new:
            messages.info(request, "This form had been sent before: here is the request that it made.")
        elif made.needs_approval:
            messages.success(request, "The request waits for the approval of another person.")
        else:
            messages.success(request, "The request was made.")
        return redirect("office:request", made.pk)

    def _form(self, request: HttpRequest, kind: Kind, given: Query, refusal: str = "") -> TemplateResponse:
        context: dict[str, Any] = {
            "title": TABLE[kind].title,
            "kind": str(kind),
            "inputs": [Input(field, filters.text(given, field.name)) for field in TABLE[kind].fields],
            "reason": filters.text(given, "reason"),
            "instruments": self.reference.registry().instruments,
            "assets": self.reference.registry().assets,
            "two_persons": kinds.needs_two_persons(kind),
            "refusal": refusal,
        }
        return TemplateResponse(request, "back_office/request_form.html", context, status=400 if refusal else 200)


def _kinds_of(request: HttpRequest) -> list[Kind]:
    """What the user may ask for. Raises PermissionDenied if it is nothing."""
    own = [kind for kind in TABLE if request.user.has_perm(TABLE[kind].permission)]
    if not own:
        raise PermissionDenied("Your account is not allowed to ask for any action.")
    return own


def _kind(request: HttpRequest, given: Query) -> Kind:
    """The kind that the form names. Raises PermissionDenied if the user may not ask for it, BadRequest."""
    own = _kinds_of(request)
    kind = kinds.of(filters.text(given, "kind"))
    if kind is None:
        raise BadRequest("There is no such action.")
    if kind not in own:
        raise PermissionDenied(permissions.refusal("ask for this", [TABLE[kind].permission]))
    return kind


def _required_reason(form: Query) -> str:
    """Raises BadFilter, BadRequest."""
    reason = records.storable(filters.reason(form))
    if not reason:
        raise BadFilter("Give the reason: it is kept with the request.")
    return reason


def _signed_wish(request: HttpRequest) -> Wish:
    """Raises BadRequest, PermissionDenied."""
    _kinds_of(request)
    signed = filters.text(request.POST, "signed")
    try:
        user, form, name, found, lines, reason = signing.loads(signed, salt=_SALT, max_age=FORM_LIFETIME_S)
    except (signing.BadSignature, ValueError) as error:
        raise BadRequest("This form is not valid any more. Fill it in again.") from error
    if user != request.user.pk:
        raise PermissionDenied("Somebody else filled in this form.")
    kind = _kind(request, {"kind": name})  # the user may have lost the permission since
    return Wish(form, kind, found, lines, reason)
