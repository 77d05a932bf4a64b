"""Pages about reconciliation: the runs, newest first, and the differences of one run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from back_office import filters
from back_office.audit import records
from back_office.audit.codes import Action, Outcome
from back_office.filters import BadFilter
from back_office.paging import PAGE_ROWS, Page, page_before
from settlement.errors import CannotRun
from settlement.models import ReconciliationRun

MAY_RECONCILE = "settlement.add_reconciliationrun"


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    what: str
    key: str
    expected: str  # the engine's
    found: str  # the store's
    link: str

    @classmethod
    def of(cls, difference: dict[str, Any]) -> "DifferenceRow":
        what, key = difference["what"], difference["key"]
        account = "office:account"
        names = {"balance": account, "account setting": account, "order": "office:order", "block": "office:block"}
        link = reverse(names[what], args=[int(key.partition(":")[0])]) if what in names else ""
        return cls(what, key, _text(difference["expected"]), _text(difference["found"]), link)


class ReconciliationPages:
    def __init__(self, start: Callable[[], None]) -> None:
        """`start` asks the background worker for a run; it raises CannotRun."""
        self.start = start

    def runs(self, request: HttpRequest) -> TemplateResponse:
        only = filters.text(request.GET, "only") == "differences"
        context: dict[str, Any] = {"title": "Reconciliation", "page": Page([]), "only_differences": only}
        context["may_reconcile"] = request.user.has_perm(MAY_RECONCILE)
        try:
            before = filters.whole_number(request.GET, "before", "Before")
        except BadFilter as refusal:
            context["refusal"] = str(refusal)
            return TemplateResponse(request, "back_office/reconciliations.html", context, status=400)
        context["page"] = _page(before, only)
        return TemplateResponse(request, "back_office/reconciliations.html", context)

    def run(self, request: HttpRequest, number: int) -> TemplateResponse:
        run = ReconciliationRun.objects.filter(id=number).first()
        if run is None:
            raise Http404(
                f"There is no reconciliation {number}. Runs without differences are deleted after about a week."
            )
        differences = [DifferenceRow.of(difference) for difference in run.report.get("differences", [])]
        context = {"title": f"Reconciliation {number}", "run": run, "differences": differences}
        context["not_stored"] = run.difference_count - len(differences)
        return TemplateResponse(request, "back_office/reconciliation.html", context)

    def reconcile(self, request: HttpRequest) -> HttpResponse:
        # Recorded first, because the queue does not commit together with the audit log.
        records.append(Action.RECONCILE, outcome=Outcome.STARTED, reason=filters.reason(request.POST))
        try:
            self.start()
        except CannotRun as error:
            records.append(Action.RECONCILE, outcome=Outcome.FAILED, after={"error": str(error)})
            messages.error(request, str(error))
        else:
            messages.success(request, "A reconciliation has been requested. It appears here when it is finished.")
        return redirect("office:reconciliations")


def _page(before: int | None, only_differences: bool) -> Page[ReconciliationRun]:
    found = ReconciliationRun.objects.order_by("-id").defer("report")
    if only_differences:
        found = found.filter(difference_count__gt=0)
    if before is not None:
        found = found.filter(id__lt=before)
    return page_before(list(found[: PAGE_ROWS + 1]), lambda run: run.id, is_first=before is None)


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{name} {'none' if one is None else one}" for name, one in value.items())
    return str(value)
