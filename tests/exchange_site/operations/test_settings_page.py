"""docs/settings.md describes every setting, and equals the generated page."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as site

from exchange_site.configuration.environment import Description, Environment
from exchange_site.operations import settings_page

PAGE = Path(site.BASE_DIR) / "docs" / "settings.md"
OTHER_VALUES = {"INPUT_LOG": "wal", "DEBUG": "true", "LOG_LEVEL": "ERROR", "SCYLLA_PORT": "1", "DATABASE_URL": "x"}
UNITS = {"_MS": "ms", "_BYTES": "bytes", "_BLOCKS": "blocks", "_TRADES": "trades", "_COMMANDS": "commands"}


def described() -> list[Description]:
    found: list[Description] = site.SETTING_DESCRIPTIONS
    return found


def test_the_page_equals_the_generated_one() -> None:
    again = "run `manage.py describe_settings > docs/settings.md`"
    assert PAGE.read_text(encoding="utf-8") == settings_page.page(described()), again


@pytest.mark.processes
def test_the_command_ignores_the_environment(tmp_path: Path) -> None:
    environment = {**os.environ, **OTHER_VALUES, "DATABASE_URL": "", "DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "manage.py", "describe_settings"],
        cwd=site.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("setting", described(), ids=lambda setting: setting.name)
def test_every_setting_has_a_meaning_and_readers(setting: Description) -> None:
    assert setting.meaning.endswith("."), f"{setting.name} has no meaning in exchange_site/settings"
    assert setting.group
    assert setting.read_by


@pytest.mark.parametrize("setting", described(), ids=lambda setting: setting.name)
def test_the_unit_in_a_name_is_the_unit_on_the_page(setting: Description) -> None:
    for ending, unit in UNITS.items():
        if setting.name.endswith(ending):
            assert setting.unit == unit


def test_every_setting_is_listed_once() -> None:
    names = [setting.name for setting in described()]
    assert len(names) == len(set(names)) > 40


def test_a_bar_in_a_description_is_escaped() -> None:
    environment = Environment()
    environment.group("Some", read_by="web")
    environment.text("X", "a", "One of a|b.")
    assert "| `X` | `a` | | One of a\\|b. | web |" in settings_page.page(environment.descriptions)
