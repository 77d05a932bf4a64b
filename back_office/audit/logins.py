"""Records logins, failed logins, locks and logouts."""

from typing import Any

from axes.signals import user_locked_out
from django.contrib.auth.models import AbstractBaseUser, User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.http import HttpRequest

from back_office.audit import origin, records
from back_office.audit.codes import Action, Outcome


def connect() -> None:
    user_logged_in.connect(_record_login, dispatch_uid="audit-logged-in")
    user_logged_out.connect(_record_logout, dispatch_uid="audit-logged-out")
    user_login_failed.connect(_record_failure, dispatch_uid="audit-login-failed")
    user_locked_out.connect(_record_lock, dispatch_uid="audit-login-locked")


def _record_login(sender: object, request: HttpRequest, user: AbstractBaseUser, **kwargs: object) -> None:
    records.append(Action.LOGIN, by=origin.of(request)._replace(actor=user.get_username()))


def _record_logout(sender: object, request: HttpRequest, user: AbstractBaseUser | None, **kwargs: object) -> None:
    if user is not None:
        records.append(Action.LOGOUT, by=origin.of(request)._replace(actor=user.get_username()))


def _record_failure(
    sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: object
) -> None:
    # Attempts on a locked account are in the log of events only: anybody can make any number of them.
    if not getattr(request, "axes_locked_out", False):
        who = _claimed(request, credentials.get("username"))
        records.append(Action.LOGIN_FAILED, outcome=Outcome.FAILED, by=who)


def _record_lock(sender: object, request: HttpRequest, username: str | None, **kwargs: object) -> None:
    if getattr(request, "axes_failures_since_start", None):  # not for every further attempt
        records.append(Action.LOGIN_LOCKED, outcome=Outcome.REFUSED, by=_claimed(request, username))


def _claimed(request: HttpRequest | None, name: object) -> origin.Origin:
    """The account that somebody tried; "" if there is none of that name: people type passwords into the name field."""
    who = origin.of(request) if request is not None else origin.current()
    known = records.storable(str(name or ""))
    return who._replace(actor=known if User.objects.filter(username=known).exists() else "")
