"""What this package's management commands have in common: errors of the domain become a sentence and an exit code.

Exit 0: in order. 1: what was checked or received is not in order. 2: could not run.
"""

import os
import sys
from typing import Any

from django.core.management import BaseCommand, CommandError

from matching.errors import MatchingError
from matching.management.interrupting import stoppable
from settlement.errors import Incident, SettlementError
from settlement.stores.base import StoreError

NOT_IN_ORDER = 1
COULD_NOT_RUN = 2


class ExchangeCommand(BaseCommand):
    """A command over the domain: it lets errors of the domain through, and this class tells them."""

    def execute(self, *arguments: Any, **options: Any) -> str | None:
        try:
            with stoppable():
                return super().execute(*arguments, **options)
        except Incident as error:
            raise CommandError(str(error), returncode=NOT_IN_ORDER) from error
        except (SettlementError, StoreError, MatchingError) as error:
            raise CommandError(str(error), returncode=COULD_NOT_RUN) from error
        except BrokenPipeError:
            # Who reads has seen enough (`list_trades … | head`); what is left in the buffer must not be tried again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return None
