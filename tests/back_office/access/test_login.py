"""Redirects after login, logout and a change of password always end at an existing page."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.back_office.conftest import ON_SQL, html, words
from tests.back_office.market import Market

PASSWORD = "long enough to be accepted 1"
FRONT_PAGE = "/admin/"

pytestmark = ON_SQL


def log_in(client: Client, address: str, name: str = "operator") -> str:
    """URL after all redirects; that page has to exist."""
    response = client.post(address, {"username": name, "password": PASSWORD}, follow=True)
    assert response.status_code == 200
    chain: list[tuple[str, int]] = response.redirect_chain
    return chain[-1][0] if chain else address


@pytest.mark.parametrize(
    "query",
    ["", "?next=", "?next=//elsewhere.example/", "?next=https://elsewhere.example/", "?next=javascript:alert(1)"],
)
def test_a_login_without_a_target_redirects_to_the_front_page(market: Market, query: str) -> None:
    User.objects.create_superuser("operator", password=PASSWORD)
    assert log_in(Client(), f"/admin/login/{query}") == FRONT_PAGE


def test_a_login_with_a_target_redirects_to_it(market: Market) -> None:
    User.objects.create_superuser("operator", password=PASSWORD)
    assert log_in(Client(), "/admin/login/?next=/admin/trades/") == "/admin/trades/"


@pytest.mark.parametrize("query", ["", "?next=//elsewhere.example/"])
def test_a_user_without_staff_status_stays_at_the_login_with_an_error(market: Market, query: str) -> None:
    User.objects.create_user("trader", password=PASSWORD)
    client = Client()
    address = f"/admin/login/{query}"
    assert log_in(client, address, "trader") == address
    assert "for a staff account" in words(client.post(address, {"username": "trader", "password": PASSWORD}))


def test_a_logged_in_user_is_redirected_from_the_login_to_the_front_page(market: Market, operator: Client) -> None:
    response = operator.get("/admin/login/")
    assert (response.status_code, response["Location"]) == (302, FRONT_PAGE)


def test_the_logout_page_links_to_the_login(market: Market) -> None:
    User.objects.create_superuser("operator", password=PASSWORD)
    client = Client()
    log_in(client, "/admin/login/")
    goodbye = client.post(reverse("admin:logout"))
    assert goodbye.status_code == 200
    (again,) = re.findall(r'<a[^>]*href="(/[^"]*)"', html(goodbye))
    login = client.get(again)
    assert login.status_code == 302
    assert log_in(client, login["Location"]) == FRONT_PAGE


def test_a_changed_password_is_confirmed_on_a_page(market: Market) -> None:
    User.objects.create_superuser("operator", password=PASSWORD)
    client = Client()
    log_in(client, "/admin/login/")
    fields = {"old_password": PASSWORD, "new_password1": PASSWORD + "2", "new_password2": PASSWORD + "2"}
    response = client.post(reverse("admin:password_change"), fields, follow=True)
    assert response.status_code == 200
    assert response.redirect_chain == [(reverse("admin:password_change_done"), 302)]
