"""Setting up, confirming, removing and resetting a second factor, and what the audit log tells of it."""

import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice
from structlog.testing import capture_logs

from back_office.models import AuditRecord
from back_office.second_factor import devices
from tests.back_office.conftest import ON_SQL, html, words
from tests.back_office.market import Market
from tests.back_office.second_factor.conftest import by_password, code_of, set_up, verified, wrong_code

pytestmark = ON_SQL


def told() -> list[tuple[str, str, str, str]]:
    found = AuditRecord.objects.filter(action__startswith="second_factor.").order_by("number")
    return [(one.actor, one.action, one.target, one.outcome) for one in found]


def codes_on(response: Any) -> list[str]:
    return re.findall(r"<li><code>([a-z2-7]{8})</code></li>", html(response))


def send(client: Client, name: str, code: str, **more: str) -> Any:
    return client.post(reverse(f"office:{name}"), {"code": code, **more})


def test_setting_up_shows_the_secret_until_it_is_confirmed(market: Market, required: User) -> None:
    client = by_password(required)
    page = client.post(reverse("office:begin_second_factor"), follow=True)
    new = devices.unconfirmed_device_of(required)
    assert new is not None
    assert devices.secret_in_letters(new) in words(page)
    assert "<svg " in html(page)
    refused = send(client, "confirm_second_factor", wrong_code(new))
    assert refused.status_code == 400
    assert "This code is not right." in words(refused)
    assert devices.device_of(required) is None
    TOTPDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    done = send(client, "confirm_second_factor", code_of(new))
    assert len(codes_on(done)) == devices.BACKUP_CODES
    assert client.get(reverse("office:trades")).status_code == 200, "the session is verified at once"
    again = html(client.get(reverse("office:second_factor")))
    assert devices.secret_in_letters(new) not in again
    assert told() == [
        ("bob", "second_factor.verify", "user:bob", "failed"),
        ("bob", "second_factor.set_up", "user:bob", "done"),
    ]
    assert not any(new.key in one.after or codes_on(done)[0] in one.after for one in AuditRecord.objects.all())


def test_confirming_without_beginning_says_so(market: Market, bob: User) -> None:
    response = by_password(bob).post(reverse("office:confirm_second_factor"), {"code": "123456"}, follow=True)
    assert "There is nothing to confirm: begin again." in words(response)


def test_a_confirmed_device_is_not_replaced_by_beginning_again(market: Market, bob: User) -> None:
    device = set_up(bob)
    verified(bob).post(reverse("office:begin_second_factor"))
    assert list(TOTPDevice.objects.all()) == [device]


def test_a_login_asks_for_the_code(market: Market, bob: User) -> None:
    device = set_up(bob)
    client = Client()
    fields = {"username": "bob", "password": "let me in"}
    page = client.post("/admin/login/?next=/admin/trades/", fields, follow=True)
    assert page.redirect_chain[-1][0] == f"/admin/second_factor/code/?{urlencode({'next': '/admin/trades/'})}"
    before = client.session.session_key
    with capture_logs() as logged:
        refused = send(client, "verify_second_factor", wrong_code(device), next="/admin/trades/")
    assert refused.status_code == 400
    assert {
        "event": "site.second_factor_failed",
        "user": "bob",
        "address": "127.0.0.1",
        "log_level": "warning",
    } in logged
    TOTPDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    entered = send(client, "verify_second_factor", code_of(device), next="/admin/trades/")
    assert (entered.status_code, entered["Location"]) == (302, "/admin/trades/")
    assert client.session.session_key != before
    assert client.get("/admin/trades/").status_code == 200
    assert told() == [
        ("bob", "second_factor.verify", "user:bob", "failed"),
        ("bob", "second_factor.verify", "user:bob", "done"),
    ]


@pytest.mark.parametrize("target", ["https://elsewhere.example/", "//elsewhere.example/", "javascript:alert(1)", ""])
def test_a_code_never_leads_to_another_site(market: Market, bob: User, target: str) -> None:
    device = set_up(bob)
    response = send(by_password(bob), "verify_second_factor", code_of(device), next=target)
    assert (response.status_code, response["Location"]) == (302, reverse("office:overview"))


def test_a_backup_code_opens_a_session_once(market: Market, bob: User) -> None:
    set_up(bob)
    code = devices.renew_backup_codes(bob)[0]
    client = by_password(bob)
    assert send(client, "verify_second_factor", code).status_code == 302
    assert client.get(reverse("office:trades")).status_code == 200
    assert json.loads(AuditRecord.objects.latest("number").after) == {"by": "backup code"}
    assert send(by_password(bob), "verify_second_factor", code).status_code == 400


