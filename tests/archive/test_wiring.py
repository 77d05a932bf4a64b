"""Where the archive and its catalog are by the settings, and what is said if they cannot be reached."""

from pathlib import Path

import pytest
from pytest_django import Settings

from archive import wiring
from archive.errors import ArchiveMisconfigured, ArchiveUnavailable


def test_without_settings_the_archive_is_in_the_data_folder(data_dir: Path) -> None:
    assert wiring.location() == data_dir / "archive"


def test_a_folder_that_is_named_has_the_catalog_too(data_dir: Path, tmp_path: Path, settings: Settings) -> None:
    settings.ARCHIVE = str(tmp_path / "kept")
    wiring.archive().tables.make_tables()
    assert (tmp_path / "kept" / "catalog.sqlite3").exists()
    assert not (data_dir / "archive").exists()


@pytest.mark.parametrize(
    "catalog", ["http://127.0.0.1:9/catalog", "postgres://exchange:hunter2@127.0.0.1:9/catalog"], ids=["rest", "sql"]
)
def test_a_catalog_that_is_away_is_one_sentence(data_dir: Path, settings: Settings, catalog: str) -> None:
    settings.ARCHIVE_CATALOG = catalog
    with pytest.raises(ArchiveUnavailable, match="The archive's catalog cannot be reached or read: ") as error:
        wiring.archive()
    assert "\n" not in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("place", ["archive", "s3://B/", "s3://bucket/x?lock_days=7", "/srv/a?b", "ftp://x/y"])
def test_a_place_that_is_none_is_refused(settings: Settings, place: str) -> None:
    settings.ARCHIVE = place
    with pytest.raises(ArchiveMisconfigured, match="ARCHIVE "):
        wiring.location()
