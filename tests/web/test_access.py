"""Who may see the back office, and what nobody may do there."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from exchange_site import back_office
from matching.decimals import INT64_MAX
from settlement.stores.base import StoreUnavailable
from settlement.stores.sql import SqlStore
from tests.web.conftest import html, words
from tests.web.market import Market

PAGES = [
    reverse("office:overview"),
    reverse("office:live"),
    reverse("office:trades"),
    reverse("office:trade", args=[20]),
    reverse("office:orders"),
    reverse("office:order", args=[18]),
    reverse("office:accounts"),
    reverse("office:account", args=[1]),
    reverse("office:blocks"),
    reverse("office:block", args=[1]),
    reverse("office:jump") + "?q=BTC-USD",
]
NUMBERED = ["trade", "order", "account", "block"]


def test_every_address_is_among_those_tested() -> None:
    assert len(PAGES) == len(back_office.urlpatterns)


@pytest.mark.django_db
@pytest.mark.parametrize("page", PAGES)
def test_a_stranger_is_sent_to_the_login(page: str) -> None:
    response = Client().get(page)
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/?next=/admin/")


@pytest.mark.django_db
@pytest.mark.parametrize("page", PAGES)
def test_a_user_who_is_no_staff_is_sent_to_the_login(page: str) -> None:
    client = Client()
    client.force_login(User.objects.create_user("trader"))
    response = client.get(page)
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/?next=/admin/")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_can_be_written(operator: Client, market: Market, page: str, method: str) -> None:
    assert operator.generic(method.upper(), page).status_code == 405


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_a_form_that_writes(operator: Client, market: Market, page: str) -> None:
    market.run(3)
    page_html = html(operator.get(page))
    ours = page_html.partition('class="office"')[2]
    assert "<form" not in ours.replace('<form class="office-filter" method="get"', "").replace('<form method="get"', "")


@pytest.mark.parametrize("name", NUMBERED)
def test_what_is_not_there_is_a_page_that_says_so(operator: Client, market: Market, name: str) -> None:
    response = operator.get(reverse(f"office:{name}", args=[4_000_000]))
    assert response.status_code == 404
    assert "4000000" in words(response)
    assert "Traceback" not in html(response)
    assert "Go to the overview" in words(response)


@pytest.mark.parametrize("name", NUMBERED)
@pytest.mark.parametrize("number", [INT64_MAX, INT64_MAX + 1, 10**40])
def test_a_number_that_no_store_holds_is_not_found(operator: Client, market: Market, name: str, number: int) -> None:
    assert operator.get(f"/admin/{name}s/{number}/").status_code == 404


@pytest.mark.parametrize("page", PAGES)
def test_a_store_that_is_away_is_one_sentence(
    operator: Client, market: Market, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    def away(*args: object, **options: object) -> None:
        raise StoreUnavailable("The database is locked.")

    for method in (
        "definitions",
        "get_trade_by_id",
        "get_orders",
        "balances",
        "balances_of",
        "newest_blocks",
        "get_block",
    ):
        monkeypatch.setattr(SqlStore, method, away)
    back_office.reference.forget()
    response = operator.get(page)
    assert response.status_code == 503
    assert "The database is locked." in words(response)


def test_users_and_groups_stand_in_the_same_frame(operator: Client) -> None:
    for page in ("auth_user_changelist", "auth_user_add", "auth_group_changelist", "password_change"):
        response = operator.get(reverse(f"admin:{page}"))
        assert response.status_code == 200
        assert "Overview" in words(response)
