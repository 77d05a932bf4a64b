"""Requests with values that no page can look up are answered with 400 and one sentence, never with 500.

Our own pages check what they are asked (`back_office.filters`). The pages of Django's admin and of its theme pass some
values on unchecked: those end as a ValueError, or in the database. This middleware turns them into 400. Before any view
runs it refuses very long addresses, and NUL characters, which PostgreSQL does not take even in a question.
"""

from collections.abc import Callable

import structlog
from django.core.exceptions import BadRequest, FieldError, SuspiciousOperation, ValidationError
from django.core.paginator import InvalidPage
from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

log = structlog.get_logger(__name__)

UNUSABLE = "The address or the form holds a value that this page cannot look up. Correct it, or go to the front page."
LONGEST_QUERY = 4096
"""Characters after the question mark: about what gunicorn takes as a whole address, and the same for every server."""

TOO_LONG = f"The address is longer than the site takes: {LONGEST_QUERY} characters after the question mark at most."
NUL = "The request holds a NUL character, which nothing here can contain."

_OF_A_VALUE = (ValueError, OverflowError, ValidationError, FieldError, InvalidPage, DataError)
"""How Django, its theme and database drivers fail on a value that has not the form or the range they need."""

_CHECKED_BY_FORMS = ("admin",)
"""Namespaces whose views are not ours: a ValueError there is a value's fault. In our own it is a bug, and stays one."""

_SHOWN_CHARACTERS = 200

GetResponse = Callable[[HttpRequest], HttpResponse]


class OddRequests:
    """Middleware. To stand before those that look for files or read the database: they must meet no NUL either."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if len(request.META.get("QUERY_STRING", "")) > LONGEST_QUERY:
            return bad_request(request, BadRequest(TOO_LONG))
        if _has_nul(request):
            return bad_request(request, BadRequest(NUL))
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        match = request.resolver_match
        if match is None or match.namespace not in _CHECKED_BY_FORMS or not isinstance(exception, _OF_A_VALUE):
            return None
        path = request.get_full_path()[:_SHOWN_CHARACTERS]
        log.warning("request refused", path=path, error=type(exception).__name__)
        return bad_request(request, BadRequest(UNUSABLE))


def _has_nul(request: HttpRequest) -> bool:
    query = request.META.get("QUERY_STRING", "")
    return (
        "\0" in request.path_info
        or "%00" in query
        or "\0" in query
        or any("\0" in value for value in request.COOKIES.values())
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: what was raised says why, where it was written for a person to read."""
    sentence = str(exception) if isinstance(exception, BadRequest) else _sentence(exception)
    return _page(request, "Bad request", sentence, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    return _page(request, "Not permitted", "Your account may not see this page.", 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404, for what is not among our own pages."""
    return _page(request, "Not found", "There is no page at this address.", 404)


def _page(request: HttpRequest, title: str, sentence: str, status: int) -> HttpResponse:
    return render(request, "back_office/plain.html", {"title": title, "sentence": sentence}, status=status)


def _sentence(exception: Exception) -> str:
    """For what Django refuses by itself; its own texts are for its log."""
    kind = type(exception).__name__
    return _SENTENCES.get(kind, UNUSABLE) if isinstance(exception, SuspiciousOperation) else UNUSABLE


_SENTENCES = {
    "DisallowedHost": "This site does not answer under that host name: see ALLOWED_HOSTS.",
    "DisallowedModelAdminLookup": "This list cannot be filtered by that field.",
    "DisallowedModelAdminToField": "A choice cannot refer to that field.",
    "RequestDataTooBig": "The form holds more data than the site takes.",
    "TooManyFieldsSent": "The request holds more fields than the site takes.",
    "TooManyFilesSent": "The form holds more files than the site takes.",
}
