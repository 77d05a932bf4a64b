"""The archive's tables in their catalog: opened, read by partition, written exactly once.

A partition is committed once to each table. The commit follows the state of the table in which the partition was seen
to be missing; if another writer was faster the catalog refuses it, and the table is looked at again. So the lock of a
run saves work, and this rule is what keeps rows from being written twice.
"""

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from typing import NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    RESTError,
    TableAlreadyExistsError,
    ValidationException,
)
from pyiceberg.io import FileIO, load_file_io
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table
from requests.exceptions import RequestException
from sqlalchemy.exc import SQLAlchemyError

from archive.errors import ArchiveMisconfigured, ArchiveUnavailable
from archive.iceberg import files
from archive.iceberg.schema import BLOCKS, PARTITIONED_BY, TABLES, ArchiveTable, Partition

_CATALOG = "exchange"
_NAMESPACE = "exchange"
_ATTEMPTS = 8
_FIRST_WAIT_S = 0.1
_PROPERTIES = {
    "format-version": "2",
    "commit.retry.num-retries": "0",  # pyiceberg would repeat an append without looking at what the other one wrote
    "write.parquet.compression-codec": "zstd",
    f"write.metadata.metrics.column.{files.LONG_COLUMN}": "none",
}
_EPOCH = date(1970, 1, 1)  # a partition has its day as a number of days after it
# Names in the summary of a snapshot.
_DAY, _SHARD = "exchange.day", "exchange.shard"
_FIRST, _LAST = "exchange.first-block", "exchange.last-block"


class BlockRange(NamedTuple):
    partition: Partition
    first: int
    last: int


