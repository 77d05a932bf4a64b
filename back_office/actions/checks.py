"""What the worker checks again before it sends: the request itself, the audit log's record of it, and the persons.

The web may have been deceived, or a row changed by SQL, between the approval and now.
"""

import json
import time
from typing import NamedTuple

from django.contrib.auth.models import User

from back_office.actions import digests, kinds, requests
from back_office.actions.kinds import TABLE
from back_office.audit import chain
from back_office.audit.codes import Action, Outcome
from back_office.models import ActionRequest, AuditRecord
from back_office.second_factor import requirement

LONGEST_WAIT_NS = 24 * 3600 * 10**9
"""The worker may have been down for long. By then nobody expects an old request to be carried out."""


class Step(NamedTuple):
    """What a person did with the request."""

    record: int  # number of its record in the audit log
    key: int  # of the person's account
    name: str
    did: str  # "asked for", "approved"


def objection(request: ActionRequest) -> str:
    """Why the request must not be sent, one sentence; "" if it may be."""
    kind = kinds.of(request.kind)
    if kind is None:
        return "This version knows no such action."
    if reason := changed(request):
        return reason
    if time.time_ns() - (request.decided_at_ns or request.asked_at_ns) > LONGEST_WAIT_NS:
        return "Its last word is more than a day old: look whether it is still wanted, and ask again."
    asked = Step(request.asked_record, request.asked_by_key, request.asked_by, "asked for")
    if reason := _person(asked, TABLE[kind].permission):
        return reason
    if not (request.needs_approval or kinds.needs_two_persons(kind)):
        return ""
    if not request.decided_record:
        return "It needs a second person's approval."
    if request.decided_by_key == request.asked_by_key or request.decided_by == request.asked_by:
        return "The same person asked for it and approved it."
    return _person(Step(request.decided_record, request.decided_by_key, request.decided_by, "approved"), kinds.DECIDE)


def changed(request: ActionRequest) -> str:
    """Whether somebody changed the request since it was asked for or approved: a sentence, "" if not."""
    if digests.digest(request) != request.digest:
        return "The request was changed after it was asked for."
    expected = [(request.asked_record, Action.ASK, request.asked_by)]
    if request.needs_approval or request.decided_record:
        expected.append((request.decided_record, Action.APPROVE, request.decided_by))
    if all(_is_recorded(request, number, action, by) for number, action, by in expected):
        return ""
    return "The audit log does not show that it was asked for and approved as it stands here."


def _is_recorded(request: ActionRequest, number: int, action: Action, actor: str) -> bool:
    """Whether the audit log has an intact record of this step, with the request's digest."""
    pair = {one.number: one for one in AuditRecord.objects.filter(number__in=(number - 1, number))}
    record = pair.get(number)
    if record is None:
        return False
    before = pair[number - 1].digest if number - 1 in pair else chain.FIRST
    if record.digest != chain.digest(before, record):
        return False
    found = (record.action, record.outcome, record.target, record.actor)
    if found != (action, Outcome.DONE, requests.target(request.pk), actor):
        return False
    return bool(json.loads(record.after)["digest"] == request.digest)


def _person(step: Step, permission: str) -> str:
    """Whether the person may still do this, and did it as SECOND_FACTOR_ROLES requires: a sentence, "" if so."""
    user = User.objects.filter(pk=step.key).first()
    if user is None or user.get_username() != step.name:
        return f"{step.name}, who {step.did} it, has no account of this name any more."
    if not (user.is_active and user.is_staff and user.has_perm(permission)):
        return f"{step.name}, who {step.did} it, is not allowed to any more: the permission {permission} is missing."
    if requirement.is_required(user) and not _was_verified(step.record):
        return f"{step.name} {step.did} it in a session without a second factor, which the role needs: ask again."
    return ""


def _was_verified(number: int) -> bool:
    """Whether the record, which `changed` has found intact, tells of a session with a second factor."""
    return json.loads(AuditRecord.objects.get(number=number).after).get(requests.SECOND_FACTOR) is True
