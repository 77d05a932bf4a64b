"""Answers for requests that fail because the site's own database does not respond.

Sessions and users are read before any view runs, so the views cannot handle this.
"""

import logging
import sys

import structlog
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

log = structlog.get_logger(__name__)

SENTENCE = "The site's database does not answer."
_OUTAGE = f"{SENTENCE} Logins cannot be checked until it does. The exchange itself keeps running. Try again soon."
_FAULT = "This page could not be made. The cause is in the web's log. The exchange itself keeps running."


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: called for exceptions that no view caught."""
    if isinstance(sys.exc_info()[1], DatabaseError):
        return plain_page(request, "The database does not answer", _OUTAGE, 503)
    return plain_page(request, "Something went wrong", _FAULT, 500)


def plain_page(request: HttpRequest, title: str, sentence: str, status: int) -> HttpResponse:
    """A page without the common layout, which would ask the database for the logged-in user."""
    return render(request, "back_office/plain.html", {"title": title, "sentence": sentence}, status=status)


class DatabaseErrorFilter(logging.Filter):
    """Logs a database error of a request as one event with the database's message, without the traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, DatabaseError):
            log.error("site.database_unavailable", error=str(error).strip())
            return False
        return True
