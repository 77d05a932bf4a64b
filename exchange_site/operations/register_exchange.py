"""Exchanges the key register between the store and this machine: afterwards both have the newest one.

Engines and settlement on several machines share the store, so a key that is registered or revoked on one machine
counts on the others a second later. A register in the store that the root key did not sign is ignored.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress

import structlog
from django.conf import settings

from exchange_site.operations.polling import polling
from matching.commandline.own_keys import register_file
from matching.core.errors import KeysUnusable
from matching.storage.register_file import RegisterFile
from matching.transport.key_register import BadKeyRegister
from settlement import wiring
from settlement.stores.base import Store, StoredRegister, StoreError, StoreUnavailable
from settlement.stores.sql import read_only

log = structlog.get_logger(__name__)

Say = Callable[[str], object]

_ATTEMPTS = 5
"""Each further attempt means that another machine wrote the row meanwhile."""


class RegisterExchange:
    """Used by one thread."""

    def __init__(self, file: RegisterFile) -> None:
        self._file = file
        self._refused: bytes | None = None  # logged once

    def pass_on(self, store: Store) -> None:
        """Takes the store's register if it is newer, writes ours if that is newer. Raises StoreError.

        What cannot be used or kept is logged.
        """
        stored = store.key_register()
        ours = self._file.document() or None
        if stored is None:
            if ours is not None:
                store.put_key_register(StoredRegister(self._file.current().serial, ours), replaces=None)
        elif stored.document not in (ours, self._refused):
            try:
                if not self._take(stored):
                    self._write_newer(store, stored)
            except BadKeyRegister as error:
                self._refused = stored.document
                log.error("keys.register_refused", source="store", serial=self._file.current().serial, error=str(error))

    def _take(self, stored: StoredRegister) -> bool:
        """Whether the stored register was newer than ours. Raises BadKeyRegister."""
        try:
            is_newer = self._file.offer(stored.document)
        except KeysUnusable as error:
            log.warning("keys.register_not_kept", error=str(error))
            return True
        if is_newer:
            log.info("keys.register_changed", serial=self._file.current().serial)
        return is_newer

    def _write_newer(self, store: Store, stored: StoredRegister) -> None:
        current = self._file.current()
        if current.serial > self._file.decode(stored.document).serial:
            store.put_key_register(StoredRegister(current.serial, self._file.document()), replaces=stored.serial)

    def running(self, store: Store) -> AbstractContextManager[None]:
        """Passes the register on once a second, in a thread, until the end of the context."""

        def pass_on() -> None:
            with suppress(StoreError):  # the store is away, or its tables are not made yet
                self.pass_on(store)
            store.close()

        return polling(pass_on, "key-register")


def running_unless_plain() -> AbstractContextManager[None]:
    """As `RegisterExchange.running` with the site's store. Raises CannotRun, KeysUnusable."""
    if settings.PLAIN_SOCKETS:
        return nullcontext()
    return RegisterExchange(register_file()).running(wiring.store())


def publish(store: Store, file: RegisterFile) -> None:
    """Brings our register into the store, for a command that has the root key and may have signed a newer register.

    A row that the root key did not sign is replaced. Raises StoreError; BadKeyRegister if another machine has signed
    another register meanwhile.
    """
    for _ in range(_ATTEMPTS):
        stored, current = store.key_register(), file.current()
        if stored is not None and _is_current(stored, file):
            return
        ours = StoredRegister(current.serial, file.document())
        if store.put_key_register(ours, replaces=stored.serial if stored else None):
            return
    raise StoreUnavailable("Other machines keep changing the key register in the store: run this again.")


def _is_current(stored: StoredRegister, file: RegisterFile) -> bool:
    """Whether the store has our register. Raises BadKeyRegister if it has one that ours does not continue."""
    if stored.document == file.document():
        return True
    try:
        theirs = file.decode(stored.document)
    except BadKeyRegister as error:
        log.warning("keys.register_replaced", error=str(error))
        return False
    ours = file.current()
    if theirs.serial >= ours.serial:
        raise BadKeyRegister(
            f"The store has another key register with the serial {theirs.serial}, signed on another machine at the "
            "same time: remove register.json on this machine, and run the command again (make_keys with --replace)."
        )
    return False


def ask_store(work: Callable[[Store], None], say: Say = lambda line: None) -> bool:
    """Calls `work` with the site's store; returns whether the store answered, and says the reason if it did not.

    The commands for keys work without a store, too: before it is made, or while it is away. Raises CannotRun.
    """
    file = read_only.file_of() if settings.SETTLEMENT_STORE == "sql" else None
    if file is not None and not file.exists():
        say("There is no database yet: it gets the key register when an engine or settlement starts.")
        return False
    store = wiring.store()
    try:
        work(store)
    except StoreError as error:
        say(f"The key register in the store could not be read or written: {error}")
        return False
    return True
