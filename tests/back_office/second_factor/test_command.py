"""`reset_second_factor`, for an administrator who has lost his own."""

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from back_office.models import AuditRecord
from back_office.second_factor import devices
from tests.back_office.second_factor.conftest import set_up


def reset(*options: str) -> str:
    out = StringIO()
    call_command("reset_second_factor", *options, stdout=out)
    return out.getvalue().strip()


def refusal(*options: str) -> str:
    with pytest.raises(CommandError) as error:
        reset(*options)
    assert error.value.returncode == 2
    return str(error.value)


def test_it_removes_device_and_backup_codes(bob: User) -> None:
    set_up(bob)
    devices.renew_backup_codes(bob)
    assert reset("bob", "--reason", "Lost the phone.") == "bob has no second factor any more."
    assert devices.device_of(bob) is None
    assert devices.backup_codes_left(bob) == 0
    record = AuditRecord.objects.latest("number")
    assert (record.action, record.target, record.reason) == ("second_factor.reset", "user:bob", "Lost the phone.")
    assert record.actor.startswith("os:")


def test_it_refuses_what_cannot_be(bob: User) -> None:
    assert refusal("nobody", "--reason", "x") == "There is no account 'nobody'."
    assert refusal("bob", "--reason", " ") == "Say why: the reason is kept in the audit log."
    assert refusal("bob", "--reason", "x") == "bob has no second factor."
