"""The page of the audit log, newest first, and its export as CSV. Nobody can change or delete records here."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse

from back_office import csv_files, filters
from back_office.audit import records
from back_office.audit.codes import Action
from back_office.csv_files import PIECE_ROWS
from back_office.filters import BadFilter, Query
from back_office.formats import utc_time
from back_office.models import AuditRecord
from back_office.paging import PAGE_ROWS, Page, page_before

COLUMNS = (
    *("number", "time", "actor", "address", "action", "target", "outcome", "reason", "before", "after"),
    *("at_ns", "digest"),
)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    condition: Q
    before: int | None  # records with a lower number

    @classmethod
    def read(cls, query: Query) -> "AuditFilter":
        """Raises BadFilter."""
        condition = Q()
        if person := filters.text(query, "person"):
            if len(person) > records.MAX_CHARACTERS:
                raise BadFilter(f"Person can have at most {records.MAX_CHARACTERS} characters.")
            condition &= Q(actor=person)
        if action := filters.text(query, "action"):
            if action not in list(Action):
                raise BadFilter("Action must be one of the list.")
            condition &= Q(action=action)
        first, last = filters.day(query, "from", "From"), filters.day(query, "to", "To")
        if first and last and last < first:
            raise BadFilter(f"The range is empty: {last} is before {first}.")
        if first:
            condition &= Q(at_ns__gte=_midnight_ns(first))
        if last:
            condition &= Q(at_ns__lt=_midnight_ns(last) + _DAY_NS)
        return cls(condition, filters.whole_number(query, "before", "Before"))

    def found(self) -> QuerySet[AuditRecord]:
        """Newest first."""
        found = AuditRecord.objects.filter(self.condition).order_by("-number")
        return found if self.before is None else found.filter(number__lt=self.before)


@dataclass(frozen=True, slots=True)
class AuditRow:
    record: AuditRecord
    time: str
    changes: list[tuple[str, str, str]]  # name, before, after

    @classmethod
    def of(cls, record: AuditRecord) -> "AuditRow":
        before, after = _state(record.before), _state(record.after)
        names = [*before, *(name for name in after if name not in before)]
        changes = [(name, _text(before.get(name)), _text(after.get(name))) for name in names]
        return cls(record, utc_time(record.at_ns), [change for change in changes if change[1] != change[2]])


class AuditLogPages:
    def log(self, request: HttpRequest) -> HttpResponse:
        form = {name: filters.text(request.GET, name) for name in ("person", "action", "from", "to")}
        context: dict[str, Any] = {"title": "Audit log", "page": Page([]), "actions": list(Action), "form": form}
        context["first_day"], context["last_day"] = form["from"], form["to"]
        try:
            wanted = AuditFilter.read(request.GET)
        except BadFilter as refusal:
            context["refusal"] = str(refusal)
            return TemplateResponse(request, "back_office/audit_log.html", context, status=400)
        found = list(wanted.found()[: PAGE_ROWS + 1])
        page = page_before(found, lambda record: record.number, is_first=wanted.before is None)
        context["page"] = Page([AuditRow.of(record) for record in page.rows], page.older, is_first=page.is_first)
        return TemplateResponse(request, "back_office/audit_log.html", context)

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """All records that the filter finds, as CSV, newest first. The export itself is recorded."""
        try:
            wanted = AuditFilter.read(request.GET)
        except BadFilter as refusal:
            context = {"title": "Audit log", "page": Page([]), "actions": list(Action), "refusal": str(refusal)}
            return TemplateResponse(request, "back_office/audit_log.html", context, status=400)
        used = {name: filters.text(request.GET, name) for name in ("person", "action", "from", "to", "before")}
        records.append(Action.EXPORT, after={name: value for name, value in used.items() if value})
        return csv_files.download(request, "audit-log", COLUMNS, map(_cells, _all(wanted)))


_DAY_NS = timedelta(days=1) // timedelta(microseconds=1) * 1_000


def _midnight_ns(day: Any) -> int:
    midnight = datetime.combine(day, time_of_day(), UTC)
    return (midnight - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1_000


def _state(text: str) -> dict[str, Any]:
    return json.loads(text) if text else {}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "" if value is None else str(value)


def _all(wanted: AuditFilter) -> Iterator[AuditRecord]:
    before: int | None = wanted.before
    while chunk := list(AuditFilter(wanted.condition, before).found()[:PIECE_ROWS]):
        yield from chunk
        before = chunk[-1].number


def _cells(record: AuditRecord) -> list[object]:
    return [utc_time(record.at_ns) if name == "time" else getattr(record, name) for name in COLUMNS]
