"""Devices of accounts: the secret that an authenticator app shares, and backup codes.

django-otp keeps them, throttles wrong codes (a pause after each one, twice as long every time) and takes no code twice.
What it keeps is encrypted or hashed: `back_office.second_factor.stored`.
An account has at most one confirmed device. One that is not confirmed counts for nothing.
"""

import math
import re
from base64 import b32encode
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import router, transaction
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticToken

from back_office.second_factor.stored import AuthenticatorApp, BackupCodes, code_digest, new_key
from gateway.keys.errors import SecretUnreadable

BACKUP_CODES = 10
TOTP_DIGITS = 6
LETTERS_IN_A_GROUP = 4

_DEVICE_NAME = "authenticator app"
_BACKUP_NAME = "backup codes"
_TOTP = re.compile(rf"[0-9]{{{TOTP_DIGITS}}}", re.ASCII)
_BACKUP = re.compile(r"[a-z2-7]{8}", re.ASCII)
_SEPARATORS = re.compile(r"[\s-]+")

Device = Any
"""Of django-otp, which ships no types."""

User = AbstractBaseUser | AnonymousUser


class CodeRefused(Exception):
    """The code was not accepted. The text is one sentence."""


class WrongCode(CodeRefused):
    def __init__(self) -> None:
        super().__init__("This code is not right. Codes change every 30 seconds, and each one can be used once.")


class TooManyCodes(CodeRefused):
    """The code was not even compared."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many wrong codes. Try again in {seconds} second{'s' * (seconds != 1)}.")
        self.seconds = seconds


class SecretLost(CodeRefused):
    """The setting that encrypts secrets is another one than it was."""

    def __init__(self) -> None:
        super().__init__(
            "The secret of your second factor cannot be read any more, because a setting was changed: have an "
            "administrator reset it."
        )


class NotSetUp(Exception):
    """There is no device to confirm. The text is one sentence."""


def device_of(user: User) -> Device | None:
    """The confirmed device; None if the account has no second factor."""
    return AuthenticatorApp.objects.filter(user_id=user.pk, confirmed=True).first()


def unconfirmed_device_of(user: User) -> Device | None:
    """The device that is being set up; None also if its secret cannot be read any more."""
    found = AuthenticatorApp.objects.filter(user_id=user.pk, confirmed=False).first()
    return found if found is not None and found.is_readable else None


def begin(user: User) -> None:
    """Makes a new secret, which replaces one that was not confirmed."""
    with _together():
        AuthenticatorApp.objects.filter(user_id=user.pk, confirmed=False).delete()
        AuthenticatorApp.objects.create(
            user_id=user.pk, name=_DEVICE_NAME, confirmed=False, digits=TOTP_DIGITS, key=new_key(_number_of(user))
        )


def confirm(user: User, code: str) -> Device:
    """Makes the new secret the second factor. Raises CodeRefused, NotSetUp; not within a transaction: see `check`."""
    refusal: CodeRefused | None = None
    with _together():
        device = AuthenticatorApp.objects.select_for_update().filter(user_id=user.pk, confirmed=False).first()
        if device is None or device_of(user) is not None:
            raise NotSetUp("There is nothing to confirm: begin again.")
        refusal = _refusal(device, _plain(code))
        if refusal is None:
            device.confirmed = True
            device.save(update_fields=["confirmed"])
    if refusal is not None:
        raise refusal
    return device


def check(user: User, code: str) -> Device:
    """The device that accepts the code: the app, or the backup codes, of which this one is then used up.

    Raises CodeRefused. Must not be called within a transaction, which would undo the count of wrong codes.
    """
    text = _plain(code)
    model = BackupCodes if _BACKUP.fullmatch(text) else AuthenticatorApp
    refusal: CodeRefused | None = None
    with _together():
        device = model.objects.select_for_update().filter(user_id=user.pk, confirmed=True).first()
        refusal = WrongCode() if device is None else _refusal(device, text)
    if refusal is not None:
        raise refusal
    return device


def renew_backup_codes(user: User) -> list[str]:
    """New codes; the earlier ones are not valid any more."""
    with _together():
        device, _ = BackupCodes.objects.get_or_create(user_id=user.pk, defaults={"name": _BACKUP_NAME})
        device.token_set.all().delete()
        codes = [str(StaticToken.random_token()) for _ in range(BACKUP_CODES)]
        StaticToken.objects.bulk_create(
            [StaticToken(device=device, token=code_digest(_number_of(user), code)) for code in codes]
        )
    return codes


def backup_codes_left(user: User) -> int:
    return int(StaticToken.objects.filter(device__user_id=user.pk).count())


def remove(user: User) -> bool:
    """Removes device and backup codes; returns whether there was a confirmed device."""
    with _together():
        had_one = device_of(user) is not None
        AuthenticatorApp.objects.filter(user_id=user.pk).delete()
        BackupCodes.objects.filter(user_id=user.pk).delete()
    return had_one


def is_backup(device: Device) -> bool:
    return isinstance(device, BackupCodes)


def secret_in_letters(device: Device) -> str:
    """As people type it into an app that cannot read the picture: base32 in groups of four."""
    letters = b32encode(device.bin_key).decode("ascii").rstrip("=")
    return " ".join(letters[at : at + LETTERS_IN_A_GROUP] for at in range(0, len(letters), LETTERS_IN_A_GROUP))


def _number_of(user: User) -> int:
    assert user.pk is not None, "only accounts have a second factor"
    return int(user.pk)


def _together() -> transaction.Atomic:
    return transaction.atomic(using=router.db_for_write(AuthenticatorApp))


def _plain(code: str) -> str:
    return _SEPARATORS.sub("", code).lower()


def _refusal(device: Device, text: str) -> CodeRefused | None:
    """None if the device accepts it. A text that can be no code counts as a wrong one."""
    is_allowed, why = device.verify_is_allowed()
    if not is_allowed:
        pause_s = (why["locked_until"] - timezone.now()).total_seconds()
        return TooManyCodes(max(1, math.ceil(pause_s)))
    is_backup_code = is_backup(device)
    comparable = text if is_backup_code or _TOTP.fullmatch(text) else ""
    try:
        return None if device.verify_token(comparable) else WrongCode()
    except SecretUnreadable:
        return SecretLost()
