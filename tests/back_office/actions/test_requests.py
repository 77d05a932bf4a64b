"""Requests when several persons act at the same time, each in a thread and a transaction of its own."""

import threading

import pytest
from django.contrib.auth.models import User
from django.db import connections, router
from django.urls import reverse

from back_office.actions import carrying_out, requests
from back_office.actions.kinds import Kind
from back_office.models import ActionRequest, AuditRecord
from tests.back_office.actions.conftest import APPROVER, FINANCE, MONEY, Exchange, asked, login, person

PEOPLE = (
    ("fiona", FINANCE),
    ("anna", APPROVER),
    ("bert", APPROVER),
)


@pytest.mark.django_db(transaction=True)
def test_two_clicks_and_two_approvers_at_once_succeed_once_on_sqlite() -> None:
    act_at_once()


class Postgres:
    """Database router that sends every query to the shared PostgreSQL."""

    def db_for_read(self, model: object, **hints: object) -> str:
        return "postgres"

    db_for_write = db_for_read


ON_POSTGRES = pytest.mark.django_db(databases=["default", "postgres"], transaction=True)


@pytest.mark.services("postgres")
@ON_POSTGRES
def test_two_clicks_and_two_approvers_at_once_succeed_once_on_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "routers", [Postgres()])
    act_at_once()


@pytest.mark.services("postgres")
@ON_POSTGRES
def test_a_deposit_is_carried_out_on_postgresql(monkeypatch: pytest.MonkeyPatch, exchange: Exchange) -> None:
    monkeypatch.setattr(router, "routers", [Postgres()])
    fiona, anna = person("fiona", *FINANCE), person("anna", *APPROVER)
    made = asked(fiona, Kind.DEPOSIT, MONEY)
    requests.approve(made.pk, anna, "")
    assert carrying_out.turn(exchange.real) == 1
    assert exchange.balance(1) == "12.5"
    assert AuditRecord.objects.latest("number").action == "request.carry_out"


def act_at_once() -> None:
    """Two approvers approve one request, and one form is sent twice."""
    fiona, anna, bert = (person(name, *rights) for name, rights in PEOPLE)
    made = asked(fiona, Kind.DEPOSIT, MONEY)
    begin = threading.Barrier(4)

    def act(user: User, what: str) -> None:
        client = login(user)
        begin.wait()
        if what == "approve":
            client.post(reverse("office:approve", args=[made.pk]))
        else:
            asked(user, Kind.DEPOSIT, MONEY, "another form")
        connections.close_all()

    acts = [(anna, "approve"), (bert, "approve"), (fiona, "ask"), (fiona, "ask")]
    threads = [threading.Thread(target=act, args=one) for one in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert AuditRecord.objects.filter(action="request.approve", outcome="done").count() == 1
    assert AuditRecord.objects.filter(action="request.approve", outcome="failed").count() == 1
    assert ActionRequest.objects.count() == 2
