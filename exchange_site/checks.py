"""Refuses settings that cannot work, before a process does anything with them.

Every check has an id and a hint. `manage.py`, the web and the background worker run them first (`startup.py`);
Django runs them again with each command, and `manage.py check` lists them.
"""

import os
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from exchange_site import logs
from exchange_site.addresses import AddressError, HostPort, parse_host_port, parse_zmq_endpoint
from matching.storage.disk import make_folder

SETTINGS = "exchange_settings"  # what every process needs
WEB = "exchange_web"  # what only a process that answers browsers needs

INPUT_LOGS = ("memory", "wal", "kafka")
STORES = ("sql", "scylla")
_OF_CHOICES = {"SETTLEMENT_STORE": " ScyllaDB and Apache Cassandra are both scylla: they speak one protocol."}
CONSISTENCIES = ("LOCAL_QUORUM", "QUORUM", "ALL")  # with less, what was written need not be read again
ZMQ_ADDRESSES = ("ENGINE_COMMAND_ADDRESS", "ENGINE_BLOCK_ADDRESS", "ENGINE_RETRANSMIT_ADDRESS")
HTTP_ADDRESSES = ("WEB_ADDRESS", "ENGINE_HTTP_ADDRESS", "SETTLEMENT_HTTP_ADDRESS")
POSITIVE = (
    "ENGINE_BLOCK_COMMANDS",
    "ENGINE_RING_BLOCKS",
    "ENGINE_RING_BYTES",
    "ENGINE_SNAPSHOTS_KEPT",
    "SETTLEMENT_BATCH_TRADES",
    "SETTLEMENT_BATCH_MS",
    "SETTLEMENT_SLOW_QUERY_MS",
    "SCYLLA_PORT",
    "SCYLLA_TIMEOUT_MS",
    "SCYLLA_IN_FLIGHT",
    "WEB_THREADS",
    "LOG_FILE_BYTES",
    "LOG_FILES_KEPT",
)
# What else the client can be told would change what the log promises.
KAFKA_CONNECTION = ("security.", "sasl.", "ssl.", "enable.ssl.", "socket.", "client.", "broker.address.", "reconnect.")
MOST_PORT = 65_535
SECRET_KEY_CHARACTERS = 32  # fewer could be guessed by a patient machine

Check = Callable[..., Sequence[CheckMessage]]


