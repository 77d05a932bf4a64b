"""Every page of the site needs a view permission, and nobody can give rights to an account that he does not have."""

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.back_office.conftest import ON_SQL, words
from tests.back_office.market import Market

ALL_STAFF = {
    "": "redirects to the front page",
    "admin/search/": "the theme's search lists the pages that the account may see",
    "admin/login/": "the login",
    "admin/logout/": "ends the own session",
    "admin/password_change/": "the own password",
    "admin/password_change/done/": "the own password",
    "admin/jsi18n/": "translated words of the admin's scripts",
    "admin/(?P<app_label>auth)/$": "lists what the account may see: 404 if it may see nothing",
    "admin/r/<path:content_type_id>/<path:object_id>/": "no record has a page on the site: always 404",
    "admin/(?P<url>.*)$": "an unknown address: 404",
    "admin/invitation/<uidb64>/<token>/": "public: sets the first password of an account",
    "admin/second_factor/": "the own second factor",
    "admin/second_factor/begin/": "the own second factor",
    "admin/second_factor/confirm/": "the own second factor",
    "admin/second_factor/backup_codes/": "the own second factor",
    "admin/second_factor/remove/": "the own second factor",
    "admin/second_factor/code/": "the code of the own login",
    "admin/second_factor/verify/": "the code of the own login",
    "health/live": "public",
    "health/ready": "public",
    "metrics": "public",
}
"""Addresses that need no view permission, and why. All others refuse staff without permissions."""

ACTIONS = {
    "admin/alarms/<int:number>/acknowledge/",
    "admin/alarms/<int:number>/mute/",
    "admin/alarms/unmute/",
    "admin/alarms/test_notification/",
    "admin/reconciliations/now/",
    "admin/dead_letters/<int:number>/replay/",
    "admin/requests/<int:number>/approve/",
    "admin/requests/<int:number>/refuse/",
    "admin/requests/<int:number>/withdraw/",
    "admin/requests/preview/",
    "admin/accounts/<int:account>/describe/",
    "admin/requests/ask/",
    "admin/api_keys/<int:number>/revoke/",
    "admin/api_keys/create/",
    "admin/users/<int:number>/second_factor/reset/",
}

PAGES = {
    "overview": {"engineblock"},
    "live": {"engineblock"},
    "trades": {"settledtrade"},
    "trades_csv": {"settledtrade"},
    "trade": {"settledtrade", "order", "ledgerevent", "engineblock"},
    "orders": {"order"},
    "orders_csv": {"order"},
    "open_orders": {"order"},
    "instruments": {"definition"},
    "order": {"order", "settledtrade", "ledgerevent"},
    "accounts": {"balance"},
    "account": {"balance", "ledgerevent"},
    "statement_csv": {"balance", "ledgerevent"},
    "blocks": {"engineblock"},
    "block": {"engineblock", "settledtrade"},
    "analytics": {"settledtrade", "order"},
    "analytics_export": {"settledtrade", "order"},
    "analytics_accounts": {"settledtrade", "balance"},
    "analytics_accounts_export": {"settledtrade", "balance"},
    "alarms": {"alarm"},
    "audit_log": {"auditrecord"},
    "audit_log_csv": {"auditrecord"},
    "reconciliations": {"reconciliationrun"},
    "reconciliation": {"reconciliationrun"},
    "dead_letters": {"deadletter"},
    "dead_letter": {"deadletter"},
    "requests": {"actionrequest"},
    "request": {"actionrequest"},
    "request_state": {"actionrequest"},
    "api_keys": {"storedapikey"},
    "api_key": {"storedapikey"},
}
NUMBERED = {
    *("trade", "order", "account", "statement_csv", "block", "reconciliation", "dead_letter"),
    *("request", "request_state", "api_key"),
}
APPS = {"auditrecord": "back_office", "actionrequest": "back_office", "storedapikey": "gateway"}
"""Of kinds of records that settlement does not store."""
PASSWORD = "long enough to be accepted 1"

pytestmark = ON_SQL


