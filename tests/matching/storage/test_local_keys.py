"""The keys of a first start: made once, whoever starts first, and only where an exchange begins."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from matching.core.errors import KeysUnusable
from matching.storage.disk import LocalDisk
from matching.storage.key_files import KeyFolder
from matching.storage.local_keys import LOCAL_ROLES, make_local_keys
from matching.storage.register_file import RegisterFile
from matching.transport.key_register import KeyRole

MAKE = (
    "import sys; from pathlib import Path; from matching.storage.key_files import KeyFolder; "
    "from matching.storage.local_keys import make_local_keys; "
    "sys.stdin.read(); print(make_local_keys(KeyFolder(Path(sys.argv[1]))))"
)


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "data" / "keys")


def refuse_if_inconsistent(keys: KeyFolder) -> None:
    register = RegisterFile(keys).current()
    for role in LOCAL_ROLES:
        assert [key.public for key in register.active(role)] == [keys.own_key(role).public]


def test_an_empty_folder_gets_a_key_for_each_local_role(keys: KeyFolder) -> None:
    assert make_local_keys(keys)
    refuse_if_inconsistent(keys)
    assert not RegisterFile(keys).current().active(KeyRole.TRADER)


def test_a_second_start_changes_nothing(keys: KeyFolder) -> None:
    make_local_keys(keys)
    before = {path: path.read_bytes() for path in keys.folder.iterdir()}
    assert not make_local_keys(keys)
    assert {path: path.read_bytes() for path in keys.folder.iterdir()} == before


@pytest.mark.parametrize("writes", range(1, len(LOCAL_ROLES) + 4))
def test_a_start_that_was_killed_is_completed(keys: KeyFolder, writes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`writes`: of the root key's two halves, a key for each role and the register, so many are there."""
    done: list[Path] = []
    write_whole = LocalDisk.write_whole

    def killed(self: LocalDisk, path: Path, data: bytes) -> None:
        if len(done) == writes:
            raise KeyboardInterrupt
        write_whole(self, path, data)
        done.append(path)

    with monkeypatch.context() as patched:
        patched.setattr(LocalDisk, "write_whole", killed)
        with contextlib.suppress(KeyboardInterrupt):
            make_local_keys(keys)
    before = {path: path.read_bytes() for path in keys.folder.glob("*.key")}
    assert make_local_keys(keys) is (writes < len(LOCAL_ROLES) + 3)
    refuse_if_inconsistent(keys)
    assert before.items() <= {path: path.read_bytes() for path in keys.folder.glob("*.key")}.items()


def test_a_machine_of_an_exchange_whose_root_key_is_elsewhere_gets_no_keys(keys: KeyFolder, tmp_path: Path) -> None:
    elsewhere = KeyFolder(tmp_path / "elsewhere")
    make_local_keys(elsewhere)
    keys.folder.mkdir(mode=0o700, parents=True)
    (keys.folder / "root.pub").write_bytes(elsewhere.root_public_path.read_bytes())
    assert not make_local_keys(keys)
    assert [path.name for path in keys.folder.iterdir()] == ["root.pub"]


def test_a_machine_that_got_its_key_file_and_no_root_gets_no_other_root(keys: KeyFolder) -> None:
    with keys.locked():
        keys.make_key(KeyRole.TRADER, "alice")
    assert not make_local_keys(keys)
    with pytest.raises(KeysUnusable, match=r"There is no .*root.pub: copy it"):
        RegisterFile(keys)


def test_a_root_key_that_was_taken_away_is_not_missed(keys: KeyFolder) -> None:
    make_local_keys(keys)
    keys.root_path.unlink()
    assert not make_local_keys(keys)
    refuse_if_inconsistent(keys)


def test_a_planted_folder_is_refused(keys: KeyFolder) -> None:
    keys.folder.mkdir(parents=True)
    keys.folder.chmod(0o777)
    with pytest.raises(KeysUnusable, match="run chmod 700"):
        make_local_keys(keys)


@pytest.mark.processes
def test_processes_that_start_at_once_share_one_set_of_keys(keys: KeyFolder) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE, str(keys.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()  # each waits for this after its imports
        process.stdin = None
    ended = [process.communicate() for process in started]
    assert sorted(output.strip() for output, _ in ended) == ["False"] * 5 + ["True"], ended
    refuse_if_inconsistent(keys)
