"""The Compose file: no Docker is needed to see that it holds no password and names settings that exist."""

from typing import Any

import pytest
import yaml
from django.conf import settings

COMPOSE: dict[str, Any] = yaml.safe_load((settings.BASE_DIR / "docker-compose.yml").read_text())
PARTS: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_every_program_of_the_procfile_but_the_demo_has_a_part() -> None:
    assert set(PARTS) == {"prepare", "settlement", "engine", "web", "worker"}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_not_root_and_can_change_nothing_but_its_data(name: str) -> None:
    part = PARTS[name]

    assert part["user"] == "10001:10001"
    assert part["read_only"] is True
    assert part["cap_drop"] == ["ALL"]
    assert part["volumes"] == ["data:/data"]


@pytest.mark.parametrize("name", sorted(set(PARTS) - {"prepare"}))
def test_a_part_that_stays_is_watched_and_waits_for_the_tables(name: str) -> None:
    assert PARTS[name]["healthcheck"]["test"][0] == "CMD"
    assert PARTS[name]["depends_on"]["prepare"] == {"condition": "service_completed_successfully"}


def test_the_secret_key_has_no_default() -> None:
    for part in PARTS.values():
        assert part["environment"]["SECRET_KEY"].startswith("${SECRET_KEY:?")


def test_only_the_web_is_published_and_on_loopback() -> None:
    assert [name for name, part in PARTS.items() if "ports" in part] == ["web"]
    assert PARTS["web"]["ports"] == ["${WEB_PUBLISH:-127.0.0.1:8000}:8000"]


def test_every_variable_is_a_setting() -> None:
    names = {name for part in PARTS.values() for name in part["environment"]}

    assert [name for name in names if not hasattr(settings, name)] == []


def test_the_image_does_not_run_as_root() -> None:
    lines = (settings.BASE_DIR / "Dockerfile").read_text().splitlines()

    assert "USER 10001:10001" in lines
    assert sum(line.startswith("FROM ") for line in lines) == 2