class IcebergTables:
    """`url`: the place of the archive. `catalog`: options of pyiceberg's catalog; `storage`: of its file access.

    Every method raises ArchiveUnavailable and ArchiveMisconfigured.
    """

    def __init__(
        self,
        url: str,
        *,
        catalog: dict[str, str],
        storage: dict[str, str],
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.url = url
        self._options = {**catalog, **storage, "warehouse": url}
        self._sleep = sleep
        self.io: FileIO = load_file_io(self._options, url)
        with reaching("The archive's catalog"):
            self._catalog: Catalog = load_catalog(_CATALOG, **self._options)

    def make_tables(self) -> None:
        """Creates what is missing; safe to repeat, and at the same time as another process."""
        with reaching("The archive's catalog"):
            with suppress(NamespaceAlreadyExistsError):
                self._catalog.create_namespace(_NAMESPACE)
            for table in TABLES:
                if self._catalog.table_exists(_identifier(table)):
                    continue
                schema = table.schema
                mapping = {"schema.name-mapping.default": schema.name_mapping.model_dump_json()}
                with suppress(TableAlreadyExistsError):
                    self._catalog.create_table(
                        _identifier(table),
                        schema,
                        location=f"{self.url}/{table.name}",
                        partition_spec=PARTITIONED_BY,
                        properties={**_PROPERTIES, **mapping},
                    )

    def partitions(self) -> list[Partition]:
        """Those that have blocks, by day."""
        table = self._table(BLOCKS)
        if table is None:
            return []
        with reaching("The archive"):
            found = {(task.file.partition[0], task.file.partition[1]) for task in table.scan().plan_files()}
        return sorted(Partition(_EPOCH + timedelta(days=days), shard) for days, shard in found)

    def files(self, table: ArchiveTable, partition: Partition) -> list[tuple[str, int]]:
        """Path and number of rows of each file of a partition, in the order of their rows."""
        opened = self._table(table)
        if opened is None:
            return []
        with reaching("The archive"):
            return _files(opened, partition)

    def batches(
        self, table: ArchiveTable, partition: Partition, columns: list[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a partition in order."""
        for path, _ in self.files(table, partition):
            with reaching("The archive"):
                yield from files.batches(self.io, path, columns)

    def dataset(self, table: ArchiveTable, partitions: Collection[Partition]) -> ds.Dataset:
        """The rows of these partitions. A reader of the dataset loads only the columns and rows that it needs."""
        opened = self._table(table)
        wanted = {((partition.day - _EPOCH).days, partition.shard) for partition in partitions}
        with reaching("The archive"):
            tasks = opened.scan().plan_files() if opened and wanted else ()
            paths = [
                task.file.file_path for task in tasks if (task.file.partition[0], task.file.partition[1]) in wanted
            ]
        return self._dataset(table, paths)

    def dataset_of(self, table: ArchiveTable, names: Sequence[str]) -> ds.Dataset:
        """The rows of these files, which are named as in a manifest; no catalog is read."""
        return self._dataset(table, [f"{self.url}/{name}" for name in names])

    def _dataset(self, table: ArchiveTable, paths: Sequence[str]) -> ds.Dataset:
        if not paths:
            return ds.dataset(table.arrow_schema.empty_table())
        assert isinstance(self.io, PyArrowFileIO)  # what pyiceberg takes for folders and S3
        with reaching("The archive"):
            scheme, place, _ = self.io.parse_location(self.url)
            files_of_place = self.io.fs_by_scheme(scheme, place)
            names = [self.io.parse_location(path)[2] for path in sorted(paths)]
            return ds.dataset(names, schema=table.arrow_schema, format="parquet", filesystem=files_of_place)

    def append(self, table: ArchiveTable, of: BlockRange, batches: Iterable[pa.RecordBatch]) -> bool:
        """Writes the rows of a partition in one commit; returns False if the table has them already.

        Rows are read and written in batches; nothing can be seen before the commit.
        """
        opened = self._require(table)
        if _has(opened, of.partition):
            return False
        name = f"{of.first:019}-{of.last:019}-{uuid.uuid4()}"
        folder = f"{opened.location()}/data/day={of.partition.day}/shard={of.partition.shard}"
        with reaching("The archive"):
            written = files.write(self.io, f"{folder}/{name}", table.arrow_schema, batches)
        if not written:
            return True  # there is nothing to commit: the manifest of the day says that there are no rows
        if self._commit(table, of, written):
            return True
        for path in written:  # another writer has committed the same rows
            self.io.delete(path)
        return False

    def _commit(self, table: ArchiveTable, of: BlockRange, paths: list[str]) -> bool:
        """False if another writer has committed the partition."""
        summary = {
            _DAY: of.partition.day.isoformat(),
            _SHARD: str(of.partition.shard),
            _FIRST: str(of.first),
            _LAST: str(of.last),
        }
        for attempt in range(_ATTEMPTS):
            opened = self._require(table)
            with reaching("The archive"):
                if _has(opened, of.partition):
                    return False
                transaction = opened.transaction()
                transaction.add_files(paths, snapshot_properties=summary, check_duplicate_files=False)
                try:
                    transaction.commit_transaction()
                    return True
                except (CommitFailedException, ValidationException):
                    self._sleep(_FIRST_WAIT_S * 2**attempt)
        raise ArchiveUnavailable(
            f"The table {table.name} of the archive was changed by others at each of {_ATTEMPTS} attempts: run this "
            "again."
        )

    def _table(self, table: ArchiveTable) -> Table | None:
        with reaching("The archive's catalog"):
            try:
                return self._catalog.load_table(_identifier(table))
            except NoSuchTableError:
                return None

    def _require(self, table: ArchiveTable) -> Table:
        found = self._table(table)
        if found is None:
            raise ArchiveMisconfigured(f"The archive's catalog has no table {table.name}.")
        return found


@contextmanager
def reaching(what: str) -> Iterator[None]:
    """Translates the errors of files, S3 and catalogs. Raises ArchiveUnavailable."""
    try:
        yield
    except CommitStateUnknownException as error:
        raise ArchiveUnavailable(
            f"{what} did not say whether it has committed: run this again, which looks first."
        ) from error
    except (OSError, RequestException, SQLAlchemyError, RESTError, pa.ArrowException) as error:
        raise ArchiveUnavailable(f"{what} cannot be reached or read: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """The first line of an error, which may go on with SQL and links."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _has(table: Table, partition: Partition) -> bool:
    """Whether the partition is committed. Its files are looked for too, because old snapshots may have expired."""
    wanted = (partition.day.isoformat(), str(partition.shard))
    for snapshot in table.metadata.snapshots:
        summary = snapshot.summary
        if summary is not None and (summary.get(_DAY), summary.get(_SHARD)) == wanted:
            return True
    return bool(_files(table, partition))


def _files(table: Table, partition: Partition) -> list[tuple[str, int]]:
    condition = f"day = '{partition.day.isoformat()}' and shard = {partition.shard}"
    found = (task.file for task in table.scan(row_filter=condition).plan_files())
    return sorted((file.file_path, file.record_count) for file in found)


def _identifier(table: ArchiveTable) -> tuple[str, str]:
    return _NAMESPACE, table.name
