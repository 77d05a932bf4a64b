"""Tables of the back office: the audit log, notifications of alarms, muted alarms."""

from typing import Any, NoReturn

from django.db import models

DIGEST_LENGTH = 64  # SHA-256 in hexadecimal
CODE_LENGTH = 40


class AppendOnlyRows(models.QuerySet["AuditRecord"]):
    """Refuses changes. Against SQL statements only the chain of digests helps: `back_office.audit.verification`."""

    def update(self, **values: Any) -> NoReturn:
        raise TypeError("Records of the audit log are never changed.")

    def delete(self) -> NoReturn:
        raise TypeError("Records of the audit log are never deleted.")


class AuditRecord(models.Model):
    """One line of the audit log; only `back_office.audit.records` writes it.

    Names are texts, not keys of users: a record outlives the account.
    """

    number = models.BigIntegerField(primary_key=True)  # 1, 2, 3, … without gaps
    at_ns = models.BigIntegerField(db_index=True)  # UTC, by the clock of the process that wrote it
    actor = models.TextField()  # who: account; "os:NAME" for a command; "" if not known
    address = models.TextField()  # from where: as in the log event site.logged_in; "command line"; "" if not known
    action = models.CharField(max_length=CODE_LENGTH)
    target = models.TextField()  # what was acted on: "KIND:NAME"
    outcome = models.CharField(max_length=CODE_LENGTH)
    reason = models.TextField()  # why, in the actor's words; may be ""
    before = models.TextField()  # JSON of what changed, as it was; "" if nothing changed or it did not exist
    after = models.TextField()  # JSON, as it is since
    digest = models.CharField(max_length=DIGEST_LENGTH)  # over this record and the digest before it: `audit.chain`

    objects = AppendOnlyRows.as_manager()

    class Meta:
        db_table = "audit_records"
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["actor", "-number"], name="audit_by_actor"),
            models.Index(fields=["action", "-number"], name="audit_by_action"),
        ]

    def save(self, *arguments: Any, **options: Any) -> None:
        if not self._state.adding:
            raise TypeError("Records of the audit log are never changed.")
        super().save(force_insert=True)

    def delete(self, *arguments: Any, **options: Any) -> NoReturn:
        raise TypeError("Records of the audit log are never deleted.")


class AuditHead(models.Model):
    """Number and digest of the last record, in one row. Whoever appends locks it, so there is one writer at a time."""

    number = models.BigIntegerField()
    digest = models.CharField(max_length=DIGEST_LENGTH)

    class Meta:
        db_table = "audit_head"
        default_permissions = ()


class AlarmNotification(models.Model):
    """What a channel is told of an alarm, once for each event. `back_office.alarm_notifications.outbox` writes it."""

    alarm = models.ForeignKey("settlement.Alarm", on_delete=models.CASCADE)  # deleted with it
    event = models.CharField(max_length=CODE_LENGTH)  # "warning", "critical", "cleared"
    channel = models.TextField()  # name
    state = models.CharField(max_length=CODE_LENGTH)  # "waiting", "sent", "dropped"
    planned_at = models.DateTimeField()
    next_at = models.DateTimeField()  # of a waiting one: when it is tried next
    ended_at = models.DateTimeField(null=True)
    attempts = models.IntegerField(default=0)
    error = models.TextField(default="")  # of the last attempt
    is_over = models.BooleanField(default=False)  # the notification that the alarm is over has been planned

    class Meta:
        db_table = "alarm_notifications"
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["alarm", "event", "channel"], name="alarm_notifications_once")]
        indexes = [models.Index(fields=["state", "channel", "next_at"], name="alarm_notifications_due")]


class AlarmMute(models.Model):
    """A kind of alarm that is muted until a time."""

    kind = models.CharField(max_length=CODE_LENGTH, primary_key=True)
    until = models.DateTimeField()
    by = models.TextField()  # a user's name
    reason = models.TextField()

    class Meta:
        db_table = "alarm_mutes"
        default_permissions = ()


class BackOffice(models.Model):
    """Has no table: it carries the permissions that belong to no kind of record."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [("assign_roles", "Can give roles to users")]
