"""Django requires this module's name: `ENGINE` names the package, and Django loads its module `base`."""

import os
import sqlite3
from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base, features


class DatabaseFeatures(features.DatabaseFeatures):
    # Django finds out by opening the database, before `migrate` has created it. Every SQLite of Python 3.11 has JSON.
    supports_json_field = True


class DatabaseWrapper(base.DatabaseWrapper):
    """Opens an existing file. `prepare_database`, which `migrate` and `SqlStore.init` call, creates one."""

    features_class = DatabaseFeatures

    def get_connection_params(self) -> dict[str, Any]:
        parameters = super().get_connection_params()
        if self._is_file():
            parameters["database"] = f"{Path(parameters['database']).absolute().as_uri()}?mode=rw"
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        try:
            return super().get_new_connection(conn_params)
        except sqlite3.OperationalError as error:
            name = self.settings_dict["NAME"]
            if self._is_file() and not Path(name).exists():
                raise sqlite3.OperationalError(f"the database file {name} does not exist") from error
            raise

    def prepare_database(self) -> None:
        if self._is_file():
            os.close(os.open(self.settings_dict["NAME"], os.O_WRONLY | os.O_CREAT, 0o600))

    def _is_file(self) -> bool:
        name = str(self.settings_dict["NAME"])
        return not self.is_in_memory_db() and not name.startswith("file:")
