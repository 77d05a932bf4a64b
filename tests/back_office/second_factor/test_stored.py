"""What the database keeps of second factors, and the migration of what an earlier version kept."""

from base64 import b64decode
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django import Settings

from back_office.second_factor import devices, stored
from back_office.second_factor.devices import SecretLost, WrongCode
from gateway.keys.errors import SecretUnreadable
from tests.back_office.conftest import words
from tests.back_office.second_factor.conftest import by_password, code_of, set_up, verified

SECRET = bytes(range(20))
OTHER_SETTING = "another setting of the same length, or longer"

migration = import_module("back_office.migrations.0008_encrypted_second_factors")


def migrate(step: str) -> None:
    getattr(migration, step)(apps, SimpleNamespace(connection=connection))


def test_the_secret_is_not_in_the_database(bob: User) -> None:
    device = set_up(bob)
    secret = device.bin_key
    kept = TOTPDevice.objects.get().key
    assert len(secret) == stored.SECRET_BYTES
    assert len(kept) <= 80, "the column of django-otp, which PostgreSQL enforces"
    assert secret not in b64decode(kept.removeprefix("aes:"))
    assert secret.hex() not in kept


def test_backup_codes_are_not_in_the_database(bob: User) -> None:
    codes = devices.renew_backup_codes(bob)
    kept = set(StaticToken.objects.values_list("token", flat=True))
    assert len(kept) == len(codes)
    assert not kept & set(codes)
    assert {len(token) for token in kept} == {stored.DIGEST_CHARACTERS}
    for token in sorted(kept):
        with pytest.raises(WrongCode):
            devices.check(bob, token)
        StaticDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)


def test_the_secret_of_one_account_is_of_no_use_to_another(bob: User) -> None:
    alice = User.objects.create_user("alice")
    key = set_up(alice).key
    set_up(bob)
    TOTPDevice.objects.filter(user=bob).update(key=key)
    with pytest.raises(SecretLost):
        devices.check(bob, "123456")
    codes = devices.renew_backup_codes(alice)
    devices.renew_backup_codes(bob)
    StaticToken.objects.filter(device__user=bob).delete()
    StaticToken.objects.update(device=StaticDevice.objects.get(user=bob))
    with pytest.raises(WrongCode):
        devices.check(bob, codes[0])


@pytest.mark.parametrize("key", [SECRET.hex(), "", "aes:", "aes:AAAA", "aes:!", "AES:" + 64 * "A"])
def test_a_secret_that_is_not_encrypted_is_not_read(key: str) -> None:
    with pytest.raises(SecretUnreadable):
        stored.decrypted(1, key)


def test_with_another_setting_the_page_tells_what_to_do(bob: User, settings: Settings) -> None:
    code = code_of(set_up(bob))
    settings.API_KEYS_SECRET = OTHER_SETTING
    answer = by_password(bob).post("/admin/second_factor/verify/", {"code": code})
    assert answer.status_code == 400
    assert "The secret of your second factor cannot be read any more, because a setting was changed" in words(answer)
    assert TOTPDevice.objects.get().throttling_failure_count == 0
    assert devices.remove(bob)


def test_a_set_up_that_was_begun_with_another_setting_begins_again(bob: User, settings: Settings) -> None:
    devices.begin(bob)
    settings.API_KEYS_SECRET = OTHER_SETTING
    client = by_password(bob)
    assert "Set up" in words(client.get("/admin/second_factor/"))
    assert devices.unconfirmed_device_of(bob) is None
    client.post("/admin/second_factor/begin/")
    assert devices.unconfirmed_device_of(bob) is not None


@pytest.fixture
def earlier(bob: User) -> User:
    """As an earlier version has stored it."""
    TOTPDevice.objects.create(user=bob, name="authenticator app", confirmed=True, key=SECRET.hex())
    codes = StaticDevice.objects.create(user=bob, name="backup codes")
    StaticToken.objects.create(device=codes, token="abcd2345")
    StaticToken.objects.create(device=codes, token="mnop6767")
    return bob


def test_what_an_earlier_version_stored_is_encrypted_and_still_valid(earlier: User) -> None:
    migrate("encrypt")
    kept = TOTPDevice.objects.get().key
    assert stored.decrypted(earlier.pk, kept) == SECRET
    assert not set(StaticToken.objects.values_list("token", flat=True)) & {"abcd2345", "mnop6767"}
    migrate("encrypt")
    assert TOTPDevice.objects.get().key == kept, "nothing is encrypted twice"
    assert devices.is_backup(devices.check(earlier, "abcd2345"))
    assert not devices.is_backup(devices.check(earlier, code_of(devices.device_of(earlier))))
    assert devices.backup_codes_left(earlier) == 1


def test_a_session_of_an_earlier_version_keeps_its_code(earlier: User) -> None:
    client = Client()
    client.force_login(earlier)
    session = client.session
    session["otp_device_id"] = TOTPDevice.objects.get().persistent_id
    session.save()
    migrate("encrypt")
    assert client.get("/admin/second_factor/").status_code == 200
    assert client.get("/admin/").status_code == 200
    assert verified(earlier).get("/admin/").status_code == 200


def test_going_back_decrypts_the_secret_and_takes_the_backup_codes(earlier: User) -> None:
    migrate("encrypt")
    migrate("decrypt")
    assert TOTPDevice.objects.get().key == SECRET.hex()
    assert not StaticToken.objects.exists()
