"""Answers for requests that fail because the site's own database does not respond.

Sessions and users are read before any view runs, so the views cannot handle this.
"""

import logging
import sys

import structlog
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views import defaults

log = structlog.get_logger(__name__)

SENTENCE = "The site's database does not answer."


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: called for exceptions that no view caught."""
    if isinstance(sys.exc_info()[1], DatabaseError):
        return render(request, "back_office/outage.html", {"sentence": SENTENCE}, status=503)
    return defaults.server_error(request)


class DatabaseErrorFilter(logging.Filter):
    """Logs a database error of a request as one event with the database's message, without the traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, DatabaseError):
            log.error("site.database_unavailable", error=str(error).strip())
            return False
        return True
