"""All settings with their descriptions; the only module that reads the environment.

`manage.py describe_settings` generates docs/settings.md from this file.

Nothing here raises: an invalid value is replaced by its default and added to `SETTING_PROBLEMS`, and
`exchange_site.configuration.checks` refuses to start. Nothing is written; the secret key created by `make run` is read.
"""

from datetime import timedelta
from pathlib import Path

from django.core.management.utils import get_random_secret_key

from back_office import navigation
from exchange_site import logs
from exchange_site.configuration import background, database, django_parts
from exchange_site.configuration.environment import Environment, kept_secret

BASE_DIR = Path(__file__).resolve().parent.parent

_env = Environment()
SETTING_PROBLEMS = _env.problems
SETTING_DESCRIPTIONS = _env.descriptions  # for docs/settings.md

# --- files -------------------------------------------------------------------------------------------------------

_env.group("All programs", read_by="all")
DEFAULT_DATA_DIR = BASE_DIR / "data"
DATA_DIR = _env.path(
    "DATA_DIR",
    DEFAULT_DATA_DIR,
    "Folder of all files: SQLite, WAL, snapshots, CSV trail, spill, keys, logs. Each engine needs "
    "its own; settlement may share it with one engine. Other accounts of the machine must not have access to it (mode "
    "0700).",
    shown="`data/` beside `manage.py`",
)
SECRET_KEY_FILE = DATA_DIR / "secret-key"
ADMIN_PASSWORD_FILE = DATA_DIR / "admin-password"
PLAIN_SOCKETS = _env.flag(
    "PLAIN_SOCKETS",
    False,
    "For tests: sockets without keys, on loopback and `ipc://` addresses only. Every account of this machine can then "
    "trade for others, withdraw and stop the exchange.",
)

CHECKPOINT_BLOCKS = _env.whole(
    "CHECKPOINT_BLOCKS",
    50_000,
    "Number of blocks after which engine and settlement sign a checkpoint.",
    unit="blocks",
    read_by="engine, settlement",
)
CHECKPOINT_SECONDS = _env.whole(
    "CHECKPOINT_SECONDS",
    300,
    "Time after which they sign one if there is a new block.",
    unit="s",
    read_by="engine, settlement",
)
CHECKPOINT_PLACES = _env.words(
    "CHECKPOINT_PLACES",
    [str(DATA_DIR / "checkpoints")],
    "Where signed checkpoints are written besides the store, separated by commas: absolute folders, `https://` or "
    "`http://` URLs of webhooks, `s3://BUCKET/PREFIX?lock_days=N`, `syslog` or `syslog://HOST:PORT`. Name a place that "
    "the database's administrators cannot change.",
    read_by="engine, settlement",
    shown="`DATA_DIR/checkpoints`",
)

# --- engine ------------------------------------------------------------------------------------------------------

