"""Tables of the back office: audit log, requests for actions, customers, notifications of alarms, muted alarms."""

from typing import Any, NoReturn

from django.db import models

from back_office.second_factor.stored import AuthenticatorApp as AuthenticatorApp  # Django finds models here
from back_office.second_factor.stored import BackupCodes as BackupCodes

DIGEST_LENGTH = 64  # SHA-256 in hexadecimal
CODE_LENGTH = 40
EXTERNAL_ID_LENGTH = 64


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


class ActionRequest(models.Model):
    """An action that somebody has asked for: what, why, who decided, and what the engine answered.

    Written by `back_office.actions` alone. Persons are kept by name, for readers, and by key, for the worker that
    checks their permissions: 0 for nobody.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting for approval"
        APPROVED = "approved", "Approved"
        REFUSED = "refused", "Refused by the approver"
        WITHDRAWN = "withdrawn", "Withdrawn"
        CARRYING_OUT = "carrying_out", "Being carried out"
        DONE = "done", "Done"
        REJECTED = "rejected", "Refused by the engine"
        STOPPED = "stopped", "Stopped before it was sent"
        UNKNOWN = "unknown", "Result unknown"

    form = models.CharField(max_length=64, unique=True)  # of the form that asked: one form asks once
    kind = models.CharField(max_length=CODE_LENGTH)
    parameters = models.TextField()  # JSON
    preview = models.TextField()  # JSON array of sentences, as the asking person saw them
    reason = models.TextField()
    asked_by = models.TextField()
    asked_by_key = models.BigIntegerField()
    asked_at_ns = models.BigIntegerField()
    needs_approval = models.BooleanField()
    digest = models.CharField(max_length=DIGEST_LENGTH)  # over the columns above: `actions.digests`
    asked_record = models.BigIntegerField(default=0)  # number of the record in the audit log
    state = models.CharField(max_length=20, choices=State.choices)
    decided_by = models.TextField(default="")  # who approved, refused or withdrew it
    decided_by_key = models.BigIntegerField(default=0)
    decided_at_ns = models.BigIntegerField(null=True)
    decision_note = models.TextField(default="")
    decided_record = models.BigIntegerField(default=0)
    client_id = models.BigIntegerField(null=True)  # of the engine's client whose command 1 this is; kept before sending
    begun_at_ns = models.BigIntegerField(null=True)
    sendings = models.IntegerField(default=0)  # counted before each sending
    problem = models.TextField(default="")  # why the last sending has no answer
    answer = models.TextField(default="")  # in words
    answer_code = models.CharField(max_length=CODE_LENGTH, default="")  # the engine's reason, if it refused
    command_sequence = models.BigIntegerField(null=True)
    block_number = models.BigIntegerField(null=True)
    ended_at_ns = models.BigIntegerField(null=True)

    class Meta:
        db_table = "action_requests"
        default_permissions = ("view",)
        permissions = [
            ("ask_orders", "Can ask to cancel orders"),
            ("ask_market", "Can ask to change instruments and add assets"),
            ("ask_accounts", "Can ask to restrict, freeze and release accounts"),
            ("ask_fees", "Can ask to change the fees of an account"),
            ("ask_money", "Can ask for deposits, withdrawals and corrections"),
            ("ask_engines", "Can ask to promote engines and rebuild projections"),
            ("decide_request", "Can approve and refuse requests of others"),
        ]
        indexes = [
            models.Index(fields=["state", "id"], name="request_by_state"),
            models.Index(fields=["asked_by", "-id"], name="request_by_asker"),
            models.Index(fields=["kind", "-id"], name="request_by_kind"),
        ]


class Customer(models.Model):
    """What the office knows of an account's owner. Written by `back_office.customers.descriptions` alone."""

    account = models.BigIntegerField(primary_key=True)
    name = models.TextField()  # may be ""
    name_key = models.TextField(db_index=True)  # the name as searches compare it
    external_id = models.CharField(max_length=EXTERNAL_ID_LENGTH, null=True, unique=True)  # in another system
    note = models.TextField()

    class Meta:
        db_table = "customers"
        default_permissions = ("change",)


class BackOffice(models.Model):
    """Has no table: it carries the permissions that belong to no kind of record."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [("assign_roles", "Can give roles to users")]
