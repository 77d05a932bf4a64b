"""The nightly run, and when it is on the schedule."""

from pathlib import Path

import pytest
from celery.schedules import crontab
from pytest_django import Settings

from archive import tasks
from exchange_site.configuration import background
from settlement.stores.base import Store
from tests.archive.conftest import OpenArchive


def test_a_night_archives_what_is_complete(settled: Store, open_archive: OpenArchive) -> None:
    tasks.archive()
    tasks.archive()
    assert len(open_archive().complete()) == 2


@pytest.mark.parametrize(("days", "released"), [(0, 0), (1, 12), (400, 0)])
def test_a_night_releases_what_is_older_than_the_retention(
    settled: Store, data_dir: Path, settings: Settings, days: int, released: int
) -> None:
    settings.RETENTION_DAYS = days
    tasks.archive()
    tasks.archive()
    assert settled.released().block_number == released
    assert (settled.get_block(1) is None) == bool(released)


def test_a_night_that_fails_is_logged(
    settled: Store, data_dir: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ARCHIVE_CATALOG = "http://127.0.0.1:9/catalog"
    tasks.archive()
    assert "archive.failed" in caplog.text
    assert "catalog cannot be reached or read" in caplog.text


def test_it_is_on_the_schedule_only_with_an_hour() -> None:
    assert "archive" not in background.schedule(None)
    assert background.schedule(3)["archive"]["schedule"] == crontab(hour=3, minute=15)
