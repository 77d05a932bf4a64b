"""Creates the gateway's edges from the site's settings."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from django.conf import settings

from exchange_site.configuration.addresses import AddressError, parse_host_port
from exchange_site.operations import health
from gateway.feed.finding import LeaderFinder
from gateway.keys.commandline import secret_cipher
from gateway.keys.key_ring import KeyRing
from gateway.limits.sharing import LimitSharing
from gateway.market.exchange_info import RateLimits
from gateway.model.history import StoreHistory
from gateway.model.state import Bounds
from gateway.orders.entry import OrderEntry
from gateway.process import Parts, Services
from gateway.server.certificate import Certificate
from gateway.server.forwarding import TrustedProxies
from gateway.server.http import Listening
from matching.commandline.engine_addresses import replicas
from matching.commandline.own_keys import KeyName, NetworkMaker, network_of
from matching.feed.reader import Feed
from matching.transport.key_register import KeyRole
from settlement import wiring as settlement_wiring

GATEWAY_KEY = KeyName(KeyRole.GATEWAY)
_ANSWER_S = 2.0
_HISTORY_THREADS = 4


def keys() -> KeyRing:
    """The API keys; not loaded yet. Raises BadKey."""
    return KeyRing(secret_cipher())


def services(keys: KeyRing) -> Services:
    """Raises CertificateUnusable, CannotRun, KeysUnusable, AddressUnusable, AddressError, StoreError."""
    certificate = _certificate()
    make_network = network_of(GATEWAY_KEY)
    store = settlement_wiring.store()
    store.connect()
    where = parse_host_port(settings.GATEWAY_ADDRESS)
    return Services(
        address=settings.ENGINE_COMMAND_ADDRESS,
        connect=lambda address: _connect(address, make_network),
        find_leader=LeaderFinder(replicas(), make_network, settlement_wiring.newest_epoch),
        history=StoreHistory(store, ThreadPoolExecutor(_HISTORY_THREADS, "history")),
        keys=keys,
        entry=OrderEntry(replicas(), make_network),
        bounds=Bounds(
            trades=settings.GATEWAY_TRADES_KEPT,
            candles=settings.GATEWAY_CANDLES_KEPT,
            closed_orders=settings.GATEWAY_ORDERS_KEPT,
            fills=settings.GATEWAY_FILLS_KEPT,
        ),
        limits=RateLimits(
            weight_per_minute=settings.GATEWAY_WEIGHT_A_MINUTE,
            orders_per_10_seconds=settings.GATEWAY_ORDERS_10_SECONDS,
            orders_per_day=settings.GATEWAY_ORDERS_A_DAY,
        ),
        proxies=_proxies(),
        stop_notice_s=settings.GATEWAY_STOP_NOTICE_MS / 1000,
        listening=Listening(
            where.host,
            where.port,
            certificate=certificate,
            connections=settings.GATEWAY_CONNECTIONS,
        ),
        has_market_page=settings.GATEWAY_MARKET_PAGE,
        sharing=_sharing(),
    )


def _certificate() -> Certificate | None:
    """Raises CertificateUnusable."""
    if not settings.GATEWAY_CERTIFICATE_FILE:
        return None
    return Certificate(Path(settings.GATEWAY_CERTIFICATE_FILE), Path(settings.GATEWAY_CERTIFICATE_KEY_FILE))


def _proxies() -> TrustedProxies:
    """Raises AddressError."""
    try:
        return TrustedProxies(settings.GATEWAY_TRUSTED_PROXIES)
    except ValueError as error:
        raise AddressError(f"GATEWAY_TRUSTED_PROXIES: {error}.") from error


def _sharing() -> LimitSharing | None:
    """Raises AddressError."""
    try:
        return LimitSharing(settings.GATEWAY_REDIS_URL) if settings.GATEWAY_REDIS_URL else None
    except ValueError as error:
        raise AddressError(f"GATEWAY_REDIS_URL: {error}") from error


def _connect(address: str, make_network: NetworkMaker) -> Feed:
    """A feed of the engine at a command address. Raises EngineUnreachable, if it is not that of the settings."""
    if address != settings.ENGINE_COMMAND_ADDRESS:
        return Feed.discover(address, _ANSWER_S, make_network=make_network)
    return Feed(settings.ENGINE_BLOCK_ADDRESS, settings.ENGINE_RETRANSMIT_ADDRESS, make_network=make_network)


def probes(parts: Parts) -> Mapping[str, health.Probe]:
    """Readiness checks: the model is level with the engine."""
    return {"engine": health.timed(lambda: parts.model.is_ready)}
