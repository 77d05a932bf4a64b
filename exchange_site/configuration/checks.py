"""System checks of the settings: invalid settings are refused before a process uses them.

Every problem has an id and a hint. `manage.py`, the web and the background worker run the checks first (`startup.py`),
and `manage.py check` lists the problems.
"""

import os
import re
from pathlib import Path

from django.conf import settings
from django.core.checks import CheckMessage, Error

from archive.days import MAX_DAYS
from archive.errors import ArchiveMisconfigured
from archive.iceberg.location import location_of
from exchange_site import logs
from exchange_site.checkpoints.place_names import PlaceInvalid, place_names
from exchange_site.configuration import folders
from exchange_site.configuration.check_tags import FOLDER, SETTINGS, checked
from matching.storage.disk import make_folder

INPUT_LOGS = ("memory", "wal", "kafka")
STORES = ("sql", "scylla")
_OF_CHOICES = {"SETTLEMENT_STORE": " Use scylla for Apache Cassandra too: both have the same protocol."}
CATALOGS = ("sqlite:///", "postgres://", "postgresql://", "http://", "https://")
CONSISTENCIES = ("LOCAL_QUORUM", "QUORUM", "ALL")  # with a lower level, a read might miss an earlier write
POSITIVE = (
    "ENGINE_BLOCK_COMMANDS",
    "ENGINE_RING_BLOCKS",
    "ENGINE_RING_BYTES",
    "ENGINE_SNAPSHOTS_KEPT",
    "ENGINE_CONNECTIONS",
    "ENGINE_UNACKNOWLEDGED_BYTES",
    "ENGINE_READER_BYTES_A_SECOND",
    "ENGINE_TOUCHED_ORDERS",
    "CHECKPOINT_BLOCKS",
    "CHECKPOINT_SECONDS",
    "ANALYTICS_SECONDS",
    "ANALYTICS_MEMORY_MB",
    "ANALYTICS_RECENT_ROWS",
    "SETTLEMENT_BATCH_TRADES",
    "SETTLEMENT_BATCH_MS",
    "SETTLEMENT_SLOW_QUERY_MS",
    "SETTLEMENT_SNAPSHOT_BLOCKS",
    "SCYLLA_PORT",
    "SCYLLA_TIMEOUT_MS",
    "SCYLLA_IN_FLIGHT",
    "GATEWAY_CONNECTIONS",
    "GATEWAY_WEIGHT_A_MINUTE",
    "GATEWAY_ORDERS_10_SECONDS",
    "GATEWAY_ORDERS_A_DAY",
    "GATEWAY_TRADES_KEPT",
    "GATEWAY_CANDLES_KEPT",
    "GATEWAY_ORDERS_KEPT",
    "GATEWAY_FILLS_KEPT",
    "WEB_THREADS",
    "WEB_CONNECTIONS",
    "WEB_REQUEST_SECONDS",
    "WEB_RESPONSE_SECONDS",
    "LOGIN_FAILURES",
    "LOGIN_LOCK_MINUTES",
    "SESSION_IDLE_MINUTES",
    "SESSION_HOURS",
    "LOG_FILE_BYTES",
    "LOG_FILES_KEPT",
)
# Other options of the client would change the guarantees of the log.
KAFKA_CONNECTION = ("security.", "sasl.", "ssl.", "enable.ssl.", "socket.", "client.", "broker.address.", "reconnect.")


@checked(SETTINGS)
def values_can_be_read() -> list[CheckMessage]:
    hint = "Correct the environment variable, or unset it for its default."
    return [Error(problem, hint=hint, id="exchange.E001") for problem in settings.SETTING_PROBLEMS]


