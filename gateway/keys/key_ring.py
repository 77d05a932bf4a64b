"""The keys in memory, for the path of a request, which never asks the database.

A thread asks the database several times a second whether keys have changed, and loads them again if so. While the
database is away the keys that are known stay valid.
"""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import structlog
from django.db import DatabaseError, close_old_connections, connection

from gateway.keys import stored_keys
from gateway.keys.encryption import SecretCipher
from gateway.keys.key import ApiKey

log = structlog.get_logger(__name__)

_POLL_S = 0.25
_POLLS_UNTIL_USES_ARE_STORED = 20


class KeyRing:
    """Start it before the first request. `on_change` is called in the polling thread after keys have changed."""

    def __init__(self, cipher: SecretCipher, on_change: Callable[[], object] = lambda: None) -> None:
        self._cipher = cipher
        self._on_change = on_change
        self._keys: dict[str, ApiKey] = {}
        self._number = -1
        self._used: dict[str, datetime] = {}
        self._is_failing = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="api-keys", daemon=True)

    def find(self, name: str) -> ApiKey | None:
        """The key with this name; None if there is none, or if it is revoked."""
        return self._keys.get(name)

    def note_use(self, name: str) -> None:
        """Records that a client uses this key. The time is stored later."""
        self._used[name] = datetime.now(UTC)

    def start(self) -> None:
        """Loads the keys and polls from now on. Raises DatabaseError if the database does not answer."""
        self._load()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        polls = 0
        try:
            while not self._stop.wait(_POLL_S):
                polls += 1
                close_old_connections()
                self._try(self._load)
                if polls % _POLLS_UNTIL_USES_ARE_STORED == 0:
                    self._try(self._store_uses)
            self._try(self._store_uses)
        finally:
            connection.close()

    def _try(self, ask: Callable[[], None]) -> None:
        try:
            ask()
        except DatabaseError as error:
            if not self._is_failing:
                log.warning("gateway.keys_unavailable", error=str(error))
            self._is_failing = True
        else:
            self._is_failing = False

    def _load(self) -> None:
        number = stored_keys.change_number()
        if number == self._number:
            return
        keys, unreadable = stored_keys.valid_keys(self._cipher)
        self._report(unreadable)
        self._keys = {key.name: key for key in keys}
        self._number = number
        self._on_change()

    def _store_uses(self) -> None:
        used, self._used = self._used, {}
        try:
            stored_keys.note_uses(used.items())
        except DatabaseError:
            self._used = used | self._used
            raise

    def _report(self, unreadable: Iterable[str]) -> None:
        for name in unreadable:
            log.error("gateway.key_unreadable", key=name)
