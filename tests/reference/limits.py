"""Bounds of the work of one command (docs/semantics.md, section 5). Tests pass smaller ones."""

from dataclasses import dataclass

NOTIONAL_LIMIT = 2**62  # smallest units that an order may be worth
MOST_PIECES = 100  # of an iceberg


@dataclass(frozen=True)
class Limits:
    """`makers`: makers and pieces that one taker meets; `cancelled`: orders that one `cancel_all` cancels.

    `events`: once a command has written so many, the triggered orders that are left wait for the next command.
    """

    makers: int = 1_000_000
    cancelled: int = 1_000_000
    events: int = 1_000_000
