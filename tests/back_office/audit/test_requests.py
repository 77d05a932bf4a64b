import pytest
from django.contrib.auth.models import User
from django.test import Client

from back_office.audit import requests
from back_office.models import AuditRecord

pytestmark = pytest.mark.django_db


@pytest.fixture
def clerk() -> Client:
    client = Client(REMOTE_ADDR="192.0.2.7")
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    return client


def refusals() -> list[tuple[str, str, str]]:
    found = AuditRecord.objects.filter(action="access.refused").order_by("number")
    return [(one.actor, one.address, one.target) for one in found]


@pytest.mark.parametrize("page", ["/admin/trades/", "/admin/auth/user/", "/admin/audit_log/"])
def test_a_refused_page_is_recorded(clerk: Client, page: str) -> None:
    assert clerk.get(page).status_code == 403
    assert refusals() == [("clerk", "192.0.2.7", f"page:GET {page}")]


def test_a_refused_action_is_recorded(clerk: Client) -> None:
    assert clerk.post("/admin/reconciliations/now/").status_code == 403
    assert refusals() == [("clerk", "192.0.2.7", "page:POST /admin/reconciliations/now/")]


def test_a_form_without_its_token_is_recorded() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("operator"))
    assert client.post("/admin/reconciliations/now/").status_code == 403
    assert [target for _, _, target in refusals()] == ["page:POST /admin/reconciliations/now/"]


def test_a_repeated_refusal_is_recorded_once_in_a_while(clerk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        clerk.get("/admin/trades/")
    assert len(refusals()) == 1
    clerk.get("/admin/orders/")
    clerk.get("/admin/trades/")
    assert len(refusals()) == 3
    monkeypatch.setattr(requests, "REPEATED_WITHIN_NS", 0)
    clerk.get("/admin/trades/")
    assert len(refusals()) == 4


def test_visitors_leave_no_record() -> None:
    assert Client(enforce_csrf_checks=True).post("/admin/login/").status_code == 403
    assert Client().get("/admin/trades/").status_code == 302
    assert not AuditRecord.objects.exists()
