"""Actions on notifications: mute a kind of alarm, end a mute, send a test. They are on the page of alarms."""

from collections.abc import Callable
from datetime import datetime

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.timezone import now

from back_office import filters
from back_office.alarm_notifications import mutes
from back_office.alarm_notifications.channels import Channel, NotSent, channels
from back_office.alarm_notifications.notification import Event, Notification
from back_office.audit import records
from back_office.audit.codes import Action, Outcome
from settlement.alarms.rules import Kind
from settlement.models import Alarm

TEST = Notification(Event.TEST, "test", "This is a test: no alarm has been raised.")


class NotificationPages:
    def __init__(self, made: Callable[[], list[Channel]] = channels, clock: Callable[[], datetime] = now) -> None:
        self.made = made
        self.clock = clock

    def mute(self, request: HttpRequest, number: int) -> HttpResponse:
        """Mutes the kind of this alarm."""
        alarm = Alarm.objects.filter(id=number).first()
        if alarm is None:
            raise Http404(f"There is no alarm {number}.")
        hours, reason = _hours(request), filters.reason(request.POST)
        with records.together():
            row = mutes.mute(Kind(alarm.kind), hours, by=request.user.get_username(), reason=reason, at=self.clock())
            records.append(
                Action.MUTE,
                outcome=Outcome.DONE,
                target=f"alarm_kind:{alarm.kind}",
                reason=reason,
                after={"until": row.until.isoformat()},
            )
        messages.success(request, f"Alarms of this kind are muted for {hours} hour{'s' * (hours > 1)}.")
        return redirect("office:alarms")

    def unmute(self, request: HttpRequest) -> HttpResponse:
        try:
            kind = Kind(filters.text(request.POST, "kind"))
        except ValueError as error:
            raise BadRequest("There is no such kind of alarm.") from error
        with records.together():
            was_muted = mutes.end(kind)
            records.append(
                Action.UNMUTE,
                outcome=Outcome.DONE if was_muted else Outcome.FAILED,
                target=f"alarm_kind:{kind}",
                reason="",
            )
        if was_muted:
            messages.success(request, "Alarms of this kind are no longer muted.")
        else:
            messages.info(request, "Alarms of this kind were not muted.")
        return redirect("office:alarms")

    def test(self, request: HttpRequest) -> HttpResponse:
        """Sends a test to every channel and tells how each one ended."""
        refusals = {channel.name: _refusal(channel) for channel in self.made()}
        refused = {name: reason for name, reason in refusals.items() if reason}
        records.append(
            Action.TEST_NOTIFICATION,
            outcome=Outcome.FAILED if refused else Outcome.DONE,
            target="alarm_notifications",
            reason="",
            after=refused or None,
        )
        for name, reason in refusals.items():
            if reason:
                messages.error(request, f"Not sent, {name}: {reason}.")
            else:
                messages.success(request, f"Accepted by {name}.")
        return redirect("office:alarms")


def _refusal(channel: Channel) -> str:
    """Why the channel did not accept a test; "" if it did."""
    try:
        channel.send(TEST)
    except NotSent as error:
        return str(error)
    return ""


def _hours(request: HttpRequest) -> int:
    text = filters.text(request.POST, "hours")
    if text not in map(str, mutes.HOURS):
        raise BadRequest(f"Choose a time: {', '.join(map(str, mutes.HOURS))} hours.")
    return int(text)
