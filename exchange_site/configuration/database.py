"""Options of the database connection, for durability and for outages."""

from typing import Any

SQLITE = "django.db.backends.sqlite3"


def with_options(database: dict[str, Any]) -> dict[str, Any]:
    """An entry of Django's `DATABASES`, completed from what DATABASE_URL says."""
    if database["ENGINE"] == SQLITE:
        options = {
            # Readers are not blocked while settlement writes. FULL: the engine discards a confirmed block, so it has to
            # survive a power cut; NORMAL does not guarantee that in WAL mode.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            # A transaction that reads and then writes fails instead of waiting for a lock, so each locks at its start.
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,  # seconds to wait for another writer
        }
        # This backend opens a database and never creates one.
        return {**database, "ENGINE": "settlement.stores.sql.sqlite", "OPTIONS": options}
    # Connections to an unreachable server are dropped, so that callers can report it and retry.
    keepalive = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
    return {**database, "OPTIONS": {"connect_timeout": 5, **keepalive, **database.get("OPTIONS", {})}}