def _check(tag: str, *, deploy: bool = False) -> Callable[[Callable[[], list[CheckMessage]]], Check]:
    """Register a check that needs none of what Django hands it."""

    def register(check: Callable[[], list[CheckMessage]]) -> Check:
        def run(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> Sequence[CheckMessage]:
            return check()

        checks.register(run, tag, deploy=deploy)
        return run

    return register


@_check(SETTINGS)
def values_can_be_read() -> list[CheckMessage]:
    hint = "Correct the environment variable, or unset it for its default."
    return [Error(problem, hint=hint, id="exchange.E001") for problem in settings.SETTING_PROBLEMS]


@_check(SETTINGS)
def engine_addresses_are_safe() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for name in ZMQ_ADDRESSES:
        try:
            endpoint = parse_zmq_endpoint(getattr(settings, name))
        except AddressError as error:
            found.append(Error(f"{name}: {error}.", hint="For example tcp://127.0.0.1:5701.", id="exchange.E002"))
            continue
        if endpoint is not None and not endpoint.is_loopback:
            found.append(
                Error(
                    f"{name} leads off this machine ({endpoint.host}), where it would need keys (ZeroMQ CURVE).",
                    hint="There are none yet: use a loopback or ipc:// address, and a tunnel between machines.",
                    id="exchange.E003",
                )
            )
    return found


@_check(SETTINGS)
def replicas_are_addresses() -> list[CheckMessage]:
    if not settings.ENGINE_REPLICAS:
        return []
    found: list[CheckMessage] = []
    if settings.INPUT_LOG != "kafka":
        hint = "Set INPUT_LOG=kafka, or unset ENGINE_REPLICAS: a follower is found through its leader."
        found.append(Error("ENGINE_REPLICAS is set, and INPUT_LOG is not kafka.", hint=hint, id="exchange.E014"))
    for text in settings.ENGINE_REPLICAS:
        try:
            endpoint = parse_zmq_endpoint(text)
        except AddressError as error:
            found.append(Error(f"ENGINE_REPLICAS: {error}.", hint="Command addresses.", id="exchange.E014"))
            continue
        if endpoint is not None and not endpoint.is_loopback:
            hint = "There are no keys yet: use a loopback or ipc:// address, and a tunnel between machines."
            found.append(Error(f"ENGINE_REPLICAS: {text} leads off this machine.", hint=hint, id="exchange.E014"))
    return found


@_check(SETTINGS)
def http_addresses_have_their_form() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for name in HTTP_ADDRESSES:
        try:
            address = parse_host_port(getattr(settings, name))
        except AddressError as error:
            found.append(Error(f"{name}: {error}.", hint="Give a host and a port.", id="exchange.E004"))
            continue
        if name != "WEB_ADDRESS" and not address.is_loopback:
            found.append(
                Warning(
                    f"{name} shows health and metrics to the network, without a login.",
                    hint="Use a loopback address, or let a firewall decide who may ask.",
                    id="exchange.W001",
                )
            )
    return found


@_check(SETTINGS)
def addresses_differ() -> list[CheckMessage]:
    seen: dict[HostPort, str] = {}
    found: list[CheckMessage] = []
    for name in (*ZMQ_ADDRESSES, *HTTP_ADDRESSES):
        parse = parse_zmq_endpoint if name in ZMQ_ADDRESSES else parse_host_port
        try:
            address = parse(getattr(settings, name))
        except AddressError:  # said by the checks above
            continue
        if address in seen:
            text = f"{name} and {seen[address]} are the same address, {getattr(settings, name)}."
            found.append(Error(text, hint="Give each its own port.", id="exchange.E005"))
        elif address is not None:
            seen[address] = name
    return found


@_check(SETTINGS)
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
            f"{name} is {getattr(settings, name)!r}.",
            hint=f"It can be {', '.join(known[:-1])} or {known[-1]}.{_OF_CHOICES.get(name, '')}",
            id="exchange.E006",
        )
        for name, known in choices.items()
        if getattr(settings, name) not in known
    ]


@_check(SETTINGS)
def input_log_is_one_thing() -> list[CheckMessage]:
    if settings.INPUT_LOG not in INPUT_LOGS or settings.ENABLE_LOCAL_WAL is (settings.INPUT_LOG == "wal"):
        return []
    text = f"INPUT_LOG={settings.INPUT_LOG} and ENABLE_LOCAL_WAL={str(settings.ENABLE_LOCAL_WAL).lower()} contradict."
    return [Error(text, hint="Set one of them only.", id="exchange.E007")]


@_check(SETTINGS)
def numbers_are_positive() -> list[CheckMessage]:
    return [
        Error(f"{name} is {getattr(settings, name)}.", hint="It has to be 1 or more.", id="exchange.E008")
        for name in POSITIVE
        if getattr(settings, name) < 1
    ]


@_check(SETTINGS)
def numbers_are_not_negative() -> list[CheckMessage]:
    return [
        Error(f"{name} is {getattr(settings, name)}.", hint="It has to be 0 or more.", id="exchange.E008")
        for name in ("ENGINE_SNAPSHOT_BLOCKS",)
        if getattr(settings, name) < 0
    ]


@_check(SETTINGS)
def ports_can_be() -> list[CheckMessage]:
    """Those of ZMQ_ADDRESSES and HTTP_ADDRESSES are judged with their form. A URL is not told: it may hold secrets."""
    found: list[CheckMessage] = []
    if settings.SCYLLA_PORT > MOST_PORT:
        hint = f"It has to be 1 to {MOST_PORT}."
        found.append(Error(f"SCYLLA_PORT is {settings.SCYLLA_PORT}.", hint=hint, id="exchange.E008"))
    hint = f"A port is a number from 1 to {MOST_PORT}."
    if not _has_possible_port(settings.REDIS_URL):
        found.append(Error("REDIS_URL names a port that cannot be.", hint=hint, id="exchange.E009"))
    for server in settings.KAFKA_BOOTSTRAP_SERVERS.split(","):
        if not _has_possible_port(f"//{server.rpartition('://')[2].strip()}"):
            text = f"KAFKA_BOOTSTRAP_SERVERS: {server.strip()} names a port that cannot be."
            found.append(Error(text, hint=hint, id="exchange.E009"))
    return found


