"""Pages about dead letters (blocks whose rows the database rejected): the list, and one with its error and replay."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from back_office import filters
from back_office.audit import records
from back_office.audit.codes import Action, Outcome
from back_office.filters import BadFilter
from back_office.formats import utc_time
from back_office.paging import PAGE_ROWS, Page, page_before
from settlement.errors import NotReady
from settlement.project.dead_letters import NO_ROWS, DeadLetters
from settlement.stores.base import DeadLetter, Store

log = structlog.get_logger(__name__)

MAY_REPLAY = "settlement.change_deadletter"


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    block: int
    error: str
    attempts: int
    first_failed: str
    last_failed: str
    resolved: str  # "": unresolved

    @classmethod
    def of(cls, letter: DeadLetter) -> "DeadLetterRow":
        return cls(
            block=letter.block_number,
            error=letter.error,
            attempts=letter.attempts,
            first_failed=utc_time(letter.first_failed_at_ns),
            last_failed=utc_time(letter.last_failed_at_ns),
            resolved="" if letter.resolved_at_ns is None else utc_time(letter.resolved_at_ns),
        )


class DeadLetterPages:
    def __init__(self, store: Store, letters: Callable[[], DeadLetters]) -> None:
        self.store = store
        self.open_letters = letters

    def letters(self, request: HttpRequest) -> TemplateResponse:
        context: dict[str, Any] = {"title": "Dead letters", "page": Page([])}
        try:
            before = filters.whole_number(request.GET, "before", "Before")
        except BadFilter as refusal:
            context["refusal"] = str(refusal)
            return TemplateResponse(request, "back_office/dead_letters.html", context, status=400)
        found = self.store.newest_dead_letters(PAGE_ROWS + 1, before=before)
        page = page_before(found, lambda letter: letter.id, is_first=before is None)
        context["page"] = Page([DeadLetterRow.of(letter) for letter in page.rows], page.older, is_first=page.is_first)
        return TemplateResponse(request, "back_office/dead_letters.html", context)

    def letter(self, request: HttpRequest, number: int) -> TemplateResponse:
        letter = self._letter(number)
        context = {
            "title": f"Dead letter {number}",
            "letter": DeadLetterRow.of(letter),
            "rows": _counts(letter.projection),
            "may_replay": request.user.has_perm(MAY_REPLAY),
        }
        return TemplateResponse(request, "back_office/dead_letter.html", context)

    def replay(self, request: HttpRequest, number: int) -> HttpResponse:
        """Does the same as `manage.py replay_dead_letters --id N`."""
        letter = self._letter(number)
        target, before = f"dead_letter:{number}", {"attempts": letter.attempts, "resolved_at_ns": letter.resolved_at_ns}
        # Recorded first, because the store may be another database than that of the audit log.
        records.append(
            Action.REPLAY, outcome=Outcome.STARTED, target=target, reason=filters.reason(request.POST), before=before
        )
        try:
            error = self.open_letters().replay(letter)
        except NotReady as refusal:
            records.append(Action.REPLAY, outcome=Outcome.FAILED, target=target, after={"error": str(refusal)})
            messages.error(request, str(refusal))
            return redirect("office:dead_letter", number)
        log.info("site.dead_letter_replayed", block=number, by=request.user.get_username(), error=error)
        outcome = Outcome.FAILED if error else Outcome.DONE
        records.append(Action.REPLAY, outcome=outcome, target=target, after={"error": error} if error else None)
        if error:
            messages.error(request, f"The database rejected the rows again: {error}")
        else:
            messages.success(request, f"The rows of block {number} have been written.")
        return redirect("office:dead_letter", number)

    def _letter(self, number: int) -> DeadLetter:
        letter = self.store.get_dead_letter(number)
        if letter is None:
            raise Http404(f"There is no dead letter {number}: the database has not rejected rows of that block.")
        return letter


def _counts(projection: str) -> dict[str, int]:
    """Number of rejected rows of each table."""
    counts: Counter[str] = Counter()
    found = json.loads(projection or "{}")
    for tables in found if isinstance(found, list) else [found]:  # a list: slices of a large block
        counts.update({name.replace("_", " "): len(rows) for name, rows in tables.items() if name not in NO_ROWS})
    return dict(+counts)
