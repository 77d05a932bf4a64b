"""What changes of second factors leave in the audit log and in the log of events."""

import structlog
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest

from back_office.access.logins import client_address
from back_office.audit import records
from back_office.audit.codes import Action, Outcome
from back_office.second_factor import devices
from back_office.second_factor.devices import CodeRefused, Device, TooManyCodes

log = structlog.get_logger(__name__)

User = AbstractBaseUser | AnonymousUser


def target(user: User) -> str:
    return f"user:{user.get_username()}"


def checked(request: HttpRequest, code: str) -> Device:
    """`devices.check` for the user of the request; a refusal is recorded. Raises CodeRefused."""
    try:
        return devices.check(request.user, code)
    except CodeRefused as refusal:
        record_refusal(request, refusal)
        raise


def record_refusal(request: HttpRequest, refusal: CodeRefused) -> None:
    """Attempts during a pause are in the log of events only: anybody with the password can make any number of them."""
    user, address = request.user.get_username(), client_address(request) or ""
    log.warning("site.second_factor_failed", user=user, address=address)
    if not isinstance(refusal, TooManyCodes):
        records.append(Action.SECOND_FACTOR_VERIFY, outcome=Outcome.FAILED, target=target(request.user))


def record_verified(request: HttpRequest, device: Device) -> None:
    by = "backup code" if devices.is_backup(device) else "app"
    records.append(Action.SECOND_FACTOR_VERIFY, target=target(request.user), after={"by": by})
    log.info("site.second_factor_verified", user=request.user.get_username(), by=by)


def remove(user: User, action: Action, reason: str = "") -> bool:
    """Removes the second factor together with its record; returns whether there was one."""
    with records.together():
        had_one = devices.remove(user)
        outcome = Outcome.DONE if had_one else Outcome.FAILED
        records.append(action, outcome=outcome, target=target(user), reason=reason)
    return had_one
