"""The row that one settlement process holds while it writes: the lock of the store (`settlement.lock`).

Blocks are fenced by epochs, so two settlements cannot append two chains. But both would project the same blocks, and
the undo log is for one projector. Written by lightweight transactions only.
"""

from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.connection.session import Session


class ScyllaLease:
    """Ends by itself `ttl_s` after it was taken or renewed. Raises StoreError."""

    ttl_s = 30

    def __init__(self, access: Access, slow_query_ms: float = 100, shard: int = 0) -> None:
        self._session = Session(access, slow_query_ms)
        self._shard = shard

    def take(self, owner: str, instead_of: str = "") -> str:
        """The owner afterwards: this one, or another one whose lease has not ended.

        `instead_of`: an owner that is known to be dead.
        """
        if instead_of:
            self._session.rows(cql.REPLACE_LEASE, (self.ttl_s, owner, self._shard, instead_of))
        else:
            self._session.rows(cql.TAKE_LEASE, (self._shard, owner, self.ttl_s))
        return self.owner()

    def owner(self) -> str:
        """ "" if there is none."""
        found = self._session.rows(cql.GET_LEASE, (self._shard,), is_serial=True)
        return str(found[0][0]) if found else ""

    def renew(self, owner: str) -> bool:
        """Renews the lease; returns False if it has ended or is another owner's."""
        row = self._session.one(cql.REPLACE_LEASE, (self.ttl_s, owner, self._shard, owner))
        return bool(row and row[0])

    def end(self, owner: str) -> None:
        self._session.rows(cql.END_LEASE, (self._shard, owner))
