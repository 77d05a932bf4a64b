"""Snapshots and answers from a forked process: the engine continues, and every outcome of the child is detected."""

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from exchange_site.engine_host.forked import ForkedAnswers, ForkedWriter
from matching.core import snapshots
from matching.storage.disk import LocalDisk
from matching.storage.snapshot_files import SnapshotFolder, Written
from scripts.services.processes import birth, family
from tests.matching.exchanges import KernelExchange, defined_exchange
from tests.matching.small_exchange import deposit, until

Value = TypeVar("Value")


@pytest.fixture
def forgotten_children() -> Iterator[None]:
    """SIGCHLD is ignored: the kernel reaps children, and their exit status is lost."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.fixture
def exchange() -> KernelExchange:
    return defined_exchange()


def newest_child() -> int:
    """Process id of the child that this process forked last."""
    return max(family(os.getpid())[1:], key=lambda pid: (birth(pid) or 0, pid))


def result_of(outcome: Callable[[], Value | None]) -> Value:
    """What `outcome` returns once the child has ended."""
    found: list[Value] = []

    def has_ended() -> object:
        result = outcome()
        if result is not None:
            found.append(result)
        return found

    until(has_ended, "the child to end")
    return found[0]


def outcome(writer: ForkedWriter) -> Written:
    return result_of(writer.outcome)


def answer(answers: ForkedAnswers) -> bytes:
    return result_of(answers.outcome)


def test_a_snapshot_is_the_state_at_the_fork(tmp_path: Path, exchange: KernelExchange) -> None:
    folder = SnapshotFolder(LocalDisk(), tmp_path / "snapshots", 3)
    writer = ForkedWriter(folder)
    expected = snapshots.encode(exchange.engine)
    writer.begin(exchange.engine)
    exchange.submit(deposit(1, "later"))
    written = outcome(writer)
    assert written == Written(3, len(expected), written.pause_s)
    assert 0 < written.pause_s < 1
    assert folder.read(3, 0, len(expected)) == expected
    assert writer.outcome() is None


class StuckDisk(LocalDisk):
    """A disk whose writes never return."""

    def write_whole(self, path: Path, data: bytes) -> None:
        while True:
            signal.pause()


class FullDisk(LocalDisk):
    def write_whole(self, path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failure_of_the_child_is_reported_with_its_reason(tmp_path: Path, exchange: KernelExchange) -> None:
    writer = ForkedWriter(SnapshotFolder(FullDisk(), tmp_path, 3))
    writer.begin(exchange.engine)
    assert outcome(writer).failure == "No space left on device"
    writer.begin(exchange.engine)
    assert outcome(writer).failure == "No space left on device"


def test_a_child_that_hangs_is_killed_after_the_timeout(tmp_path: Path, exchange: KernelExchange) -> None:
    writer = ForkedWriter(SnapshotFolder(StuckDisk(), tmp_path, 3), timeout_s=0.2)
    writer.begin(exchange.engine)
    assert outcome(writer).failure == "it took longer than 0.2 s"
    with suppress(ChildProcessError):  # raised if no child is left; children of other tests may run
        assert os.waitpid(-1, os.WNOHANG) == (0, 0)


def test_a_killed_child_is_reported(tmp_path: Path, exchange: KernelExchange) -> None:
    writer = ForkedWriter(SnapshotFolder(StuckDisk(), tmp_path, 3))
    writer.begin(exchange.engine)
    os.kill(newest_child(), signal.SIGKILL)
    assert outcome(writer).failure == "its process was killed by signal 9"


def test_a_child_does_not_hold_ports_of_its_parent(tmp_path: Path, exchange: KernelExchange) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    writer = ForkedWriter(SnapshotFolder(StuckDisk(), tmp_path, 3))
    writer.begin(exchange.engine)
    listener.close()

    def refused() -> bool:
        try:
            socket.create_connection(address).close()
        except ConnectionRefusedError:
            return True
        return False

    until(refused, "the port to be free")
    assert birth(newest_child()), "the child still runs"
    writer.close()


def test_closing_kills_a_child_that_is_still_writing(tmp_path: Path, exchange: KernelExchange) -> None:
    writer = ForkedWriter(SnapshotFolder(StuckDisk(), tmp_path, 3))
    writer.begin(exchange.engine)
    child = newest_child()
    writer.close()
    assert birth(child) is None
    assert writer.outcome() is None
    writer.close()


@pytest.mark.usefixtures("forgotten_children")
def test_the_outcome_of_a_child_reaped_elsewhere_follows_from_its_file(
    tmp_path: Path, exchange: KernelExchange
) -> None:
    folder = SnapshotFolder(LocalDisk(), tmp_path / "snapshots", 3)
    writer = ForkedWriter(folder)
    for _ in range(2):
        writer.begin(exchange.engine)
        written = outcome(writer)
        assert (written.failure, written.size_bytes) == ("", len(snapshots.encode(exchange.engine)))
    assert folder.numbers() == [3]


@pytest.mark.usefixtures("forgotten_children")
@pytest.mark.parametrize("has_other", [False, True])
def test_a_missing_file_of_a_child_reaped_elsewhere_is_a_failure(
    tmp_path: Path, exchange: KernelExchange, has_other: bool
) -> None:
    folder = SnapshotFolder(FullDisk(), tmp_path, 3)
    if has_other:  # of another history
        exchange.engine.state_hash ^= 1
        SnapshotFolder(LocalDisk(), tmp_path, 3).write(3, snapshots.encode(exchange.engine))
        exchange.engine.state_hash ^= 1
    writer = ForkedWriter(folder)
    writer.begin(exchange.engine)
    assert outcome(writer).failure == "its process ended without writing it, with an unknown exit status"


@pytest.mark.usefixtures("forgotten_children")
def test_a_child_reaped_elsewhere_is_killed_at_most_once(tmp_path: Path, exchange: KernelExchange) -> None:
    writer = ForkedWriter(SnapshotFolder(StuckDisk(), tmp_path, 3), timeout_s=0.2)
    writer.begin(exchange.engine)
    assert outcome(writer).failure == "it took longer than 0.2 s"
    writer.begin(exchange.engine)
    child = newest_child()
    os.kill(child, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{child}").exists(), "the child to be gone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "kill", lambda *_: pytest.fail("the process id may belong to another process now"))
        writer.close()


def open_files() -> set[str]:
    """Compare with <=, because files of earlier tests may be closed meanwhile."""
    return set(os.listdir("/proc/self/fd"))


def test_an_answer_is_made_from_the_memory_at_the_fork(exchange: KernelExchange) -> None:
    answers, before = ForkedAnswers(), open_files()
    expected = snapshots.encode(exchange.engine)
    for _ in range(2):
        answers.begin(lambda: snapshots.encode(exchange.engine))
        exchange.engine.timestamp_ns += 1
        assert answer(answers) == expected
        exchange.engine.timestamp_ns -= 1
        assert answers.outcome() is None
    assert open_files() <= before


def fails() -> bytes:
    raise MemoryError


def hangs() -> bytes:
    while True:
        signal.pause()


def test_forked_processes_have_a_lower_priority_than_the_engine() -> None:
    answers = ForkedAnswers()
    answers.begin(lambda: str(os.getpriority(os.PRIO_PROCESS, 0)).encode())
    assert int(answer(answers)) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    answers.close()


def test_an_answer_that_cannot_be_made_is_empty() -> None:
    answers, before = ForkedAnswers(), open_files()
    answers.begin(fails)
    assert answer(answers) == b""
    assert open_files() <= before


def test_an_answer_that_takes_too_long_is_empty() -> None:
    answers = ForkedAnswers(timeout_s=0.2)
    answers.begin(hangs)
    assert answer(answers) == b""


def test_an_answer_is_empty_if_no_process_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, before = ForkedAnswers(), open_files()

    def refused() -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refused)
    answers.begin(lambda: b"made")
    assert answer(answers) == b""
    monkeypatch.undo()
    answers.begin(lambda: b"made")
    assert answer(answers) == b"made"
    assert open_files() <= before


def test_closing_kills_a_child_that_still_makes_an_answer() -> None:
    answers, before = ForkedAnswers(), open_files()
    answers.begin(hangs)
    child = newest_child()
    answers.close()
    assert birth(child) is None
    assert open_files() <= before


@pytest.mark.usefixtures("forgotten_children")
def test_an_answer_of_a_child_reaped_elsewhere_is_taken_if_it_is_complete() -> None:
    answers = ForkedAnswers()
    answers.begin(lambda: b"made")
    assert answer(answers) == b"made"
    answers.begin(fails)
    assert answer(answers) == b""