def routes(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[str]:
    """The route of every address of the site."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = prefix + str(pattern.pattern).removeprefix("^")
        if isinstance(pattern, URLPattern):
            yield route
        else:
            yield from routes(pattern, route)


def address(route: str, known_user: int) -> str:
    """An address of the route, with the number of a user that exists."""
    text = re.sub(r"\(\?P<app_label>([a-z_]+)[^)]*\)", r"\1", route).removesuffix("$")
    return "/" + re.sub(r"<[^>]*>", str(known_user), text)


def staff(*permissions: str, name: str = "clerk") -> Client:
    user = User.objects.create_user(name, is_staff=True, password=PASSWORD)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def page(name: str) -> str:
    return reverse(f"office:{name}", args=[1] if name in NUMBERED else [])


def test_staff_without_permissions_is_refused_at_every_address(market: Market) -> None:
    client = staff()
    known_user = User.objects.get(username="clerk").pk
    Group.objects.get_or_create(pk=known_user, defaults={"name": "group"})
    answers: dict[str, int] = {}
    for route in routes():
        if route not in ALL_STAFF:
            method = client.post if route in ACTIONS else client.get
            answers[route] = method(address(route, known_user), follow=True).status_code
    assert len(answers) > 30
    assert {route for route, status in answers.items() if status != 403} == set()


def test_every_listed_address_exists(market: Market) -> None:
    assert (set(ALL_STAFF) | ACTIONS) - set(routes()) == set()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_the_permission_of_every_kind_of_record_on_it(market: Market, name: str) -> None:
    needed = {f"view_{model}" for model in PAGES[name]}
    for lacking in needed:
        response = staff(*needed - {lacking}, name=f"without-{lacking}").get(page(name))
        assert response.status_code == 403
        app = APPS.get(lacking.removeprefix("view_"), "settlement")
        assert f"it needs the permission {app}.{lacking}." in words(response)
    assert staff(*needed).get(page(name)).status_code in (200, 404)


@pytest.mark.parametrize("query", ["", "?account=1", "?symbol=BTC-USD", "?id=20", "?before=100", "?id=nonsense"])
@pytest.mark.parametrize("name", ["trades", "orders"])
def test_filters_and_searches_of_a_list_are_refused_too(market: Market, name: str, query: str) -> None:
    response = staff("view_engineblock").get(page(name) + query)
    assert response.status_code == 403
    assert "Traceback" not in words(response)


def test_the_refusal_names_all_permissions_that_are_missing(market: Market) -> None:
    assert "it needs the permissions settlement.view_order and settlement.view_ledgerevent." in words(
        staff("view_settledtrade").get(page("order"))
    )


def test_the_search_finds_only_what_the_account_may_see(market: Market) -> None:
    market.run(3)
    client = staff("view_engineblock", "view_settledtrade")
    response = client.get(reverse("office:jump"), {"q": "1"})
    assert (response.status_code, response["Location"]) == (302, page("block"))
    operator = Client()
    operator.force_login(User.objects.create_superuser("operator"))
    everything = words(operator.get(reverse("office:jump"), {"q": "1"}))
    assert "Account 1" in everything
    assert "Block 1" in everything


def test_the_search_is_refused_without_any_permission(market: Market) -> None:
    response = staff("view_alarm").get(reverse("office:jump"), {"q": "1"})
    assert response.status_code == 403
    assert "Your account is not allowed to search" in words(response)


def test_the_overview_hides_the_sections_that_the_account_may_not_see(market: Market) -> None:
    market.run(3)
    client = staff("view_engineblock")
    for name in ("overview", "live"):
        seen = words(client.get(page(name)))
        assert "Newest blocks" in seen
        assert "Newest trades" not in seen
        assert "Dead letters" not in seen


def test_the_sidebar_lists_only_pages_that_open(market: Market) -> None:
    response = staff("view_engineblock").get(page("blocks"))
    links = set(re.findall(r'href="(/admin/[a-z_/]*)"', response.content.decode()))
    assert page("blocks") in links
    assert page("trades") not in links
    assert reverse("admin:auth_user_changelist") not in links


# --- rights of accounts -------------------------------------------------------------------------------------------

CHANGE = "admin:auth_user_change"
RIGHTS = {"is_staff": "on", "is_superuser": "on"}


def clerk_who_changes_users() -> Client:
    return staff("view_user", "change_user", "add_user", "delete_user", "change_group", "add_group", "view_group")


def form(user: User, **more: object) -> dict[str, object]:
    return {
        "username": user.username,
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00",
        **more,
    }


def test_change_user_does_not_make_its_owner_a_superuser(market: Market) -> None:
    client = clerk_who_changes_users()
    clerk = User.objects.get(username="clerk")
    group = Group.objects.create(name="everything")
    group.permissions.set(Permission.objects.all())
    before = clerk.get_all_permissions()

    permissions = list(Permission.objects.values_list("pk", flat=True))
    fields = form(clerk, **RIGHTS, groups=[group.pk], user_permissions=permissions, first_name="changed")
    assert client.post(reverse(CHANGE, args=[clerk.pk]), fields).status_code == 302

    clerk = User.objects.get(username="clerk")
    assert clerk.first_name == "changed"
    assert (clerk.is_superuser, clerk.groups.count()) == (False, 0)
    assert clerk.get_all_permissions() == before


def test_a_new_account_has_no_rights(market: Market) -> None:
    client = clerk_who_changes_users()
    fields = {"username": "new", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true", **RIGHTS}
    assert client.post(reverse("admin:auth_user_add"), fields).status_code == 302
    new = User.objects.get(username="new")
    assert (new.is_staff, new.is_superuser) == (False, False)
    assert client.post(reverse(CHANGE, args=[new.pk]), form(new, **RIGHTS)).status_code == 302
    new.refresh_from_db()
    assert (new.is_staff, new.is_superuser) == (False, False)


@pytest.mark.parametrize("is_active", [True, False])
@pytest.mark.parametrize("rights", ["superuser", "one right more"])
def test_an_account_with_more_rights_cannot_be_taken_over(market: Market, rights: str, is_active: bool) -> None:
    client = clerk_who_changes_users()
    other = User.objects.create_user("other", password=PASSWORD, is_staff=True, is_active=is_active)
    other.is_superuser = rights == "superuser"
    other.save()
    other.user_permissions.set(Permission.objects.filter(codename="change_alarm"))
    new = {"password1": PASSWORD + "2", "password2": PASSWORD + "2", "usable_password": "true", "set-password": "1"}
    attempts = [
        (reverse("admin:auth_user_password_change", args=[other.pk]), new),
        (reverse(CHANGE, args=[other.pk]), form(other, username="renamed")),
        (reverse("admin:auth_user_delete", args=[other.pk]), {"post": "yes"}),
    ]
    for attempt, fields in attempts:
        assert client.post(attempt, fields).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [other.pk], "post": "yes"}
    client.post(reverse("admin:auth_user_changelist"), chosen)
    kept = User.objects.get(pk=other.pk)
    assert kept.username == "other"
    assert kept.check_password(PASSWORD)


def test_an_account_with_fewer_rights_gets_a_new_password(market: Market) -> None:
    client = clerk_who_changes_users()
    other = User.objects.create_user("other", password=PASSWORD, is_staff=True)
    new = {"password1": PASSWORD + "2", "password2": PASSWORD + "2", "usable_password": "true", "set-password": "1"}
    assert client.post(reverse("admin:auth_user_password_change", args=[other.pk]), new).status_code == 302
    other.refresh_from_db()
    assert other.check_password(PASSWORD + "2")


def test_only_superusers_change_groups(market: Market) -> None:
    client = clerk_who_changes_users()
    group = Group.objects.create(name="traders")
    fields = {"name": "traders", "permissions": list(Permission.objects.values_list("pk", flat=True))}
    assert client.post(reverse("admin:auth_group_change", args=[group.pk]), fields).status_code == 403
    assert client.post(reverse("admin:auth_group_add"), fields).status_code == 403
    assert client.get(reverse("admin:auth_group_changelist")).status_code == 200
    assert group.permissions.count() == 0


def test_a_superuser_gives_rights(market: Market, operator: Client) -> None:
    other = User.objects.create_user("other", password=PASSWORD)
    assert operator.post(reverse(CHANGE, args=[other.pk]), form(other, **RIGHTS)).status_code == 302
    other.refresh_from_db()
    assert other.is_superuser
