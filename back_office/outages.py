"""When the site's own database does not answer around a page: sessions and accounts are read before any view runs."""

import logging
import sys

from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views import defaults

SENTENCE = "The site's database does not answer."


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: for what no view has caught."""
    if isinstance(sys.exc_info()[1], DatabaseError):
        return render(request, "back_office/outage.html", {"sentence": SENTENCE}, status=503)
    return defaults.server_error(request)


class OneLine(logging.Filter):
    """Of such an error the log says what the database said, and does not show how the site came to ask it."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, DatabaseError):
            record.msg, record.args = "database does not answer: %s", (str(error).strip(),)
            record.exc_info = None
        return True
