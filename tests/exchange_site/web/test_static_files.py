"""Static files are kept for ever under names with a digest, and served with or without a collection."""

import re
from pathlib import Path

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.templatetags.static import static
from django.test import Client
from pytest_django import Settings

from exchange_site.configuration import folders
from exchange_site.web import static_files

STYLE = "back_office/back_office.css"


@pytest.fixture
def collected(settings: Settings, tmp_path: Path) -> Path:
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STORAGES = dict(settings.STORAGES)  # makes Django forget its storage
    static_files.collect()
    return tmp_path / "static"


def test_a_collected_file_has_a_digest_and_may_be_kept_for_ever(collected: Path, client: Client) -> None:
    address = static(STYLE)
    assert re.fullmatch(r"/static/back_office/back_office\.[0-9a-f]{12}\.css", address)
    answer = client.get(address, headers={"accept-encoding": "gzip"})
    assert answer.status_code == 200
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "max-age=60" in client.get(f"/static/{STYLE}").headers["Cache-Control"]


def test_the_folders_are_closed_to_other_accounts(collected: Path) -> None:
    """Programs refuse a DATA_DIR with an open folder."""
    assert (collected / "back_office").is_dir()
    assert folders.open_to_others(collected) == []


def test_files_that_were_not_collected_have_their_plain_names(client: Client) -> None:
    assert not staticfiles_storage.exists("staticfiles.json")
    assert static(STYLE) == f"/static/{STYLE}"
    answer = client.get(f"/static/{STYLE}")
    assert answer.status_code == 200
    assert "immutable" not in answer.headers["Cache-Control"]


def test_a_folder_that_cannot_be_written_does_not_stop_the_web(settings: Settings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path
    (tmp_path / "back_office").touch()  # where a folder has to be
    settings.STORAGES = dict(settings.STORAGES)
    static_files.collect()
    assert static(STYLE) == f"/static/{STYLE}"
