"""`manage.py verify_audit_log`."""

import json
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from tests.back_office.audit.conftest import append

pytestmark = pytest.mark.django_db


def run(*options: str) -> tuple[int, str, str]:
    """Exit code, output, error."""
    out = StringIO()
    try:
        call_command("verify_audit_log", *options, stdout=out)
    except CommandError as error:
        return error.returncode, out.getvalue(), str(error)
    return 0, out.getvalue(), ""


def test_an_intact_log_ends_with_0_and_names_its_head() -> None:
    last = append(3)[-1]
    assert run() == (0, f"3 records were checked. The last one is 3:{last.digest}\n", "")


def test_a_changed_log_ends_with_1(sql: Callable[..., None]) -> None:
    append(3)
    sql("UPDATE audit_records SET actor = 'mallory' WHERE number = 2")
    code, output, error = run()
    assert (code, error) == (1, "The audit log was changed: 1 finding.")
    assert output.startswith("Record 2 was changed, or the record before it was.\n3 records were checked.")


def test_a_log_that_cannot_be_read_ends_with_2() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE audit_records")
    code, output, error = run()
    assert (code, output) == (2, "")
    assert error.startswith("The audit log cannot be read: no such table")


def test_json(sql: Callable[..., None]) -> None:
    last = append(2)[-1]
    form = {"ok": True, "records": 2, "finding_count": 0, "findings": []}
    assert json.loads(run("--json")[1]) == {**form, "head": {"number": 2, "digest": last.digest}}
    sql("DELETE FROM audit_records WHERE number = 1")
    code, output, _ = run("--json")
    assert (code, json.loads(output)["ok"]) == (1, False)


def test_a_noted_digest_is_compared() -> None:
    last = append(2)[-1]
    assert run("--noted", f"2:{last.digest}")[0] == 0
    code, output, _ = run("--noted", f"2:{'a' * 64}")
    assert code == 1
    assert "the log was written anew" in output


@pytest.mark.parametrize("noted", ["", "2", "0:" + "a" * 64, "2:abc", "x:" + "a" * 64])
def test_a_malformed_pair_is_refused(noted: str) -> None:
    with pytest.raises(CommandError, match="not a number, a colon and a digest"):
        call_command("verify_audit_log", "--noted", noted)
