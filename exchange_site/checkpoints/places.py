"""Places where signed checkpoints are kept: the store, and those of the setting CHECKPOINT_PLACES outside it.

FOLDER                       a file for each signer, one checkpoint a line, synced
http://HOST/… https://HOST/…  a POST with the checkpoint as its body
s3://BUCKET/PREFIX           an object for each checkpoint, locked with ?lock_days=N
syslog, syslog://HOST:PORT   a message to the local syslog, or as UDP

"""

import logging
import logging.handlers
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn, Protocol
from urllib.parse import SplitResult

from exchange_site.checkpoints.place_names import PlaceName, SyslogAddress
from matching.storage.disk import LocalDisk
from settlement.audit.bucket_name import BucketName
from settlement.audit.http_request import HttpFailed, post
from settlement.stores.base import Store, StoredCheckpoint, StoreError

_TIMEOUT_S = 5.0


class PlaceUnavailable(Exception):
    """A checkpoint could not be written; the text is the reason."""


class Place(Protocol):
    name: str
    """For logs and metrics: no path or query of a URL, which may contain a password."""

    def write(self, checkpoint: StoredCheckpoint) -> None:
        """Returns when the place has the checkpoint. Raises PlaceUnavailable."""


class InStore:
    """Closes its connections after each checkpoint."""

    def __init__(self, store: Store) -> None:
        self.name = "store"
        self._store = store

    def write(self, checkpoint: StoredCheckpoint) -> None:
        try:
            self._store.put_signed_checkpoint(checkpoint)
        except StoreError as error:
            raise PlaceUnavailable(str(error)) from error
        finally:
            self._store.close()


class InFolder:
    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder
        self._disk = LocalDisk()

    def write(self, checkpoint: StoredCheckpoint) -> None:
        path = self._folder / f"{checkpoint.signer}.jsonl"
        try:
            is_new = not self._disk.exists(path)
            file = self._disk.append_to(path)
            try:
                # A power cut may have left a part of a line, which must not become a part of this one.
                file.write(self._end_of_torn_line(path) + checkpoint.document + b"\n")
                file.sync()
            finally:
                file.close()
            if is_new:
                self._disk.sync_folder(self._folder)
        except OSError as error:
            raise PlaceUnavailable(error.strerror or type(error).__name__) from error

    def _end_of_torn_line(self, path: Path) -> bytes:
        with self._disk.open(path) as file:
            if not file.seek(0, 2):
                return b""
            file.seek(-1, 2)
            return b"" if file.read(1) == b"\n" else b"\n"


class Webhook:
    def __init__(self, url: SplitResult) -> None:
        self.name = f"{url.scheme}://{url.netloc}"
        self._url = url

    def write(self, checkpoint: StoredCheckpoint) -> None:
        try:
            post(self._url, _TIMEOUT_S, checkpoint.document)
        except HttpFailed as error:
            raise PlaceUnavailable(str(error)) from error


class InSyslog:
    def __init__(self, name: SyslogAddress) -> None:
        self._address = name.address
        is_local = isinstance(name.address, str)
        self.name = "syslog" if is_local else f"syslog://{name.address[0]}:{name.address[1]}"

    def write(self, checkpoint: StoredCheckpoint) -> None:
        try:
            handler = _Syslog(self._address)
            try:
                text = f"exchange-checkpoint {checkpoint.document.decode('ascii')}"
                handler.emit(logging.LogRecord("checkpoints", logging.INFO, "", 0, text, None, None))
            finally:
                handler.close()
        except OSError as error:
            raise PlaceUnavailable(error.strerror or type(error).__name__) from error


class _Syslog(logging.handlers.SysLogHandler):
    def handleError(self, record: logging.LogRecord) -> NoReturn:
        """Called while the error is handled, which would only be printed."""
        raise


def places_of(names: Iterable[PlaceName]) -> list[Place]:
    return [_place(name) for name in names]


def _place(name: PlaceName) -> Place:
    if isinstance(name, Path):
        return InFolder(name)
    if isinstance(name, BucketName):
        from exchange_site.checkpoints.in_bucket import InBucket  # here, because few processes need the AWS client

        return InBucket(name)
    return Webhook(name) if isinstance(name, SplitResult) else InSyslog(name)
