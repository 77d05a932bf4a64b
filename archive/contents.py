"""What a partition contains, computed from the files that are in its tables: digests, counts, sums of money."""

from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from archive.iceberg import files
from archive.iceberg.files import ArchivedFile
from archive.iceberg.schema import LEDGER_EVENTS, ArchiveTable, Partition
from archive.iceberg.tables import IcebergTables, reaching
from archive.manifests import Sums, TableContent

_WIDE = pa.decimal128(38, 0)  # a sum of int64 in a batch of rows never exceeds it
_SUMMED = ["asset", "kind", "delta_available"]
DEPOSITS, WITHDRAWALS, FEES, VOLUME = "deposits", "withdrawals", "fees", "volume"
_OF_KIND = {"deposit": DEPOSITS, "withdrawal": WITHDRAWALS, "fee": FEES, "trade_credit": VOLUME}


def content_of(
    tables: IcebergTables, table: ArchiveTable, partition: Partition, *, without_lost: bool = False
) -> TableContent:
    """The files of a table's partition, read from where they are stored.

    `without_lost`: leave out files that do not exist. Raises ArchiveUnavailable, also for such a file.
    """
    found = []
    for path, rows in tables.files(table, partition):
        with reaching("The archive"):
            if without_lost and not tables.io.new_input(path).exists():
                continue
            size, sha256 = files.digest(tables.io, path)
        found.append(ArchivedFile(path.removeprefix(f"{tables.url}/"), size, rows, sha256))
    return TableContent(sum(file.rows for file in found), found)


def sums_of(tables: IcebergTables, partition: Partition) -> Sums:
    """Deposits, withdrawals, fees that the house got, and what buyers and sellers got by trades, by asset.

    All of them are sums of ledger events. Raises ArchiveUnavailable.
    """
    return sums_in(tables.batches(LEDGER_EVENTS, partition, _SUMMED))


def sums_in(batches: Iterable[pa.RecordBatch]) -> Sums:
    sums: dict[str, Counter[str]] = {name: Counter() for name in _OF_KIND.values()}
    for batch in batches:
        table = pa.Table.from_batches([batch]).select(_SUMMED)
        # A fee is booked twice: paid by the trader, and received by the house.
        is_counted = pc.or_(pc.not_equal(table["kind"], "fee"), pc.greater(table["delta_available"], 0))
        table = table.filter(is_counted)
        wide = table.set_column(2, "delta_available", table["delta_available"].cast(_WIDE))
        for row in wide.group_by(["kind", "asset"]).aggregate([("delta_available", "sum")]).to_pylist():
            if name := _OF_KIND.get(row["kind"]):
                sums[name][row["asset"]] += abs(int(row["delta_available_sum"]))
    return {name: dict(sorted(counted.items())) for name, counted in sums.items()}
