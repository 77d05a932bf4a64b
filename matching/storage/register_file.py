"""The newest key register that this machine has seen, kept in `keys/register.json`.

Several processes share the file: each reads it again when it has changed, and a process that finds a newer register in
the store writes it there. A register that is not valid is ignored: the previous one stays in use.
"""

import threading
import time
from collections.abc import Callable

import structlog

from matching.core.errors import KeysUnusable
from matching.storage.key_files import KeyFolder
from matching.transport.key_register import BadKeyRegister, KeyRegister, decode_signed, exchange_of, newer

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 0.2
"""Upper bound on the delay before a change of the file takes effect."""

_Version = tuple[int, int, int]


class RegisterFile:
    """Thread-safe. `current` is cheap enough to be called for each message."""

    def __init__(self, keys: KeyFolder, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Raises KeysUnusable if root.pub or the register cannot be used: without them no peer could be checked.

        Without a file the register is empty, with the serial 0.
        """
        self._keys = keys
        self._monotonic = monotonic
        self._root_public = keys.root_public()
        self._register = KeyRegister(0, exchange_of(self._root_public))
        self._document = b""
        self._refreshing = threading.Lock()
        self._next_look_s = 0.0
        self._kept_serial = 0
        self._version = self._version_of_file()
        try:
            self._read_file()
        except BadKeyRegister as error:
            raise KeysUnusable(f"{keys.register_path}: {error} Put back a copy, or remove it.") from error

    def current(self) -> KeyRegister:
        """The newest register that was seen."""
        if self._monotonic() >= self._next_look_s and self._refreshing.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._refreshing.release()
        return self._register

    def document(self) -> bytes:
        """The signed form of `current`; empty if no register was seen yet (serial 0)."""
        self.current()
        return self._document

    def decode(self, document: bytes) -> KeyRegister:
        """The register in a document that this exchange's root key has signed. Raises BadKeyRegister."""
        return decode_signed(document, self._root_public)

    def offer(self, document: bytes) -> bool:
        """If the register in `document` is newer than the current one, uses it and writes it to the file.

        Returns whether it is newer. Raises BadKeyRegister if it is not valid, so that it is not used; KeysUnusable if
        it is in use now but could not be written.
        """
        with self._refreshing:
            self._look()
            is_newer = self._take(document)
            if self._register.serial > self._kept_serial:
                self._keep()
        return is_newer

    def _keep(self) -> None:
        """Writes the current register to the file, unless another process has written a newer one meanwhile."""
        with self._keys.locked():
            kept = self._keys.read_register()
            if kept is None or self._serial_of(kept) < self._register.serial:
                self._keys.write_register(self._document)
        self._kept_serial = self._register.serial

    def _serial_of(self, document: bytes) -> int:
        """0 for a document that is not valid."""
        try:
            return self.decode(document).serial
        except BadKeyRegister:
            return 0

    def _look(self) -> None:
        """Reads the file if it has changed. An invalid file is logged once and ignored."""
        self._next_look_s = self._monotonic() + _LOOK_EVERY_S
        version = self._version_of_file()
        if version is None or version == self._version:
            return
        self._version = version
        try:
            self._read_file()
        except (BadKeyRegister, KeysUnusable) as error:
            log.error(
                "keys.register_refused",
                source=str(self._keys.register_path),
                serial=self._register.serial,
                error=str(error),
            )

    def _read_file(self) -> None:
        self._take(self._keys.read_register())
        self._kept_serial = self._register.serial

    def _take(self, document: bytes | None) -> bool:
        """Makes `document` the current register if it is newer; returns whether it is. Raises BadKeyRegister."""
        if document is None or document == self._document:
            return False
        found = newer(self._register, self.decode(document))
        if found.serial <= self._register.serial:
            return False
        self._register, self._document = found, document
        return True

    def _version_of_file(self) -> _Version | None:
        try:
            found = self._keys.register_path.lstat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
