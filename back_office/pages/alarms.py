"""The page of alarms: raised alarms, the most severe first, and the history, newest first."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.timezone import now

from back_office import filters
from back_office.alarm_notifications import mutes, outbox
from back_office.alarm_notifications.channels import channels
from back_office.audit import records as audit_records
from back_office.audit.codes import Action, Outcome
from back_office.filters import BadFilter
from back_office.paging import PAGE_ROWS, Page, page_before
from settlement.alarms import records
from settlement.alarms.rules import OF_SETTLEMENT, Kind, Severity, Signal
from settlement.models import Alarm

MAY_ACKNOWLEDGE = "settlement.change_alarm"
"""To acknowledge, to mute and to send test notifications."""

_NOTIFICATIONS = 20
"""Number of notifications on the page."""

_LINKS = {
    Kind.DEAD_LETTERS: "office:dead_letters",
    Kind.RECONCILIATION: "office:reconciliations",
    Kind.ACTIONS_SILENT: "office:requests",
    Kind.GAP: "office:blocks",
    Kind.HASH_MISMATCH: "office:blocks",
    Kind.CHAIN_CONFLICT: "office:blocks",
}
"""The page that helps with each kind of alarm; for all others it is the overview."""


@dataclass(frozen=True, slots=True)
class AlarmRow:
    id: int
    title: str
    severity: str
    message: str
    raised_at: datetime
    last_seen_at: datetime
    cleared_at: datetime | None
    acknowledged_by: str
    acknowledged_at: datetime | None
    link: str
    is_stale: bool
    """Left by a settlement that is silent now: it may be over, and the silence may be its cause."""
    is_muted: bool

    @classmethod
    def of(cls, alarm: Alarm, *, is_stale: bool = False, is_muted: bool = False) -> "AlarmRow":
        return cls(
            id=alarm.id,
            title=alarm.kind.replace("_", " ").capitalize(),
            severity=alarm.severity,
            message=alarm.message,
            raised_at=alarm.raised_at,
            last_seen_at=alarm.last_seen_at,
            cleared_at=alarm.cleared_at,
            acknowledged_by=alarm.acknowledged_by or "",
            acknowledged_at=alarm.acknowledged_at,
            link=reverse(_LINKS.get(Kind(alarm.kind), "office:overview")),
            is_stale=is_stale,
            is_muted=is_muted,
        )


@dataclass(frozen=True, slots=True)
class RaisedAlarms:
    rows: list[AlarmRow]  # the most severe first, then the newest; stale ones last

    @classmethod
    def read(cls, at: datetime, unwritten: Signal | None = None) -> "RaisedAlarms":
        """`at`: mutes that have ended by then do not count. `unwritten`: one more, which is not in the database."""
        alarms = _most_severe_first(records.raised_alarms())
        if unwritten is not None:
            alarms.insert(0, Alarm(id=0, **unwritten._asdict(), raised_at=at, last_seen_at=at))
        muted = mutes.muted(at)
        silent = (Kind.SETTLEMENT_SILENT, Severity.CRITICAL)
        is_silent = any((alarm.kind, alarm.severity) == silent for alarm in alarms)
        rows = [
            AlarmRow.of(alarm, is_stale=is_silent and alarm.kind in OF_SETTLEMENT, is_muted=alarm.kind in muted)
            for alarm in alarms
        ]
        return cls(sorted(rows, key=lambda row: row.is_stale))

    @property
    def audible(self) -> list[AlarmRow]:
        """Those that are not muted."""
        return [row for row in self.rows if not row.is_muted]

    @property
    def critical(self) -> int:
        return self._count(Severity.CRITICAL)

    @property
    def warnings(self) -> int:
        return self._count(Severity.WARNING)

    def _count(self, severity: Severity) -> int:
        return sum(row.severity == severity for row in self.audible if not row.is_stale)


def _most_severe_first(alarms: Iterable[Alarm]) -> list[Alarm]:
    return sorted(alarms, key=lambda alarm: (alarm.severity == Severity.CRITICAL, alarm.id), reverse=True)


class AlarmPages:
    def __init__(self, raised: Callable[[], RaisedAlarms], clock: Callable[[], datetime] = now) -> None:
        """`raised`: the raised alarms, without a query."""
        self.raised = raised
        self.clock = clock

    def alarms(self, request: HttpRequest) -> TemplateResponse:
        context: dict[str, Any] = {"title": "Alarms", "page": Page([]), "raised": RaisedAlarms.read(self.clock())}
        context |= {"mutes": list(mutes.muted(self.clock()).values()), "mute_hours": mutes.HOURS}
        context |= {"channels": channels(), "notifications": outbox.newest(_NOTIFICATIONS)}
        context["may_acknowledge"] = request.user.has_perm(MAY_ACKNOWLEDGE)
        try:
            before = filters.whole_number(request.GET, "before", "Before")
        except BadFilter as refusal:
            context["refusal"] = str(refusal)
            return TemplateResponse(request, "back_office/alarms.html", context, status=400)
        context["page"] = _history(before)
        return TemplateResponse(request, "back_office/alarms.html", context)

    def bar(self, request: HttpRequest) -> TemplateResponse:
        """The bar of raised alarms that every page shows; the open page replaces its own with it."""
        return TemplateResponse(request, "back_office/_alarm_bar.html", {"bar": self.raised()})

    def acknowledge(self, request: HttpRequest, number: int) -> HttpResponse:
        reason = filters.reason(request.POST)
        with transaction.atomic():
            before = _state(number)
            is_done = records.acknowledge(number, request.user.get_username(), self.clock())
            audit_records.append(
                Action.ACKNOWLEDGE,
                outcome=Outcome.DONE if is_done else Outcome.FAILED,
                target=f"alarm:{number}",
                reason=reason,
                before=before,
                after=_state(number),
            )
        if is_done:
            messages.success(request, "The alarm has been acknowledged.")
        else:
            messages.info(request, "The alarm is no longer raised, or it has already been acknowledged.")
        return redirect("office:alarms")


def _state(number: int) -> dict[str, Any] | None:
    """What an acknowledgement changes, for the audit log."""
    alarm = Alarm.objects.filter(id=number).first()
    names = ("kind", "severity", "acknowledged_by", "cleared_at")
    return {name: getattr(alarm, name) for name in names} if alarm else None


def _history(before: int | None) -> Page[AlarmRow]:
    found = Alarm.objects.exclude(cleared_at=None).order_by("-id")
    if before is not None:
        found = found.filter(id__lt=before)
    page = page_before(list(found[: PAGE_ROWS + 1]), lambda alarm: alarm.id, is_first=before is None)
    return Page([AlarmRow.of(alarm) for alarm in page.rows], page.older, is_first=page.is_first)
