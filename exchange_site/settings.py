"""Every setting of the exchange with what it means, and the only place that reads the environment.

`manage.py describe_settings` makes docs/settings.md from this file.

Nothing here raises: a value that cannot be read keeps its default and a note in `SETTING_PROBLEMS`, and
`exchange_site.checks` refuses to start with it. Nothing is written; the key that `make run` keeps is read.
"""

from pathlib import Path
from typing import Any

from django.core.management.utils import get_random_secret_key

from back_office import navigation
from exchange_site import logs
from exchange_site.environment import Environment, kept_secret

BASE_DIR = Path(__file__).resolve().parent.parent

_env = Environment()
SETTING_PROBLEMS = _env.problems
SETTING_DESCRIPTIONS = _env.descriptions  # docs/settings.md is made from them

# --- where things are kept ---------------------------------------------------------------------------------------

_env.group("All programs", read_by="all")
DATA_DIR = _env.path(
    "DATA_DIR",
    BASE_DIR / "data",
    "Folder of everything that is kept in files: SQLite, WAL, snapshots, trail, spill, keys, logs. Each engine needs "
    "its own; settlement may share it with one engine.",
    shown="`data/` beside `manage.py`",
)
SECRET_KEY_FILE = DATA_DIR / "secret-key"
ADMIN_PASSWORD_FILE = DATA_DIR / "admin-password"

# --- engine ------------------------------------------------------------------------------------------------------

_env.group("Engine", read_by="engine")
_input_log = _env.text(
    "INPUT_LOG",
    "",
    "Where commands are logged before they are applied: `memory` (nowhere), `wal` (a local file), `kafka` (a topic "
    "that all replicas read).",
    read_by="engine, settlement",
    shown="`memory`; `wal` with `ENABLE_LOCAL_WAL=true`",
)
ENABLE_LOCAL_WAL = _env.flag(
    "ENABLE_LOCAL_WAL",
    _input_log == "wal",
    "`true` is the same as `INPUT_LOG=wal`; where both are set they have to agree.",
    shown="`false`; `true` with `INPUT_LOG=wal`",
)
INPUT_LOG = _input_log or ("wal" if ENABLE_LOCAL_WAL else "memory")
ENGINE_COMMAND_ADDRESS = _env.text(
    "ENGINE_COMMAND_ADDRESS",
    "tcp://127.0.0.1:5701",
    "ZeroMQ address where commands are taken and questions answered; loopback or `ipc://`.",
    read_by="engine, settlement, web, client commands",
)
ENGINE_BLOCK_ADDRESS = _env.text(
    "ENGINE_BLOCK_ADDRESS",
    "tcp://127.0.0.1:5702",
    "ZeroMQ address where blocks are published; loopback or `ipc://`.",
    read_by="engine, settlement",
)
ENGINE_RETRANSMIT_ADDRESS = _env.text(
    "ENGINE_RETRANSMIT_ADDRESS",
    "tcp://127.0.0.1:5703",
    "ZeroMQ address where blocks are asked for again and confirmed; loopback or `ipc://`.",
    read_by="engine, settlement",
)
ENGINE_HTTP_ADDRESS = _env.text(
    "ENGINE_HTTP_ADDRESS",
    "127.0.0.1:9701",
    "HOST:PORT of the engine's health and metrics.",
    read_by="engine, run_exchange",
)
ENGINE_BLOCK_COMMANDS = _env.whole("ENGINE_BLOCK_COMMANDS", 1024, "Most commands in one block.", unit="commands")
ENGINE_RING_BLOCKS = _env.whole(
    "ENGINE_RING_BLOCKS",
    65_536,
    "Most blocks in the retransmission ring. The engine halts when unconfirmed blocks fill it, or `ENGINE_RING_BYTES`.",
    unit="blocks",
)
ENGINE_RING_BYTES = _env.whole("ENGINE_RING_BYTES", 1024**3, "Most bytes in the retransmission ring.", unit="bytes")
ENGINE_SNAPSHOT_BLOCKS = _env.whole(
    "ENGINE_SNAPSHOT_BLOCKS", 10_000, "Blocks from one snapshot to the next; 0: no snapshots.", unit="blocks"
)
ENGINE_SNAPSHOTS_KEPT = _env.whole("ENGINE_SNAPSHOTS_KEPT", 3, "Newest snapshots that are kept.", unit="snapshots")

