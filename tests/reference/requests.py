"""A slow model of which batches an engine takes: it keeps every batch of every client for ever.

Only then does it ask what an engine still remembers of them (docs/semantics.md, section 2).
"""

from dataclasses import dataclass, field

WINDOW = 16


@dataclass
class _Batch:
    client: int
    owner: int
    first_number: int
    count: int
    digest: int
    block: int


@dataclass
class ReferenceRequests:
    """`idle_blocks` and `clients_of_an_owner` are the limits after which clients are forgotten."""

    idle_blocks: int
    clients_of_an_owner: int
    forgotten_a_block: int
    batches: list[_Batch] = field(default_factory=list)
    forgotten: list[tuple[int, int]] = field(default_factory=list)  # (owner, client), in order

    def decide(self, client: int, owner: int, first_number: int, digest: int, highest_id: int) -> str:
        """`new`, `repeated`, or the code of the refusal."""
        own = self._batches_of(client)
        if not own:
            if client <= max((one for of, one in self.forgotten if of == owner), default=0):
                return "client_forgotten"
            if client > highest_id:
                return "client_ahead"
            return "new" if first_number == 1 else "out_of_order"
        if own[0].owner != owner:
            return "client_of_another_key"
        following = own[-1].first_number + own[-1].count
        if first_number >= following:
            return "new" if first_number == following else "out_of_order"
        kept = own[-WINDOW:]
        if first_number < kept[0].first_number:
            return "request_forgotten"
        same = [one for one in kept if (one.first_number, one.digest) == (first_number, digest)]
        return "repeated" if same else "request_mismatch"

    def apply(self, client: int, owner: int, first_number: int, count: int, digest: int, block: int) -> None:
        """A block with this batch alone."""
        self.batches.append(_Batch(client, owner, first_number, count, digest, block))
        of_owner = [one for one in self.known() if self._owner(one) == owner]
        for one in of_owner[: max(0, len(of_owner) - self.clients_of_an_owner)]:
            self._forget(one)
        idle = [one for one in self.known() if self._batches_of(one)[-1].block <= block - self.idle_blocks]
        for one in idle[: self.forgotten_a_block + 1]:
            self._forget(one)

    def known(self) -> list[int]:
        """The client whose last batch is oldest comes first."""
        last = {batch.client: number for number, batch in enumerate(self.batches)}
        return sorted(last, key=lambda client: last[client])

    def _batches_of(self, client: int) -> list[_Batch]:
        return [batch for batch in self.batches if batch.client == client]

    def _owner(self, client: int) -> int:
        return self._batches_of(client)[0].owner

    def _forget(self, client: int) -> None:
        self.forgotten.append((self._owner(client), client))
        self.batches = [batch for batch in self.batches if batch.client != client]
