"""Checks that a keyspace's replication factor does not exceed the number of nodes."""

import json
from collections import Counter
from collections.abc import Mapping

import structlog

from settlement.stores.base import StoreMisconfigured
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.connection.session import Session

log = structlog.get_logger(__name__)

Replication = Mapping[str, object]
_WHOLE_CLUSTER = ""  # instead of the name of a data centre


def check_replication(session: Session) -> None:
    """Called before anything is created. Raises StoreMisconfigured, StoreUnavailable, StoreRejected.

    An existing keyspace may have another replication than the setting, since the administrator of the database
    chooses it. This is only logged; changing the setting does not change an existing keyspace.
    """
    access, existing = session.access, session.keyspaces().get(session.access.keyspace)
    nodes = Counter(str(host.datacenter) for host in session.open().session.cluster.metadata.all_hosts())
    wanted: Replication = json.loads(access.replication.replace("'", '"'))
    if existing is None:
        reason = new_keyspace_fault(access, nodes, wanted)
    else:
        reason = existing_keyspace_fault(access, nodes, existing)
    if reason:
        raise StoreMisconfigured(reason)
    if existing is not None and _normalized(existing, nodes) != _normalized(wanted, nodes):
        log.warning(
            "store.replication_differs",
            keyspace=access.keyspace,
            replication=str(dict(existing)),
            remedy=_remedy(access),
        )


def new_keyspace_fault(access: Access, nodes: Counter[str], wanted: Replication) -> str:
    """Why a keyspace should not be created with this replication; "" if it can be."""
    for centre, count in replicas(wanted, nodes).items():
        available = _nodes(nodes, centre)
        if count > available:
            return (
                f"Keyspace {access.keyspace} is not created: SCYLLA_REPLICATION asks for {_replicas(count, centre)}, "
                f"but there {_are(available)}. Start more nodes or set a lower replication factor."
            )
    return ""


def existing_keyspace_fault(access: Access, nodes: Counter[str], existing: Replication) -> str:
    """Why no statement on the keyspace can reach its consistency level; "" if statements can."""
    for centre, count in replicas(existing, nodes).items():
        available = _nodes(nodes, centre)
        if available < (count if access.consistency == "ALL" else count // 2 + 1):
            return (
                f"Keyspace {access.keyspace} has {_replicas(count, centre)}, but there {_are(available)}, too few for "
                f"{access.consistency}. Start more nodes, or set the replication of SCYLLA_REPLICATION "
                f"({_remedy(access)})."
            )
    return ""


def replicas(replication: Replication, nodes: Counter[str]) -> dict[str, int]:
    """The number of replicas by data centre; empty for an unknown strategy or a factor that is not a number."""
    factors = {name: str(value).partition("/")[0] for name, value in replication.items() if name != "class"}
    numbers = {name: int(value) for name, value in factors.items() if value.isdecimal()}
    everywhere = numbers.pop("replication_factor", None)
    match _strategy(replication):
        case "SimpleStrategy":
            return {} if everywhere is None else {_WHOLE_CLUSTER: everywhere}
        case "NetworkTopologyStrategy":
            return numbers if everywhere is None else {**dict.fromkeys(nodes, everywhere), **numbers}
    return {}


def _normalized(replication: Replication, nodes: Counter[str]) -> tuple[str, dict[str, int]]:
    """Equal for two spellings of the same replication."""
    return _strategy(replication), replicas(replication, nodes)


def _strategy(replication: Replication) -> str:
    return str(replication.get("class")).rpartition(".")[2]


def _nodes(nodes: Counter[str], centre: str) -> int:
    return nodes.total() if centre == _WHOLE_CLUSTER else nodes[centre]


def _remedy(access: Access) -> str:
    change = f"ALTER KEYSPACE {access.keyspace} WITH replication = {access.replication}"
    return f"{change}, then nodetool repair --full {access.keyspace} on each node"


def _replicas(count: int, centre: str) -> str:
    where = f" in data centre {centre}" if centre else ""
    return f"{count} {'replica' if count == 1 else 'replicas'}{where}"


def _are(count: int) -> str:
    return "is 1 node" if count == 1 else f"are {count} nodes"