def test_a_pause_is_told_and_leaves_no_record(market: Market, bob: User) -> None:
    device = set_up(bob)
    TOTPDevice.objects.update(throttling_failure_count=12, throttling_failure_timestamp=timezone.now())
    response = send(by_password(bob), "verify_second_factor", code_of(device))
    assert response.status_code == 429
    assert "Too many wrong codes. Try again in" in words(response)
    assert told() == []


def test_new_backup_codes_need_a_code(market: Market, bob: User) -> None:
    device = set_up(bob)
    earlier = devices.renew_backup_codes(bob)
    client = verified(bob)
    assert send(client, "new_backup_codes", wrong_code(device)).status_code == 400
    TOTPDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    codes = codes_on(send(client, "new_backup_codes", code_of(device)))
    assert len(codes) == devices.BACKUP_CODES
    assert not set(codes) & set(earlier)
    assert [one[1::2] for one in told()] == [
        ("second_factor.verify", "failed"),
        ("second_factor.new_codes", "done"),
    ]


def test_removing_needs_a_code(market: Market, bob: User) -> None:
    device = set_up(bob)
    client = verified(bob)
    assert send(client, "remove_second_factor", wrong_code(device)).status_code == 400
    assert devices.device_of(bob) is not None
    TOTPDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    assert send(client, "remove_second_factor", code_of(device)).status_code == 302
    assert devices.device_of(bob) is None
    assert told()[-1] == ("bob", "second_factor.remove", "user:bob", "done")


# --- another account's --------------------------------------------------------------------------------------------


def reset(client: Client, user: User, reason: str = "Lost the phone.") -> Any:
    return client.post(reverse("office:reset_second_factor", args=[user.pk]), {"reason": reason}, follow=True)


def clerk(*permissions: str) -> Client:
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return by_password(user)


def test_an_administrator_resets_the_device_of_another(market: Market, bob: User) -> None:
    vera = User.objects.create_user("vera", is_staff=True)
    set_up(vera)
    client = by_password(bob)
    page = reverse("office:user_second_factor", args=[vera.pk])
    assert f'href="{page}"' in html(client.get(reverse("admin:auth_user_change", args=[vera.pk])))
    assert 'id="reset"' in html(client.get(page))
    assert "Say why" in words(reset(client, vera, " "))
    assert devices.device_of(vera) is not None
    assert "vera has no second factor any more." in words(reset(client, vera))
    assert devices.device_of(vera) is None
    assert told() == [("bob", "second_factor.reset", "user:vera", "done")]
    assert AuditRecord.objects.latest("number").reason == "Lost the phone."
    assert "vera had no second factor." in words(reset(client, vera))
    assert 'id="reset"' not in html(client.get(page))


def test_a_session_that_was_open_is_not_verified_any_more_after_a_reset(market: Market, bob: User) -> None:
    vera = User.objects.create_superuser("vera")
    set_up(vera)
    client = verified(vera)
    reset(by_password(bob), vera)
    set_up(vera)
    assert client.get(reverse("office:trades"))["Location"].startswith(reverse("office:second_factor_code"))


def test_nobody_resets_his_own_device_without_a_code(market: Market, bob: User) -> None:
    set_up(bob)
    response = reset(verified(bob), bob)
    assert response.status_code == 403
    assert "removed on its own page, with a code" in words(response)
    assert devices.device_of(bob) is not None


def test_nobody_resets_the_device_of_somebody_with_more_permissions(market: Market, bob: User) -> None:
    set_up(bob)
    client = clerk("view_user", "change_user")
    assert reset(client, bob).status_code == 403
    assert devices.device_of(bob) is not None
    assert 'id="reset"' not in html(client.get(reverse("office:user_second_factor", args=[bob.pk])))


def test_seeing_users_is_not_enough_to_reset(market: Market) -> None:
    vera = User.objects.create_user("vera", is_staff=True)
    set_up(vera)
    client = clerk("view_user")
    assert client.get(reverse("office:user_second_factor", args=[vera.pk])).status_code == 200
    assert reset(client, vera).status_code == 403


def test_a_missing_user_is_not_found(market: Market, bob: User) -> None:
    assert by_password(bob).get(reverse("office:user_second_factor", args=[4_000_000])).status_code == 404


def test_no_page_of_the_admin_shows_secrets(market: Market, bob: User) -> None:
    client = by_password(bob)
    for page in ("otp_totp/totpdevice/", "otp_static/staticdevice/"):
        assert client.get(f"/admin/{page}").status_code == 404


def test_the_role_is_asked_at_the_next_request(market: Market, required: User) -> None:
    """An account that gets the role while it is logged in has to set up a second factor at once."""
    vera = User.objects.create_user("vera", is_staff=True)
    client = by_password(vera)
    assert client.get(reverse("office:second_factor")).status_code == 200
    vera.groups.add(Group.objects.get(name="operator"))
    assert client.get(reverse("office:trades"))["Location"].startswith(reverse("office:second_factor"))