KAFKA_BOOTSTRAP_SERVERS = _env.text(
    "KAFKA_BOOTSTRAP_SERVERS",
    "",
    "Brokers as HOST:PORT with commas between; needed with `INPUT_LOG=kafka`.",
    read_by="engine, create_command_topic",
)
KAFKA_COMMAND_TOPIC = _env.text(
    "KAFKA_COMMAND_TOPIC", "exchange-commands", "Topic of the commands.", read_by="engine, create_command_topic"
)
KAFKA_OPTIONS = _env.table(
    "KAFKA_OPTIONS",
    {},
    "librdkafka's options of the connection (TLS, SASL) as a JSON object; values are never logged.",
    read_by="engine, create_command_topic",
)
ENGINE_REPLICAS = _env.words(
    "ENGINE_REPLICAS",
    [],
    "Command addresses of all replicas that read the topic, this one too, with commas between.",
    read_by="engine, settlement, web, client commands",
)

# --- settlement --------------------------------------------------------------------------------------------------

_env.group("Settlement", read_by="settlement")
SETTLEMENT_BATCH_TRADES = _env.whole(
    "SETTLEMENT_BATCH_TRADES", 100, "Blocks are projected as soon as so many trades wait.", unit="trades"
)
SETTLEMENT_BATCH_MS = _env.whole(
    "SETTLEMENT_BATCH_MS", 100, "Blocks are projected at the latest when the oldest has waited this long.", unit="ms"
)
SETTLEMENT_SPILL_BYTES = _env.whole(
    "SETTLEMENT_SPILL_BYTES", 1024**3, "Most bytes of blocks on disk while the store does not answer.", unit="bytes"
)
SETTLEMENT_STORE_TIMEOUT_MS = _env.whole(
    "SETTLEMENT_STORE_TIMEOUT_MS",
    1000,
    "How long settlement waits for a lock or an answer of the store before it asks again.",
    unit="ms",
)
SETTLEMENT_HTTP_ADDRESS = _env.text(
    "SETTLEMENT_HTTP_ADDRESS",
    "127.0.0.1:9702",
    "HOST:PORT of settlement's health and metrics.",
    read_by="settlement, run_exchange",
)

# --- stores ------------------------------------------------------------------------------------------------------

_env.group("Stores", read_by="all but client commands")
SETTLEMENT_STORE = _env.text(
    "SETTLEMENT_STORE",
    "sql",
    "Where blocks and projections are kept: `sql` (in the database of `DATABASE_URL`) or `scylla` (ScyllaDB or "
    "Cassandra).",
)
SETTLEMENT_SLOW_QUERY_MS = _env.whole(
    "SETTLEMENT_SLOW_QUERY_MS", 100, "A statement that takes longer is logged as a warning.", unit="ms"
)
SCYLLA_HOSTS = _env.words("SCYLLA_HOSTS", ["127.0.0.1"], "Hosts to begin with, with commas between.")
SCYLLA_PORT = _env.whole("SCYLLA_PORT", 9042, "Port of all hosts.")
SCYLLA_KEYSPACE = _env.text("SCYLLA_KEYSPACE", "exchange_settlement", "Keyspace of the store's tables.")
SCYLLA_REPLICATION = _env.table(
    "SCYLLA_REPLICATION",
    {"class": "SimpleStrategy", "replication_factor": 1},
    "Replication with which `init_store` makes the keyspace, as a JSON object.",
)
SCYLLA_USERNAME = _env.text("SCYLLA_USERNAME", "", "Account on the servers; not set: they ask for none.")
SCYLLA_PASSWORD = _env.text("SCYLLA_PASSWORD", "", "Its password.")
SCYLLA_LOCAL_DC = _env.text(
    "SCYLLA_LOCAL_DC", "", "Data centre of the nodes that are asked; not set: that of the first host."
)
SCYLLA_CONSISTENCY = _env.text(
    "SCYLLA_CONSISTENCY", "LOCAL_QUORUM", "Consistency of reads and writes: `LOCAL_QUORUM`, `QUORUM` or `ALL`."
)
SCYLLA_TIMEOUT_MS = _env.whole(
    "SCYLLA_TIMEOUT_MS",
    10_000,
    "How long one answer is waited for; settlement's worker goes by `SETTLEMENT_STORE_TIMEOUT_MS`.",
    unit="ms",
)
SCYLLA_IN_FLIGHT = _env.whole("SCYLLA_IN_FLIGHT", 16, "Most requests at once.", unit="requests")

