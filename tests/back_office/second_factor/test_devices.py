"""Devices: one confirmed at a time, no code twice, pauses after wrong codes."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from back_office.second_factor import devices
from back_office.second_factor.devices import CodeRefused, NotSetUp, TooManyCodes, WrongCode
from tests.back_office.second_factor.conftest import code_of, set_up, wrong_code


def test_a_new_secret_counts_only_when_it_is_confirmed(bob: User) -> None:
    devices.begin(bob)
    new = devices.unconfirmed_device_of(bob)
    assert new is not None
    assert devices.device_of(bob) is None
    with pytest.raises(WrongCode):
        devices.check(bob, code_of(new))
    with pytest.raises(WrongCode):
        devices.confirm(bob, wrong_code(new))
    TOTPDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    devices.confirm(bob, code_of(new))
    assert devices.device_of(bob) == new


def test_another_beginning_replaces_the_secret(bob: User) -> None:
    devices.begin(bob)
    first = devices.unconfirmed_device_of(bob)
    devices.begin(bob)
    second = devices.unconfirmed_device_of(bob)
    assert first is not None
    assert second is not None
    assert second.key != first.key
    with pytest.raises(WrongCode):
        devices.confirm(bob, code_of(first))


def test_a_second_device_cannot_be_confirmed(bob: User) -> None:
    with pytest.raises(NotSetUp):
        devices.confirm(bob, "123456")
    set_up(bob)
    devices.begin(bob)
    with pytest.raises(NotSetUp):
        devices.confirm(bob, code_of(devices.unconfirmed_device_of(bob)))


def test_a_code_is_taken_once(bob: User) -> None:
    device = set_up(bob)
    code = code_of(device)
    assert devices.check(bob, code) == device
    with pytest.raises(WrongCode):
        devices.check(bob, code)


def test_people_may_type_a_code_with_spaces(bob: User) -> None:
    code = code_of(set_up(bob))
    assert devices.check(bob, f" {code[:3]} {code[3:]} ")


def test_the_code_of_another_account_is_wrong(bob: User) -> None:
    device = set_up(User.objects.create_user("alice"))
    set_up(bob)
    with pytest.raises(WrongCode):
        devices.check(bob, code_of(device))


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abc", "٠١٢٣٤٥", "-12345", "0x1234", "1e5000", "9" * 5000])
def test_a_text_that_can_be_no_code_counts_as_wrong(bob: User, code: str) -> None:
    set_up(bob)
    with pytest.raises(WrongCode):
        devices.check(bob, code)
    assert TOTPDevice.objects.get().throttling_failure_count == 1


def test_after_wrong_codes_even_the_right_one_waits(bob: User) -> None:
    device = set_up(bob)
    TOTPDevice.objects.update(throttling_failure_count=12, throttling_failure_timestamp=timezone.now())
    with pytest.raises(TooManyCodes) as refused:
        devices.check(bob, code_of(device))
    assert 1000 < refused.value.seconds <= 2048
    assert str(refused.value) == f"Too many wrong codes. Try again in {refused.value.seconds} seconds."
    TOTPDevice.objects.update(throttling_failure_timestamp=timezone.now() - timedelta(hours=1))
    assert devices.check(bob, code_of(device)) == device
    assert TOTPDevice.objects.get().throttling_failure_count == 0


def test_every_wrong_code_doubles_the_pause(bob: User) -> None:
    device = set_up(bob)
    for expected in (1, 2, 3):
        with pytest.raises(CodeRefused):
            devices.check(bob, wrong_code(device))
        assert TOTPDevice.objects.get().throttling_failure_count == expected
        TOTPDevice.objects.update(throttling_failure_timestamp=timezone.now() - timedelta(hours=1))


def test_a_backup_code_is_taken_once(bob: User) -> None:
    set_up(bob)
    codes = devices.renew_backup_codes(bob)
    assert len(set(codes)) == devices.BACKUP_CODES
    device = devices.check(bob, codes[0].upper())
    assert devices.is_backup(device)
    assert devices.backup_codes_left(bob) == devices.BACKUP_CODES - 1
    with pytest.raises(WrongCode):
        devices.check(bob, codes[0])


def test_wrong_backup_codes_do_not_delay_the_app(bob: User) -> None:
    device = set_up(bob)
    devices.renew_backup_codes(bob)
    StaticDevice.objects.update(throttling_failure_count=12, throttling_failure_timestamp=timezone.now())
    with pytest.raises(TooManyCodes):
        devices.check(bob, "aaaaaaaa")
    assert devices.check(bob, code_of(device)) == device


def test_new_backup_codes_replace_the_earlier_ones(bob: User) -> None:
    set_up(bob)
    earlier, later = devices.renew_backup_codes(bob), devices.renew_backup_codes(bob)
    with pytest.raises(WrongCode):
        devices.check(bob, earlier[0])
    StaticDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    assert devices.check(bob, later[0])


def test_removing_takes_device_and_backup_codes(bob: User) -> None:
    set_up(bob)
    codes = devices.renew_backup_codes(bob)
    assert devices.remove(bob)
    assert devices.device_of(bob) is None
    assert devices.backup_codes_left(bob) == 0
    with pytest.raises(WrongCode):
        devices.check(bob, codes[0])
    assert not devices.remove(bob)


def test_the_letters_are_those_of_the_picture(bob: User) -> None:
    devices.begin(bob)
    new = devices.unconfirmed_device_of(bob)
    assert new is not None
    letters = devices.secret_in_letters(new)
    assert f"secret={letters.replace(' ', '')}&" in new.config_url
    assert {len(group) for group in letters.split(" ")} == {4}
    assert "/Exchange%3Abob?" in new.config_url


def test_codes_are_those_of_the_rfc(bob: User) -> None:
    """RFC 6238, appendix B, SHA-1: the last six of eight digits."""
    device = TOTPDevice(user=bob, key=b"12345678901234567890".hex())
    for at_s, code in ((59, 287082), (1_111_111_109, 81804), (20_000_000_000, 353130)):
        totp = TOTP(device.bin_key)
        totp.time = at_s
        assert totp.token() == code
