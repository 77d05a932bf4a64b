"""Settings of the stores, and the database of `DATABASE_URL`."""

from exchange_site.configuration import database
from exchange_site.settings.programs import DATA_DIR
from exchange_site.settings.variables import env

env.group("Stores", read_by="all; client commands if no engine answers")
SETTLEMENT_STORE = env.text(
    "SETTLEMENT_STORE",
    "sql",
    "Store of blocks and projections: `sql` (the database of `DATABASE_URL`) or `scylla` (ScyllaDB or Cassandra).",
)
SETTLEMENT_SLOW_QUERY_MS = env.whole(
    "SETTLEMENT_SLOW_QUERY_MS", 100, "Statements that take longer are logged as warnings.", unit="ms"
)
SCYLLA_HOSTS = env.words("SCYLLA_HOSTS", ["127.0.0.1"], "Contact points, separated by commas.")
SCYLLA_PORT = env.whole("SCYLLA_PORT", 9042, "Port of all hosts.")
SCYLLA_KEYSPACE = env.text("SCYLLA_KEYSPACE", "exchange_settlement", "Keyspace of the store's tables.")
SCYLLA_REPLICATION = env.table(
    "SCYLLA_REPLICATION",
    {"class": "SimpleStrategy", "replication_factor": 1},
    "Replication of the keyspace that `init_store` creates, as a JSON object.",
)
SCYLLA_USERNAME = env.text("SCYLLA_USERNAME", "", "User name; not set: no authentication.")
SCYLLA_PASSWORD = env.text("SCYLLA_PASSWORD", "", "Password of `SCYLLA_USERNAME`.")
SCYLLA_LOCAL_DC = env.text("SCYLLA_LOCAL_DC", "", "Local data centre of the driver; not set: that of the first host.")
SCYLLA_CONSISTENCY = env.text(
    "SCYLLA_CONSISTENCY", "LOCAL_QUORUM", "Consistency of reads and writes: `LOCAL_QUORUM`, `QUORUM` or `ALL`."
)
SCYLLA_TIMEOUT_MS = env.whole(
    "SCYLLA_TIMEOUT_MS", 10_000, "Timeout of a request; settlement has `SETTLEMENT_STORE_TIMEOUT_MS`.", unit="ms"
)
SCYLLA_IN_FLIGHT = env.whole("SCYLLA_IN_FLIGHT", 16, "Maximum number of concurrent requests.", unit="requests")

_database = env.database(
    "DATABASE_URL",
    {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DATA_DIR / "exchange.sqlite3")},
    "Database of users, alarms and reconciliations, and of the `sql` store: `sqlite:///FILE` or "
    "`postgres://USER:PASSWORD@HOST:PORT/NAME`.",
    shown="SQLite, `DATA_DIR/exchange.sqlite3`",
)
DATABASES = {"default": database.with_options(_database)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
