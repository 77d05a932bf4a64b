"""`make services`, tested without changing this machine, with a small test server."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from exchange_site.operations.free_addresses import HOST, free_ports, is_free
from scripts.services import SERVERS, SERVICES, Browser, Redis, Running, Server, ServiceError, __main__, packages
from scripts.services.processes import birth
from scripts.services.service import ask

ECHO = """
import socketserver, subprocess, sys, time
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(self.request.recv(4096))
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
server = Server(("127.0.0.1", int(sys.argv[1])), Echo)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("serves", flush=True)
server.serve_forever()
"""


class Echo(Server):
    """An echo server with a child in another process group, as PostgreSQL has."""

    name = "echo"
    start_limit_s = 20.0
    program = ECHO

    def __init__(self, default_port: int) -> None:
        self.default_port = default_port

    def install(self) -> None:
        raise ServiceError("echo needs nothing")

    def command(self, folder: Path, port: int) -> list[str]:
        return [sys.executable, "-c", self.program, str(port)]

    def answers(self, port: int) -> bool:
        return ask(port, b"?") == b"?"


class Broken(Echo):
    program = "print('no such option'); raise SystemExit(3)"


@pytest.fixture
def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Echo]:
    """A server with a shared folder of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    server = Echo(free_ports(1)[0])
    yield server
    server.stop()


def running(server: Server) -> Running:
    found = server.running()
    assert found is not None
    return found


# A server's life


def test_a_server_that_runs_is_not_started_again(echo: Echo) -> None:
    assert echo.missing() == "does not run"
    echo.start()
    first = running(echo)
    assert echo.missing() is None
    assert first.port == echo.default_port
    echo.start()
    assert running(echo).pid == first.pid
    echo.stop()
    assert echo.missing() == "does not run"
    assert is_free(first.port)
    echo.stop()


def test_a_server_uses_and_records_another_port_if_its_usual_one_is_taken(
    echo: Echo, launch: Callable[[Server], Running]
) -> None:
    other = launch(echo)
    echo.default_port = other.port
    echo.start()
    assert running(echo).port != other.port
    assert echo.answers(running(echo).port)


def test_a_shared_server_starts_without_data(echo: Echo) -> None:
    echo.start()
    left = running(echo).folder / "data" / "left"
    left.touch()
    running(echo).kill()
    echo.start()
    assert not left.exists()


def test_a_killed_server_starts_again_with_its_data_at_its_port(launch: Callable[[Server], Running]) -> None:
    first = launch(Echo(0))
    (first.folder / "data" / "kept").touch()
    first.kill()
    assert not first.is_alive
    second = first.restart()
    assert (second.port, second.is_alive) == (first.port, True)
    assert (second.folder / "data" / "kept").exists()


def test_stopping_a_server_also_stops_its_children(launch: Callable[[Server], Running]) -> None:
    server = launch(Echo(0))
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    assert len(children) == 1
    server.kill()
    assert birth(int(children[0])) is None


def test_a_frozen_server_accepts_connections_but_answers_only_when_resumed(launch: Callable[[Server], Running]) -> None:
    server = launch(Echo(0))
    server.freeze()
    with pytest.raises(TimeoutError):
        ask(server.port, b"?")
    server.resume()
    assert ask(server.port, b"?") == b"?"


def test_another_process_with_the_id_of_an_ended_server_is_not_killed(echo: Echo) -> None:
    echo.start()
    ended = running(echo)
    ended.kill()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        note = {"port": ended.port, "pid": stranger.pid, "born": ended.born}
        (ended.folder / "service.json").write_text(json.dumps(note))
        assert echo.missing() == "does not run"
        echo.stop()
        assert stranger.poll() is None
        stranger.communicate(b"\n")


def test_a_server_that_ends_at_once_says_why(launch: Callable[[Server], Running]) -> None:
    with pytest.raises(ServiceError, match=r"echo ended; the last lines of its log \(.*log.txt\):\nno such option"):
        launch(Broken(0))


def test_a_taken_port_is_one_sentence(launch: Callable[[Server], Running], tmp_path: Path) -> None:
    other = launch(Echo(0))
    with pytest.raises(ServiceError, match=f"echo: port {other.port} or the one after it is in use"):
        Echo(0).launch(tmp_path, other.port)


def test_servers_listen_on_loopback_only(launch: Callable[[Server], Running]) -> None:
    assert HOST == "127.0.0.1"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", launch(Echo(0)).port), timeout=5)


