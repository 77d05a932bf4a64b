"""Names, external ids and notes of accounts' owners: kept, recorded, found by the search."""

import json

import pytest
from django.test import Client

from back_office.models import AuditRecord, Customer
from tests.back_office.access.test_permissions import staff
from tests.back_office.conftest import ON_SQL, html, links, words
from tests.back_office.market import Market

ADA = {"name": "Ada Lovelace", "external_id": "CRM-1815", "note": "Calls in the morning."}

pytestmark = ON_SQL


def describe(client: Client, account: int, **fields: str) -> str:
    """The page that follows."""
    return words(client.post(f"/admin/accounts/{account}/describe/", fields, follow=True))


def test_a_customer_is_kept_shown_and_recorded(operator: Client, market: Market) -> None:
    assert "Name the customer" in words(operator.get("/admin/accounts/1/"))
    page = describe(operator, 1, **ADA)
    assert "The customer was saved." in page
    assert "Name Ada Lovelace External id CRM-1815 Note Calls in the morning." in page
    record = AuditRecord.objects.latest("number")
    assert (record.action, record.target, record.before) == ("account.describe", "account:1", "")
    assert json.loads(record.after) == ADA
    describe(operator, 1, **{**ADA, "name": "Ada King"})
    changed = AuditRecord.objects.latest("number")
    assert json.loads(changed.before)["name"] == "Ada Lovelace"
    assert Customer.objects.get().name_key == "ada king"


def test_saving_what_is_there_records_nothing(operator: Client, market: Market) -> None:
    for _ in range(2):
        describe(operator, 1, **ADA)
    assert AuditRecord.objects.filter(action="account.describe").count() == 1


def test_an_external_id_belongs_to_one_account(operator: Client, market: Market) -> None:
    describe(operator, 1, **ADA)
    page = describe(operator, 2, **{**ADA, "name": "Somebody"})
    assert "Nothing was changed: The external id CRM-1815 belongs to account 1 already." in page
    assert Customer.objects.count() == 1
    for account in (2, 3):  # without an id any number of accounts
        describe(operator, account, name="Somebody")
    assert Customer.objects.count() == 3


@pytest.mark.parametrize(("field", "length"), [("name", 201), ("external_id", 65)])
def test_a_long_field_is_one_sentence(operator: Client, market: Market, field: str, length: int) -> None:
    page = describe(operator, 1, **{**ADA, field: "x" * length})
    assert f"can have at most {length - 1} characters." in page
    assert Customer.objects.count() == 0


def test_text_of_a_customer_is_escaped(operator: Client, market: Market) -> None:
    describe(operator, 1, name="<script>alert(1)</script>", note="\0nul")
    page = html(operator.get("/admin/accounts/1/"))
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page


def test_an_account_without_entries_has_a_page_once_it_has_a_customer(operator: Client, market: Market) -> None:
    assert operator.get("/admin/accounts/77/").status_code == 404
    describe(operator, 77, **ADA)
    response = operator.get("/admin/accounts/77/")
    assert response.status_code == 200
    assert links(response, "accounts") == []


@pytest.mark.parametrize("term", ["CRM-1815", "ada", "ADA LOVE"])
def test_the_search_finds_an_account_by_external_id_and_by_name(operator: Client, market: Market, term: str) -> None:
    describe(operator, 1, **ADA)
    assert operator.get("/admin/find/", {"q": term})["Location"] == "/admin/accounts/1/"


def test_several_customers_are_listed_and_a_number_can_be_an_external_id(operator: Client, market: Market) -> None:
    describe(operator, 1, name="Ada Lovelace", external_id="2")
    describe(operator, 3, name="Adam Smith")
    assert "Account 1, Ada Lovelace Account 3, Adam Smith" in words(operator.get("/admin/find/?q=ada"))
    assert "Account 2 Account 1, Ada Lovelace" in words(operator.get("/admin/find/?q=2"))
    assert operator.get("/admin/find/?q=nobody").status_code == 400
    assert operator.get("/admin/find/?q=btc-usd")["Location"] == "/admin/trades/?symbol=BTC-USD"


def test_the_search_shows_no_customers_to_those_who_may_not_see_accounts(operator: Client, market: Market) -> None:
    describe(operator, 1, **ADA)
    assert staff("view_engineblock").get("/admin/find/?q=ada").status_code == 400


def test_describing_needs_its_permission(market: Market) -> None:
    client = staff("view_balance", "view_ledgerevent")
    assert "Name the customer" not in words(client.get("/admin/accounts/1/"))
    assert client.post("/admin/accounts/1/describe/", ADA).status_code == 403
