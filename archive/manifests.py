"""The manifest of an archived day: its blocks, files, counts and sums, chained to that of the day before.

One JSON document a day, written when every table has the day:

    MANIFESTS/shard-0/2026-01-31.json

`digest` is the SHA-256 of the document without it, in JSON with sorted keys and without spaces. `previous` has the
digest of the archived day before, so that the newest digest stands for the whole archive. The same day gives the same
bytes, whoever writes it.
"""

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from archive.errors import ArchiveDamaged
from archive.iceberg.files import ArchivedFile
from archive.iceberg.location import Location
from archive.iceberg.schema import Partition
from archive.iceberg.tables import IcebergTables, reaching
from matching.core.epochs import Epoch
from matching.core.hashes import hash_text, hash_value
from matching.storage.disk import LocalDisk

_FORMAT = 1
_FOLDER = "manifests"


class BlockName(NamedTuple):
    number: int
    hash: int


class Previous(NamedTuple):
    day: date
    digest: str


class TableContent(NamedTuple):
    rows: int
    files: list[ArchivedFile]


Sums = dict[str, dict[str, int]]
"""deposits, withdrawals, fees and volume → asset → sum in the asset's smallest unit."""


class Manifest(NamedTuple):
    partition: Partition
    previous: Previous | None  # None: the first archived day
    prev_hash: int  # of the first block
    first: BlockName
    last: BlockName
    epochs: list[Epoch]  # those that began up to the last block
    tables: dict[str, TableContent]
    sums: Sums

    @property
    def digest(self) -> str:
        text = json.dumps(self._form(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def document(self) -> bytes:
        return f"{json.dumps({**self._form(), 'digest': self.digest}, indent=1, sort_keys=True)}\n".encode()

    def _form(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "day": self.partition.day.isoformat(),
            "shard": self.partition.shard,
            "previous": self.previous and {"day": self.previous.day.isoformat(), "digest": self.previous.digest},
            "prev_hash": hash_text(self.prev_hash),
            "first_block": {"number": self.first.number, "hash": hash_text(self.first.hash)},
            "last_block": {"number": self.last.number, "hash": hash_text(self.last.hash)},
            "epochs": [{**epoch._asdict(), "prev_hash": hash_text(epoch.prev_hash)} for epoch in self.epochs],
            "tables": {
                name: {"rows": content.rows, "files": [file._asdict() for file in content.files]}
                for name, content in self.tables.items()
            },
            # Text, because a sum may be larger than what other readers of JSON take for a number.
            "sums": {name: {asset: str(sum_) for asset, sum_ in sums.items()} for name, sums in self.sums.items()},
        }


class Manifests:
    """The manifests in the archive's place."""

    def __init__(self, location: Location, tables: IcebergTables) -> None:
        self._location = location
        self._tables = tables

    def put(self, manifest: Manifest) -> None:
        """Raises ArchiveUnavailable."""
        with reaching("The archive"):
            if isinstance(self._location, Path):
                LocalDisk().write_whole(self._location / _name(manifest.partition), manifest.document())
            else:
                output = self._tables.io.new_output(self._url(manifest.partition))
                with output.create(overwrite=True) as stream:
                    stream.write(manifest.document())

    def get(self, partition: Partition) -> Manifest | None:
        """Raises ArchiveDamaged, ArchiveUnavailable."""
        with reaching("The archive"):
            file = self._tables.io.new_input(self._url(partition))
            if not file.exists():
                return None
            with file.open() as stream:
                data = stream.read()
        return _parsed(data, partition)

    def _url(self, partition: Partition) -> str:
        return f"{self._tables.url}/{_name(partition)}"


def _name(partition: Partition) -> str:
    return f"{_FOLDER}/shard-{partition.shard}/{partition.day}.json"


def _parsed(data: bytes, partition: Partition) -> Manifest:
    """Raises ArchiveDamaged."""
    try:
        form = json.loads(data)
        digest = form.pop("digest")
        if form["format"] != _FORMAT:
            raise ArchiveDamaged(f"The manifest {_name(partition)} is of another version of this program.")
        manifest = _manifest_of(form)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArchiveDamaged(f"The manifest {_name(partition)} is not one that the archive has written.") from error
    if manifest.digest != digest or manifest.partition != partition:
        raise ArchiveDamaged(f"The manifest {_name(partition)} was changed: its digest is not that of its content.")
    return manifest


def _manifest_of(form: dict[str, Any]) -> Manifest:
    previous = form["previous"]
    return Manifest(
        partition=Partition(date.fromisoformat(form["day"]), form["shard"]),
        previous=previous and Previous(date.fromisoformat(previous["day"]), previous["digest"]),
        prev_hash=hash_value(form["prev_hash"]),
        first=BlockName(form["first_block"]["number"], hash_value(form["first_block"]["hash"])),
        last=BlockName(form["last_block"]["number"], hash_value(form["last_block"]["hash"])),
        epochs=[Epoch(**{**epoch, "prev_hash": hash_value(epoch["prev_hash"])}) for epoch in form["epochs"]],
        tables={
            name: TableContent(content["rows"], [ArchivedFile(**file) for file in content["files"]])
            for name, content in form["tables"].items()
        },
        sums={name: {asset: int(text) for asset, text in sums.items()} for name, sums in form["sums"].items()},
    )
