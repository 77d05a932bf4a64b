"""Pages about requests for actions: the list, one with its timeline, and what a second person decides."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from back_office import filters
from back_office.actions import kinds, requests
from back_office.actions.kinds import TABLE
from back_office.audit import records
from back_office.filters import BadFilter, Query
from back_office.formats import utc_time
from back_office.models import ActionRequest
from back_office.paging import PAGE_ROWS, Page, page_before

State = ActionRequest.State

OPEN_STATES = (State.WAITING, State.APPROVED, State.CARRYING_OUT)
MOVING_STATES = (State.APPROVED, State.CARRYING_OUT)
"""The worker will change them, so an open page asks again."""

_TAGS = {State.DONE: "filled", State.REJECTED: "critical", State.UNKNOWN: "critical", State.STOPPED: "critical"}
MAX_COUNTED = 50


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the timeline."""

    time: str
    person: str
    what: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class RequestRow:
    id: int
    title: str
    summary: str
    state: str
    state_label: str
    tag: str
    asked_by: str
    asked_at: str
    decided_by: str
    answer: str

    @classmethod
    def of(cls, request: ActionRequest) -> "RequestRow":
        lines = json.loads(request.preview)
        return cls(
            id=request.pk,
            title=title(request),
            summary=lines[0] if lines else "",
            state=request.state,
            state_label=State(request.state).label,
            tag=_TAGS.get(State(request.state), "cancelled" if request.state in OPEN_STATES else ""),
            asked_by=request.asked_by,
            asked_at=utc_time(request.asked_at_ns),
            decided_by=request.decided_by,
            answer=request.answer or request.problem,
        )


def title(request: ActionRequest) -> str:
    kind = kinds.of(request.kind)
    return TABLE[kind].title if kind else request.kind


def waiting() -> str:
    """Number of requests that wait for approval, as text; "" if there are none."""
    count = len(ActionRequest.objects.filter(state=State.WAITING).values_list("id", flat=True)[: MAX_COUNTED + 1])
    return f"more than {MAX_COUNTED}" if count > MAX_COUNTED else str(count or "")


class RequestPages:
    def requests(self, request: HttpRequest) -> TemplateResponse:
        form = {name: filters.text(request.GET, name) for name in ("state", "kind", "person")}
        context: dict[str, Any] = {"title": "Requests", "page": Page([]), "form": form, "states": State.choices}
        context["kinds"] = [(str(kind), of_kind.title) for kind, of_kind in TABLE.items()]
        context["may_ask"] = any(request.user.has_perm(of_kind.permission) for of_kind in TABLE.values())
        try:
            before = filters.whole_number(request.GET, "before", "Before")
            found = _found(form)
        except BadFilter as refusal:
            context["refusal"] = str(refusal)
            return TemplateResponse(request, "back_office/requests.html", context, status=400)
        if before is not None:
            found = found.filter(id__lt=before)
        rows = list(found[: PAGE_ROWS + 1])
        page = page_before(rows, lambda one: one.pk, is_first=before is None)
        context["page"] = Page([RequestRow.of(one) for one in page.rows], page.older, is_first=page.is_first)
        return TemplateResponse(request, "back_office/requests.html", context)

    def request(self, request: HttpRequest, number: int) -> TemplateResponse:
        return self._page(request, number, "back_office/request.html")

    def state(self, request: HttpRequest, number: int) -> TemplateResponse:
        """The part of the page that the worker changes; the open page replaces its own with it."""
        return self._page(request, number, "back_office/_request_state.html")

    def approve(self, request: HttpRequest, number: int) -> HttpResponse:
        return _decided(request, number, requests.approve, "The request was approved.")

    def refuse(self, request: HttpRequest, number: int) -> HttpResponse:
        return _decided(request, number, requests.refuse, "The request was refused.", note_is_required=True)

    def withdraw(self, request: HttpRequest, number: int) -> HttpResponse:
        return _decided(request, number, requests.withdraw, "The request was withdrawn.")

    def _page(self, request: HttpRequest, number: int, template: str) -> TemplateResponse:
        found = _one(number)
        is_own = found.asked_by_key == request.user.pk
        is_waiting = found.state == State.WAITING
        context = {
            "title": f"Request {number}",
            "row": RequestRow.of(found),
            "request_row": found,
            "lines": json.loads(found.preview),
            "steps": _timeline(found),
            "is_moving": found.state in MOVING_STATES,
            "may_decide": is_waiting and not is_own and request.user.has_perm(kinds.DECIDE),
            "may_withdraw": is_waiting and is_own,
            "is_own": is_own,
        }
        return TemplateResponse(request, template, context)


def _one(number: int) -> ActionRequest:
    found = ActionRequest.objects.filter(id=number).first()
    if found is None:
        raise Http404(f"There is no request {number}.")
    return found


def _found(form: Query) -> QuerySet[ActionRequest]:
    """Newest first. Raises BadFilter."""
    condition = Q()
    if state := form["state"]:
        if state not in State.values:
            raise BadFilter("State must be one of the list.")
        condition &= Q(state=state)
    if kind := form["kind"]:
        if kinds.of(kind) is None:
            raise BadFilter("Action must be one of the list.")
        condition &= Q(kind=kind)
    if person := form["person"]:
        if len(person) > records.MAX_CHARACTERS:
            raise BadFilter(f"Person can have at most {records.MAX_CHARACTERS} characters.")
        condition &= Q(asked_by=person)
    return ActionRequest.objects.filter(condition).order_by("-id")


def _decided(
    request: HttpRequest, number: int, decide: Callable[..., None], done: str, *, note_is_required: bool = False
) -> HttpResponse:
    _one(number)
    note = records.storable(filters.reason(request.POST))
    if note_is_required and not note:
        messages.error(request, "Nothing was changed: say why in the note.")
        return redirect("office:request", number)
    try:
        decide(number, request.user, note)
    except requests.TooLate as error:
        messages.info(request, str(error))
    else:
        messages.success(request, done)
    return redirect("office:request", number)


_DECISIONS = {State.REFUSED: "refused", State.WITHDRAWN: "withdrew"}


def _timeline(request: ActionRequest) -> list[Step]:
    steps = [Step(utc_time(request.asked_at_ns), request.asked_by, "asked for it", request.reason)]
    if request.decided_at_ns is not None:
        what = f"{_DECISIONS.get(State(request.state), 'approved')} it"
        steps.append(Step(utc_time(request.decided_at_ns), request.decided_by, what, request.decision_note))
    if request.begun_at_ns is not None:
        steps.append(Step(utc_time(request.begun_at_ns), "", "the worker took it", request.problem))
    if request.ended_at_ns is not None:
        label = State(request.state).label.lower()
        steps.append(Step(utc_time(request.ended_at_ns), "", label, request.answer))
    return steps
