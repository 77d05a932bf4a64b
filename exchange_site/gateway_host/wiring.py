"""Creates the gateway's edges from the site's settings."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings

from exchange_site.configuration.addresses import parse_host_port
from exchange_site.operations import health
from gateway.keys.commandline import secret_cipher
from gateway.keys.key_ring import KeyRing
from gateway.market.exchange_info import RateLimits
from gateway.model.history import StoreHistory
from gateway.model.state import Bounds
from gateway.orders.entry import OrderEntry
from gateway.process import Parts, Services
from gateway.server.http import Listening
from matching.client.leaders import LeaderSearch, engine_directory, follower_addresses
from matching.commandline.engine_addresses import replicas
from matching.commandline.own_keys import KeyName, NetworkMaker, network_of
from matching.feed.reader import Feed
from matching.transport import wire
from matching.transport.key_register import KeyRole
from matching.transport.network import ZmqNetwork
from settlement import wiring as settlement_wiring

GATEWAY_KEY = KeyName(KeyRole.GATEWAY)
_ANSWER_S = 2.0
_SEARCH_S = 3.0
_HISTORY_THREADS = 4


def services() -> Services:
    """Raises CannotRun, KeysUnusable, BadKey, AddressUnusable, DatabaseError."""
    make_network = network_of(GATEWAY_KEY)
    keys = KeyRing(secret_cipher())
    store = settlement_wiring.store()
    store.connect()
    where = parse_host_port(settings.GATEWAY_ADDRESS)
    return Services(
        address=settings.ENGINE_COMMAND_ADDRESS,
        connect=lambda address: _connect(address, make_network),
        find_leader=_Search(make_network),
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
        listening=Listening(
            where.host,
            where.port,
            certificate=settings.GATEWAY_CERTIFICATE_FILE,
            key=settings.GATEWAY_CERTIFICATE_KEY_FILE,
            trusted_proxies=",".join(settings.GATEWAY_TRUSTED_PROXIES),
            connections=settings.GATEWAY_CONNECTIONS,
        ),
    )


def _connect(address: str, make_network: NetworkMaker) -> Feed:
    """A feed of the engine at a command address. Raises EngineUnreachable, if it is not that of the settings."""
    if address != settings.ENGINE_COMMAND_ADDRESS:
        return Feed.discover(address, _ANSWER_S, make_network=make_network)
    return Feed(settings.ENGINE_BLOCK_ADDRESS, settings.ENGINE_RETRANSMIT_ADDRESS, make_network=make_network)


class _Search:
    """Asks the engines that are known, and the newest leader in the store, which of them leads."""

    def __init__(self, make_network: Callable[[], ZmqNetwork]) -> None:
        self._make_network = make_network
        self._directory = engine_directory(replicas())

    def __call__(self, status: wire.Status | None) -> str | None:
        if status is not None:
            self._directory.add(follower_addresses(status, settings.ENGINE_COMMAND_ADDRESS))
        epoch = settlement_wiring.newest_epoch()
        if epoch is not None:
            self._directory.add([epoch.commands])
        network = self._make_network()
        search = LeaderSearch(network, self._directory, time.monotonic)
        deadline_s = time.monotonic() + _SEARCH_S
        try:
            while (now_s := time.monotonic()) < deadline_s:
                leader = search.poll()
                if leader is not None:
                    return leader.address
                network.wait(search.sockets, max(0.0, min(search.due_s, deadline_s) - now_s))
        finally:
            search.close()
            network.close()
        return None


def probes(parts: Parts) -> Mapping[str, health.Probe]:
    """Readiness checks: the model is level with the engine."""
    return {"engine": health.timed(lambda: parts.model.is_ready)}