_env.group("Engine", read_by="engine")
_input_log = _env.text(
    "INPUT_LOG",
    "",
    "Where commands are made durable before they are answered: `memory` (nowhere), `wal` (blocks in a local file), "
    "`kafka` (a topic that all replicas read).",
    read_by="engine, settlement",
    shown="`memory`; `wal` with `ENABLE_LOCAL_WAL=true`",
)
ENABLE_LOCAL_WAL = _env.flag(
    "ENABLE_LOCAL_WAL",
    _input_log == "wal",
    "`true` is the same as `INPUT_LOG=wal`; if both are set, they must agree.",
    shown="`false`; `true` with `INPUT_LOG=wal`",
)
INPUT_LOG = _input_log or ("wal" if ENABLE_LOCAL_WAL else "memory")
ENGINE_COMMAND_ADDRESS = _env.text(
    "ENGINE_COMMAND_ADDRESS",
    "tcp://127.0.0.1:5701",
    "ZeroMQ address for commands and queries; without keys loopback or `ipc://` only.",
    read_by="engine, settlement, gateway, web, worker, client commands",
)
ENGINE_BLOCK_ADDRESS = _env.text(
    "ENGINE_BLOCK_ADDRESS",
    "tcp://127.0.0.1:5702",
    "ZeroMQ address where blocks are published; without keys loopback or `ipc://` only.",
    read_by="engine, settlement, gateway",
)
ENGINE_RETRANSMIT_ADDRESS = _env.text(
    "ENGINE_RETRANSMIT_ADDRESS",
    "tcp://127.0.0.1:5703",
    "ZeroMQ address for retransmission and confirmation of blocks; without keys loopback or `ipc://` only.",
    read_by="engine, settlement, gateway",
)
ENGINE_HTTP_ADDRESS = _env.text(
    "ENGINE_HTTP_ADDRESS",
    "127.0.0.1:9701",
    "HOST:PORT of the engine's health and metrics.",
    read_by="engine, run_exchange",
)
ENGINE_BLOCK_COMMANDS = _env.whole(
    "ENGINE_BLOCK_COMMANDS",
    1024,
    "Maximum number of commands in a block; one more if it ends with a one-cancels-other, which is never cut.",
    unit="commands",
)
ENGINE_RING_BLOCKS = _env.whole(
    "ENGINE_RING_BLOCKS",
    65_536,
    "Capacity of the retransmission ring. The engine halts if unconfirmed blocks fill it or `ENGINE_RING_BYTES`.",
    unit="blocks",
)
ENGINE_RING_BYTES = _env.whole(
    "ENGINE_RING_BYTES", 1024**3, "Capacity of the retransmission ring in bytes.", unit="bytes"
)
ENGINE_CONNECTIONS = _env.whole(
    "ENGINE_CONNECTIONS", 1000, "Maximum number of TCP connections to the engine's sockets.", unit="connections"
)
ENGINE_UNACKNOWLEDGED_BYTES = _env.whole(
    "ENGINE_UNACKNOWLEDGED_BYTES",
    256 << 20,
    "Maximum number of sent bytes that wait in memory for one peer, because it does not read; for all peers together "
    "twice as many. Beyond it the engine closes connections.",
    unit="bytes",
)
ENGINE_READER_BYTES_A_SECOND = _env.whole(
    "ENGINE_READER_BYTES_A_SECOND",
    64 << 20,
    "Maximum rate of requested blocks and snapshots, for all readers together.",
    unit="bytes/s",
)
ENGINE_TOUCHED_ORDERS = _env.whole(
    "ENGINE_TOUCHED_ORDERS",
    1 << 16,
    "Maximum number of orders that commands may touch in a turn of the engine's loop. Senders who exceed it are served "
    "one after the other, after everybody else.",
    unit="orders",
)
ENGINE_SNAPSHOT_BLOCKS = _env.whole(
    "ENGINE_SNAPSHOT_BLOCKS", 10_000, "Number of blocks between snapshots; 0: no snapshots.", unit="blocks"
)
ENGINE_SNAPSHOTS_KEPT = _env.whole("ENGINE_SNAPSHOTS_KEPT", 3, "Number of snapshots to keep.", unit="snapshots")

KAFKA_BOOTSTRAP_SERVERS = _env.text(
    "KAFKA_BOOTSTRAP_SERVERS",
    "",
    "Brokers as HOST:PORT, separated by commas; required for `INPUT_LOG=kafka`.",
    read_by="engine, create_command_topic",
)
KAFKA_COMMAND_TOPIC = _env.text(
    "KAFKA_COMMAND_TOPIC", "exchange-commands", "Topic of the input log.", read_by="engine, create_command_topic"
)
KAFKA_OPTIONS = _env.table(
    "KAFKA_OPTIONS",
    {},
    "Connection options of librdkafka (TLS, SASL) as a JSON object; values are never logged.",
    read_by="engine, create_command_topic",
)
ENGINE_REPLICAS = _env.words(
    "ENGINE_REPLICAS",
    [],
    "Command addresses of all replicas that read the topic, including this one, separated by commas.",
    read_by="engine, settlement, gateway, web, worker, client commands",
)

# --- settlement --------------------------------------------------------------------------------------------------

