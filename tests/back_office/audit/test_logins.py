import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from back_office.models import AuditRecord

PASSWORD = "long enough to be accepted 1"

pytestmark = pytest.mark.django_db


def log_in(name: str, password: str) -> Client:
    client = Client(REMOTE_ADDR="192.0.2.7")
    client.post("/admin/login/", {"username": name, "password": password})
    return client


def recorded() -> list[tuple[str, str, str, str]]:
    found = AuditRecord.objects.exclude(action__startswith="user.").order_by("number")
    return [(one.action, one.outcome, one.actor, one.address) for one in found]


@pytest.fixture(autouse=True)
def operator_with_password() -> None:
    User.objects.create_superuser("operator", password=PASSWORD)


def test_login_and_logout() -> None:
    log_in("operator", PASSWORD).post("/admin/logout/")
    assert recorded() == [
        ("login", "done", "operator", "192.0.2.7"),
        ("logout", "done", "operator", "192.0.2.7"),
    ]


def test_a_wrong_password_is_recorded_under_the_account_that_was_tried() -> None:
    log_in("operator", "wrong")
    assert recorded() == [("login.failed", "failed", "operator", "192.0.2.7")]


def test_a_name_that_is_no_account_is_not_stored() -> None:
    """It can be a password, typed into the wrong field."""
    log_in(PASSWORD, "operator")
    assert recorded() == [("login.failed", "failed", "", "192.0.2.7")]


def test_a_lock_is_recorded_once_and_attempts_on_it_are_not(settings: Settings) -> None:
    settings.AXES_FAILURE_LIMIT = 3
    for _ in range(20):
        log_in("operator", "wrong")
    actions = [action for action, *_ in recorded()]
    assert sorted(actions) == ["login.failed"] * actions.count("login.failed") + ["login.locked"]
    assert 2 <= actions.count("login.failed") <= 3
