"""`manage.py invite` and the page that its link leads to."""

from io import StringIO
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from back_office.models import AuditRecord
from tests.back_office.conftest import words

PASSWORD = "long enough to be accepted 1"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def viewer() -> Group:
    return Group.objects.get_or_create(name="viewer")[0]


def invite(*options: str) -> str:
    out = StringIO()
    call_command("invite", *options, stdout=out)
    return out.getvalue().strip()


def refusal(*options: str) -> str:
    with pytest.raises(CommandError) as error:
        invite(*options)
    assert error.value.returncode == 2
    return str(error.value)


def set_password(link: str, password: str = PASSWORD) -> str:
    """Words of the last page."""
    client = Client()
    page = client.get(urlsplit(link).path, follow=True)
    if not page.redirect_chain:
        return words(page)
    fields = {"new_password1": password, "new_password2": password}
    return words(client.post(page.redirect_chain[-1][0], fields, follow=True))


def test_the_link_sets_the_first_password_of_an_account_with_the_role() -> None:
    link = invite("bob", "--role", "viewer")
    bob = User.objects.get(username="bob")
    assert (bob.is_staff, bob.is_superuser, bob.has_usable_password()) == (True, False, False)
    assert [group.name for group in bob.groups.all()] == ["viewer"]
    assert "Log in" in set_password(link)
    client = Client()
    client.post("/admin/login/", {"username": "bob", "password": PASSWORD})
    assert "_auth_user_id" in client.session


def test_the_link_works_once() -> None:
    link = invite("bob", "--role", "viewer")
    set_password(link)
    assert "This link is not valid" in set_password(link, PASSWORD + "2")
    assert User.objects.get(username="bob").check_password(PASSWORD)


def test_the_link_expires(settings: Settings) -> None:
    link = invite("bob", "--role", "viewer")
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert "This link is not valid" in set_password(link)


@pytest.mark.parametrize("link", ["/admin/invitation/MQ/x-y/", "/admin/invitation/%00/%00/", "/admin/invitation/9/9/"])
def test_a_made_up_link_is_not_valid(link: str) -> None:
    response = Client().get(link)
    assert response.status_code in (200, 400)
    assert "not valid" in words(response) or "NUL" in words(response)


def test_a_weak_password_is_refused() -> None:
    assert "too short" in set_password(invite("bob", "--role", "viewer"), "abc")
    assert not User.objects.get(username="bob").has_usable_password()


def test_the_link_names_the_site(settings: Settings) -> None:
    assert invite("a", "--role", "viewer").startswith(f"http://{settings.WEB_ADDRESS}/admin/invitation/")
    settings.WEB_HTTPS = True
    assert invite("b", "--role", "viewer").startswith(f"https://{settings.WEB_ADDRESS}/admin/")
    assert invite("c", "--role", "viewer", "--site", "https://x.example/").startswith("https://x.example/admin/")


def test_an_unknown_role_is_refused_with_the_roles() -> None:
    error = refusal("bob", "--role", "king")
    assert error.startswith("There is no role 'king'. The roles are: ")
    assert "viewer" in error
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["", "a b", "bob", "os:root", "x" * 151])
def test_a_name_that_cannot_be_used_is_refused(name: str) -> None:
    User.objects.create_user("bob")
    assert refusal(name, "--role", "viewer").startswith(f"The name {name!r} cannot be used: ")
    assert User.objects.count() == 1


def test_invitation_and_first_password_are_recorded() -> None:
    set_password(invite("bob", "--role", "viewer"))
    found = AuditRecord.objects.filter(target="user:bob").order_by("number")
    assert [(one.action, one.address) for one in found] == [
        ("user.created", "command line"),
        ("user.changed", "command line"),
        ("user.changed", "127.0.0.1"),
    ]
    assert PASSWORD not in "".join(one.after for one in found)