_env.group("Settlement", read_by="settlement")
SETTLEMENT_BATCH_TRADES = _env.whole(
    "SETTLEMENT_BATCH_TRADES", 100, "Number of waiting trades that starts a projection.", unit="trades"
)
SETTLEMENT_BATCH_MS = _env.whole(
    "SETTLEMENT_BATCH_MS", 100, "Maximum time that a block waits for projection.", unit="ms"
)
SETTLEMENT_SPILL_BYTES = _env.whole(
    "SETTLEMENT_SPILL_BYTES",
    1024**3,
    "Capacity of the spill, which holds blocks on disk during an outage of the store.",
    unit="bytes",
)
SETTLEMENT_SNAPSHOT_BLOCKS = _env.whole(
    "SETTLEMENT_SNAPSHOT_BLOCKS",
    10_000,
    "Blocks between snapshots of settlement's own engine. A start re-executes at most about as many blocks.",
    unit="blocks",
)
SETTLEMENT_STORE_TIMEOUT_MS = _env.whole(
    "SETTLEMENT_STORE_TIMEOUT_MS",
    1000,
    "Timeout of settlement's requests to ScyllaDB or Cassandra, and of its waits for locks in a SQL database, before a "
    "retry. In PostgreSQL a statement may take ten times as long.",
    unit="ms",
)
SETTLEMENT_HTTP_ADDRESS = _env.text(
    "SETTLEMENT_HTTP_ADDRESS",
    "127.0.0.1:9702",
    "HOST:PORT of settlement's health and metrics.",
    read_by="settlement, run_exchange",
)

# --- gateway -----------------------------------------------------------------------------------------------------

_env.group("Gateway", read_by="gateway")
GATEWAY_ADDRESS = _env.text(
    "GATEWAY_ADDRESS", "127.0.0.1:8080", "HOST:PORT of the traders' API.", read_by="gateway, run_exchange"
)
GATEWAY_HTTP_ADDRESS = _env.text(
    "GATEWAY_HTTP_ADDRESS",
    "127.0.0.1:9703",
    "HOST:PORT of the gateway's health and metrics.",
    read_by="gateway, run_exchange",
)
GATEWAY_CERTIFICATE_FILE = _env.text(
    "GATEWAY_CERTIFICATE_FILE", "", "Certificate with its chain (PEM). Set: the API speaks TLS only."
)
GATEWAY_CERTIFICATE_KEY_FILE = _env.text(
    "GATEWAY_CERTIFICATE_KEY_FILE", "", "Private key of the certificate (PEM, without a password)."
)
GATEWAY_TRUSTED_PROXIES = _env.words(
    "GATEWAY_TRUSTED_PROXIES",
    [],
    "Addresses of proxies, separated by commas. A client's address is then what `X-Forwarded-For` of a proxy says.",
)
API_KEYS_SECRET = _env.text(
    "API_KEYS_SECRET",
    "",
    "Encrypts the secrets of API keys and second factors in the database: at least 32 random characters. With another "
    "value the secrets that are stored cannot be read any more.",
    read_by="gateway, web, create_api_key",
    shown="`SECRET_KEY`",
)
GATEWAY_MARKET_PAGE = _env.flag(
    "GATEWAY_MARKET_PAGE", True, "The public page of each market, such as `/market/BTC-USD`, without a login."
)
GATEWAY_CONNECTIONS = _env.whole(
    "GATEWAY_CONNECTIONS", 10_000, "Maximum number of open HTTP connections.", unit="connections"
)
GATEWAY_STOP_NOTICE_MS = _env.whole(
    "GATEWAY_STOP_NOTICE_MS",
    1000,
    "Time between the event `serverShutdown`, which WebSocket clients get before a stop, and the stop.",
    unit="ms",
)
GATEWAY_WEIGHT_A_MINUTE = _env.whole(
    "GATEWAY_WEIGHT_A_MINUTE", 6000, "Maximum weight of the requests of one address in a minute.", unit="weight"
)
GATEWAY_ORDERS_10_SECONDS = _env.whole(
    "GATEWAY_ORDERS_10_SECONDS", 100, "Maximum number of unfilled orders of an account in 10 s.", unit="orders"
)
GATEWAY_ORDERS_A_DAY = _env.whole(
    "GATEWAY_ORDERS_A_DAY", 200_000, "Maximum number of unfilled orders of an account in a day.", unit="orders"
)
GATEWAY_REDIS_URL = _env.text(
    "GATEWAY_REDIS_URL",
    "",
    "Redis through which several gateways share these limits: `redis://`, `rediss://` or `unix://`; not set: each "
    "counts for itself.",
)
GATEWAY_TRADES_KEPT = _env.whole(
    "GATEWAY_TRADES_KEPT", 10_000, "Number of trades of each instrument that are kept in memory.", unit="trades"
)
GATEWAY_CANDLES_KEPT = _env.whole(
    "GATEWAY_CANDLES_KEPT",
    20_000,
    "Number of seconds, minutes, hours and days with a trade that are kept in memory, of each instrument.",
    unit="candles",
)
GATEWAY_ORDERS_KEPT = _env.whole(
    "GATEWAY_ORDERS_KEPT",
    200_000,
    "Number of closed orders that are kept in memory; older ones are read from the store.",
    unit="orders",
)
GATEWAY_FILLS_KEPT = _env.whole(
    "GATEWAY_FILLS_KEPT",
    200_000,
    "Number of fills that are kept in memory; older ones are read from the store.",
    unit="fills",
)

