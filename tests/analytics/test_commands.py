"""The commands: what they print and how they end."""

import csv
import io
import json
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from django.core.management import call_command
from pyarrow import parquet

from analytics import catalog
from settlement.stores.base import Store
from tests.settlement.commandline.conftest import refused, run

VOLUME = ["query_analytics", "volume", "--from", "2026-01-31"]
TABLE = """\
           bucket_ns  symbol   trades  volume  quote_volume
--------------------  -------  ------  ------  ------------
2026-01-31T00:00:00Z  BTC-USD      10    8500   16908500000
2026-02-01T00:00:00Z  BTC-USD       1      50      98750000
"""


def bytes_of(*arguments: str) -> bytes:
    buffer = BytesIO()
    out = TextIOWrapper(buffer, encoding="utf-8")
    call_command(*arguments, stdout=out, stderr=StringIO())
    out.flush()
    return buffer.getvalue()


def test_a_query_is_printed_as_a_table(archived: Store) -> None:
    assert run(*VOLUME) == TABLE


def test_a_query_is_written_as_json_csv_and_parquet(archived: Store) -> None:
    rows = json.loads(run(*VOLUME, "--format", "json"))
    assert [row["quote_volume"] for row in rows] == [16_908_500_000, 98_750_000]
    as_csv = list(csv.DictReader(io.StringIO(bytes_of(*VOLUME, "--format", "csv").decode())))
    assert as_csv == [{name: str(value) for name, value in row.items()} for row in rows]
    table = parquet.read_table(io.BytesIO(bytes_of(*VOLUME, "--format", "parquet")))
    assert [{name: type(rows[0][name])(value) for name, value in row.items()} for row in table.to_pylist()] == rows


def test_a_select_is_run(archived: Store) -> None:
    assert json.loads(run("query_analytics", "SELECT count(*) AS n FROM trades", "--format", "json")) == [{"n": 14}]
    assert run("query_analytics", "SELECT price FROM trades WHERE price < 0", "--format", "json") == "[]\n"


def test_the_list_has_every_name(settled: Store) -> None:
    lines = run("query_analytics", "--list").splitlines()
    assert [line.split()[0] for line in lines] == list(catalog.named_queries())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Give the name of a query or a SELECT; --list shows the names."),
        (["account_profit"], "The query is about one account: give it with --account."),
        (["SELECT * FROM read_text('/etc/passwd')"], "There is no table READ_TEXT('/etc/passwd'): the tables are "),
        (["ATTACH '/tmp/x'"], "Only one SELECT is allowed: the tables can be read and not changed."),
        (["volume", "--from", "2026-02-01", "--to", "2026-01-31"], "The period begins on 2026-02-01, after its end "),
    ],
)
def test_what_cannot_be_asked_ends_with_2(settled: Store, arguments: list[str], sentence: str) -> None:
    code, message = refused("query_analytics", *arguments)
    assert code == 2
    assert message.startswith(sentence)


def test_rows_that_the_store_rejected_are_told(settled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from settlement.stores.sql.store import SqlStore

    letter = type("Letter", (), {"block_number": 30})
    monkeypatch.setattr(SqlStore, "dead_letters", lambda self: [letter])
    errors = StringIO()
    call_command(*VOLUME, stdout=StringIO(), stderr=errors)
    assert (
        "Rows are missing, because the store rejected those of block 30: run replay_dead_letters" in errors.getvalue()
    )
