"""The driver's connection to the servers: its options, its prepared statements, and whether any node answers."""

import logging
import os
import socket
import threading
import time
from itertools import count
from typing import Any

import structlog
from cassandra import ConsistencyLevel, OperationTimedOut
from cassandra.cluster import EXEC_PROFILE_DEFAULT, ExecutionProfile, NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.cqlengine import connection as registry
from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, HostStateListener, TokenAwarePolicy
from cassandra.query import tuple_factory
from django_cassandra_engine.connection import CassandraConnection

from settlement.stores.base import StoreMisconfigured, StoreUninitialized
from settlement.stores.scylla.batches import PackingHandler
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.tables.layout import (
    COLUMNS,
    DROPPED_COLUMNS,
    Column,
    columns_to_add,
    is_upgradable,
    mismatch,
    missing,
)

log = structlog.get_logger(__name__)
# The driver logs each failed attempt with a traceback; this module reports its errors instead.
logging.getLogger("cassandra").setLevel(logging.CRITICAL)

_SILENT_S = 10.0
"""After this time without an answer of any node the connection is replaced: one rejected login is enough for the driver
to stop reconnecting."""
_RECONNECT_S = 1.0  # the driver's default waits up to ten minutes after a long outage

PROFILE = "settlement"  # execution profile; cqlengine configures the default one for itself
_numbers = count()


class _NodeStateLogger(HostStateListener):  # type: ignore[misc] # ships no types
    def on_up(self, host: Any) -> None:
        log.info("store.node_up", node=str(host.endpoint))

    def on_down(self, host: Any) -> None:
        log.warning("store.node_down", node=str(host.endpoint))

    def on_add(self, host: Any) -> None:
        log.info("store.node_joined", node=str(host.endpoint))

    def on_remove(self, host: Any) -> None:
        log.warning("store.node_left", node=str(host.endpoint))


class Connection:
    """A session of the driver and its prepared statements."""

    def __init__(self, access: Access, timeout_s: float) -> None:
        self._name = name = f"scylla-{os.getpid()}-{next(_numbers)}"
        # Not `django.db.connections`: Django would connect at the end of each web request, and before workers fork.
        options = {"connection": cluster_options(access, timeout_s)}
        login = {"USER": access.username, "PASSWORD": access.password}
        CassandraConnection(name, HOST=",".join(access.hosts), NAME=access.keyspace, OPTIONS=options, **login)
        self.session = registry.get_session(name)
        self.session.client_protocol_handler = PackingHandler
        registry.get_cluster(name).register_listener(_NodeStateLogger())
        self._prepared: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._has_keyspace = False
        self._silent_since_s: float | None = None
        self.replacing = threading.Lock()  # not a lock of the module, which could be held while the process forks

    def close(self) -> None:
        registry.unregister_connection(self._name)

    def record_outcome(self, error: Exception | None) -> None:
        """Records whether any node could be reached. A time-out is ignored, because the node may only be slow."""
        if _is_silence(error):
            if self._silent_since_s is None:
                self._silent_since_s = time.monotonic()
        elif not isinstance(error, OperationTimedOut):
            self._silent_since_s = None

    def may_be_lost(self) -> bool:
        """Whether no node has answered for _SILENT_S. True for one caller only, and again after the same time."""
        since_s, now_s = self._silent_since_s, time.monotonic()
        if since_s is None or now_s - since_s < _SILENT_S:
            return False
        with self._lock:
            is_first = self._silent_since_s == since_s
            if is_first:
                self._silent_since_s = now_s
            return is_first

    def prepare(self, access: Access, statement: str) -> Any:
        prepared = self._prepared.get(statement)
        if prepared is None:
            with self._lock:
                if not self._has_keyspace:
                    self._use(access.keyspace)
                    self._has_keyspace = True
                try:
                    prepared = self._prepared[statement] = self.session.prepare(statement)
                except NoHostAvailable as error:
                    self.record_outcome(error)
                    raise
                prepared.is_idempotent = True
        return prepared

    def _use(self, keyspace: str) -> None:
        self.session.set_keyspace(keyspace)
        columns, added = self._columns(keyspace)
        difference = mismatch([*columns, *added])
        if difference is not None:
            raise StoreMisconfigured(f"Keyspace {keyspace} was created by another version: its {difference}.")
        lacking = [*missing(columns), *(f"column {column.name} of table {column.table}" for column in added)]
        if lacking:
            kind = StoreUninitialized if is_upgradable(columns) else StoreMisconfigured
            raise kind(
                f"Keyspace {keyspace} lacks {', '.join(lacking)}: manage.py init_store creates keyspace and tables."
            )

    def columns_to_add(self, keyspace: str) -> list[Column]:
        """The columns that tables of an earlier version lack."""
        return self._columns(keyspace)[1]

    def _columns(self, keyspace: str) -> tuple[list[Column], list[Column]]:
        """The columns of the tables, and those that tables of an earlier version lack."""
        found = [Column(*row) for row in self.session.execute(COLUMNS, (keyspace,), execution_profile=PROFILE)]
        dropped = self.session.execute(DROPPED_COLUMNS, (keyspace,), execution_profile=PROFILE)
        return found, columns_to_add(found, dropped)


def _is_silence(error: Exception | None) -> bool:
    """Whether no node could be reached."""
    if not isinstance(error, NoHostAvailable):
        return False
    by_node = error.errors.values() if isinstance(error.errors, dict) else error.errors
    return all(isinstance(one, ConnectionException | OSError) for one in by_node)


def cluster_options(access: Access, timeout_s: float) -> dict[str, Any]:
    policy = TokenAwarePolicy(DCAwareRoundRobinPolicy(access.local_dc))

    def profile(**more: Any) -> ExecutionProfile:
        return ExecutionProfile(
            load_balancing_policy=policy,
            consistency_level=ConsistencyLevel.name_to_value[access.consistency],
            serial_consistency_level=access.serial_consistency,
            request_timeout=timeout_s,
            **more,
        )

    return {
        "port": access.port,
        "protocol_version": 4,  # the newest that both servers support; `batches` serializes for this version
        "compression": False,  # rows have about 100 bytes; compression costs more CPU time than it saves on the network
        # Without it a batch takes about 40 ms longer: it is sent in several writes, delayed by Nagle's algorithm.
        "sockopts": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        # Not the time-out of a request: a connection is opened once, and a login takes longer than a request.
        "connect_timeout": access.timeout_ms / 1000,
        "control_connection_timeout": access.timeout_ms / 1000,
        "reconnection_policy": ConstantReconnectionPolicy(_RECONNECT_S, max_attempts=None),
        "execution_profiles": {EXEC_PROFILE_DEFAULT: profile(), PROFILE: profile(row_factory=tuple_factory)},
    }