# --- stores ------------------------------------------------------------------------------------------------------

_env.group("Stores", read_by="all; client commands if no engine answers")
SETTLEMENT_STORE = _env.text(
    "SETTLEMENT_STORE",
    "sql",
    "Store of blocks and projections: `sql` (the database of `DATABASE_URL`) or `scylla` (ScyllaDB or Cassandra).",
)
SETTLEMENT_SLOW_QUERY_MS = _env.whole(
    "SETTLEMENT_SLOW_QUERY_MS", 100, "Statements that take longer are logged as warnings.", unit="ms"
)
SCYLLA_HOSTS = _env.words("SCYLLA_HOSTS", ["127.0.0.1"], "Contact points, separated by commas.")
SCYLLA_PORT = _env.whole("SCYLLA_PORT", 9042, "Port of all hosts.")
SCYLLA_KEYSPACE = _env.text("SCYLLA_KEYSPACE", "exchange_settlement", "Keyspace of the store's tables.")
SCYLLA_REPLICATION = _env.table(
    "SCYLLA_REPLICATION",
    {"class": "SimpleStrategy", "replication_factor": 1},
    "Replication of the keyspace that `init_store` creates, as a JSON object.",
)
SCYLLA_USERNAME = _env.text("SCYLLA_USERNAME", "", "User name; not set: no authentication.")
SCYLLA_PASSWORD = _env.text("SCYLLA_PASSWORD", "", "Password of `SCYLLA_USERNAME`.")
SCYLLA_LOCAL_DC = _env.text("SCYLLA_LOCAL_DC", "", "Local data centre of the driver; not set: that of the first host.")
SCYLLA_CONSISTENCY = _env.text(
    "SCYLLA_CONSISTENCY", "LOCAL_QUORUM", "Consistency of reads and writes: `LOCAL_QUORUM`, `QUORUM` or `ALL`."
)
SCYLLA_TIMEOUT_MS = _env.whole(
    "SCYLLA_TIMEOUT_MS", 10_000, "Timeout of a request; settlement has `SETTLEMENT_STORE_TIMEOUT_MS`.", unit="ms"
)
SCYLLA_IN_FLIGHT = _env.whole("SCYLLA_IN_FLIGHT", 16, "Maximum number of concurrent requests.", unit="requests")

# --- database ----------------------------------------------------------------------------------------------------

