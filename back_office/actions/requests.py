"""Requests for actions: asking, approving, refusing, withdrawing.

Each change of state commits together with its record in the audit log, and only from the state that it expects: of two
persons, or two clicks, at the same time one succeeds.

    waiting ──approve──▶ approved ──worker──▶ carrying_out ──▶ done, rejected or unknown
       │ └──refuse──▶ refused        └── a check fails ──▶ stopped
       └──withdraw──▶ withdrawn
"""

import json
import time
from collections.abc import Sequence
from typing import NamedTuple

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError

from back_office.actions import digests, kinds
from back_office.actions.kinds import Kind
from back_office.actions.parameters import Parameters
from back_office.audit import origin, records
from back_office.audit.codes import Action, Outcome
from back_office.audit.origin import Origin
from back_office.models import ActionRequest
from back_office.second_factor import requirement

State = ActionRequest.State
User = AbstractBaseUser | AnonymousUser

SECOND_FACTOR = "second_factor"
"""In the audit log's record of a step: whether the session was verified by one."""

OWN_REQUEST = "You asked for this yourself, so another person has to approve it."


class Wish(NamedTuple):
    """What somebody asks for, as he has seen it in the preview. `form` is the form's own secret name."""

    form: str
    kind: Kind
    parameters: Parameters
    preview: Sequence[str]
    reason: str


class TooLate(Exception):
    """The request has another state by now. The text is one sentence."""


def ask(wish: Wish, user: User) -> tuple[ActionRequest, bool]:
    """The request, and whether it is new: a form that is sent again gives the request that it made before."""
    try:
        with records.together():
            return _create(wish, user), True
    except IntegrityError:
        return ActionRequest.objects.get(form=wish.form), False


def approve(number: int, user: User, note: str) -> None:
    """Raises TooLate; PermissionDenied for whoever asked; DoesNotExist."""
    request = ActionRequest.objects.get(id=number)
    if request.asked_by_key == user.pk or request.asked_by == user.get_username():
        raise PermissionDenied(OWN_REQUEST)
    _decide(request, user, note, State.APPROVED, Action.APPROVE)


def refuse(number: int, user: User, note: str) -> None:
    """Raises TooLate, DoesNotExist."""
    _decide(ActionRequest.objects.get(id=number), user, note, State.REFUSED, Action.REFUSE)


def withdraw(number: int, user: User, note: str) -> None:
    """Raises TooLate; PermissionDenied for anybody else than the asking person; DoesNotExist."""
    request = ActionRequest.objects.get(id=number)
    if request.asked_by_key != user.pk:
        raise PermissionDenied("Only the person who asked for this can withdraw it.")
    _decide(request, user, note, State.WITHDRAWN, Action.WITHDRAW)


def target(number: int) -> str:
    """As the audit log names a request."""
    return f"request:{number}"


def _seal(request: ActionRequest, user: User) -> dict[str, object]:
    """What the worker later reads in the record of a step: what it was about, and how the person had logged in."""
    return {"digest": request.digest, SECOND_FACTOR: requirement.is_verified(user)}


def _origin(user: User) -> Origin:
    return origin.current()._replace(actor=user.get_username())


def _create(wish: Wish, user: User) -> ActionRequest:
    needs_approval = kinds.needs_two_persons(wish.kind)
    request = ActionRequest(
        form=wish.form,
        kind=str(wish.kind),
        parameters=json.dumps(wish.parameters, sort_keys=True),
        preview=json.dumps(list(wish.preview)),
        reason=wish.reason,
        asked_by=user.get_username(),
        asked_by_key=int(user.pk or 0),
        asked_at_ns=time.time_ns(),
        needs_approval=needs_approval,
        state=State.WAITING if needs_approval else State.APPROVED,
    )
    request.digest = digests.digest(request)
    request.save(force_insert=True)
    after = {"kind": request.kind, **wish.parameters, "state": str(request.state), **_seal(request, user)}
    record = records.append(Action.ASK, by=_origin(user), target=target(request.pk), reason=wish.reason, after=after)
    request.asked_record = record.number
    request.save(update_fields=["asked_record"])
    return request


def _decide(request: ActionRequest, user: User, note: str, state: str, action: Action) -> None:
    with records.together():
        changed = ActionRequest.objects.filter(id=request.pk, state=State.WAITING).update(
            state=state,
            decided_by=user.get_username(),
            decided_by_key=user.pk,
            decided_at_ns=time.time_ns(),
            decision_note=note,
        )
        if changed:
            record = records.append(
                action,
                by=_origin(user),
                target=target(request.pk),
                reason=note,
                before={"state": str(State.WAITING)},
                after={"state": str(state), **_seal(request, user)},
            )
            ActionRequest.objects.filter(id=request.pk).update(decided_record=record.number)
    if not changed:
        now = ActionRequest.objects.get(id=request.pk)
        # Recorded outside the transaction: it tells of somebody who came too late.
        records.append(action, outcome=Outcome.FAILED, by=_origin(user), target=target(request.pk), reason=note)
        by = f" by {now.decided_by}" if now.decided_by else ""
        raise TooLate(f"Nothing was changed: the request is no longer waiting ({State(now.state).label.lower()}{by}).")
