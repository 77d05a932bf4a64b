"""The loop of the worker that carries out requests. Everything that it touches is passed in."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.db import Error as DatabaseError
from django.db import connections

from back_office.actions import carrying_out, metrics
from back_office.actions.engine import Engine
from settlement.stores.base import StoreError

log = structlog.get_logger(__name__)

TURN_S = 0.5


@dataclass(slots=True)
class Progress:
    """What heartbeat and health show; written by the loop, read by other threads."""

    turns: int = 0
    finds_database: bool = False


def run(engine: Engine, progress: Progress, wait: Callable[[float], bool]) -> int:
    """Works until `wait(seconds)` returns True, which it does when the process shall stop. Returns how many ended."""
    ended = 0
    while True:
        try:
            ended += carrying_out.turn(engine)
            metrics.count_states()
            progress.finds_database = True
        except (DatabaseError, StoreError) as error:
            if progress.finds_database or not progress.turns:  # once for each outage
                log.error("action.turn_failed", error=str(error))
            progress.finds_database = False
            connections.close_all()  # in case the connection is broken
        progress.turns += 1
        if wait(TURN_S):
            return ended