_database = _env.database(
    "DATABASE_URL",
    {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DATA_DIR / "exchange.sqlite3")},
    "Database of users, alarms and reconciliations, and of the `sql` store: `sqlite:///FILE` or "
    "`postgres://USER:PASSWORD@HOST:PORT/NAME`.",
    shown="SQLite, `DATA_DIR/exchange.sqlite3`",
)
DATABASES = {"default": database.with_options(_database)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- archive -----------------------------------------------------------------------------------------------------

_env.group("Archive", read_by="archive commands, worker, beat")
ARCHIVE = _env.text(
    "ARCHIVE",
    "",
    "Where complete days are archived every night: an absolute folder or `s3://BUCKET/PREFIX`. Not set: "
    "`DATA_DIR/archive`, and only by command. Region, credentials and endpoint of S3 are in the variables of the AWS "
    "client: `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL_S3`.",
)
ARCHIVE_CATALOG = _env.text(
    "ARCHIVE_CATALOG",
    "",
    "Catalog of the archive's Iceberg tables: `sqlite:///FILE`, `postgres://USER:PASSWORD@HOST:PORT/NAME`, or the URL "
    "of a REST catalog.",
    shown="SQLite, `catalog.sqlite3` in the archive's folder; in `DATA_DIR/archive` if `ARCHIVE` is a bucket",
)
ARCHIVE_CATALOG_OPTIONS = _env.table(
    "ARCHIVE_CATALOG_OPTIONS",
    {},
    "Further options of pyiceberg's catalog, such as the credentials of a REST catalog, as a JSON object; values are "
    "never logged.",
)
ARCHIVE_HOUR = _env.whole("ARCHIVE_HOUR", 1, "Hour (UTC) of the nightly run.", unit="h", read_by="beat")
RETENTION_DAYS = _env.whole(
    "RETENTION_DAYS",
    0,
    "The nightly run also releases archived days that are more than this many days before the newest block. 0: the "
    "store keeps all days.",
    unit="days",
    read_by="worker",
)

# --- analytics ---------------------------------------------------------------------------------------------------

_env.group("Analytics", read_by="query_analytics, web")
ANALYTICS_SECONDS = _env.whole("ANALYTICS_SECONDS", 30, "Maximum time of a query; on a page at most 10 s.", unit="s")
ANALYTICS_MEMORY_MB = _env.whole(
    "ANALYTICS_MEMORY_MB", 512, "Maximum memory of DuckDB for a query, without the rows of the store.", unit="MB"
)
ANALYTICS_RECENT_ROWS = _env.whole(
    "ANALYTICS_RECENT_ROWS",
    2_000_000,
    "Maximum number of rows of a table that a query takes from the store, because they are not archived yet.",
    unit="rows",
)
STARROCKS_URL = _env.text(
    "STARROCKS_URL",
    "",
    "Front end and database of StarRocks, which `run_analytics` loads: `http://USER:PASSWORD@HOST:PORT/DATABASE`.",
    read_by="run_analytics",
)
STARROCKS_HOSTS = _env.words(
    "STARROCKS_HOSTS",
    [],
    "Hosts of StarRocks' back ends, as HOST or HOST:PORT, separated by commas. The front end redirects to them. Only "
    "they and the front end get the password.",
    read_by="run_analytics",
)
ANALYTICS_HTTP_ADDRESS = _env.text(
    "ANALYTICS_HTTP_ADDRESS",
    "127.0.0.1:9705",
    "HOST:PORT of the health and metrics of `run_analytics`.",
    read_by="run_analytics",
)

# --- web ---------------------------------------------------------------------------------------------------------

_env.group("Web and background work", read_by="web")
DEBUG = _env.flag("DEBUG", False, "Django's error pages with source text, for development only.")
# `make run` creates a key in DATA_DIR; with DEBUG each process creates its own. Otherwise it is empty: the web refuses
# to start, and commands that sign nothing run without it.
SECRET_KEY = (
    _env.text(
        "SECRET_KEY",
        "",
        "Key that signs sessions and forms: at least 32 random characters.",
        shown="contents of `DATA_DIR/secret-key`, created by `make run`",
    )
    or kept_secret(SECRET_KEY_FILE)
    or (get_random_secret_key() if DEBUG else "")
)
SECRET_KEY_IS_GIVEN = bool(SECRET_KEY)
WEB_ADDRESS = _env.text("WEB_ADDRESS", "127.0.0.1:8000", "HOST:PORT of the web server.", read_by="web, run_exchange")
WEB_THREADS = _env.whole(
    "WEB_THREADS",
    8,
    "Number of requests that are answered at a time, each in a thread with a database connection of its own; health "
    "and metrics have four more.",
    unit="threads",
)
WEB_CONNECTIONS = _env.whole(
    "WEB_CONNECTIONS",
    512,
    "Number of open connections; for one more, the server closes the one that has waited longest for its client.",
    unit="connections",
)
WEB_REQUEST_SECONDS = _env.whole(
    "WEB_REQUEST_SECONDS", 15, "Time in which a client must have sent a whole request.", unit="s"
)
WEB_RESPONSE_SECONDS = _env.whole(
    "WEB_RESPONSE_SECONDS", 60, "Time in which a client must have read a whole response.", unit="s"
)
WEB_HTTPS = _env.flag(
    "WEB_HTTPS",
    False,
    "Set if a proxy terminates TLS and sets `X-Forwarded-Proto`: cookies then need TLS, requests without TLS are "
    "redirected, except those for health and metrics, and browsers are told to use TLS only (HSTS).",
)
ALLOWED_HOSTS = _env.words(
    "ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"], "Host names of the site, separated by commas."
)
CSRF_TRUSTED_ORIGINS = _env.words(
    "CSRF_TRUSTED_ORIGINS", [], "Origins whose forms are accepted (`https://exchange.example`), separated by commas."
)

