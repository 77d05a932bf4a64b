"""Requests when several persons act at the same time, each in a thread and a transaction of its own."""

import threading

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.urls import reverse

from back_office.actions.kinds import Kind
from back_office.models import ActionRequest, AuditRecord
from tests.back_office.actions.conftest import APPROVER, FINANCE, MONEY, asked, login, person

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE = (
    ("fiona", FINANCE),
    ("anna", APPROVER),
    ("bert", APPROVER),
)


def test_two_clicks_and_two_approvers_at_once_succeed_once(transactional_db: None) -> None:
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
