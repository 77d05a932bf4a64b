"""Asking, approving and refusing on pages: once each, by the right persons, with a preview and a reason."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from back_office.actions.kinds import Kind
from back_office.models import ActionRequest, AuditRecord
from tests.back_office.actions.conftest import FINANCE, HALT, MONEY, asked, login, person
from tests.back_office.actions.conftest import anna as anna
from tests.back_office.actions.conftest import fiona as fiona
from tests.back_office.actions.conftest import oscar as oscar
from tests.back_office.conftest import ON_SQL, html, refusal, words
from tests.back_office.market import Market

State = ActionRequest.State

DEPOSIT = {
    "kind": "deposit",
    "account": "1",
    "asset": "usd",
    "amount": "250",
    "reference": "wire-77",
    "reason": "Paid.",
}
FORM, PREVIEW, ASK = (reverse(f"office:{name}") for name in ("request_form", "request_preview", "ask"))

pytestmark = ON_SQL


def previewed(client: Client, form: dict[str, str]) -> str:
    """What the preview signed."""
    page = html(client.post(PREVIEW, form))
    found = re.search(r'name="signed" value="([^"]+)"', page)
    assert found, words(client.post(PREVIEW, form))
    return unescape(found[1])


def ask(client: Client, form: dict[str, str]) -> ActionRequest:
    assert client.post(ASK, {"signed": previewed(client, form)}).status_code == 302
    return ActionRequest.objects.latest("id")


def address(name: str, made: ActionRequest) -> str:
    return reverse(f"office:{name}", args=[made.pk])


def decide(client: Client, made: ActionRequest, how: str, note: str = "Seen.") -> str:
    """The page that follows."""
    return words(client.post(address(how, made), {"reason": note}, follow=True))


def state(made: ActionRequest) -> str:
    return ActionRequest.objects.get(pk=made.pk).state


# --- form and preview ---------------------------------------------------------------------------------------------


def test_the_form_has_what_the_button_gave(market: Market, fiona: User) -> None:
    page = html(login(fiona).get(FORM, {"kind": "deposit", "account": "7"}))
    assert 'name="account" value="7"' in page
    assert '<option value="USD">' in page
    assert "Another person has to approve this" in page


def test_the_preview_says_what_will_happen_and_asks_for_nothing(market: Market, fiona: User) -> None:
    response = login(fiona).post(PREVIEW, DEPOSIT)
    page = words(response)
    assert "Credit 250 USD to account 1, reference wire-77." in page
    assert "Available: 10000000000 → 10000000250 USD, if nothing else changes it." in page
    assert "Nothing happens until another person approves it." in page
    assert ActionRequest.objects.count() == 0


INVALID: list[tuple[dict[str, str], str]] = [
    ({"reason": ""}, "Give the reason: it is kept with the request."),
    ({"account": ""}, "Account is missing."),
    ({"account": "-1"}, "Account must be a whole number from 0 to 9223372036854775807, not '-1'."),
    ({"asset": "DOGE"}, "There is no such asset."),
    ({"amount": "1e5"}, "Amount must be a decimal such as 12.50."),
    ({"amount": "-5"}, "Amount must be a decimal such as 12.50."),
    ({"amount": "0.0000000001"}, "The amount is zero, has too many decimal places for the asset, or is too large."),
    ({"amount": "99999999999999999999"}, "The amount is zero, has too many decimal places"),
    ({"reference": "é"}, "Reference must be 1 to 64 characters of printable ASCII."),
    ({"reference": "x" * 65}, "Reference must be 1 to 64 characters of printable ASCII."),
]


@pytest.mark.parametrize(("change", "sentence"), INVALID)
def test_an_invalid_field_is_one_sentence(market: Market, fiona: User, change: dict[str, str], sentence: str) -> None:
    response = login(fiona).post(PREVIEW, {**DEPOSIT, **change})
    assert response.status_code == 400
    assert refusal(response).startswith(sentence)


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"kind": "account_fees", "account": "1", "maker_fee": "1"}, "Give both fees, or neither of them"),
        ({"kind": "instrument_values", "symbol": "BTC-USD"}, "Give at least one new value."),
        ({"kind": "instrument_values", "symbol": "BTC-USD", "maker_fee": "1000000"}, "A value is not valid"),
        ({"kind": "instrument_status", "symbol": "BTC-USD", "status": "closed"}, "Status must be one of the list."),
        ({"kind": "new_asset", "symbol": "SOL", "decimals": "19"}, "decimals of asset SOL must be a whole number"),
        ({"kind": "cancel_order", "order_id": "999"}, "There is no order 999"),
    ],
)
def test_an_invalid_change_is_one_sentence(market: Market, oscar: User, form: dict[str, str], sentence: str) -> None:
    response = login(oscar).post(PREVIEW, {**form, "reason": "Ticket 12."})
    assert response.status_code == 400
    assert refusal(response).startswith(sentence)


def test_a_kind_needs_its_permission(market: Market, oscar: User) -> None:
    client = login(oscar)
    assert client.get(FORM, {"kind": "deposit"}).status_code == 403
    response = client.post(PREVIEW, DEPOSIT)
    assert response.status_code == 403
    assert "it needs the permission back_office.ask_money." in words(response)
    assert client.get(FORM, {"kind": "rob"}).status_code == 400
    assert "Deposit" not in words(client.get(FORM))


# --- asking once --------------------------------------------------------------------------------------------------


def test_asking_keeps_reason_preview_and_an_audit_record(market: Market, fiona: User) -> None:
    made = ask(login(fiona), DEPOSIT)
    assert (made.state, made.reason, made.asked_by) == (State.WAITING, "Paid.", "fiona")
    record = AuditRecord.objects.latest("number")
    assert (record.action, record.actor, record.target) == ("request.ask", "fiona", f"request:{made.pk}")
    assert made.digest in record.after
    assert made.asked_record == record.number
    page = words(login(fiona).get(address("request", made)))
    assert "Deposit Waiting for approval" in page
    assert "fiona asked for it: Paid." in page


def test_a_form_that_is_sent_again_makes_no_second_request(market: Market, fiona: User) -> None:
    client = login(fiona)
    signed = previewed(client, DEPOSIT)
    for _ in range(3):
        page = words(client.post(ASK, {"signed": signed}, follow=True))
    assert "This form had been sent before" in page
    assert ActionRequest.objects.count() == AuditRecord.objects.filter(action="request.ask").count() == 1


def test_a_form_of_somebody_else_and_a_changed_one_are_refused(market: Market, fiona: User) -> None:
    signed = previewed(login(fiona), DEPOSIT)
    other = login(person("frank", *FINANCE))
    assert other.post(ASK, {"signed": signed}).status_code == 403
    for wrong in ("", signed[:-2], signing.dumps([fiona.pk, "x"]), signed.replace(signed[:5], "abcde")):
        assert login(fiona).post(ASK, {"signed": wrong}).status_code == 400
    assert ActionRequest.objects.count() == 0


def test_a_form_that_was_filled_in_an_hour_ago_is_refused(
    market: Market, fiona: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = previewed(login(fiona), DEPOSIT)
    monkeypatch.setattr("back_office.pages.request_forms.FORM_LIFETIME_S", -1)
    response = login(fiona).post(ASK, {"signed": signed})
    assert (response.status_code, "Fill it in again." in words(response)) == (400, True)


def test_a_person_who_has_lost_the_permission_since_the_preview_asks_in_vain(market: Market, fiona: User) -> None:
    client = login(fiona)
    signed = previewed(client, DEPOSIT)
    fiona.user_permissions.clear()
    assert client.post(ASK, {"signed": signed}).status_code == 403


@pytest.mark.parametrize("name", ["ask", "request_preview"])
def test_forms_need_a_csrf_token_and_post(market: Market, fiona: User, name: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(fiona)
    signed = previewed(login(fiona), DEPOSIT)
    assert client.post(reverse(f"office:{name}"), {"signed": signed, **DEPOSIT}).status_code == 403
    assert client.get(reverse(f"office:{name}"), {"signed": signed, **DEPOSIT}).status_code == 405
    assert ActionRequest.objects.count() == 0


def test_what_needs_no_second_person_is_approved_at_once(market: Market, oscar: User, settings: Settings) -> None:
    form = {"kind": "instrument_status", **{name: str(value) for name, value in HALT.items()}, "reason": "Bug."}
    assert ask(login(oscar), form).state == State.APPROVED
    settings.TWO_PERSON_ACTIONS = ["instrument_status"]
    assert ask(login(oscar), form).state == State.WAITING


# --- deciding -----------------------------------------------------------------------------------------------------


def test_another_person_approves(market: Market, fiona: User, anna: User) -> None:
    made = asked(fiona, Kind.DEPOSIT, MONEY)
    client = login(anna)
    assert "Approve" in words(client.get(address("request", made)))
    assert "The request was approved." in decide(client, made, "approve")
    assert state(made) == State.APPROVED
    record = AuditRecord.objects.get(action="request.approve")
    assert (record.actor, record.reason, record.outcome) == ("anna", "Seen.", "done")
    assert "anna approved it: Seen." in words(client.get(address("request", made)))


def test_nobody_approves_his_own_request(market: Market, db: None) -> None:
    root = User.objects.create_superuser("root")
    made, client = asked(root, Kind.DEPOSIT, MONEY), login(root)
    page = words(client.get(address("request", made)))
    assert "Another person has to approve this." in page
    assert "Approve" not in page
    response = client.post(address("approve", made))
    assert response.status_code == 403
    assert "You asked for this yourself, so another person has to approve it." in words(response)
    assert state(made) == State.WAITING
    assert AuditRecord.objects.latest("number").action == "access.refused"


def test_finance_approves_nothing(market: Market, fiona: User) -> None:
    made = asked(fiona, Kind.DEPOSIT, MONEY)
    other = login(person("frank", *FINANCE))
    assert other.post(address("approve", made)).status_code == 403
    assert other.post(address("withdraw", made)).status_code == 403
    assert state(made) == State.WAITING


def test_a_refusal_needs_a_note(market: Market, fiona: User, anna: User) -> None:
    made = asked(fiona, Kind.DEPOSIT, MONEY)
    assert "say why in the note" in decide(login(anna), made, "refuse", note="")
    assert state(made) == State.WAITING
    assert "The request was refused." in decide(login(anna), made, "refuse", note="No such transfer.")
    assert state(made) == State.REFUSED
    assert "anna refused it: No such transfer." in words(login(fiona).get(address("request", made)))


def test_the_asking_person_withdraws(market: Market, fiona: User, anna: User) -> None:
    made = asked(fiona, Kind.DEPOSIT, MONEY)
    assert "The request was withdrawn." in decide(login(fiona), made, "withdraw")
    assert "no longer waiting (withdrawn by fiona)" in decide(login(anna), made, "approve")
    assert state(made) == State.WITHDRAWN
    late = AuditRecord.objects.latest("number")
    assert (late.action, late.actor, late.outcome) == ("request.approve", "anna", "failed")


@pytest.mark.parametrize("second", ["approve", "refuse"])
def test_a_second_decision_changes_nothing(market: Market, fiona: User, anna: User, second: str) -> None:
    made = asked(fiona, Kind.DEPOSIT, MONEY)
    decide(login(anna), made, "approve")
    assert "Nothing was changed: the request is no longer waiting (approved by anna)." in decide(
        login(anna), made, second
    )
    assert state(made) == State.APPROVED
    assert AuditRecord.objects.filter(action="request.approve", outcome="done").count() == 1


@pytest.mark.parametrize("how", ["approve", "refuse", "withdraw"])
def test_decisions_need_a_csrf_token_and_post(market: Market, fiona: User, how: str) -> None:
    made = asked(fiona, Kind.DEPOSIT, MONEY)
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root"))
    assert client.post(address(how, made), {"reason": "x"}).status_code == 403
    assert client.get(address(how, made)).status_code == 405
    assert state(made) == State.WAITING


# --- list ---------------------------------------------------------------------------------------------------------


def test_the_list_filters_and_pages(market: Market, fiona: User, oscar: User) -> None:
    for number in range(60):
        asked(oscar, Kind.INSTRUMENT_STATUS, HALT, f"form-{number}")
    made = asked(fiona, Kind.DEPOSIT, MONEY, "form-deposit")
    client = login(fiona)
    page = html(client.get(reverse("office:requests")))
    assert page.count("<tr>") == 51
    assert 'id="older"' in page
    for query in ({"state": "waiting"}, {"kind": "deposit"}, {"person": "fiona"}):
        page = html(client.get(reverse("office:requests"), query))
        assert page.count("<tr>") == 2
        assert f'href="/admin/requests/{made.pk}/"' in page
    assert "No matching requests." in words(client.get(reverse("office:requests"), {"person": "nobody"}))
    for query in ({"state": "odd"}, {"kind": "odd"}, {"before": "odd"}, {"person": "x" * 501}):
        assert client.get(reverse("office:requests"), query).status_code == 400


def test_the_overview_counts_what_waits(market: Market, fiona: User) -> None:
    client = login(User.objects.create_superuser("root"))
    assert "Requests 0 none waits for approval" in words(client.get("/admin/"))
    asked(fiona, Kind.DEPOSIT, MONEY)
    assert "Requests 1 waiting for approval" in words(client.get("/admin/"))


def test_buttons_are_shown_to_those_who_may_ask(market: Market, fiona: User, oscar: User, operator: Client) -> None:
    fiona.user_permissions.set([])
    assert login(fiona).get("/admin/accounts/1/").status_code == 403
    page = words(operator.get("/admin/accounts/1/"))
    assert "Deposit Withdraw Correct Cancel all orders Restrict Freeze Fees" in page
    assert "Release" not in page
    assert "Cancel only Change" in words(operator.get("/admin/instruments/"))