@checked(SETTINGS)
def choices_are_known() -> list[CheckMessage]:
    choices = {
        "INPUT_LOG": INPUT_LOGS,
        "SETTLEMENT_STORE": STORES,
        "SCYLLA_CONSISTENCY": CONSISTENCIES,
        "LOG_FORMAT": logs.FORMATS,
        "LOG_LEVEL": logs.LEVELS,
    }
    return [
        Error(
            f"{name} has the unknown value {getattr(settings, name)!r}.",
            hint=f"Use {', '.join(known[:-1])} or {known[-1]}.{_OF_CHOICES.get(name, '')}",
            id="exchange.E006",
        )
        for name, known in choices.items()
        if getattr(settings, name) not in known
    ]


@checked(SETTINGS)
def input_log_settings_agree() -> list[CheckMessage]:
    if settings.INPUT_LOG not in INPUT_LOGS or settings.ENABLE_LOCAL_WAL is (settings.INPUT_LOG == "wal"):
        return []
    text = f"INPUT_LOG={settings.INPUT_LOG} and ENABLE_LOCAL_WAL={str(settings.ENABLE_LOCAL_WAL).lower()} contradict."
    return [Error(text, hint="Set one of them only.", id="exchange.E007")]


@checked(SETTINGS)
def numbers_are_positive() -> list[CheckMessage]:
    return [
        Error(f"{name} is {getattr(settings, name)}.", hint="It must be 1 or more.", id="exchange.E008")
        for name in POSITIVE
        if getattr(settings, name) < 1
    ]


@checked(SETTINGS)
def numbers_are_not_negative() -> list[CheckMessage]:
    return [
        Error(f"{name} is {getattr(settings, name)}.", hint="It must be 0 or more.", id="exchange.E008")
        for name in ("ENGINE_SNAPSHOT_BLOCKS",)
        if getattr(settings, name) < 0
    ]


@checked(SETTINGS)
def servers_are_given() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.INPUT_LOG == "kafka" and not settings.KAFKA_BOOTSTRAP_SERVERS:
        hint = "Name at least one HOST:PORT."
        found.append(Error("INPUT_LOG=kafka needs KAFKA_BOOTSTRAP_SERVERS.", hint=hint, id="exchange.E009"))
    if settings.INPUT_LOG == "kafka" and not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", settings.KAFKA_COMMAND_TOPIC):
        hint = "Use letters, digits, dots, underscores and hyphens, at most 249 characters."
        found.append(Error("KAFKA_COMMAND_TOPIC is not a valid topic name.", hint=hint, id="exchange.E009"))
    if settings.REDIS_URL and not settings.REDIS_URL.startswith(("redis://", "rediss://", "unix://")):
        hint = "Unset it to use the embedded broker."
        found.append(Error("REDIS_URL must begin with redis://, rediss:// or unix://.", hint=hint, id="exchange.E009"))
    if not re.fullmatch(r"[A-Za-z]\w{0,47}", settings.SCYLLA_KEYSPACE, re.ASCII):
        hint = "Use a letter, then letters, digits and underscores, at most 48 characters."
        found.append(Error("SCYLLA_KEYSPACE is not a valid keyspace name.", hint=hint, id="exchange.E009"))
    if not settings.SCYLLA_HOSTS:
        hint = "Name at least one host."
        found.append(Error("SCYLLA_HOSTS is empty.", hint=hint, id="exchange.E009"))
    if bool(settings.SCYLLA_USERNAME) is not bool(settings.SCYLLA_PASSWORD):
        hint = "Set both or neither."
        found.append(Error("Only one of SCYLLA_USERNAME and SCYLLA_PASSWORD is set.", hint=hint, id="exchange.E009"))
    if "class" not in settings.SCYLLA_REPLICATION:
        hint = 'For example {"class": "NetworkTopologyStrategy", "dc1": 3}.'
        found.append(Error("SCYLLA_REPLICATION has no class.", hint=hint, id="exchange.E009"))
    return found


