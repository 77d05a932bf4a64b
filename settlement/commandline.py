"""What this package's management commands have in common: errors of the domain become a sentence and an exit code.

Exit 0: in order. 1: what was checked or received is not in order, or something is left undone. 2: could not run.
130 or 143: interrupted.
"""

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from django.core.management import BaseCommand, CommandError

from matching.commandline.interruption import stoppable
from matching.core.errors import MatchingError
from settlement.errors import Incident, SettlementError
from settlement.stores import timing
from settlement.stores.base import Store, StoreError

NOT_IN_ORDER = 1
COULD_NOT_RUN = 2

_STORES = ("settlement.stores.sql.session", "settlement.stores.scylla.connection.session")
_REQUEST_FAILED = "store.request_failed"
_SLOW_STATEMENT = "store.slow_statement"
_VERBOSE = 2
_SHOWN = 10
"""Numbers of blocks in one sentence."""


class ExchangeCommand(BaseCommand):
    """A command over the domain: it lets errors of the domain through, and this class tells them.

    `handle` sets `so_far` to what was done, which is said where it is interrupted. A service handles signals itself.
    """

    is_service = False
    so_far = ""

    tells_slow_statements = False
    """Whether they are logged without `--verbosity 2`: for a program that keeps a log, not for a terminal."""

    def execute(self, *arguments: Any, **options: Any) -> str | None:
        try:
            interruption = nullcontext() if self.is_service else stoppable(lambda: self.so_far)
            with interruption, _said_once(), self._statement_times(options["verbosity"]):
                return super().execute(*arguments, **options)
        except Incident as error:
            raise CommandError(str(error), returncode=NOT_IN_ORDER) from error
        except (SettlementError, StoreError, MatchingError) as error:
            raise CommandError(str(error), returncode=COULD_NOT_RUN) from error
        except BrokenPipeError:
            # Who reads has seen enough (`list_trades … | head`); what is left in the buffer must not be tried again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return None

    def _statement_times(self, verbosity: int) -> AbstractContextManager[None]:
        told = self.tells_slow_statements or verbosity >= _VERBOSE
        return nullcontext() if told else _unlogged(_SLOW_STATEMENT, [timing.__name__])


def refuse_dead_letters(store: Store) -> None:
    """For a command that has projected blocks. Raises CommandError where the rows of some are not in the tables."""
    numbers = [letter.block_number for letter in store.dead_letters()]
    if numbers:
        shown = ", ".join(map(str, numbers[:_SHOWN]))
        more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
        raise CommandError(
            f"The rows of {len(numbers)} block{'' if len(numbers) == 1 else 's'} are not in the tables, for the store "
            f"refused them (dead letters: block {shown}{more}): mend the cause, then run replay_dead_letters --all.",
            returncode=NOT_IN_ORDER,
        )


def _said_once() -> AbstractContextManager[None]:
    """What a store logs when it does not answer stays unsaid: the command's last sentence says it.

    Where a command asks again, whoever does that logs it with the attempt (`settlement.stores.retrying`).
    """
    return _unlogged(_REQUEST_FAILED, _STORES)


@contextmanager
def _unlogged(event: str, names: Iterable[str]) -> Iterator[None]:
    """Leaves out this event of these loggers."""

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