def _has_possible_port(url: str) -> bool:
    """Whether its port, where it names one, is one."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


@_check(SETTINGS)
def servers_are_named() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.INPUT_LOG == "kafka" and not settings.KAFKA_BOOTSTRAP_SERVERS:
        hint = "Name at least one HOST:PORT."
        found.append(Error("INPUT_LOG=kafka needs KAFKA_BOOTSTRAP_SERVERS.", hint=hint, id="exchange.E009"))
    if settings.INPUT_LOG == "kafka" and not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", settings.KAFKA_COMMAND_TOPIC):
        hint = "Letters, digits, dots, underscores and hyphens, 249 characters at most."
        found.append(Error("KAFKA_COMMAND_TOPIC cannot be the name of a topic.", hint=hint, id="exchange.E009"))
    if settings.REDIS_URL and not settings.REDIS_URL.startswith(("redis://", "rediss://", "unix://")):
        hint = "Unset it to use the embedded broker."
        found.append(Error("REDIS_URL must begin with redis://, rediss:// or unix://.", hint=hint, id="exchange.E009"))
    if not re.fullmatch(r"[A-Za-z]\w{0,47}", settings.SCYLLA_KEYSPACE, re.ASCII):
        hint = "A letter, then letters, digits and underscores, 48 characters at most."
        found.append(Error("SCYLLA_KEYSPACE cannot be the name of a keyspace.", hint=hint, id="exchange.E009"))
    if not settings.SCYLLA_HOSTS:
        hint = "Name at least one host."
        found.append(Error("SCYLLA_HOSTS names no host.", hint=hint, id="exchange.E009"))
    if bool(settings.SCYLLA_USERNAME) is not bool(settings.SCYLLA_PASSWORD):
        hint = "Set both, or none of them."
        found.append(Error("SCYLLA_USERNAME and SCYLLA_PASSWORD belong together.", hint=hint, id="exchange.E009"))
    if "class" not in settings.SCYLLA_REPLICATION:
        hint = 'For example {"class": "NetworkTopologyStrategy", "dc1": 3}.'
        found.append(Error("SCYLLA_REPLICATION names no class.", hint=hint, id="exchange.E009"))
    return found


@_check(SETTINGS)
def kafka_options_are_of_the_connection() -> list[CheckMessage]:
    """Values are not told: some are secrets."""
    found: list[CheckMessage] = []
    for name, value in settings.KAFKA_OPTIONS.items():
        if not name.startswith(KAFKA_CONNECTION):
            hint = f"Options that begin with {', '.join(KAFKA_CONNECTION)}; the rest is the engine's."
            found.append(Error(f"KAFKA_OPTIONS names {name}.", hint=hint, id="exchange.E015"))
        elif not isinstance(value, str | int):
            hint = 'For example {"security.protocol": "SASL_SSL"}.'
            found.append(Error(f"KAFKA_OPTIONS: {name} is no text or number.", hint=hint, id="exchange.E015"))
    return found


@_check(SETTINGS)
def data_folder_can_be_used() -> list[CheckMessage]:
    """Makes the folder too: whoever opens the SQLite file next needs it to be there."""
    folder = settings.DATA_DIR
    hint = "Name a folder that this account may write to in DATA_DIR."
    try:
        make_folder(folder)
    except OSError as error:
        return [Error(f"DATA_DIR {folder} cannot be made: {error.strerror}.", hint=hint, id="exchange.E010")]
    if not os.access(folder, os.W_OK | os.X_OK):
        return [Error(f"DATA_DIR {folder} cannot be written to.", hint=hint, id="exchange.E010")]
    return []


@_check(WEB, deploy=True)
def secret_key_is_there() -> list[CheckMessage]:
    hint = f"Give {SECRET_KEY_CHARACTERS} random characters or more; `make run` makes its own key."
    try:
        length = len(settings.SECRET_KEY)
    except ImproperlyConfigured:  # how Django says that it is empty
        return [Error("SECRET_KEY is not set.", hint=hint, id="exchange.E011")]
    if length < SECRET_KEY_CHARACTERS:
        return [Error(f"SECRET_KEY has {length} characters.", hint=hint, id="exchange.E011")]
    return []
