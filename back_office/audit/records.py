"""Appends to the audit log, one writer at a time.

A record commits together with the transaction that it is appended in. So an action on Django's own database and its
record are both there, or neither. Raises Django's database errors: what cannot be recorded is not done.
"""

import json
import time
from collections.abc import Mapping

import structlog
from django.db import Error as DatabaseError
from django.db import router, transaction
from django.db.transaction import Atomic

from back_office.audit import chain, origin
from back_office.audit.codes import Action, Outcome
from back_office.audit.origin import Origin
from back_office.models import AuditHead, AuditRecord

log = structlog.get_logger(__name__)

MAX_CHARACTERS = 500
"""Of each text. Longer texts that nobody typed into a form of ours, such as paths, are cut."""

State = Mapping[str, object]
"""What changed, by name. The values are written as JSON."""


class AuditLogDamaged(DatabaseError):
    """Nothing can be appended. A database error, because it ends a request in the same way."""


def together() -> Atomic:
    """A transaction for a change of the site's own database and its record."""
    return transaction.atomic(using=router.db_for_write(AuditRecord))


def append(
    action: Action,
    *,
    outcome: Outcome = Outcome.DONE,
    by: Origin | None = None,
    target: str = "",
    reason: str = "",
    before: State | None = None,
    after: State | None = None,
) -> AuditRecord:
    """`by`: who acts; None: whoever made the current request or runs the current command."""
    who = by or origin.current()
    database = router.db_for_write(AuditRecord)
    with transaction.atomic(using=database):
        head = _locked_head()
        record = AuditRecord(
            number=head.number + 1,
            at_ns=time.time_ns(),
            actor=storable(who.actor),
            address=storable(who.address),
            action=str(action),
            target=storable(target),
            outcome=str(outcome),
            reason=storable(reason),
            before=_json(before),
            after=_json(after),
        )
        record.digest = chain.digest(head.digest, record)
        record.save()
        AuditHead.objects.filter(id=head.id).update(number=record.number, digest=record.digest)
        # A log that is kept elsewhere shows later whether the whole chain was written anew.
        transaction.on_commit(lambda: _log(record), using=database)
    return record


def _log(record: AuditRecord) -> None:
    log.info("audit.recorded", number=record.number, action=record.action, digest=record.digest)


def _locked_head() -> AuditHead:
    """The head, locked until the transaction ends: by its row on PostgreSQL, with the whole database on SQLite."""
    empty = {"number": 0, "digest": chain.FIRST}
    head, is_new = AuditHead.objects.select_for_update().get_or_create(id=chain.HEAD_KEY, defaults=empty)
    if is_new and AuditRecord.objects.exists():
        raise AuditLogDamaged("The audit log has records but no head: run manage.py verify_audit_log.")
    return head


def storable(text: str) -> str:
    """Cut to MAX_CHARACTERS, without characters that a database refuses."""
    return text[:MAX_CHARACTERS].replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _json(state: State | None) -> str:
    return "" if state is None else json.dumps(state, sort_keys=True, separators=(",", ":"), default=str)
