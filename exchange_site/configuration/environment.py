"""Reads environment variables, and collects invalid values and the description of each setting.

An invalid value must become one sentence of a system check, not a traceback from an import: the default is used, the
problem is added to `problems`, and `checks.py` refuses to start.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from environ import Env

T = TypeVar("T")

_SMTP_PORT, _SUBMISSION_PORT, _SMTPS_PORT = 25, 587, 465


@dataclass(frozen=True, slots=True)
class Description:
    """One row of `docs/settings.md`."""

    name: str
    group: str
    meaning: str
    unit: str  # of a number, else ""
    read_by: str
    default: str


@dataclass
class Environment:
    """Reads settings; every reader also takes the description of the setting, so that both are in one place.

    `unit`: of a number. `read_by`: the programs, if not those of the group. `shown`: the default in words, if its value
    depends on the machine or on other settings.
    """

    source: Env = field(default_factory=Env)
    problems: list[str] = field(default_factory=list)
    descriptions: list[Description] = field(default_factory=list)
    _group: str = ""
    _readers: str = ""

    def group(self, title: str, *, read_by: str) -> None:
        """Settings that are read after this call belong to this group."""
        self._group, self._readers = title, read_by

    def text(self, name: str, default: str = "", meaning: str = "", **more: str) -> str:
        self._describe(name, default, meaning, **more)
        return self._read(name, str, default, "be text")

    def whole(self, name: str, default: int, meaning: str = "", **more: str) -> int:
        self._describe(name, str(default), meaning, **more)
        return self._read(name, int, default, "be a whole number")

    def flag(self, name: str, default: bool, meaning: str = "", **more: str) -> bool:
        self._describe(name, str(default).lower(), meaning, **more)
        return self._read(name, _flag, default, "be true or false")

    def words(self, name: str, default: list[str], meaning: str = "", **more: str) -> list[str]:
        self._describe(name, ",".join(default), meaning, **more)
        return self._read(name, _words, default, "be names separated by commas")

    def table(self, name: str, default: dict[str, object], meaning: str = "", **more: str) -> dict[str, object]:
        self._describe(name, json.dumps(default), meaning, **more)
        return self._read(name, _table, default, "be a JSON object")

    def path(self, name: str, default: Path, meaning: str = "", **more: str) -> Path:
        self._describe(name, str(default), meaning, **more)
        return self._read(name, _path, default, "be a folder")

    def database(self, name: str, default: dict[str, Any], meaning: str = "", **more: str) -> dict[str, Any]:
        self._describe(name, "", meaning, **more)
        return self._read(name, _database, default, "be sqlite:///FILE or postgres://USER:PASSWORD@HOST:PORT/NAME")

    def email(self, name: str, meaning: str = "", **more: str) -> dict[str, Any]:
        """Django's settings of a mail server; its host is "" if the variable is not set."""
        self._describe(name, "", meaning, **more)
        form = "be smtp://, smtp+tls:// or smtp+ssl:// with USER:PASSWORD@HOST:PORT"
        return self._read(name, _mail_server, _mail_server("smtp:"), form)

    def _describe(
        self, name: str, default: str, meaning: str, *, unit: str = "", read_by: str = "", shown: str = ""
    ) -> None:
        readers = read_by or self._readers
        default = shown or (f"`{default}`" if default else "not set")
        self.descriptions.append(Description(name, self._group, meaning, unit, readers, default))

    def _read(self, name: str, parse: Callable[[str], T], default: T, form: str) -> T:
        raw: str = self.source.str(name, default="").strip()
        if not raw:  # shells and Compose files set variables to "" for "not set"
            return default
        try:
            return parse(raw)
        except ValueError:
            self.problems.append(f"{name} must {form}, not {_shown(name, raw)}.")
            return default


def _shown(name: str, raw: str) -> str:
    """The value, unless it may contain a password."""
    return "the current value" if name.endswith(("_URL", "_KEY", "_OPTIONS")) else repr(raw[:80])


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
    # Only tested databases. django-environ would print the whole URL with its password for an unknown scheme.
    if not raw.startswith(("sqlite:///", "postgres://", "postgresql://")):
        raise ValueError
    parsed: dict[str, Any] = Env.db_url_config(raw)
    if parsed["NAME"] in ("", ":memory:"):  # a database in memory cannot be shared by several processes
        raise ValueError
    return parsed


def _mail_server(raw: str) -> dict[str, Any]:
    # django-environ would print the whole URL with its password for an unknown scheme.
    if not raw.startswith(("smtp:", "smtp+tls:", "smtp+ssl:")):
        raise ValueError
    url: dict[str, Any] = Env.email_url_config(raw)
    uses_tls, uses_ssl = url.get("EMAIL_USE_TLS", False), url.get("EMAIL_USE_SSL", False)
    return {
        "EMAIL_HOST": url["EMAIL_HOST"] or "",
        "EMAIL_PORT": url["EMAIL_PORT"] or (_SMTPS_PORT if uses_ssl else _SUBMISSION_PORT if uses_tls else _SMTP_PORT),
        "EMAIL_HOST_USER": url["EMAIL_HOST_USER"] or "",
        "EMAIL_HOST_PASSWORD": url["EMAIL_HOST_PASSWORD"] or "",
        "EMAIL_USE_TLS": uses_tls,
        "EMAIL_USE_SSL": uses_ssl,
    }


def kept_secret(file: Path) -> str:
    """The secret in a file that `make run` created; "" if the file does not exist or cannot be read."""
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
