"""The signed register of keys, which the store passes on between machines and does not understand."""

from typing import NamedTuple, Protocol


class StoredRegister(NamedTuple):
    serial: int
    document: bytes
    """As `matching.transport.key_register` signs it. Whoever can write to the store can change it, so it is verified by
    its readers, and `serial` is not believed."""


class KeyRegisterStore(Protocol):
    def key_register(self) -> StoredRegister | None:
        """The row; None if there is none."""

    def put_key_register(self, register: StoredRegister, *, replaces: int | None) -> bool:
        """Writes the row if the stored serial is `replaces`; None: if there is no row. Returns whether it was written.

        A call that is repeated because it got no answer may return False although the row is written.
        """
