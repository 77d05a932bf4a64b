"""What a notification says: the same facts as text for people and as JSON for programs."""

import json
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from settlement.models import Alarm


class Event(StrEnum):
    """What happened to the alarm. The first two are its severity since then."""

    WARNING = "warning"
    CRITICAL = "critical"
    CLEARED = "cleared"
    TEST = "test"


RAISED = (Event.WARNING, Event.CRITICAL)


@dataclass(frozen=True, slots=True)
class Notification:
    event: Event
    kind: str
    message: str
    alarm_id: int | None = None
    raised_at: datetime | None = None
    cleared_at: datetime | None = None

    @classmethod
    def of(cls, event: Event, alarm: Alarm) -> "Notification":
        return cls(event, alarm.kind, alarm.message, alarm.id, alarm.raised_at, alarm.cleared_at)

    @property
    def subject(self) -> str:
        return f"[{self.event}] Exchange: {self.kind.replace('_', ' ')}"

    @property
    def text(self) -> str:
        """Plain text with a line for each fact."""
        lines = [self.message, ""]
        for label, at in (("Raised", self.raised_at), ("Cleared", self.cleared_at)):
            if at is not None:
                lines.append(f"{label}: {_utc(at)}")
        return "\n".join([*lines, f"Sent by: {socket.gethostname()}", ""])

    def document(self) -> bytes:
        """JSON. `text` is what chat services show of an incoming webhook."""
        fields = {
            "event": self.event,
            "kind": self.kind,
            "message": self.message,
            "alarm": self.alarm_id,
            "raised_at": self.raised_at and _utc(self.raised_at),
            "cleared_at": self.cleared_at and _utc(self.cleared_at),
            "host": socket.gethostname(),
            "text": f"{self.subject}\n{self.message}",
        }
        return json.dumps(fields).encode()


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
