"""How much work one command and one block may cause (docs/semantics.md, section 5: bounded work).

A test may set other values where the kernel runs interpreted; compiled, they are constants.
"""

MAX_MET = 1_000_000
"""Makers or pieces that a taker meets, and orders that one cancel_all cancels."""

LOOKED_AT_SINGLY = 64
"""Makers or pieces after which an order's fill is reckoned by whole price levels."""

MAX_COMMAND_EVENTS = 1_000_000
"""No further triggered order is taken out of the queue once its command has written this many events."""

MAX_BLOCK_EVENTS = 65_536
"""A block takes no further command once it holds this many events."""
