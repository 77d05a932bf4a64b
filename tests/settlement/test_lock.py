"""The lock on DATA_DIR."""

from pathlib import Path

import pytest

from settlement.errors import AlreadyRunning, CannotRun
from settlement.lock import exclusive


def test_a_second_process_is_refused_until_the_first_one_ends(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with exclusive(folder), pytest.raises(AlreadyRunning, match="stop it first"), exclusive(folder):
        pytest.fail("locked twice")
    with exclusive(folder):
        pass


def test_a_folder_that_is_a_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.touch()
    with pytest.raises(CannotRun, match=r"settlement\.lock cannot be opened: File exists\."), exclusive(file):
        pytest.fail("locked a file")
