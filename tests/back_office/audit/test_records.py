"""Appending to the audit log: one writer at a time, together with the action, and never a change."""

import threading

import pytest
from django.db import Error as DatabaseError
from django.db import connections, router, transaction

from back_office.audit import records
from back_office.audit.codes import Action
from back_office.audit.origin import COMMAND_LINE
from back_office.audit.verification import verify
from back_office.models import AuditHead, AuditRecord
from tests.back_office.audit.conftest import ALICE, append, newest

WRITERS = 6
EACH = 10


def test_records_are_numbered_from_one(db: None) -> None:
    assert [record.number for record in append(3)] == [1, 2, 3]


def test_a_record_and_its_action_are_undone_together(db: None) -> None:
    append(1)
    with transaction.atomic():
        append(1)
        transaction.set_rollback(True)
    assert newest().number == 1
    assert append(1)[0].number == 2
    assert verify([]).ok


def test_a_command_is_recorded_with_the_account_of_the_machine(db: None) -> None:
    record = records.append(Action.LOGOUT)
    assert record.actor.startswith("os:")
    assert record.address == COMMAND_LINE


def test_texts_that_a_database_refuses_are_stored_without_those_characters(db: None) -> None:
    records.append(Action.LOGOUT, by=ALICE, reason="a\0b\ud800" + "x" * 1000, after={"name": "\0\ud800"})
    record = newest()
    assert record.reason.startswith("a\ufffdb?x")
    assert len(record.reason) == records.MAX_CHARACTERS
    assert verify([]).ok


def test_the_models_refuse_changes(db: None) -> None:
    (record,) = append(1)
    for change in (
        record.save,
        record.delete,
        AuditRecord.objects.all().delete,
        lambda: AuditRecord.objects.update(actor="mallory"),
    ):
        with pytest.raises(TypeError, match="never"):
            change()
    assert verify([]).ok


def test_nothing_is_appended_to_a_log_that_lost_its_head(db: None) -> None:
    append(2)
    AuditHead.objects.all().delete()
    with pytest.raises(DatabaseError, match="verify_audit_log"):
        append(1)
    assert newest().number == 2


def run_writers(database: str) -> list[BaseException]:
    """Threads, each with a connection of its own, append at the same time. Returns what they raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(WRITERS)

    def write() -> None:
        try:
            start.wait(timeout=30)
            for _ in range(EACH):
                records.append(Action.LOGIN, by=ALICE)
        except (DatabaseError, threading.BrokenBarrierError) as error:
            errors.append(error)
        finally:
            connections[database].close()

    threads = [threading.Thread(target=write) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    return errors


@pytest.mark.django_db(transaction=True)
def test_concurrent_writers_make_one_chain_on_sqlite() -> None:
    assert run_writers("default") == []
    report = verify([])
    assert (report.findings, report.records) == ([], WRITERS * EACH)


class Postgres:
    """Database router that sends every query to the shared PostgreSQL."""

    def db_for_read(self, model: object, **hints: object) -> str:
        return "postgres"

    db_for_write = db_for_read


@pytest.mark.services("postgres")
@pytest.mark.django_db(databases=["default", "postgres"], transaction=True)
def test_concurrent_writers_make_one_chain_on_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "routers", [Postgres()])
    assert run_writers("postgres") == []
    report = verify([])
    assert (report.findings, report.records) == ([], WRITERS * EACH)
