"""A session that only the password has opened reaches the second factor's own pages, and no other address."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django_otp import DEVICE_ID_SESSION_KEY
from pytest_django import Settings

from back_office.second_factor import devices
from tests.back_office.access.test_permissions import ACTIONS, address, routes
from tests.back_office.conftest import ON_SQL, html, words
from tests.back_office.market import Market
from tests.back_office.second_factor.conftest import by_password, set_up, verified

PUBLIC = {"admin/login/", "admin/invitation/<uidb64>/<token>/", "health/live", "health/ready", "metrics"}
OWN = {
    "admin/second_factor/": "second_factor",
    "admin/second_factor/begin/": "begin_second_factor",
    "admin/second_factor/confirm/": "confirm_second_factor",
}
CODE = {"admin/second_factor/code/": "second_factor_code", "admin/second_factor/verify/": "verify_second_factor"}
LOGOUT = "admin/logout/"
WRITING = {*ACTIONS, "admin/second_factor/begin/", "admin/second_factor/confirm/", "admin/second_factor/verify/"}


def elsewhere(client: Client, user: User, reachable: set[str]) -> dict[str, str]:
    """Where every address leads that is neither public nor in `reachable`."""
    found = {}
    for route in routes():
        if route not in {*PUBLIC, *reachable, LOGOUT}:
            method = client.post if route in WRITING else client.get
            response = method(address(route, user.pk))
            assert response.status_code == 302, route
            found[route] = response["Location"].partition("?")[0]
    assert len(found) > 60
    return found


@ON_SQL
def test_with_a_device_every_address_leads_to_the_code(market: Market, bob: User) -> None:
    set_up(bob)
    client = by_password(bob)
    found = elsewhere(client, bob, set(CODE))
    assert set(found.values()) == {reverse("office:second_factor_code")}
    assert client.get(reverse("office:second_factor_code")).status_code == 200
    assert client.post(reverse("office:verify_second_factor")).status_code == 400


@ON_SQL
def test_without_the_needed_device_every_address_leads_to_the_set_up(market: Market, required: User) -> None:
    client = by_password(required)
    found = elsewhere(client, required, set(OWN))
    assert set(found.values()) == {reverse("office:second_factor")}
    response = client.get(reverse("office:second_factor"))
    assert "Your role needs a second factor" in words(response)
    assert client.post(reverse("office:begin_second_factor")).status_code == 302


@ON_SQL
def test_the_set_up_page_shows_nothing_of_the_exchange(market: Market, required: User) -> None:
    page = html(by_password(required).get(reverse("office:second_factor")))
    assert 'id="alarm-bar"' not in page
    assert reverse("office:jump") not in page


@ON_SQL
def test_a_code_opens_every_page(market: Market, required: User) -> None:
    set_up(required)
    assert verified(required).get(reverse("office:trades")).status_code == 200


@ON_SQL
def test_without_device_and_need_nothing_changes(market: Market, bob: User, settings: Settings) -> None:
    assert by_password(bob).get(reverse("office:trades")).status_code == 200
    settings.SECOND_FACTOR_ROLES = ["finance"]
    vera = User.objects.create_user("vera", is_staff=True)
    vera.groups.add(Group.objects.get_or_create(name="viewer")[0])
    assert by_password(vera).get(reverse("office:second_factor")).status_code == 200


@ON_SQL
def test_the_code_leads_back_to_the_page_that_was_asked_for(market: Market, bob: User) -> None:
    set_up(bob)
    response = by_password(bob).get("/admin/trades/?symbol=BTC-USD", follow=True)
    assert '<input type="hidden" name="next" value="/admin/trades/?symbol=BTC-USD">' in html(response)


@ON_SQL
def test_an_open_page_that_refreshes_itself_is_loaded_anew(market: Market, bob: User) -> None:
    set_up(bob)
    response = by_password(bob).get(reverse("office:live"), headers={"HX-Request": "true"})
    assert (response.status_code, response["HX-Refresh"], response.content) == (200, "true", b"")


@pytest.mark.parametrize("whose", ["removed", "another's", "unconfirmed"])
def test_a_device_that_does_not_count_verifies_no_session(bob: User, whose: str) -> None:
    other = User.objects.create_user("alice")
    device = set_up(other if whose == "another's" else bob)
    if whose == "another's":
        set_up(bob)
    client = by_password(bob)
    session = client.session
    session[DEVICE_ID_SESSION_KEY] = device.persistent_id
    session.save()
    if whose == "removed":
        devices.remove(bob)
        set_up(bob)
    elif whose == "unconfirmed":
        device.confirmed = False
        device.save()
        devices.begin(bob)
        type(device).objects.filter(user=bob).update(confirmed=True)
    response = client.get(reverse("office:trades"))
    assert response["Location"].startswith(reverse("office:second_factor_code"))


def test_logging_out_needs_no_code(bob: User) -> None:
    set_up(bob)
    client = by_password(bob)
    assert client.post(reverse("admin:logout")).status_code == 200
    assert "_auth_user_id" not in client.session
