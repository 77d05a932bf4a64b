"""What an edge, ours or that of the reference engine, refuses: the command and the reason, None if it is encoded."""

from matching.client.edge import Edge, Refusal
from matching.core.codes import name_of
from tests.reference import edge as reference_edge
from tests.reference.engine import ReferenceExchange


def refusal(edge: Edge, command: object) -> tuple[str | None, str] | None:
    encoded = edge.encode(command)
    return (encoded.command, name_of(encoded.reason)) if isinstance(encoded, Refusal) else None


def refusal_of_reference(exchange: ReferenceExchange, command: object) -> tuple[str | None, str] | None:
    """By its edge alone: the exchange stays as it is."""
    name = reference_edge.command_name(command)
    try:
        exchange.edge.read(command)
    except reference_edge.Refused as refused:
        return name, refused.reason
    return None
