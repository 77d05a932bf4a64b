"""Settings of the web, its logins, and notifications."""

from django.core.management.utils import get_random_secret_key

from exchange_site.configuration.environment import kept_secret
from exchange_site.settings.programs import SECRET_KEY_FILE
from exchange_site.settings.variables import env

env.group("Web and background work", read_by="web")
DEBUG = env.flag("DEBUG", False, "Django's error pages with source text, for development only.")
# `make run` creates a key in DATA_DIR; with DEBUG each process creates its own. Otherwise it is empty: the web refuses
# to start, and commands that sign nothing run without it.
SECRET_KEY = (
    env.text(
        "SECRET_KEY",
        "",
        "Key that signs sessions and forms: at least 32 random characters.",
        shown="contents of `DATA_DIR/secret-key`, created by `make run`",
    )
    or kept_secret(SECRET_KEY_FILE)
    or (get_random_secret_key() if DEBUG else "")
)
SECRET_KEY_IS_GIVEN = bool(SECRET_KEY)
WEB_ADDRESS = env.text("WEB_ADDRESS", "127.0.0.1:8000", "HOST:PORT of the web server.", read_by="web, run_exchange")
WEB_THREADS = env.whole(
    "WEB_THREADS",
    8,
    "Number of requests that are answered at a time, each in a thread with a database connection of its own; health "
    "and metrics have four more.",
    unit="threads",
)
WEB_CONNECTIONS = env.whole(
    "WEB_CONNECTIONS",
    512,
    "Number of open connections; for one more, the server closes the one that has waited longest for its client.",
    unit="connections",
)
WEB_REQUEST_SECONDS = env.whole(
    "WEB_REQUEST_SECONDS", 15, "Time in which a client must have sent a whole request.", unit="s"
)
WEB_RESPONSE_SECONDS = env.whole(
    "WEB_RESPONSE_SECONDS", 60, "Time in which a client must have read a whole response.", unit="s"
)
WEB_HTTPS = env.flag(
    "WEB_HTTPS",
    False,
    "Set if a proxy terminates TLS and sets `X-Forwarded-Proto`: cookies then need TLS, requests without TLS are "
    "redirected, except those for health and metrics, and browsers are told to use TLS only (HSTS).",
)
ALLOWED_HOSTS = env.words(
    "ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"], "Host names of the site, separated by commas."
)
CSRF_TRUSTED_ORIGINS = env.words(
    "CSRF_TRUSTED_ORIGINS", [], "Origins whose forms are accepted (`https://exchange.example`), separated by commas."
)

WEB_CLIENT_ADDRESS_HEADER = env.text(
    "WEB_CLIENT_ADDRESS_HEADER",
    "",
    "Header in which the proxy names the client's address, such as `X-Forwarded-For` (its last address counts); set it "
    "only if every request comes through that proxy. Not set: the address of the connection.",
)
LOGIN_FAILURES = env.whole(
    "LOGIN_FAILURES", 10, "Wrong passwords for an account from one address before this pair is locked.", unit="attempts"
)
LOGIN_LOCK_MINUTES = env.whole("LOGIN_LOCK_MINUTES", 15, "How long such a pair is locked.", unit="minutes")
SESSION_IDLE_MINUTES = env.whole(
    "SESSION_IDLE_MINUTES",
    30,
    "A login ends after this time without a request; an open overview, which refreshes itself, does not count.",
    unit="minutes",
)
SESSION_HOURS = env.whole("SESSION_HOURS", 12, "A login ends after this time in any case.", unit="hours")
SECOND_FACTOR_ROLES = env.words(
    "SECOND_FACTOR_ROLES",
    [],
    "Roles whose logins need a second factor, separated by commas, such as `finance,operator,approver,administrator`; "
    "`all`: every account. With one role named, superusers need it too.",
    read_by="web, run_actions",
)

env.group("Notifications of alarms", read_by="web")
ALARM_EMAILS = env.words(
    "ALARM_EMAILS", [], "Addresses that get alarms by e-mail, separated by commas; needs `EMAIL_URL`."
)
EMAIL_URL = env.email(
    "EMAIL_URL",
    "Mail server: `smtp://USER:PASSWORD@HOST:PORT` without TLS, `smtp+tls://…` with STARTTLS, `smtp+ssl://…` with TLS "
    "from the start.",
)
EMAIL_HOST, EMAIL_PORT = EMAIL_URL["EMAIL_HOST"], EMAIL_URL["EMAIL_PORT"]
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = EMAIL_URL["EMAIL_HOST_USER"], EMAIL_URL["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS, EMAIL_USE_SSL = EMAIL_URL["EMAIL_USE_TLS"], EMAIL_URL["EMAIL_USE_SSL"]
DEFAULT_FROM_EMAIL = env.text("ALARM_EMAIL_FROM", "exchange@localhost", "Sender of these e-mails.")
ALARM_WEBHOOKS = env.words(
    "ALARM_WEBHOOKS", [], "URLs that get alarms by a POST of JSON (docs/operations.md), separated by commas."
)
ALARM_WEBHOOK_SECRET = env.text(
    "ALARM_WEBHOOK_SECRET", "", "Key of the signature that such a POST then carries (HMAC-SHA256)."
)
ALARM_NOTIFICATION_SEVERITY = env.text(
    "ALARM_NOTIFICATION_SEVERITY",
    "warning",
    "Lowest severity that is sent: `warning` or `critical`.",
)

env.group("Actions of operators", read_by="web, run_actions")
ACTIONS_HTTP_ADDRESS = env.text(
    "ACTIONS_HTTP_ADDRESS",
    "127.0.0.1:9704",
    "HOST:PORT of health and metrics of the worker that carries out operators' actions.",
    read_by="run_actions, run_exchange",
)
TWO_PERSON_ACTIONS = env.words(
    "TWO_PERSON_ACTIONS",
    [],
    "Further actions that need a second person's approval, separated by commas, such as `account_fees`; those that "
    "move money always do.",
    read_by="web, run_actions",
)