WEB_CLIENT_ADDRESS_HEADER = _env.text(
    "WEB_CLIENT_ADDRESS_HEADER",
    "",
    "Header in which the proxy names the client's address, such as `X-Forwarded-For` (its last address counts); set it "
    "only if every request comes through that proxy. Not set: the address of the connection.",
)
LOGIN_FAILURES = _env.whole(
    "LOGIN_FAILURES", 10, "Wrong passwords for an account from one address before this pair is locked.", unit="attempts"
)
LOGIN_LOCK_MINUTES = _env.whole("LOGIN_LOCK_MINUTES", 15, "How long such a pair is locked.", unit="minutes")
SESSION_IDLE_MINUTES = _env.whole(
    "SESSION_IDLE_MINUTES",
    30,
    "A login ends after this time without a request; an open overview, which refreshes itself, does not count.",
    unit="minutes",
)
SESSION_HOURS = _env.whole("SESSION_HOURS", 12, "A login ends after this time in any case.", unit="hours")
SECOND_FACTOR_ROLES = _env.words(
    "SECOND_FACTOR_ROLES",
    [],
    "Roles whose logins need a second factor, separated by commas, such as `finance,operator,approver,administrator`; "
    "`all`: every account. With one role named, superusers need it too.",
    read_by="web, run_actions",
)

