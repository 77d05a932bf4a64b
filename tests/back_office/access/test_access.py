"""Permissions of the back office: who may see pages, who may act, and what pages answer on errors."""

import logging
import re

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from structlog.testing import capture_logs

from back_office import outages, urls
from exchange_site import logs
from matching.core.decimals import INT64_MAX
from settlement.stores.base import DeadLetter, StoreUnavailable
from tests.back_office.conftest import html, words
from tests.back_office.market import Market

PAGES = [
    reverse("office:overview"),
    reverse("office:live"),
    reverse("office:trades"),
    reverse("office:trades_csv"),
    reverse("office:trade", args=[20]),
    reverse("office:orders"),
    reverse("office:orders_csv"),
    reverse("office:order", args=[18]),
    reverse("office:open_orders"),
    reverse("office:instruments"),
    reverse("office:accounts"),
    reverse("office:account", args=[1]),
    reverse("office:statement_csv", args=[1]),
    reverse("office:blocks"),
    reverse("office:block", args=[1]),
    reverse("office:analytics"),
    reverse("office:analytics_export"),
    reverse("office:analytics_accounts"),
    reverse("office:analytics_accounts_export"),
    reverse("office:jump") + "?q=BTC-USD",
    reverse("office:dead_letters"),
    reverse("office:dead_letter", args=[1]),
]
OWN_PAGES = [
    reverse("office:alarms"),
    reverse("office:api_keys"),
    reverse("office:api_key", args=[1]),
    reverse("office:audit_log"),
    reverse("office:audit_log_csv"),
    reverse("office:reconciliations"),
    reverse("office:reconciliation", args=[1]),
    reverse("office:requests"),
    reverse("office:request", args=[1]),
    reverse("office:request_state", args=[1]),
]
"""Pages that read the site's own database and need no store."""
FORMS = [
    reverse("office:request_form"),
    reverse("office:new_api_key"),
    reverse("office:second_factor"),
    reverse("office:user_second_factor", args=[1]),
]
"""They read nothing of the exchange."""
CODE = reverse("office:second_factor_code")
"""Only for sessions without a code; leads all others to the second factor's own page."""
PAGES += [*OWN_PAGES, *FORMS]
BAR = reverse("office:alarm_bar")
"""In the web's memory: needs neither a store nor a database."""
ACTIONS = {
    reverse("office:acknowledge", args=[1]): "settlement.change_alarm",
    reverse("office:mute", args=[1]): "settlement.change_alarm",
    reverse("office:unmute"): "settlement.change_alarm",
    reverse("office:test_notification"): "settlement.change_alarm",
    reverse("office:reconcile"): "settlement.add_reconciliationrun",
    reverse("office:replay", args=[1]): "settlement.change_deadletter",
    reverse("office:approve", args=[1]): "back_office.decide_request",
    reverse("office:refuse", args=[1]): "back_office.decide_request",
    reverse("office:withdraw", args=[1]): "back_office.view_actionrequest",
    reverse("office:request_preview"): "back_office.view_actionrequest",
    reverse("office:describe", args=[1]): "back_office.change_customer",
    reverse("office:ask"): "back_office.view_actionrequest",
    reverse("office:create_api_key"): "gateway.add_storedapikey",
    reverse("office:revoke_api_key", args=[1]): "gateway.change_storedapikey",
    reverse("office:reset_second_factor", args=[1]): "auth.change_user",
}
OWN_ACTIONS = [
    reverse("office:begin_second_factor"),
    reverse("office:confirm_second_factor"),
    reverse("office:new_backup_codes"),
    reverse("office:remove_second_factor"),
    reverse("office:verify_second_factor"),
]
"""Actions on one's own account, which need no permission."""
NUMBERED = [
    *("trade", "order", "account", "block", "reconciliation", "dead_letter", "request", "request_state", "api_key"),
    "user_second_factor",
]


def test_every_url_is_listed_here() -> None:
    assert len(PAGES) + len([BAR, CODE]) + len(ACTIONS) + len(OWN_ACTIONS) + len(urls.public()) == len(urls.urlpatterns)


