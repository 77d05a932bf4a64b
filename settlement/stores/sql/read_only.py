"""A SQL store that is only read: nothing is created or changed, not even a missing database file.

SQLite creates the file that it is asked to open, and two more beside it for a database in WAL mode. Therefore the file
is opened with `mode=ro`. If no process has it open (there is no `-wal` file), it is also opened as immutable, because
otherwise SQLite would create the two files and leave them there. https://www.sqlite.org/wal.html#read_only_databases
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db import connections

from settlement.stores.sql.store import SqlStore

_SQLITE = "settlement.stores.sql.sqlite"


@contextmanager
def opened(alias: str = "default", slow_query_ms: float = 100) -> Iterator[SqlStore]:
    """The store of this database alias, on a connection of its own that ends with the block."""
    of_reader = alias_of(alias)
    connections.settings[of_reader] = _settings(connections[alias].settings_dict)
    store = SqlStore(of_reader, slow_query_ms, is_read_only=True)
    try:
        yield store
    finally:
        store.close()
        del connections[of_reader]
        del connections.settings[of_reader]


def alias_of(alias: str = "default") -> str:
    """The alias of the connection that `opened` makes, for reading other tables while the store is open."""
    return f"{alias}-read-only"


def file_of(alias: str = "default") -> Path | None:
    """SQLite's database file; None for a server."""
    settings = connections[alias].settings_dict
    return Path(str(settings["NAME"])) if settings["ENGINE"] == _SQLITE else None


def _settings(of_writer: dict[str, Any]) -> dict[str, Any]:
    if of_writer["ENGINE"] != _SQLITE:
        return dict(of_writer)
    file = Path(str(of_writer["NAME"]))
    options = {name: value for name, value in of_writer["OPTIONS"].items() if name != "init_command"}
    is_open = file.with_name(f"{file.name}-wal").exists()
    name = f"file:{quote(str(file))}?mode=ro" + ("" if is_open else "&immutable=1")
    return {**of_writer, "NAME": name, "OPTIONS": options}