@pytest.mark.services("redis")
def test_redis_keeps_its_data_after_sigkill(launch: Callable[[Server], Running]) -> None:
    redis = launch(Redis(keeps=True))
    assert ask(redis.port, b"SET a 1\r\n").startswith(b"+OK")
    redis.kill()
    assert ask(redis.restart().port, b"GET a\r\n").startswith(b"$1\r\n1")


@pytest.mark.services(*SERVERS)
def test_the_shared_servers_answer_at_their_recorded_ports() -> None:
    for server in SERVERS.values():
        assert server.answers(running(server).port), server.name


# Their programs


class Apt:
    """Replaces apt-get: records calls and fails a given number of times."""

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
    """The programs that appear to be installed; tests may change the set."""
    there = {"apt-get"}

    def which(name: str, path: str | None = None) -> str | None:
        return f"/usr/bin/{name}" if name in there else None

    for module in ("packages", "browser", "redis", "postgres"):
        monkeypatch.setattr(f"scripts.services.{module}.shutil.which", which)
    monkeypatch.setattr("scripts.services.packages.os.geteuid", lambda: 0)
    return there


def use(apt: Apt, monkeypatch: pytest.MonkeyPatch) -> Apt:
    monkeypatch.setattr("scripts.services.packages.subprocess.run", apt.run)
    return apt


def test_installed_programs_are_not_installed_again(programs: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    programs |= {"chromium", "chromedriver"}
    apt = use(Apt(), monkeypatch)

    assert __main__.main(["start", "browser"]) == 0
    assert __main__.main(["status", "browser"]) == 0
    assert __main__.main(["stop", "browser"]) == 0
    assert apt.asked == []


def test_old_package_lists_are_renewed_once(programs: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    apt = use(Apt(failures=1), monkeypatch)

    Browser().install()

    assert [command[1] for command in apt.asked] == ["install", "update", "install"]
    assert apt.asked[0][-3:] == ["chromium", "chromium-driver", "fonts-dejavu-core"]


def test_a_failed_install_shows_the_message_of_apt_and_the_others_continue(
    programs: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], echo: Echo
) -> None:
    monkeypatch.setitem(SERVICES, "echo", echo)
    monkeypatch.setattr(echo, "install", lambda: None)
    use(Apt(failures=2), monkeypatch)

    assert __main__.main(["start", "browser", "echo"]) == 1
    told = capsys.readouterr()
    assert "Unable to locate package chromium" in told.err
    assert "echo at 127.0.0.1:" in told.out


def test_an_install_without_the_expected_program_is_a_failure(
    programs: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(Apt(), monkeypatch)

    assert __main__.main(["start", "browser"]) == 1
    assert "chromium and chromedriver not installed, although" in capsys.readouterr().err


def test_services_that_do_not_run_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], echo: Echo
) -> None:
    monkeypatch.setitem(SERVICES, "echo", echo)
    assert __main__.main(["status", "echo"]) == 1
    assert "echo: does not run; `make services` installs and starts it" in capsys.readouterr().err


def test_another_account_than_root_uses_sudo(programs: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.services.packages.os.geteuid", lambda: 1000)
    with pytest.raises(ServiceError, match="this needs root once: apt-get install chromium"):
        Browser().install()

    programs.add("sudo")
    apt = use(Apt(), monkeypatch)
    Browser().install()
    assert apt.asked[0][:2] == ["sudo", "--non-interactive"]


def test_an_unsupported_system_is_reported_in_one_sentence(programs: set[str]) -> None:
    programs.clear()

    with pytest.raises(ServiceError, match="apt-get is not available: install chromium"):
        Browser().install()


@pytest.mark.parametrize("name", SERVERS)
def test_a_program_that_is_missing_is_one_sentence(
    name: str, programs: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("scripts.services.postgres._program", lambda name: None)
    (tmp_path / "data").mkdir()
    with pytest.raises(ServiceError, match=r"not installed; `make services` (installs|builds)"):
        SERVERS[name].command(tmp_path, 1)


def test_each_list_of_jars_has_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = packages.jars_folder("kafka")
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "pom.xml").write_text("<project/>")
    monkeypatch.setattr(packages, "CONFIG", tmp_path)
    assert packages.jars_folder("kafka") != here


def test_a_failed_download_shows_the_message_of_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mvn"
    program.write_text("#!/bin/sh\necho 'Could not transfer artifact'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(packages, "java_17", lambda: "java")
    with pytest.raises(ServiceError, match="could not fetch the jars of kafka; its last lines:\nCould not transfer"):
        packages.install_jars("kafka")
    assert not packages.jars_folder("kafka").exists()


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        __main__.main(["start", "oracle"])

    assert ended.value.code == 2
    assert "unknown service 'oracle'" in capsys.readouterr().err
