"""Requests with invalid values are answered with 400 and one sentence, never with 500.

Our own pages validate their parameters (`back_office.filters`). Django's admin and its theme pass some values on
unchecked, which then raise ValueError or a database error; this middleware answers 400 instead. Before any view runs it
refuses very long URLs, and NUL characters, which PostgreSQL does not accept even in a query.
"""

from collections.abc import Callable

import structlog
from django.contrib import admin
from django.core.exceptions import BadRequest, FieldError, SuspiciousOperation, ValidationError
from django.core.paginator import InvalidPage
from django.db import DatabaseError, DataError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from back_office import outages

log = structlog.get_logger(__name__)

UNUSABLE = "The URL or the form contains an invalid value. Correct it, or go to the front page."
MAX_QUERY_LENGTH = 4096
"""Characters after the question mark: about gunicorn's limit of a whole URL, but the same for every server."""

TOO_LONG = f"The URL is too long: at most {MAX_QUERY_LENGTH} characters are allowed after the question mark."
NUL = "The request contains a NUL character, which is never valid."

_INVALID_VALUE_ERRORS = (ValueError, OverflowError, ValidationError, FieldError, InvalidPage, DataError)
"""Exceptions of Django, its theme and database drivers for a value of the wrong form or range."""

_FOREIGN_NAMESPACES = ("admin",)
"""Namespaces of views that are not ours: a ValueError there means an invalid value. In our views it is a bug."""

_SHOWN_CHARACTERS = 200

GetResponse = Callable[[HttpRequest], HttpResponse]


class InvalidRequestMiddleware:
    """Middleware. Must come before those that look for files or read the database, which fail on NUL characters."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if len(request.META.get("QUERY_STRING", "")) > MAX_QUERY_LENGTH:
            return bad_request(request, BadRequest(TOO_LONG))
        if _has_nul(request):
            return bad_request(request, BadRequest(NUL))
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        match = request.resolver_match
        if (
            match is None
            or match.namespace not in _FOREIGN_NAMESPACES
            or not isinstance(exception, _INVALID_VALUE_ERRORS)
        ):
            return None
        path = request.get_full_path()[:_SHOWN_CHARACTERS]
        # With the traceback, because the same exceptions can come from a bug in the admin or in our admin classes.
        log.warning("site.request_rejected", path=path, error=type(exception).__name__, exc_info=exception)
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
    """Django's handler400. Shows the exception's text if it is a sentence for the user."""
    sentence = str(exception) if isinstance(exception, BadRequest) else _sentence(exception)
    return _page(request, "Bad request", sentence, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    return _page(request, "Not permitted", "Your account does not have permission to see this page.", 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404, for URLs outside our own pages."""
    return _page(request, "Not found", "There is no page at this address.", 404)


def form_expired(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW."""
    sentence = "This form has expired, or the browser sends no cookies. Go back, reload the page and send it again."
    return _page(request, "Form expired", sentence, 403)


def _page(request: HttpRequest, title: str, sentence: str, status: int) -> HttpResponse:
    """In the common layout for an operator who is logged in, if the layout can be made."""
    try:
        if _is_operator(request):
            from back_office import readers  # here, because every command loads this module, and few need the kernel

            context = {**admin.site.each_context(request), "title": title, "sentence": sentence}
            context["bar"] = readers.watch().raised
            return render(request, "back_office/refusal.html", context, status=status)
    except (SuspiciousOperation, DatabaseError):
        pass  # the layout needs the parameters, which are what was refused, and the database
    return outages.plain_page(request, title, sentence, status)


def _is_operator(request: HttpRequest) -> bool:
    """False as well if the request has not got as far as its user."""
    return hasattr(request, "user") and request.user.is_active and request.user.is_staff


def _sentence(exception: Exception) -> str:
    """Sentence for a request that Django itself refused; the text of its exception is only for the log."""
    kind = type(exception).__name__
    return _SENTENCES.get(kind, UNUSABLE) if isinstance(exception, SuspiciousOperation) else UNUSABLE


_SENTENCES = {
    "DisallowedHost": "This host name is not served: see ALLOWED_HOSTS.",
    "DisallowedModelAdminLookup": "This list cannot be filtered by that field.",
    "DisallowedModelAdminToField": "A selection cannot refer to that field.",
    "RequestDataTooBig": "The form contains too much data.",
    "TooManyFieldsSent": "The request contains too many fields.",
    "TooManyFilesSent": "The form contains too many files.",
}