# --- database ----------------------------------------------------------------------------------------------------

_database = _env.database(
    "DATABASE_URL",
    {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DATA_DIR / "exchange.sqlite3")},
    "Database of accounts, alarms and reconciliations, and of the store where that is `sql`: `sqlite:///FILE` or "
    "`postgres://USER:PASSWORD@HOST:PORT/NAME`.",
    shown="SQLite, `DATA_DIR/exchange.sqlite3`",
)
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["OPTIONS"] = {
        # Readers go on while settlement writes. FULL: a block that was confirmed to the engine, which then forgets
        # it, has to survive a power cut; NORMAL would not promise that in WAL mode.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        # A transaction that reads first and writes later cannot wait for a lock, it fails; so each takes it at once.
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,  # seconds to wait for another writer
    }
else:
    # A server whose machine or network has gone silent is given up, so that whoever asked can say so and ask again.
    silence = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
    _database["OPTIONS"] = {"connect_timeout": 5, **silence, **_database.get("OPTIONS", {})}
DATABASES: dict[str, dict[str, Any]] = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- web ---------------------------------------------------------------------------------------------------------

_env.group("Web and background work", read_by="web")
DEBUG = _env.flag("DEBUG", False, "Django's error pages with source text, for development only.")
# `make run` makes a key and keeps it in DATA_DIR; with DEBUG each process makes its own. Otherwise it stays empty,
# which the web refuses; tools that sign nothing run without.
SECRET_KEY = (
    _env.text(
        "SECRET_KEY",
        "",
        "Signs sessions and forms: 32 random characters or more.",
        shown="what `make run` keeps in `DATA_DIR/secret-key`",
    )
    or kept_secret(SECRET_KEY_FILE)
    or (get_random_secret_key() if DEBUG else "")
)
SECRET_KEY_IS_GIVEN = bool(SECRET_KEY)
WEB_ADDRESS = _env.text(
    "WEB_ADDRESS", "127.0.0.1:8000", "HOST:PORT where the web answers.", read_by="web, run_exchange"
)
WEB_THREADS = _env.whole("WEB_THREADS", 8, "Requests that are answered at once.", unit="threads")
WEB_HTTPS = _env.flag(
    "WEB_HTTPS", False, "A proxy in front speaks TLS and sets `X-Forwarded-Proto`: cookies are sent over TLS only."
)
ALLOWED_HOSTS = _env.words(
    "ALLOWED_HOSTS",
    ["127.0.0.1", "localhost", "[::1]"],
    "Host names under which the site answers, with commas between.",
)
CSRF_TRUSTED_ORIGINS = _env.words(
    "CSRF_TRUSTED_ORIGINS", [], "Origins such as `https://exchange.example` whose forms are taken, with commas between."
)

