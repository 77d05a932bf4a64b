"""Parsing of environment variables."""

from pathlib import Path

import pytest

from exchange_site.configuration.environment import Environment, kept_secret

DEFAULT = {"ENGINE": "django.db.backends.sqlite3", "NAME": "default"}


@pytest.fixture
def environment() -> Environment:
    return Environment()


def test_an_unset_or_empty_variable_has_its_default(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("X", raising=False)
    assert environment.whole("X", 7) == 7

    monkeypatch.setenv("X", " ")
    assert environment.whole("X", 7) == 7
    assert environment.flag("X", True) is True
    assert environment.problems == []


@pytest.mark.parametrize(
    ("written", "meant"), [("true", True), ("1", True), ("YES", True), ("off", False), ("0", False)]
)
def test_flags(environment: Environment, monkeypatch: pytest.MonkeyPatch, written: str, meant: bool) -> None:
    monkeypatch.setenv("X", written)

    assert environment.flag("X", not meant) is meant


def test_words_and_tables(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "a, b,,c ")
    assert environment.words("X", []) == ["a", "b", "c"]

    monkeypatch.setenv("X", '{"class": "SimpleStrategy"}')
    assert environment.table("X", {}) == {"class": "SimpleStrategy"}


def test_databases(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "postgres://me:secret@db.example:5433/exchange")
    found = environment.database("X", DEFAULT)

    assert (found["ENGINE"], found["HOST"], found["PORT"], found["NAME"], found["USER"], found["PASSWORD"]) == (
        "django.db.backends.postgresql",
        "db.example",
        5433,
        "exchange",
        "me",
        "secret",
    )

    monkeypatch.setenv("X", "sqlite:////var/lib/exchange.sqlite3")
    assert environment.database("X", DEFAULT)["NAME"] == "/var/lib/exchange.sqlite3"


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://u:hunter2@h/d", "sqlite://:memory:", "sqlite:///", "postgres://h"]
)
def test_a_database_that_processes_cannot_share_is_refused(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("SOME_URL", url)

    assert environment.database("SOME_URL", DEFAULT) == DEFAULT
    assert len(environment.problems) == 1
    assert "hunter2" not in environment.problems[0]


def test_invalid_options_are_not_shown(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_OPTIONS", '{"sasl.password": "hunter2"')

    assert environment.table("SOME_OPTIONS", {}) == {}
    assert environment.problems == ["SOME_OPTIONS must be a JSON object, not the current value."]


@pytest.mark.parametrize(("read", "value"), [("whole", "1.5"), ("flag", "maybe"), ("table", "[1]"), ("table", "{")])
def test_an_invalid_value_is_reported_with_its_name(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, read: str, value: str
) -> None:
    monkeypatch.setenv("SOME_NAME", value)

    assert getattr(environment, read)("SOME_NAME", None) is None
    assert environment.problems[0].startswith("SOME_NAME must ")


def test_a_long_value_is_shortened(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "9" * 5000 + "x")
    environment.whole("X", 1)

    assert len(environment.problems[0]) < 150


def test_a_kept_secret_is_read_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    assert kept_secret(tmp_path / "none") == ""

    (tmp_path / "some").write_text("abc\n")
    assert kept_secret(tmp_path / "some") == "abc"

    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert kept_secret(tmp_path / "binary") == ""
