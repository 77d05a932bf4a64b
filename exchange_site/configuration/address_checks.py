"""System checks of the settings that are addresses: of sockets, HTTP servers, replicas, brokers."""

from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from exchange_site.configuration.addresses import AddressError, HostPort, parse_host_port, parse_zmq_endpoint
from exchange_site.configuration.check_tags import SETTINGS, checked

ZMQ_ADDRESSES = ("ENGINE_COMMAND_ADDRESS", "ENGINE_BLOCK_ADDRESS", "ENGINE_RETRANSMIT_ADDRESS")
HTTP_ADDRESSES = (
    "WEB_ADDRESS",
    "GATEWAY_ADDRESS",
    "ENGINE_HTTP_ADDRESS",
    "SETTLEMENT_HTTP_ADDRESS",
    "GATEWAY_HTTP_ADDRESS",
    "ANALYTICS_HTTP_ADDRESS",
    "ACTIONS_HTTP_ADDRESS",
)
PUBLIC_ADDRESSES = ("WEB_ADDRESS", "GATEWAY_ADDRESS")
MAX_PORT = 65_535


@checked(SETTINGS)
def engine_addresses_are_safe() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for name in ZMQ_ADDRESSES:
        address, hint = getattr(settings, name), "For example tcp://127.0.0.1:5701."
        found += _socket_problems(name, address, hint=hint, invalid="exchange.E002", exposed="exchange.E003")
    return found


@checked(SETTINGS)
def replica_addresses_are_safe() -> list[CheckMessage]:
    if not settings.ENGINE_REPLICAS:
        return []
    found: list[CheckMessage] = []
    if settings.INPUT_LOG != "kafka":
        hint = "Set INPUT_LOG=kafka, or unset ENGINE_REPLICAS: followers are found through their leader."
        found.append(Error("ENGINE_REPLICAS is set, but INPUT_LOG is not kafka.", hint=hint, id="exchange.E014"))
    for address in settings.ENGINE_REPLICAS:
        hint = "List the command addresses of the replicas."
        found += _socket_problems(
            "ENGINE_REPLICAS", address, hint=hint, invalid="exchange.E014", exposed="exchange.E014"
        )
    return found


def _socket_problems(name: str, address: str, *, hint: str, invalid: str, exposed: str) -> list[CheckMessage]:
    """Errors if the address in the setting `name` is not valid, or takes plain messages from other machines."""
    try:
        endpoint = parse_zmq_endpoint(address)
    except AddressError as error:
        return [Error(f"{name}: {error}.", hint=hint, id=invalid)]
    if not settings.PLAIN_SOCKETS or endpoint is None or endpoint.is_loopback:
        return []
    text = f"{name}: {address} is not local to this machine, and PLAIN_SOCKETS is true."
    return [Error(text, hint="Unset PLAIN_SOCKETS, or use loopback or ipc:// addresses.", id=exposed)]


@checked(SETTINGS)
def http_addresses_are_valid() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for name in HTTP_ADDRESSES:
        try:
            address = parse_host_port(getattr(settings, name))
        except AddressError as error:
            found.append(Error(f"{name}: {error}.", hint="Give a host and a port.", id="exchange.E004"))
            continue
        if name not in PUBLIC_ADDRESSES and not address.is_loopback:
            found.append(
                Warning(
                    f"{name} exposes health and metrics to the network without a login.",
                    hint="Use a loopback address, or restrict access with a firewall.",
                    id="exchange.W001",
                )
            )
    return found


@checked(SETTINGS)
def addresses_differ() -> list[CheckMessage]:
    seen: dict[HostPort, str] = {}
    found: list[CheckMessage] = []
    for name in (*ZMQ_ADDRESSES, *HTTP_ADDRESSES):
        parse = parse_zmq_endpoint if name in ZMQ_ADDRESSES else parse_host_port
        try:
            address = parse(getattr(settings, name))
        except AddressError:  # reported by the checks above
            continue
        if address in seen:
            text = f"{name} and {seen[address]} are the same address: {getattr(settings, name)}."
            found.append(Error(text, hint="Use a different port for each.", id="exchange.E005"))
        elif address is not None:
            seen[address] = name
    return found


@checked(SETTINGS)
def ports_are_valid() -> list[CheckMessage]:
    """Ports outside ZMQ_ADDRESSES and HTTP_ADDRESSES. URLs are not shown: they may contain secrets."""
    found: list[CheckMessage] = []
    if settings.SCYLLA_PORT > MAX_PORT:
        hint = f"It must be 1 to {MAX_PORT}."
        found.append(Error(f"SCYLLA_PORT is {settings.SCYLLA_PORT}.", hint=hint, id="exchange.E008"))
    hint = f"A port is a number from 1 to {MAX_PORT}."
    if not _has_valid_port(settings.REDIS_URL):
        found.append(Error("REDIS_URL has an invalid port.", hint=hint, id="exchange.E009"))
    for server in settings.KAFKA_BOOTSTRAP_SERVERS.split(","):
        if not _has_valid_port(f"//{server.rpartition('://')[2].strip()}"):
            text = f"KAFKA_BOOTSTRAP_SERVERS: {server.strip()} has an invalid port."
            found.append(Error(text, hint=hint, id="exchange.E009"))
    return found


def _has_valid_port(url: str) -> bool:
    """Whether the URL has a valid port, or none."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False