INSTALLED_APPS = [
    "unfold",  # before the admin: its templates take the place of the admin's
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "exchange_site",
    "back_office",
    "benchmarks",
    "simulator",
    "settlement",
    "ledger",
    "matching",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "back_office.odd_requests.OddRequests",  # before those that look for files or ask the database
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # A page is private unless it says otherwise: health and metrics do.
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "exchange_site.urls"
WSGI_APPLICATION = "exchange_site.wsgi.application"
ASGI_APPLICATION = "exchange_site.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"  # where a login leads that was on the way to no page of ours
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
# Static files come out of the installed packages and apps themselves: nothing to collect before a start.
WHITENOISE_USE_FINDERS = True

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = WEB_HTTPS
SECURE_REFERRER_POLICY = "same-origin"
if WEB_HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000

UNFOLD = navigation.UNFOLD

# --- background work ---------------------------------------------------------------------------------------------

REDIS_URL = _env.text(
    "REDIS_URL",
    "",
    "Broker of background work: `redis://`, `rediss://` or `unix://`; not set: files in `DATA_DIR/celery`.",
    read_by="web, worker, beat",
)
CELERY_FOLDER = DATA_DIR / "celery"
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1) or "filesystem://localhost"
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {
        # Seconds until a task that a dead worker had taken, but not begun, is given to another one. Longer than any
        # task waits behind others here, for one that is only slow must not be given out twice.
        "visibility_timeout": 300,
        # Seconds that a silent Redis is waited for: a page that sends a task has a person in front of it.
        "socket_connect_timeout": 2,
        "socket_timeout": 3,
        "socket_keepalive": True,
        "interval_start": 0.2,
        "connect_retries_timeout": 1,
    }
    if REDIS_URL
    else {
        # One folder is both ends: what is written out is what the worker reads in.
        "data_folder_in": str(CELERY_FOLDER / "queue"),
        "data_folder_out": str(CELERY_FOLDER / "queue"),
        "processed_folder": str(CELERY_FOLDER / "processed"),
        "control_folder": CELERY_FOLDER / "control",
    }
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for its broker for as long as that takes
# A task counts as taken once it begins, not once it is done (acks_late): what a dead worker had begun comes again with
# the next minute or hour by itself, and a task that kills its worker is not handed to the next one.
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_IGNORE_RESULT = True  # a task writes what it found where pages read it
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ("json",)  # never pickle: it would run what a message says
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE_FILENAME = str(CELERY_FOLDER / "beat-schedule")
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "clear-expired-sessions": {"task": "exchange_site.tasks.clear_expired_sessions", "schedule": 86_400.0},
    # A run that nobody took before the next is due is forgotten: they must not pile up while no worker runs.
    "reconcile": {"task": "settlement.tasks.reconcile", "schedule": 60.0, "options": {"expires": 55.0}},
    "sweep": {"task": "settlement.tasks.sweep", "schedule": 3600.0, "options": {"expires": 3000.0}},
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# --- logs --------------------------------------------------------------------------------------------------------

_env.group("Logs", read_by="all")
LOG_FORMAT = _env.text("LOG_FORMAT", "keyvalue", "Form of a log line: `keyvalue` or `json`.")
LOG_LEVEL = _env.text("LOG_LEVEL", "INFO", "Least level that is logged: `DEBUG` to `CRITICAL`.").upper()
LOGGING = logs.settings(LOG_FORMAT, LOG_LEVEL if LOG_LEVEL in logs.LEVELS else "INFO")
PROGRAM_LOG_FOLDER = DATA_DIR / "logs"
LOG_FILE_BYTES = _env.whole(
    "LOG_FILE_BYTES",
    10 * 1024**2,
    "Size at which `make run` begins a new file in `DATA_DIR/logs`.",
    unit="bytes",
    read_by="run_exchange",
)
LOG_FILES_KEPT = _env.whole(
    "LOG_FILES_KEPT",
    3,
    "Full files of each program that `make run` keeps beside the one it writes.",
    unit="files",
    read_by="run_exchange",
)
