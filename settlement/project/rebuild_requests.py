"""Rebuilds of projections that somebody has asked for while settlement runs: rows in Django's own database.

    asked ──settlement drops the rows──▶ projecting ──the last block that was stored then is projected──▶ done
      └──a block that the store does not have──▶ refused

The process that holds the store's lock carries them out, so settlement does: it ends its work, drops the rows, and goes
on from the store's checkpoints, which projects the blocks again beside new ones. If it is killed before the row says
so, it drops the rows again, which gives the same tables.
"""

import threading

import structlog

from settlement.errors import NotReady
from settlement.models import RebuildRequest
from settlement.project import rebuilding
from settlement.project.dead_letters import DeadLetters
from settlement.stores.base import Store, StoreUnavailable

log = structlog.get_logger(__name__)

State = RebuildRequest.State


def ask(number: int, from_block: int) -> RebuildRequest:
    """`number`: the caller's, which makes one request however often it is called. Raises Django's database errors."""
    made, _ = RebuildRequest.objects.get_or_create(
        number=number, defaults={"from_block": from_block, "state": State.ASKED}
    )
    return made


def of(number: int) -> RebuildRequest | None:
    return RebuildRequest.objects.filter(number=number).first()


def under_way() -> RebuildRequest | None:
    """The one that is being carried out, or waits for it. Raises Django's database errors."""
    return RebuildRequest.objects.filter(state__in=(State.ASKED, State.PROJECTING)).order_by("number").first()


class RebuildRequests:
    """Settlement's side. `look` is called by a thread of its own, `carry_out` by that of the worker."""

    def __init__(self) -> None:
        self._is_waiting = threading.Event()

    @property
    def is_waiting(self) -> bool:
        """Whether the worker has to end, so that `carry_out` can be called."""
        return self._is_waiting.is_set()

    def look(self, projected: int) -> None:
        """Looks for new requests, and notes how far others are. Raises Django's database errors."""
        for request in RebuildRequest.objects.filter(state=State.PROJECTING):
            request.projected = projected
            if projected >= request.to_block:
                request.state = State.DONE
            request.save(update_fields=["projected", "state"])
        if RebuildRequest.objects.filter(state=State.ASKED).exists():
            self._is_waiting.set()

    def carry_out(self, store: Store, letters: DeadLetters) -> None:
        """Drops the rows of the oldest request. While the store is unavailable, the request stays as it is.

        Raises StoreDamaged, StoreError, Django's database errors.
        """
        self._is_waiting.clear()
        request = RebuildRequest.objects.filter(state=State.ASKED).order_by("number").first()
        if request is None:
            return
        log.info("settlement.rebuild_begun", request=request.number, from_block=request.from_block)
        try:
            appended = store.appended().block_number
            if not 1 <= request.from_block <= appended:
                raise NotReady(f"The store has blocks 1 to {appended}: there is no block {request.from_block}.")
            rebuilding.drop_rows(store, letters, request.from_block)
        except StoreUnavailable as error:
            log.warning("settlement.rebuild_postponed", request=request.number, error=str(error))
            return
        except NotReady as error:
            request.state, request.refusal = State.REFUSED, str(error)
        else:
            request.state, request.to_block = State.PROJECTING, appended
            request.projected = store.projected().block_number
        request.save()
