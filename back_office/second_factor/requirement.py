"""Whose logins need a second factor: accounts with a role that SECOND_FACTOR_ROLES names."""

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User

from back_office.access.roles import EVERYBODY


def is_required(user: User | AnonymousUser) -> bool:
    """A superuser may do what every role may, so he needs it as soon as one role is named."""
    named = set(settings.SECOND_FACTOR_ROLES)
    if not named:
        return False
    return EVERYBODY in named or user.is_superuser or user.groups.filter(name__in=named).exists()


def is_verified(user: object) -> bool:
    """Whether this session was verified by a second factor. `user`: that of the request."""
    return getattr(user, "otp_device", None) is not None
