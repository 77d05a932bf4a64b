"""The script that brings what tests need, without touching this machine."""

import subprocess
from collections.abc import Sequence

import pytest

from scripts import services
from scripts.services import Browser, ServiceError


class Apt:
    """Stands in for apt-get: remembers what was asked and fails as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.asked: list[list[str]] = []
        self.failures = failures

    def run(self, command: Sequence[str], **options: object) -> "subprocess.CompletedProcess[str]":
        self.asked.append(list(command))
        fails = "install" in command and self.failures > 0
        self.failures -= fails
        return subprocess.CompletedProcess(command, int(fails), "E: Unable to locate package chromium\n")


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The programs that this machine seems to have."""
    there = {"apt-get"}
    monkeypatch.setattr("scripts.services.shutil.which", lambda name: f"/usr/bin/{name}" if name in there else None)
    monkeypatch.setattr("scripts.services.os.geteuid", lambda: 0)
    return there


def use(apt: Apt, monkeypatch: pytest.MonkeyPatch) -> Apt:
    monkeypatch.setattr("scripts.services.subprocess.run", apt.run)
    return apt


def test_what_is_there_is_not_installed_again(programs: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    programs |= {"chromium", "chromedriver"}
    apt = use(Apt(), monkeypatch)

    assert services.main(["start"]) == 0
    assert services.main(["status", "browser"]) == 0
    assert services.main(["stop"]) == 0
    assert apt.asked == []


def test_old_package_lists_are_renewed_once(programs: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    apt = use(Apt(failures=1), monkeypatch)

    Browser().install()

    assert [command[1] for command in apt.asked] == ["install", "update", "install"]
    assert apt.asked[0][-3:] == ["chromium", "chromium-driver", "fonts-dejavu-core"]


def test_a_failed_install_says_what_apt_said(
    programs: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(Apt(failures=2), monkeypatch)

    assert services.main(["start"]) == 1
    assert "Unable to locate package chromium" in capsys.readouterr().err


def test_an_install_that_brought_nothing_is_a_failure(
    programs: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(Apt(), monkeypatch)

    assert services.main(["start"]) == 1
    assert "chromium and chromedriver not installed, although" in capsys.readouterr().err


def test_without_root_sudo_is_asked(programs: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.services.os.geteuid", lambda: 1000)
    with pytest.raises(ServiceError, match="this needs root once: apt-get install chromium"):
        Browser().install()

    programs.add("sudo")
    apt = use(Apt(), monkeypatch)
    Browser().install()
    assert apt.asked[0][:2] == ["sudo", "--non-interactive"]


def test_another_system_gets_a_sentence(programs: set[str]) -> None:
    programs.clear()

    with pytest.raises(ServiceError, match="there is no apt-get here: install chromium"):
        Browser().install()


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        services.main(["start", "oracle"])

    assert ended.value.code == 2
    assert "no service 'oracle'" in capsys.readouterr().err
