"""Whatever is asked, every page answers with what was asked for or with a sentence: never with 500 or 503.

A test that fails prints the seed of what is chosen at random; ODD_REQUESTS_SEED=N runs it again.
"""

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import router
from django.test import Client
from django.urls import reverse

from tests.back_office.conftest import ON_SQL, html, words
from tests.back_office.market import Market
from tests.back_office.odd_values import SEED, addresses, queries, questions_of_a_list, usual_addresses

LISTS = ["/admin/auth/user/", "/admin/auth/group/"]
ENDS_THE_SESSION = reverse("admin:logout")
TAKE_FORMS = [
    *(one for one in usual_addresses() if one.startswith(("/admin/auth/", "/admin/login/", "/admin/password_change/"))),
    *(reverse(f"office:{name}", args=[1]) for name in ("acknowledge", "replay")),
    reverse("office:reconcile"),
    reverse("office:trades"),  # takes none
]


@pytest.fixture
def asking(db: None) -> Client:
    """An operator with every right, who sees what a browser would see, not the test's exception."""
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("operator"))
    Group.objects.create(name="clerks")
    return client


def judge(response: Any, asked: str) -> None:
    """405 is for an address that only takes POST, or none."""
    status, asked = response.status_code, f"{asked[:300]} (ODD_REQUESTS_SEED={SEED})"
    assert status in (200, 301, 302, 400, 403, 404, 405), f"{status} for {asked}"
    if status in (400, 403, 404):
        assert "." in words(response), f"no sentence for {asked}: {words(response)}"
        assert "Traceback" not in html(response)


@pytest.mark.parametrize("address", [one for one in usual_addresses() if one != ENDS_THE_SESSION])
@ON_SQL
def test_a_page_that_is_asked_odd_questions_answers_in_a_sentence(asking: Client, market: Market, address: str) -> None:
    for query in queries(address, count=5):
        judge(asking.get(f"{address}?{query}"), f"{address}?{query}")


@pytest.mark.parametrize("address", LISTS)
def test_a_list_that_is_filtered_and_searched_oddly_answers_in_a_sentence(asking: Client, address: str) -> None:
    for query in questions_of_a_list(address):
        judge(asking.get(f"{address}?{query}"), f"{address}?{query}")


@pytest.mark.django_db(databases=["default", "postgres"], transaction=True)
@pytest.mark.services("postgres")
def test_lists_on_postgresql_answer_odd_questions_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(router, "routers", [Postgres()])
    asking: Client = request.getfixturevalue("asking")
    for address in LISTS:
        for query in questions_of_a_list(address):
            judge(asking.get(f"{address}?{query}"), f"{address}?{query}")
    asking.cookies["sessionid"] = '"' + "\\000" * 32 + '"'
    judge(asking.get(LISTS[0]), "a session of NUL characters")


class Postgres:
    """Sends every question to the shared PostgreSQL."""

    def db_for_read(self, model: object, **hints: object) -> str:
        return "postgres"

    db_for_write = db_for_read


@ON_SQL
def test_odd_addresses_are_pages_or_not_found(asking: Client, market: Market) -> None:
    for address in addresses():
        if address != ENDS_THE_SESSION:
            judge(asking.get(address), address)


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
def test_bodies_of_other_forms_are_refused_in_a_sentence(
    asking: Client, market: Market, content_type: str, body: bytes
) -> None:
    for address in TAKE_FORMS:
        asked = f"{address} with {content_type} {body[:80]!r}"
        judge(asking.generic("POST", address, body, content_type=content_type), asked)


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1:99999999", "a b", "[::", "\0"])
def test_another_host_name_is_refused_in_a_sentence(asking: Client, host: str) -> None:
    for address in usual_addresses():
        judge(asking.get(address, headers={"host": host}), f"{address} at {host!r}")


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("last_login__gte=0000-00-00", "holds a value that this page cannot look up"),
        ("date_joined__lt=2026-13-45", "holds a value that this page cannot look up"),
        ("is_staff__exact=maybe", "holds a value that this page cannot look up"),
        ("nope=1", "holds a value that this page cannot look up"),
        ("user_permissions__codename=add_user", "This list cannot be filtered by that field."),
        ("username__regex=[", "This list cannot be filtered by that field."),
        ("date_joined__year=99999999999999999999", "This list cannot be filtered by that field."),
        ("id__range=1", "This list cannot be filtered by that field."),
        ("q=" + "a+" * 200, "A search has 200 characters at most."),
        ("q=%00", "The request holds a NUL character"),
        ("q=" + "a" * 5000, "The address is longer than the site takes"),
    ],
)
def test_what_is_wrong_with_a_question_is_said(asking: Client, query: str, sentence: str) -> None:
    response = asking.get(f"{LISTS[0]}?{query}")
    assert response.status_code == 400
    assert sentence in words(response)


def test_an_error_flag_that_nothing_has_caused_blames_no_database(asking: Client) -> None:
    assert asking.get(f"{LISTS[0]}?e=1").status_code == 200


@ON_SQL
def test_a_value_error_of_our_own_pages_is_still_a_bug(
    asking: Client, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(type(market.store), "newest_blocks", broken)
    assert asking.get(reverse("office:blocks")).status_code == 500


@ON_SQL
@pytest.mark.parametrize("page", ["abc", "0", "999", "9" * 5000])
def test_a_page_of_the_themes_search_that_is_not_there_is_refused(asking: Client, market: Market, page: str) -> None:
    response = asking.get(f"/admin/search/?s=users&page={page}")
    assert response.status_code in (200, 400)
    assert response.status_code == 200 or "cannot look up" in words(response) or "longer than" in words(response)
