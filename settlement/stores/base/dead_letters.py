"""Dead letters: blocks whose projection the store rejected permanently."""

from typing import NamedTuple, Protocol


class DeadLetter(NamedTuple):
    """A block whose projection the store rejected permanently. At most one per block."""

    id: int  # the block's number
    block_number: int
    error: str
    attempts: int
    first_failed_at_ns: int
    last_failed_at_ns: int
    resolved_at_ns: int | None
    projection: str = ""  # the rejected rows as JSON (settlement.project.dead_letters); empty in lists


class DeadLetterStore(Protocol):
    def put_dead_letter(self, letter: DeadLetter) -> None: ...

    def dead_letters(self, unresolved_only: bool = True) -> list[DeadLetter]:
        """Ordered by block number, without their rows."""

    def newest_dead_letters(
        self, limit: int, *, before: int | None = None, unresolved_only: bool = False
    ) -> list[DeadLetter]:
        """Newest block first, without their rows."""

    def get_dead_letter(self, id: int) -> DeadLetter | None:
        """With its rows."""
