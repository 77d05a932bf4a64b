"""An attacker who guesses passwords, and a session that somebody left open."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings
from structlog.testing import capture_logs

from back_office.access import sessions

PASSWORD = "long enough to be accepted 1"
LOGIN = "/admin/login/"
OTHER_ADDRESS = "203.0.113.9"
PAGE = "/admin/password_change/"
"""A page that needs a login and no store."""

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def operator(db: None) -> User:
    return User.objects.create_superuser("operator", password=PASSWORD)


def attempt(password: str, name: str = "operator", **headers: str) -> int:
    return Client().post(LOGIN, {"username": name, "password": password}, **headers).status_code  # type: ignore[arg-type]


def test_sixty_wrong_passwords_lock_the_account_for_this_address_and_are_logged() -> None:
    with capture_logs() as lines:
        answers = [attempt(f"guess {number}") for number in range(60)]
    assert answers == [200] * 9 + [429] * 51
    failed = [line for line in lines if line["event"] == "site.login_failed"]
    assert len(failed) == 60
    assert {(line["user"], line["address"]) for line in failed} == {("operator", "127.0.0.1")}
    (locked,) = [line for line in lines if line["event"] == "site.login_locked"]
    assert locked == {
        "event": "site.login_locked",
        "log_level": "warning",
        "user": "operator",
        "address": "127.0.0.1",
        "minutes": 15,
    }
    assert not any("guess" in str(line) for line in lines)


def lock(**headers: str) -> None:
    for number in range(10):
        attempt(f"guess {number}", **headers)


def test_a_locked_account_is_refused_with_the_right_password_and_a_sentence() -> None:
    lock()
    response = Client().post(LOGIN, {"username": "operator", "password": PASSWORD})
    assert response.status_code == 429
    assert response["Retry-After"] == "900"
    assert "Try again in 15 minutes" in response.content.decode()


def test_other_addresses_and_other_accounts_are_not_locked() -> None:
    User.objects.create_superuser("second", password=PASSWORD)
    lock()
    assert attempt(PASSWORD, REMOTE_ADDR=OTHER_ADDRESS) == 302
    assert attempt(PASSWORD, "second") == 302


def test_an_unknown_account_is_locked_in_the_same_way() -> None:
    assert [attempt("guess", "nobody") for _ in range(11)] == [200] * 9 + [429] * 2


def test_a_lock_ends_even_if_somebody_keeps_trying() -> None:
    lock()
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=14))
    assert attempt("guess") == 429
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert attempt(PASSWORD) == 302


def test_the_right_password_forgets_the_wrong_ones() -> None:
    for _ in range(3):
        assert [attempt("guess") for _ in range(9)] == [200] * 9
        assert attempt(PASSWORD) == 302


@pytest.mark.parametrize("command", [["axes_reset"], ["axes_reset_username", "operator"]])
def test_a_command_unlocks(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    lock()
    call_command(*command)
    assert attempt(PASSWORD) == 302


def test_an_address_that_the_client_names_does_not_count_by_default() -> None:
    for number in range(10):
        attempt("guess", HTTP_X_FORWARDED_FOR=f"203.0.113.{number}")
    assert attempt(PASSWORD, HTTP_X_FORWARDED_FOR=OTHER_ADDRESS) == 429


def test_behind_a_proxy_the_address_that_the_proxy_appended_counts(settings: Settings) -> None:
    settings.WEB_CLIENT_ADDRESS_HEADER = "X-Forwarded-For"
    for number in range(10):
        attempt("guess", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}, {OTHER_ADDRESS}")
    assert attempt(PASSWORD, HTTP_X_FORWARDED_FOR=OTHER_ADDRESS) == 429
    assert attempt(PASSWORD, HTTP_X_FORWARDED_FOR=f"{OTHER_ADDRESS}, 198.51.100.7") == 302


def test_a_header_without_an_address_counts_as_the_connection(settings: Settings) -> None:
    settings.WEB_CLIENT_ADDRESS_HEADER = "X-Forwarded-For"
    for number in range(10):
        attempt("guess", HTTP_X_FORWARDED_FOR=f"nonsense {number}")
    assert attempt(PASSWORD) == 429


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    for number in range(10):
        attempt("guess", REMOTE_ADDR=f"2001:db8:1:2::{number:x}")
    assert attempt(PASSWORD, REMOTE_ADDR="2001:db8:1:2:ffff::1") == 429
    assert attempt(PASSWORD, REMOTE_ADDR="2001:db8:1:3::1") == 302


def test_a_login_is_logged() -> None:
    with capture_logs() as lines:
        attempt(PASSWORD)
    assert {"event": "site.logged_in", "log_level": "info", "user": "operator", "address": "127.0.0.1"} in lines


# --- the end of a session -----------------------------------------------------------------------------------------

MINUTE_S = 60


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_700_000_000

    def pass_minutes(self, minutes: int) -> None:
        self.now_s += minutes * MINUTE_S


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(sessions, "now_s", lambda: made.now_s)
    return made


def logged_in() -> Client:
    client = Client()
    assert client.post(LOGIN, {"username": "operator", "password": PASSWORD}).status_code == 302
    return client


def test_an_idle_session_ends(clock: Clock) -> None:
    client = logged_in()
    clock.pass_minutes(29)
    assert client.get(PAGE).status_code == 200
    clock.pass_minutes(29)
    assert client.get(PAGE).status_code == 200
    clock.pass_minutes(30)
    response = client.get(PAGE)
    assert (response.status_code, response["Location"]) == (302, f"{LOGIN}?next={PAGE}")
    assert not Session.objects.exists()


def test_a_session_in_use_ends_after_twelve_hours(clock: Clock) -> None:
    client = logged_in()
    for _ in range(12 * 3 - 1):
        clock.pass_minutes(20)
        assert client.get(PAGE).status_code == 200
    clock.pass_minutes(20)
    assert client.get(PAGE).status_code == 302


@pytest.mark.parametrize("polled", ["office:live", "office:alarm_bar"])
def test_a_page_that_refreshes_itself_does_not_keep_a_session_and_is_loaded_again(clock: Clock, polled: str) -> None:
    client = logged_in()
    for _ in range(2):
        clock.pass_minutes(14)
        assert client.get(reverse(polled), headers={"HX-Request": "true"}).status_code == 200
    clock.pass_minutes(2)
    ended = client.get(reverse(polled), headers={"HX-Request": "true"})
    assert (ended.status_code, ended["HX-Refresh"], ended.content) == (200, "true", b"")
    assert client.get(PAGE).status_code == 302


def test_a_session_of_an_earlier_version_begins_its_time_now(clock: Clock) -> None:
    client = logged_in()
    session = client.session
    del session[sessions.BEGAN_AT], session[sessions.ACTIVE_AT]
    session.save()
    clock.pass_minutes(300)
    assert client.get(PAGE).status_code == 200
    clock.pass_minutes(30)
    assert client.get(PAGE).status_code == 302


def test_a_new_login_begins_a_new_time(clock: Clock) -> None:
    client = logged_in()
    clock.pass_minutes(30)
    assert client.post(LOGIN, {"username": "operator", "password": PASSWORD}).status_code == 302
    assert client.get(PAGE).status_code == 200


def test_cookies_cannot_be_read_by_scripts_and_end_with_the_browser(settings: Settings) -> None:
    client = logged_in()
    for name in ("sessionid", "csrftoken"):
        client.get(PAGE)
        assert client.cookies[name]["httponly"]
        assert client.cookies[name]["samesite"] == "Lax"
    assert not client.cookies["sessionid"]["expires"]