_env.group("Notifications of alarms", read_by="web")
ALARM_EMAILS = _env.words(
    "ALARM_EMAILS", [], "Addresses that get alarms by e-mail, separated by commas; needs `EMAIL_URL`."
)
EMAIL_URL = _env.email(
    "EMAIL_URL",
    "Mail server: `smtp://USER:PASSWORD@HOST:PORT` without TLS, `smtp+tls://…` with STARTTLS, `smtp+ssl://…` with TLS "
    "from the start.",
)
EMAIL_HOST, EMAIL_PORT = EMAIL_URL["EMAIL_HOST"], EMAIL_URL["EMAIL_PORT"]
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = EMAIL_URL["EMAIL_HOST_USER"], EMAIL_URL["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS, EMAIL_USE_SSL = EMAIL_URL["EMAIL_USE_TLS"], EMAIL_URL["EMAIL_USE_SSL"]
DEFAULT_FROM_EMAIL = _env.text("ALARM_EMAIL_FROM", "exchange@localhost", "Sender of these e-mails.")
ALARM_WEBHOOKS = _env.words(
    "ALARM_WEBHOOKS", [], "URLs that get alarms by a POST of JSON (docs/operations.md), separated by commas."
)
ALARM_WEBHOOK_SECRET = _env.text(
    "ALARM_WEBHOOK_SECRET", "", "Key of the signature that such a POST then carries (HMAC-SHA256)."
)
ALARM_NOTIFICATION_SEVERITY = _env.text(
    "ALARM_NOTIFICATION_SEVERITY",
    "warning",
    "Lowest severity that is sent: `warning` or `critical`.",
)

_env.group("Actions of operators", read_by="web, run_actions")
ACTIONS_HTTP_ADDRESS = _env.text(
    "ACTIONS_HTTP_ADDRESS",
    "127.0.0.1:9704",
    "HOST:PORT of health and metrics of the worker that carries out operators' actions.",
    read_by="run_actions, run_exchange",
)
TWO_PERSON_ACTIONS = _env.words(
    "TWO_PERSON_ACTIONS",
    [],
    "Further actions that need a second person's approval, separated by commas, such as `account_fees`; those that "
    "move money always do.",
    read_by="web, run_actions",
)

INSTALLED_APPS, MIDDLEWARE = django_parts.APPS, django_parts.MIDDLEWARE
ROOT_URLCONF = "exchange_site.urls"
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
AUTH_PASSWORD_VALIDATORS = django_parts.PASSWORD_VALIDATORS
AUTHENTICATION_BACKENDS = django_parts.AUTHENTICATION_BACKENDS
AXES_FAILURE_LIMIT = LOGIN_FAILURES
AXES_COOLOFF_TIME = timedelta(minutes=LOGIN_LOCK_MINUTES)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]  # with the name alone, anybody could lock operators out
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # further attempts do not prolong a lock
AXES_CLIENT_IP_CALLABLE = "back_office.access.logins.client_address"
AXES_LOCKOUT_CALLABLE = "back_office.access.logins.locked_page"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken"]
AXES_DISABLE_ACCESS_LOG = True  # back_office.access.logins logs the same as events
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
OTP_TOTP_ISSUER = "Exchange"  # what authenticator apps show
CSRF_FAILURE_VIEW = "back_office.invalid_requests.form_expired"
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"  # after a login without a target
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"  # the web collects static files when it starts
WHITENOISE_USE_FINDERS = True  # serves them also where they have not been collected
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "exchange_site.web.static_files.DigestStorage",
        "OPTIONS": {"directory_permissions_mode": 0o700},  # as all folders in DATA_DIR
    },
}

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = WEB_HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True  # no script of the pages reads them
SESSION_COOKIE_AGE = SESSION_HOURS * 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SECURE_REFERRER_POLICY = "same-origin"
if WEB_HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]  # asked from inside, without the proxy
# HSTS for subdomains and preloading: whether other sites of the domain have TLS is not known here.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

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
CELERY_BROKER_TRANSPORT_OPTIONS = background.redis_options() if REDIS_URL else background.folder_options(CELERY_FOLDER)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for its broker without a limit
# A task is acknowledged when it starts, not when it ends (acks_late): the schedule repeats a task of a dead worker
# anyway, and a task that kills its worker is not delivered to the next one.
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_IGNORE_RESULT = True  # tasks store their results in tables that pages read
CELERY_ACCEPT_CONTENT = ("json",)  # never pickle, which can execute code from a message
CELERY_BEAT_SCHEDULE_FILENAME = str(CELERY_FOLDER / "beat-schedule")
CELERY_BEAT_SCHEDULE = background.schedule(ARCHIVE_HOUR if ARCHIVE else None)
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# --- logs --------------------------------------------------------------------------------------------------------

_env.group("Logs", read_by="all")
LOG_FORMAT = _env.text("LOG_FORMAT", "keyvalue", "Format of log lines: `keyvalue` or `json`.")
LOG_LEVEL = _env.text("LOG_LEVEL", "INFO", "Lowest level that is logged: `DEBUG` to `CRITICAL`.").upper()
LOGGING = logs.settings(LOG_FORMAT, LOG_LEVEL if LOG_LEVEL in logs.LEVELS else "INFO")
PROGRAM_LOG_FOLDER = DATA_DIR / "logs"
PROGRAM_STATES_FILE = DATA_DIR / "programs.json"
LOG_FILE_BYTES = _env.whole(
    "LOG_FILE_BYTES",
    10 * 1024**2,
    "Size at which `make run` rotates a file in `DATA_DIR/logs`.",
    unit="bytes",
    read_by="run_exchange",
)
LOG_FILES_KEPT = _env.whole(
    "LOG_FILES_KEPT",
    3,
    "Number of rotated files that `make run` keeps for each program.",
    unit="files",
    read_by="run_exchange",
)
