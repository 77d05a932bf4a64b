"""Base class of this package's management commands: translates errors into a sentence and an exit code.

Exit 0: success. 1: a check failed, received data is wrong, or work was left undone. 2: could not run.
130 or 143: interrupted.
"""

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from django.core.management import CommandError

from matching.commandline.command import ProjectCommand
from matching.commandline.interruption import stoppable
from matching.core.errors import MatchingError
from settlement.errors import Incident, SettlementError
from settlement.stores import timing
from settlement.stores.base import Store, StoreError

CHECK_FAILED = 1
COULD_NOT_RUN = 2

_STORES = ("settlement.stores.sql.session", "settlement.stores.scylla.connection.session")
_REQUEST_FAILED = "store.request_failed"
_SLOW_STATEMENT = "store.slow_statement"
_VERBOSE = 2
_SHOWN = 10
"""Maximum number of block numbers in one sentence."""


class ExchangeCommand(ProjectCommand):
    """Translates the errors that `handle` raises into CommandError.

    `handle` sets `so_far` to what has been done, which is written if it is interrupted. A service handles signals
    itself.
    """

    is_service = False
    so_far = ""

    logs_slow_statements = False
    """Whether slow statements are logged without `--verbosity 2`: for services, not for commands on a terminal."""

    def execute(self, *arguments: Any, **options: Any) -> str | None:
        try:
            interruption = nullcontext() if self.is_service else stoppable(lambda: self.so_far)
            with interruption, _without_failed_requests(), self._statement_times(options["verbosity"]):
                return super().execute(*arguments, **options)
        except Incident as error:
            raise CommandError(str(error), returncode=CHECK_FAILED) from error
        except (SettlementError, StoreError, MatchingError) as error:
            raise CommandError(str(error), returncode=COULD_NOT_RUN) from error
        except BrokenPipeError:
            # The reader has closed the pipe (`list_trades … | head`); the rest of the buffer must not be written.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return None

    def _statement_times(self, verbosity: int) -> AbstractContextManager[None]:
        is_logged = self.logs_slow_statements or verbosity >= _VERBOSE
        return nullcontext() if is_logged else _without_event(_SLOW_STATEMENT, [timing.__name__])


def refuse_dead_letters(store: Store) -> None:
    """For a command that projects blocks. Raises CommandError if there are dead letters."""
    numbers = [letter.block_number for letter in store.dead_letters()]
    if numbers:
        shown = ", ".join(map(str, numbers[:_SHOWN]))
        more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
        raise CommandError(
            f"The rows of {len(numbers)} block{'' if len(numbers) == 1 else 's'} are not in the tables, because the "
            f"store rejected them (dead letters: block {shown}{more}). Correct the cause, then run "
            "replay_dead_letters --all.",
            returncode=CHECK_FAILED,
        )


def _without_failed_requests() -> AbstractContextManager[None]:
    """Does not log failed requests to the store, because the command's error message has the cause.

    If a command retries, `settlement.stores.retrying` logs each attempt.
    """
    return _without_event(_REQUEST_FAILED, _STORES)


@contextmanager
def _without_event(event: str, names: Iterable[str]) -> Iterator[None]:
    """Suppresses one event of these loggers."""

    def is_another(record: logging.LogRecord) -> bool:
        return not (isinstance(record.msg, dict) and record.msg.get("event") == event)

    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addFilter(is_another)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_another)