def test_the_bar_of_alarms_needs_the_permission_of_alarms(db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    assert client.get(BAR).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize("action", [*ACTIONS, *OWN_ACTIONS])
def test_actions_need_a_staff_login(action: str) -> None:
    trader = Client()
    trader.force_login(User.objects.create_user("trader"))
    for client in (Client(), trader):
        response = client.post(action)
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/?next=/admin/")


@pytest.mark.django_db
@pytest.mark.parametrize("action", ACTIONS)
def test_staff_without_the_permission_sees_which_permission_is_needed(action: str) -> None:
    client = Client()
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    response = client.post(action)
    assert response.status_code == 403
    assert f"it needs the permission {ACTIONS[action]}." in words(response)


@pytest.mark.parametrize("action", [*ACTIONS, *OWN_ACTIONS])
def test_actions_accept_only_post(operator: Client, action: str) -> None:
    assert operator.get(action).status_code == 405
    assert operator.head(action).status_code == 405


@pytest.mark.django_db
@pytest.mark.parametrize("action", [*ACTIONS, *OWN_ACTIONS])
def test_actions_need_a_csrf_token(action: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("operator"))
    assert client.post(action).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize("page", PAGES)
def test_an_anonymous_visitor_is_redirected_to_the_login(page: str) -> None:
    response = Client().get(page)
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/?next=/admin/")


@pytest.mark.django_db
@pytest.mark.parametrize("page", PAGES)
def test_a_user_without_staff_status_is_redirected_to_the_login(page: str) -> None:
    client = Client()
    client.force_login(User.objects.create_user("trader"))
    response = client.get(page)
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/?next=/admin/")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_pages_accept_only_get_and_head(operator: Client, page: str, method: str) -> None:
    assert operator.generic(method.upper(), page).status_code == 405


@pytest.mark.parametrize("page", PAGES)
def test_every_form_that_writes_leads_to_an_action(operator: Client, market: Market, page: str) -> None:
    market.run(3)
    market.store.put_dead_letter(DeadLetter(1, 1, "It does not fit.", 1, market.time_ns, market.time_ns, None))
    response = operator.get(page)
    page_html = "" if response.streaming else html(response)  # an export has no forms
    ours = page_html.partition('class="office"')[2]
    for form in re.findall(r"<form[^>]*>", ours):
        action = re.search(r'action="([^"]*)"', form)
        assert 'method="get"' in form or ('method="post"' in form and action and action[1] in {*ACTIONS, *OWN_ACTIONS})


@pytest.mark.parametrize("name", NUMBERED)
def test_a_missing_record_is_a_404_page_that_names_it(operator: Client, market: Market, name: str) -> None:
    response = operator.get(reverse(f"office:{name}", args=[4_000_000]))
    assert response.status_code == 404
    assert "4000000" in words(response)
    assert "Traceback" not in html(response)
    assert "Go to the overview" in words(response)


@pytest.mark.parametrize("name", NUMBERED)
@pytest.mark.parametrize("number", [INT64_MAX, INT64_MAX + 1, 10**40])
def test_a_number_above_int64_is_not_found(operator: Client, market: Market, name: str, number: int) -> None:
    assert operator.get(f"/admin/{name}s/{number}/").status_code == 404


@pytest.mark.parametrize("page", [page for page in PAGES if page not in (*OWN_PAGES, *FORMS)])
def test_an_unreachable_store_is_one_sentence(
    operator: Client, market: Market, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    def away(*args: object, **options: object) -> None:
        raise StoreUnavailable("The database is locked.")

    for method in (
        "definitions",
        "get_trade_by_id",
        "get_orders",
        "open_orders",
        "newest_orders",
        "newest_trades",
        "balances",
        "balances_of",
        "newest_blocks",
        "get_block",
        "newest_dead_letters",
        "get_dead_letter",
    ):
        monkeypatch.setattr(type(market.store), method, away)
    urls.reference.invalidate()
    response = operator.get(page)
    assert response.status_code == 503
    assert "The database is locked." in words(response)


@pytest.mark.parametrize("page", [*OWN_PAGES, reverse("office:overview")])
def test_a_missing_table_is_one_sentence(operator: Client, market: Market, page: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE alarms")
        cursor.execute("DROP TABLE reconciliation_runs")
        cursor.execute("DROP TABLE audit_records")
        cursor.execute("DROP TABLE action_requests")
        cursor.execute("DROP TABLE api_keys")
    response = operator.get(page)
    assert response.status_code == 503
    assert "The site's database does not answer." in words(response)


def test_a_failing_session_lookup_is_one_sentence_and_one_log_event(
    operator: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is read before any view runs, as with an unreachable database."""
    configured = logs.settings("keyvalue", "INFO")["loggers"]["django.request"]["filters"]
    assert configured == ["database-errors"]
    monkeypatch.setattr(logging.getLogger("django.request"), "filters", [outages.DatabaseErrorFilter()])
    operator.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE django_session")
    with capture_logs() as lines:
        for page in ("office:overview", "admin:auth_user_changelist"):
            response = operator.get(reverse(page))
            assert response.status_code == 503
            assert "The site's database does not answer." in words(response)
    expected = {
        "event": "site.database_unavailable",
        "log_level": "error",
        "error": "no such table: django_session",
    }
    assert lines == [expected] * 2
    assert not [record for record in caplog.records if record.name == "django.request"]


def test_users_and_groups_are_shown_in_the_same_layout(operator: Client) -> None:
    for page in ("auth_user_changelist", "auth_user_add", "auth_group_changelist", "password_change"):
        response = operator.get(reverse(f"admin:{page}"))
        assert response.status_code == 200
        assert "Overview" in words(response)
