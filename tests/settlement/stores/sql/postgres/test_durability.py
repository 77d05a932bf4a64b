"""PostgreSQL has blocks on disk before they are confirmed, whatever its configuration."""

from collections.abc import Callable
from contextlib import closing

import pytest
from django.db import connections

from scripts.services import Running
from settlement.errors import StoreReplaced
from settlement.stores.sql.store import SqlStore
from tests.settlement.rows import block
from tests.settlement.stores.sql.postgres.conftest import ALIAS, Raw, raw

pytestmark = pytest.mark.services("postgres")


@pytest.mark.parametrize("timeout_ms", [None, 5000])
@pytest.mark.parametrize(
    ("said", "holds"), [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply"), ("on", "on")]
)
def test_blocks_are_on_disk_before_they_are_confirmed_whatever_the_database_says(
    other: Raw, database: str, said: str, holds: str, timeout_ms: int | None
) -> None:
    other.execute(f"ALTER DATABASE {database} SET synchronous_commit = {said}")
    store = SqlStore(ALIAS, timeout_ms=timeout_ms)
    store.append_blocks([block(1)])
    assert commits_of(ALIAS) == holds


def test_blocks_are_on_disk_before_they_are_confirmed_whatever_the_role_says(
    postgres: Running, other: Raw, database: str, use: Callable[..., None]
) -> None:
    role = f"{database}_hasty"
    other.execute(f"CREATE ROLE {role} SUPERUSER LOGIN")
    other.execute(f"ALTER ROLE {role} SET synchronous_commit = off")
    try:
        use(postgres, database, USER=role)
        store = SqlStore(ALIAS)
        for number in (1, 2):
            store.append_blocks([block(number)])
            assert commits_of(ALIAS) == "on"
            store.close()  # the next connection is another one
    finally:
        other.execute(f"DROP ROLE {role}")


def commits_of(alias: str) -> str:
    with connections[alias].cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        return str(cursor.fetchone()[0])


def test_a_standby_that_lacks_the_last_blocks_is_detected_by_the_next_append(
    postgres: Running, sql: SqlStore, database: str
) -> None:
    """As after a failover to an asynchronous standby: the older database answers under the same name."""
    older = f"{database}_older"
    sql.append_blocks([block(2)])
    sql.close()
    with closing(raw(postgres)) as admin:
        admin.execute(f"CREATE DATABASE {older} TEMPLATE {database}")
        sql.append_blocks([block(3), block(4)])
        sql.close()
        admin.execute(f"DROP DATABASE {database} WITH (FORCE)")
        admin.execute(f"ALTER DATABASE {older} RENAME TO {database}")
    assert sql.epochs() == []  # what meets the change first
    with pytest.raises(StoreReplaced, match="Block 5 was about to be stored, but the store ends with block 2"):
        sql.append_blocks([block(5)])
    assert [row.number for row in sql.blocks(1)] == [1, 2]
