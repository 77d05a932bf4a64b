"""Every request is answered with a page or with a sentence, never with 500 or 503."""

import traceback
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import router
from django.test import Client
from django.urls import reverse
from structlog.testing import capture_logs

from tests.back_office.conftest import ON_SQL, html, words
from tests.back_office.invalid_values import addresses, list_queries, queries, usual_addresses
from tests.back_office.market import Market

LISTS = ["/admin/auth/user/", "/admin/auth/group/"]
LOGOUT = reverse("admin:logout")
FORM_URLS = [
    *(one for one in usual_addresses() if one.startswith(("/admin/auth/", "/admin/login/", "/admin/password_change/"))),
    *(reverse(f"office:{name}", args=[1]) for name in ("acknowledge", "replay", "revoke_api_key")),
    reverse("office:create_api_key"),
    reverse("office:reconcile"),
    reverse("office:trades"),  # accepts no POST
]


@pytest.fixture
def browser_client(db: None) -> Client:
    """An operator with all permissions, whose client returns the error page instead of raising the exception."""
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("operator"))
    Group.objects.create(name="clerks")
    return client


def check_answer(response: Any, asked: str) -> None:
    """Fails unless the response is a page, a redirect, or a sentence with 400, 403, 404 or 405."""
    status, asked = response.status_code, asked[:300]
    assert status in (200, 301, 302, 400, 403, 404, 405), f"{status} for {asked}"
    if status in (400, 403, 404):
        assert "." in words(response), f"no sentence for {asked}: {words(response)}"
        assert "Traceback" not in html(response)


@pytest.mark.parametrize("address", [one for one in usual_addresses() if one != LOGOUT])
@ON_SQL
def test_pages_answer_invalid_parameters_with_a_sentence(
    browser_client: Client, market: Market, address: str, seed: int
) -> None:
    for query in queries(address, count=5, seed=seed):
        check_answer(browser_client.get(f"{address}?{query}"), f"{address}?{query}")


@pytest.mark.parametrize("address", LISTS)
def test_lists_answer_invalid_filters_and_searches_with_a_sentence(
    browser_client: Client, address: str, seed: int
) -> None:
    for query in list_queries(address, seed):
        check_answer(browser_client.get(f"{address}?{query}"), f"{address}?{query}")


@pytest.mark.django_db(databases=["default", "postgres"], transaction=True)
@pytest.mark.services("postgres")
def test_lists_on_postgresql_answer_invalid_filters_and_searches_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, seed: int
) -> None:
    monkeypatch.setattr(router, "routers", [Postgres()])
    browser_client: Client = request.getfixturevalue("browser_client")
    for address in LISTS:
        for query in list_queries(address, seed):
            check_answer(browser_client.get(f"{address}?{query}"), f"{address}?{query}")
    browser_client.cookies["sessionid"] = '"' + "\\000" * 32 + '"'
    check_answer(browser_client.get(LISTS[0]), "a session of NUL characters")


class Postgres:
    """Database router that sends every query to the shared PostgreSQL."""

    def db_for_read(self, model: object, **hints: object) -> str:
        return "postgres"

    db_for_write = db_for_read


@ON_SQL
def test_invalid_urls_are_pages_or_not_found(browser_client: Client, market: Market) -> None:
    for address in addresses():
        if address != LOGOUT:
            check_answer(browser_client.get(address), address)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"q=1"),
        ("application/json", b'{"action": "delete_selected"}'),
        ("application/json", b"{"),
        ("application/octet-stream", bytes(range(256))),
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\0'),
        ("multipart/form-data; boundary=" + "x" * 300, b"--x"),
        ("application/x-www-form-urlencoded; charset=utf-16", b"a=1"),
        ("application/x-www-form-urlencoded; charset=nope", b"a=%FF"),
        ("application/x-www-form-urlencoded", b"action=delete_selected&_selected_action=%00&_selected_action=x"),
        ("application/x-www-form-urlencoded", b"action=delete_selected&_selected_action=" + b"9" * 30),
        ("application/x-www-form-urlencoded", b"username=%00&password=%00&name=%FF&permissions=" + b"9" * 30),
        ("application/x-www-form-urlencoded", b"a=1&" * 1001),
        ("application/x-www-form-urlencoded", b"a=" + b"1" * (3 << 20)),
        ("", b"a"),
    ],
)
@ON_SQL
def test_invalid_bodies_are_refused_with_a_sentence(
    browser_client: Client, market: Market, content_type: str, body: bytes
) -> None:
    for address in FORM_URLS:
        asked = f"{address} with {content_type} {body[:80]!r}"
        check_answer(browser_client.generic("POST", address, body, content_type=content_type), asked)


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1:99999999", "a b", "[::", "\0"])
def test_another_host_name_is_refused_with_a_sentence(browser_client: Client, host: str) -> None:
    for address in usual_addresses():
        check_answer(browser_client.get(address, headers={"host": host}), f"{address} at {host!r}")


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("last_login__gte=0000-00-00", "contains an invalid value"),
        ("date_joined__lt=2026-13-45", "contains an invalid value"),
        ("is_staff__exact=maybe", "contains an invalid value"),
        ("nope=1", "contains an invalid value"),
        ("user_permissions__codename=add_user", "This list cannot be filtered by that field."),
        ("username__regex=[", "This list cannot be filtered by that field."),
        ("date_joined__year=99999999999999999999", "This list cannot be filtered by that field."),
        ("id__range=1", "This list cannot be filtered by that field."),
        ("q=" + "a+" * 200, "A search can have at most 200 characters."),
        ("q=%00", "The request contains a NUL character"),
        ("q=" + "a" * 5000, "The URL is too long"),
    ],
)
def test_the_sentence_names_the_problem(browser_client: Client, query: str, sentence: str) -> None:
    response = browser_client.get(f"{LISTS[0]}?{query}")
    assert response.status_code == 400
    assert sentence in words(response)


def test_an_error_flag_without_an_error_is_ignored(browser_client: Client) -> None:
    assert browser_client.get(f"{LISTS[0]}?e=1").status_code == 200


@ON_SQL
def test_a_value_error_in_our_own_pages_is_a_500(
    browser_client: Client, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(type(market.store), "newest_blocks", broken)
    assert browser_client.get(reverse("office:blocks")).status_code == 500


def test_a_value_error_in_djangos_admin_is_a_400_whose_log_line_has_the_traceback(
    browser_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("django.contrib.admin.options.ModelAdmin.get_queryset", broken)
    with capture_logs() as lines:
        assert browser_client.get(reverse("admin:auth_user_changelist")).status_code == 400
    (line,) = (line for line in lines if line["event"] == "site.request_rejected")
    frames = traceback.extract_tb(line["exc_info"].__traceback__)
    assert (line["error"], frames[-1].name) == ("ValueError", "broken")


@ON_SQL
@pytest.mark.parametrize("page", ["abc", "0", "999", "9" * 5000])
def test_a_missing_page_of_the_themes_search_is_refused(browser_client: Client, market: Market, page: str) -> None:
    response = browser_client.get(f"/admin/search/?s=users&page={page}")
    assert response.status_code in (200, 400)
    assert response.status_code == 200 or "invalid value" in words(response) or "too long" in words(response)
