"""The schema files for database administrators equal what the models generate."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

MIGRATIONS = Path(__file__).parents[3] / "settlement" / "migrations"
SCHEMA = Path(__file__).parents[3] / "schema" / "settlement_schema.sql"


@pytest.mark.django_db(transaction=True)  # the schema editor wants no transaction around it
def test_the_written_schema_is_that_of_the_models() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("the written schema is in SQLite's words")
    made = StringIO()
    for migration in sorted(MIGRATIONS.glob("0*.py")):
        call_command("sqlmigrate", "settlement", migration.stem, stdout=made)
    call_command("makemigrations", "settlement", "--check", "--dry-run", stdout=StringIO())
    written = SCHEMA.read_text(encoding="utf-8")
    assert written[written.index("BEGIN;") :].strip() == made.getvalue().strip()
