"""Apache Cassandra, which has the same tables and protocol (CQL) as ScyllaDB. No package registry has ScyllaDB."""

import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from exchange_site.operations.free_addresses import HOST
from scripts.services.errors import ServiceError
from scripts.services.packages import CONFIG, install_jars, jars_folder, java_17
from scripts.services.service import Server, converse

_VERSION = 4
_STARTUP, _READY, _AUTHENTICATE, _AUTH_RESPONSE, _AUTH_SUCCESS = 0x01, 0x02, 0x03, 0x0F, 0x10
_CREDENTIALS = b"\0cassandra\0cassandra"  # the default account


@dataclass(frozen=True)
class Cassandra(Server):
    authentication: bool = False
    """Whether clients must log in (name and password `cassandra`)."""

    name = "cassandra"
    default_port = 9042
    ports = 2  # clients', and between nodes
    start_limit_s = 240.0

    def install(self) -> None:
        install_jars(self.name)

    def command(self, folder: Path, port: int) -> list[str]:
        java, jars = java_17(), jars_folder(self.name)
        if not (java and jars.is_dir()):
            raise ServiceError("Cassandra's jars or Java 17 are not installed; `make services` installs them")
        authenticator = "PasswordAuthenticator" if self.authentication else "AllowAllAuthenticator"
        values = {"port": port, "second_port": port + 1, "authenticator": authenticator}
        config = self.fill("cassandra/cassandra.yaml", folder, **values)
        return [
            java,
            f"@{CONFIG / 'cassandra' / 'jvm.options'}",
            f"-Dcassandra.config={config.as_uri()}",
            f"-Dcassandra.storagedir={folder / 'data'}",
            f"-Dlogback.configurationFile={CONFIG / 'cassandra' / 'logback.xml'}",
            "-cp",
            f"{jars}/*",
            "org.apache.cassandra.service.CassandraDaemon",
        ]

    def answers(self, port: int) -> bool:
        """Begins a session and logs in if required: the account is created some time after the port opens."""
        wish = struct.pack(">H", 1) + _string(b"CQL_VERSION") + _string(b"3.0.0")
        with socket.create_connection((HOST, port), timeout=2) as connection:
            opcode = _opcode(converse(connection, _frame(_STARTUP, wish)))
            if opcode != _AUTHENTICATE:
                return opcode == _READY
            response = struct.pack(">i", len(_CREDENTIALS)) + _CREDENTIALS
            return _opcode(converse(connection, _frame(_AUTH_RESPONSE, response))) == _AUTH_SUCCESS


def _frame(opcode: int, body: bytes) -> bytes:
    return struct.pack(">BBhBi", _VERSION, 0, 0, opcode, len(body)) + body


def _string(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def _opcode(answer: bytes) -> int | None:
    return answer[4] if len(answer) > 4 else None
