"""How the servers are reached: the settings of connections and requests."""

from dataclasses import dataclass, field

from cassandra import ConsistencyLevel


@dataclass(frozen=True)
class Access:
    """Addresses of the servers, and the parameters of connections and requests."""

    hosts: tuple[str, ...] = ("127.0.0.1",)
    port: int = 9042
    keyspace: str = "exchange_settlement"
    replication: str = "{'class': 'SimpleStrategy', 'replication_factor': 1}"  # CQL map, for `init`
    username: str = ""
    password: str = field(default="", repr=False)
    local_dc: str = ""  # empty: the data centre of the first host
    consistency: str = "LOCAL_QUORUM"
    timeout_ms: int = 10_000  # of one request
    in_flight: int = 16  # concurrent requests

    @property
    def serial_consistency(self) -> int:
        """The consistency level of lightweight transactions: local if `consistency` is."""
        is_local = self.consistency.startswith("LOCAL_")
        return int(ConsistencyLevel.LOCAL_SERIAL if is_local else ConsistencyLevel.SERIAL)

    @property
    def servers(self) -> str:
        return f"ScyllaDB at {','.join(self.hosts)} port {self.port}"
