"""The file by which the supervisor tells the pages about its programs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from back_office import program_states
from back_office.program_states import ProgramState, Status

STATES = [
    ProgramState("engine", Status.RUNNING, 1, "ended with status 1", 1_767_268_800.0),
    ProgramState("demo", Status.ENDED, 0, "", None),
]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "programs.json"
    program_states.write(file, STATES)
    program_states.write(file, STATES)
    assert program_states.read(file) == STATES
    assert list(tmp_path.iterdir()) == [file]


def test_the_file_of_a_supervisor_that_is_gone_is_ignored(tmp_path: Path) -> None:
    file = tmp_path / "programs.json"
    program_states.write(file, STATES)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    file.write_text(json.dumps({**json.loads(file.read_text()), "supervisor": ended.pid}))
    assert program_states.read(file) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"supervisor": 1, "programs": [{}]}', "\\", '{"supervisor": "x"}'])
def test_a_file_that_is_not_understood_is_ignored(tmp_path: Path, text: str) -> None:
    file = tmp_path / "programs.json"
    file.write_text(text)
    assert program_states.read(file) == []
    assert program_states.read(tmp_path / "missing.json") == []