@checked(SETTINGS)
def kafka_options_are_allowed() -> list[CheckMessage]:
    """Values are not shown: some are secrets."""
    found: list[CheckMessage] = []
    for name, value in settings.KAFKA_OPTIONS.items():
        if not name.startswith(KAFKA_CONNECTION):
            hint = f"Only options that begin with {', '.join(KAFKA_CONNECTION)} can be set."
            found.append(Error(f"KAFKA_OPTIONS cannot set {name}.", hint=hint, id="exchange.E015"))
        elif not isinstance(value, str | int):
            hint = 'For example {"security.protocol": "SASL_SSL"}.'
            found.append(Error(f"KAFKA_OPTIONS: {name} is not a string or number.", hint=hint, id="exchange.E015"))
    return found


@checked(SETTINGS)
def certificate_of_the_gateway_has_a_key() -> list[CheckMessage]:
    certificate, key = settings.GATEWAY_CERTIFICATE_FILE, settings.GATEWAY_CERTIFICATE_KEY_FILE
    if bool(certificate) is not bool(key):
        text = "Only one of GATEWAY_CERTIFICATE_FILE and GATEWAY_CERTIFICATE_KEY_FILE is set."
        return [Error(text, hint="Set both or neither.", id="exchange.E025")]
    return [
        Error(f"{file} cannot be read.", hint="Name a PEM file that this account can read.", id="exchange.E025")
        for file in (certificate, key)
        if file and not os.access(file, os.R_OK)
    ]


@checked(FOLDER)
def data_folder_can_be_used() -> list[CheckMessage]:
    """Also creates the folder, which opening the SQLite file requires."""
    folder = settings.DATA_DIR
    hint = "Set DATA_DIR to a folder that this account can write to."
    try:
        make_folder(folder)
    except OSError as error:
        return [Error(f"DATA_DIR {folder} cannot be created: {error.strerror}.", hint=hint, id="exchange.E010")]
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return [Error(f"DATA_DIR {folder} is not writable.", hint=hint, id="exchange.E010")]
    return _access_of_others(folder)


def _access_of_others(folder: Path) -> list[CheckMessage]:
    """The default DATA_DIR is in the project's own folder, so its mode is corrected; others belong to the operator."""
    if folder == settings.DEFAULT_DATA_DIR:
        folders.make_private(folder)
    problem = folders.problem_of(folder)
    if problem is None:
        return []
    return [Error(problem.text, hint=f"{problem.advice}: {problem.command}", id="exchange.E020")]


@checked(SETTINGS)
def places_of_checkpoints_have_a_known_form() -> list[CheckMessage]:
    try:
        place_names(settings.CHECKPOINT_PLACES)
    except PlaceInvalid as error:
        hint = "For example /mnt/evidence/checkpoints or https://audit.example/checkpoints."
        return [Error(f"CHECKPOINT_PLACES: {error}", hint=hint, id="exchange.E024")]
    return []


@checked(SETTINGS)
def archive_can_be_opened() -> list[CheckMessage]:
    """Values are not shown: the catalog's URL may have a password."""
    found: list[CheckMessage] = []
    if settings.ARCHIVE:
        try:
            location_of(settings.ARCHIVE)
        except ArchiveMisconfigured as error:
            hint = "For example /srv/archive or s3://exchange-archive/settlement."
            found.append(Error(str(error), hint=hint, id="exchange.E027"))
    if settings.ARCHIVE_CATALOG and not settings.ARCHIVE_CATALOG.startswith(CATALOGS):
        hint = f"Its URL begins with one of {', '.join(CATALOGS)}."
        found.append(Error("ARCHIVE_CATALOG is not the URL of a catalog.", hint=hint, id="exchange.E027"))
    if not 0 <= settings.ARCHIVE_HOUR <= 23:
        hint = "Give an hour from 0 to 23."
        found.append(Error(f"ARCHIVE_HOUR is {settings.ARCHIVE_HOUR}.", hint=hint, id="exchange.E027"))
    if not 0 <= settings.RETENTION_DAYS <= MAX_DAYS:
        hint = f"Give a number of days from 1 to {MAX_DAYS}, or 0 to keep all."
        found.append(Error(f"RETENTION_DAYS is {settings.RETENTION_DAYS}.", hint=hint, id="exchange.E027"))
    return found
