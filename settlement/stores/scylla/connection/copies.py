"""Whether the copies that a keyspace is to have fit the nodes that there are."""

import json
from collections import Counter
from collections.abc import Mapping

import structlog

from settlement.stores.base import StoreMisconfigured
from settlement.stores.scylla.connection.session import Access, Session

log = structlog.get_logger(__name__)

Replication = Mapping[str, object]
_WHOLE_CLUSTER = ""  # in the place of a data centre


def refuse_too_many(session: Session) -> None:
    """Before anything is made. Raises StoreMisconfigured, StoreUnavailable, StoreRejected.

    A keyspace that is there may be replicated otherwise than the setting says, for that is whose database it is to
    choose; it is told, as a changed setting changes nothing by itself.
    """
    access, existing = session.access, session.keyspaces().get(session.access.keyspace)
    nodes = Counter(str(host.datacenter) for host in session.open().session.cluster.metadata.all_hosts())
    wanted: Replication = json.loads(access.replication.replace("'", '"'))
    reason = misfit(access, nodes, wanted) if existing is None else misfit_of_existing(access, nodes, existing)
    if reason:
        raise StoreMisconfigured(reason)
    if existing is not None and _form(existing, nodes) != _form(wanted, nodes):
        log.warning(
            "the keyspace is replicated otherwise than SCYLLA_REPLICATION says",
            keyspace=access.keyspace,
            replication=str(dict(existing)),
            to_change_it=_remedy(access),
        )


def misfit(access: Access, nodes: Counter[str], wanted: Replication) -> str:
    """Why a keyspace should not be made so; "" where nothing speaks against it."""
    for centre, count in copies(wanted, nodes).items():
        there = _nodes(nodes, centre)
        if count > there:
            return (
                f"Keyspace {access.keyspace} is not made: SCYLLA_REPLICATION asks for "
                f"{_copies(count, centre)}, and there {_are(there)}: start more nodes, or ask for fewer copies."
            )
    return ""


def misfit_of_existing(access: Access, nodes: Counter[str], existing: Replication) -> str:
    """Why nothing can be read or written there; "" where nothing speaks against it."""
    for centre, count in copies(existing, nodes).items():
        there = _nodes(nodes, centre)
        if there < (count if access.consistency == "ALL" else count // 2 + 1):
            return (
                f"Keyspace {access.keyspace} has {_copies(count, centre)}, and there "
                f"{_are(there)}, too few for {access.consistency}: start more nodes, or have it as SCYLLA_REPLICATION "
                f"says ({_remedy(access)})."
            )
    return ""


def copies(replication: Replication, nodes: Counter[str]) -> dict[str, int]:
    """How many, by data centre. Empty for a strategy that is not known here, or a number that is none."""
    factors = {name: str(value).partition("/")[0] for name, value in replication.items() if name != "class"}
    numbers = {name: int(value) for name, value in factors.items() if value.isdecimal()}
    everywhere = numbers.pop("replication_factor", None)
    match _strategy(replication):
        case "SimpleStrategy":
            return {} if everywhere is None else {_WHOLE_CLUSTER: everywhere}
        case "NetworkTopologyStrategy":
            return numbers if everywhere is None else {**dict.fromkeys(nodes, everywhere), **numbers}
    return {}


def _form(replication: Replication, nodes: Counter[str]) -> tuple[str, dict[str, int]]:
    """The same for what means the same."""
    return _strategy(replication), copies(replication, nodes)


def _strategy(replication: Replication) -> str:
    return str(replication.get("class")).rpartition(".")[2]


def _nodes(nodes: Counter[str], centre: str) -> int:
    return nodes.total() if centre == _WHOLE_CLUSTER else nodes[centre]


def _remedy(access: Access) -> str:
    change = f"ALTER KEYSPACE {access.keyspace} WITH replication = {access.replication}"
    return f"{change}, then nodetool repair --full {access.keyspace} on each node"


def _copies(count: int, centre: str) -> str:
    where = f" in data centre {centre}" if centre else ""
    return f"{count} {'copy' if count == 1 else 'copies'}{where}"


def _are(count: int) -> str:
    return "is 1 node" if count == 1 else f"are {count} nodes"
