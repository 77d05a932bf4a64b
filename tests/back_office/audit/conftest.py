"""Fixtures of the audit log: records as they are stored, and changes of them by SQL statements."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from back_office.audit import records
from back_office.audit.codes import Action
from back_office.audit.origin import Origin
from back_office.models import AuditRecord

ALICE = Origin("alice", "192.0.2.7")


@pytest.fixture
def sql(db: None) -> Callable[..., None]:
    """Runs a statement as an intruder would, past the models."""

    def run(statement: str, *values: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)

    return run


def append(count: int) -> list[AuditRecord]:
    return [
        records.append(Action.ACKNOWLEDGE, by=ALICE, target=f"alarm:{number}", reason="seen", after={"n": number})
        for number in range(count)
    ]


def newest() -> AuditRecord:
    return AuditRecord.objects.latest("number")
