"""Makes each request the origin of what it records, and records refusals (403) of users who have logged in.

A visitor who has not logged in is redirected to the login, and leaves no record until somebody tries a password.
"""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from back_office.audit import origin, records
from back_office.audit.codes import Action, Outcome
from back_office.models import AuditRecord

REPEATED_WITHIN_NS = 60 * 10**9
"""A refusal like the account's newest record is recorded again after this time: an open page repeats its requests."""


class AuditMiddleware:
    """Middleware. Must come after the one that knows the user, and before all that may refuse a request or log out."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with origin.answering(request):
            response = self._get_response(request)
            if response.status_code == 403 and request.user.is_authenticated:
                _record_refusal(request)
        return response


def _record_refusal(request: HttpRequest) -> None:
    who = origin.of(request)
    target = records.storable(f"page:{request.method} {request.path}")
    newest = AuditRecord.objects.filter(actor=who.actor).order_by("-number").first()
    if (
        newest is not None
        and (newest.action, newest.target, newest.address) == (Action.REFUSED, target, who.address)
        and time.time_ns() - newest.at_ns < REPEATED_WITHIN_NS
    ):
        return
    records.append(Action.REFUSED, outcome=Outcome.REFUSED, target=target)
