"""Reads one environment variable at a time and remembers what could not be read.

A value of the wrong form must end as one sentence of a system check, not as a traceback out of an import;
so a bad one leaves the default in place and a note in `problems`, and `checks.py` refuses to start.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from environ import Env

T = TypeVar("T")


@dataclass
class Environment:
    source: Env = field(default_factory=Env)
    problems: list[str] = field(default_factory=list)

    def text(self, name: str, default: str = "") -> str:
        return self._read(name, str, default, "be text")

    def whole(self, name: str, default: int) -> int:
        return self._read(name, int, default, "be a whole number")

    def flag(self, name: str, default: bool) -> bool:
        return self._read(name, _flag, default, "be true or false")

    def words(self, name: str, default: list[str]) -> list[str]:
        return self._read(name, _words, default, "be names with commas between them")

    def table(self, name: str, default: dict[str, object]) -> dict[str, object]:
        return self._read(name, _table, default, "be a JSON object")

    def path(self, name: str, default: Path) -> Path:
        return self._read(name, _path, default, "be a folder")

    def database(self, name: str, default: dict[str, Any]) -> dict[str, Any]:
        return self._read(name, _database, default, "be sqlite:///FILE or postgres://USER:PASSWORD@HOST:PORT/NAME")

    def _read(self, name: str, parse: Callable[[str], T], default: T, form: str) -> T:
        raw: str = self.source.str(name, default="").strip()
        if not raw:  # an empty variable is how shells and Compose files say "not set"
            return default
        try:
            return parse(raw)
        except ValueError:
            self.problems.append(f"{name} must {form}, not {_shown(name, raw)}.")
            return default


def _shown(name: str, raw: str) -> str:
    """The value, but never one that may hold a password."""
    return "what it is" if name.endswith(("_URL", "_KEY", "_OPTIONS")) else repr(raw[:80])


def _flag(raw: str) -> bool:
    forms = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if raw.lower() not in forms:
        raise ValueError
    return forms[raw.lower()]


def _words(raw: str) -> list[str]:
    return [word.strip() for word in raw.split(",") if word.strip()]


def _table(raw: str) -> dict[str, object]:
    value = json.loads(raw)
    if not isinstance(value, dict):
        raise ValueError
    return value


def _path(raw: str) -> Path:
    return Path(raw).expanduser().resolve()


def _database(raw: str) -> dict[str, Any]:
    # Only what is tested; and django-environ prints the whole URL, password too, when it meets another scheme.
    if not raw.startswith(("sqlite:///", "postgres://", "postgresql://")):
        raise ValueError
    parsed: dict[str, Any] = Env.db_url_config(raw)
    if parsed["NAME"] in ("", ":memory:"):  # memory belongs to one process, and several share the store
        raise ValueError
    return parsed


def kept_secret(file: Path) -> str:
    """What `make run` keeps in a file; empty where there is none or it is another account's."""
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
