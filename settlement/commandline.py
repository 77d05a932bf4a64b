"""What this package's management commands have in common: errors of the domain become a sentence and an exit code.

Exit 0: in order. 1: what was checked or received is not in order. 2: could not run.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management import BaseCommand, CommandError

from matching.commandline.interruption import stoppable
from matching.core.errors import MatchingError
from settlement.errors import Incident, SettlementError
from settlement.stores.base import StoreError

NOT_IN_ORDER = 1
COULD_NOT_RUN = 2

_STORES = ("settlement.stores.sql.session", "settlement.stores.scylla.connection.session")
_AWAY = "store unavailable"


class ExchangeCommand(BaseCommand):
    """A command over the domain: it lets errors of the domain through, and this class tells them."""

    def execute(self, *arguments: Any, **options: Any) -> str | None:
        try:
            with stoppable(), _said_once():
                return super().execute(*arguments, **options)
        except Incident as error:
            raise CommandError(str(error), returncode=NOT_IN_ORDER) from error
        except (SettlementError, StoreError, MatchingError) as error:
            raise CommandError(str(error), returncode=COULD_NOT_RUN) from error
        except BrokenPipeError:
            # Who reads has seen enough (`list_trades … | head`); what is left in the buffer must not be tried again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return None


@contextmanager
def _said_once() -> Iterator[None]:
    """What a store logs when it does not answer stays unsaid: the command's last sentence says it.

    Where a command asks again, whoever does that logs it with the attempt (`settlement.stores.retrying`).
    """

    def is_news(record: logging.LogRecord) -> bool:
        return not (isinstance(record.msg, dict) and record.msg.get("event") == _AWAY)

    loggers = [logging.getLogger(name) for name in _STORES]
    for logger in loggers:
        logger.addFilter(is_news)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_news)
