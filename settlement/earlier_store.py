"""Evidence in DATA_DIR that blocks have been settled: with it a missing database is a loss, not a first start."""

from pathlib import Path

from settlement.durable import claim

_FOLDERS = ("spill", "wal", "snapshots")
_TRAIL = "settled_trades*.csv"


def evidence_in(data_dir: Path) -> Path | None:
    """The first file that was written after the store existed; None if there is none."""
    files = [file for name in _FOLDERS for file in sorted((data_dir / name).glob("*")) if file.suffix != claim.SUFFIX]
    found = (file for file in [*files, *sorted(data_dir.glob(_TRAIL))] if file.is_file() and file.stat().st_size)
    return next(found, None)
