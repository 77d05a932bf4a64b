"""Accounts with a second factor, and codes as an authenticator app computes them."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django import Settings

from back_office.second_factor import devices

STEPS = 60
"""A code in a test is valid for half an hour, so that a slow machine does not matter."""

NEEDED = "operator"
"""The role that needs a second factor in these tests."""


def code_of(device: Any) -> str:
    """A valid code, also if the device has taken one just now."""
    TOTPDevice.objects.filter(pk=device.pk).update(last_t=-1, tolerance=STEPS)
    return f"{TOTP(device.bin_key).token():06d}"


def wrong_code(device: Any) -> str:
    """One that is not valid for an hour around now, whatever `code_of` has changed."""
    totp, valid = TOTP(device.bin_key), set()
    for step in range(-4 * STEPS, 4 * STEPS + 1):
        totp.drift = step
        valid.add(totp.token())
    return next(f"{number:06d}" for number in range(10**6) if number not in valid)


def set_up(user: User) -> Any:
    """The user's confirmed device."""
    devices.begin(user)
    return devices.confirm(user, code_of(devices.unconfirmed_device_of(user)))


def logged_in_with_code(user: User) -> None:
    """Makes it the user of a request whose session has a code, as the middleware does."""
    vars(user)["otp_device"] = set_up(user)


def by_password(user: User) -> Client:
    """A session that only the password has opened."""
    client = Client()
    client.force_login(user)
    return client


def verified(user: User) -> Client:
    """A session with a code."""
    client = by_password(user)
    session = client.session
    session[DEVICE_ID_SESSION_KEY] = devices.device_of(user).persistent_id  # type: ignore[union-attr]
    session.save()
    return client


@pytest.fixture
def bob(db: None) -> User:
    """A superuser, so that nothing but the second factor refuses him."""
    return User.objects.create_superuser("bob", password="let me in")


@pytest.fixture
def required(settings: Settings, bob: User) -> User:
    """bob, who needs a second factor by his role."""
    settings.SECOND_FACTOR_ROLES = [NEEDED]
    bob.groups.add(Group.objects.get_or_create(name=NEEDED)[0])
    return bob
