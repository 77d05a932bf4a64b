import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from back_office.audit import chain
from back_office.audit.verification import CHUNK_ROWS, MAX_FINDINGS, Noted, verify
from back_office.models import AuditHead, AuditRecord
from tests.back_office.audit.conftest import append

Sql = Callable[..., None]
COLUMNS = [field.attname for field in AuditRecord._meta.concrete_fields]
ROWS = 8

pytestmark = pytest.mark.django_db


def findings(*noted: Noted) -> list[str]:
    return verify(list(noted)).findings


def test_an_empty_log_is_intact() -> None:
    report = verify([])
    assert (report.ok, report.records) == (True, 0)


def test_an_untouched_log_is_intact() -> None:
    last = append(5)[-1]
    report = verify([])
    assert (report.ok, report.records, report.head) == (True, 5, Noted(5, last.digest))


def test_the_digest_is_the_one_that_the_documents_describe() -> None:
    first, second = append(2)
    content = [
        "audit-1",
        first.digest,
        2,
        second.at_ns,
        "alice",
        "192.0.2.7",
        "alarm.acknowledge",
        "alarm:1",
        "done",
        "seen",
        "",
        '{"n":1}',
    ]
    text = json.dumps(content, separators=(",", ":"))
    assert hashlib.sha256(text.encode("ascii")).hexdigest() == second.digest


def test_a_changed_record_is_named(sql: Sql) -> None:
    append(5)
    sql("UPDATE audit_records SET actor = 'mallory' WHERE number = 3")
    assert findings() == ["Record 3 was changed, or the record before it was."]


def test_a_changed_record_with_its_digest_is_found_at_the_next_one(sql: Sql) -> None:
    forged = append(5)[2]
    forged.actor = "mallory"
    sql("UPDATE audit_records SET actor = %s, digest = %s WHERE number = 3", "mallory", _digest_of(forged))
    assert findings() == ["Record 4 was changed, or the record before it was."]


def test_a_deleted_record_is_named(sql: Sql) -> None:
    append(5)
    sql("DELETE FROM audit_records WHERE number IN (2, 3)")
    assert findings()[0] == "Records 2 to 3 are missing."


def test_a_cut_end_is_found(sql: Sql) -> None:
    append(5)
    sql("DELETE FROM audit_records WHERE number > 3")
    (finding,) = findings()
    assert "records were cut off" in finding


def test_a_log_without_a_head_is_found(sql: Sql) -> None:
    append(2)
    sql("DELETE FROM audit_head")
    assert findings() == ["The head says that record 0 is the last one, but there are records up to 2."]


def test_a_second_head_does_not_replace_the_first(sql: Sql) -> None:
    append(3)
    sql("INSERT INTO audit_head (id, number, digest) VALUES (0, 0, %s)", chain.FIRST)
    assert verify([]).head.number == 3


def test_a_chain_that_was_computed_anew_is_found_with_a_noted_digest(sql: Sql) -> None:
    """Whoever can write to the database can do this, so the check needs something that is kept elsewhere."""
    noted = Noted(3, append(4)[2].digest)
    assert findings(noted) == []
    _rewrite(sql, changed=2)
    assert findings() == []
    (finding,) = findings(noted)
    assert "the log was written anew" in finding


def test_a_noted_record_that_is_missing_is_found() -> None:
    append(1)
    (finding,) = findings(Noted(7, "a" * 64))
    assert finding.startswith("Record 7 has the digest (none)")


def test_many_findings_are_counted(sql: Sql) -> None:
    append(MAX_FINDINGS + 5)
    sql("UPDATE audit_records SET reason = 'other'")
    report = verify([])
    assert (len(report.findings), report.finding_count) == (MAX_FINDINGS, MAX_FINDINGS + 5)


def test_a_log_longer_than_one_read_is_checked_to_its_end(sql: Sql) -> None:
    append(CHUNK_ROWS + 3)
    assert verify([]).records == CHUNK_ROWS + 3
    sql("UPDATE audit_records SET reason = 'other' WHERE number = %s", CHUNK_ROWS + 2)
    assert len(findings()) == 1


Rows = list[tuple[Any, ...]]
Edit = Callable[[Rows], Rows]


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, Edit]:
    """A deletion, an insertion, a swap, or a change of one value."""
    one, other = draw(st.integers(0, ROWS - 1)), draw(st.integers(0, ROWS - 1))
    kind = draw(st.sampled_from(["delete", "insert", "swap", "change"]))
    column = draw(st.integers(1, len(COLUMNS) - 1))
    value = draw(st.one_of(st.integers(-(2**62), 2**62), st.text(max_size=5), st.binary(max_size=3)))

    def edit(rows: Rows) -> Rows:
        if kind == "delete":
            return [row for place, row in enumerate(rows) if place != one]
        if kind == "insert":  # a copy between two others moves what follows
            moved = [*rows[: one + 1], rows[other], *rows[one + 1 :]]
            return [(place + 1, *row[1:]) for place, row in enumerate(moved)]
        if kind == "swap":
            swapped = list(rows)
            swapped[one], swapped[other] = (rows[one][0], *rows[other][1:]), (rows[other][0], *rows[one][1:])
            return swapped
        changed = [list(row) for row in rows]
        changed[one][column] = value
        return [tuple(row) for row in changed]

    return kind, edit


@given(edits())
@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_random_edit_is_found(sql: Sql, edit: tuple[str, Edit]) -> None:
    with transaction.atomic():
        append(ROWS)
        assert verify([]).ok
        rows = _rows()
        edited = edit[1](rows)
        sql("DELETE FROM audit_records")
        marks = ", ".join(["%s"] * len(COLUMNS))
        for row in edited:
            sql(f"INSERT INTO audit_records ({', '.join(COLUMNS)}) VALUES ({marks})", *row)
        assert verify([]).ok == (_rows() == rows)
        transaction.set_rollback(True)


def test_a_changed_head_is_found(sql: Sql) -> None:
    append(3)
    for column, value in (("number", 2), ("number", 4), ("number", "text"), ("digest", "f" * 64)):
        with transaction.atomic():
            sql(f"UPDATE audit_head SET {column} = %s", value)
            assert findings()
            transaction.set_rollback(True)


def _rows() -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM audit_records ORDER BY number")
        return list(cursor.fetchall())


def _digest_of(record: AuditRecord) -> str:
    return chain.digest(AuditRecord.objects.get(number=record.number - 1).digest, record)


def _rewrite(sql: Sql, changed: int) -> None:
    """Changes a record and computes all digests after it anew, and the head."""
    previous = chain.FIRST
    for record in AuditRecord.objects.order_by("number"):
        if record.number == changed:
            record.actor = "mallory"
        previous = chain.digest(previous, record)
        sql(
            "UPDATE audit_records SET actor = %s, digest = %s WHERE number = %s",
            record.actor,
            previous,
            record.number,
        )
    sql("UPDATE audit_head SET digest = %s", previous)
    assert AuditHead.objects.get().digest == previous
