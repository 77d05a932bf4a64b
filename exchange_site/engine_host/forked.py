"""Work in forked processes, which see the engine as it was at the fork while the engine continues."""

import errno
import gc
import mmap
import os
import resource
import signal
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import structlog

from matching.core import snapshots
from matching.core.engine import Engine
from matching.core.errors import BadFile
from matching.storage.snapshot_files import SnapshotFolder, Written

log = structlog.get_logger(__name__)

_SNAPSHOT_TIMEOUT_S = 600.0
_ANSWER_TIMEOUT_S = 60.0
_LOWER_PRIORITY = 10
"""Added to the niceness of forked processes: the engine, its clients and settlement come first."""
_LENGTH = struct.Struct("<Q")


class Ended(NamedTuple):
    """`failure`: the reason, "" if the work was done. `is_known`: False if the exit status was lost."""

    failure: str
    is_known: bool = True


class ForkedTask:
    """One piece of work at a time. The parent only waits for the fork; a child that takes too long is killed."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._child = 0  # process id; 0: none
        self._failure = ""  # reason why the last fork failed
        self._began_s = 0.0
        self.pause_s = 0.0  # how long the last fork took

    def begin(self, work: Callable[[], object], keeps: int | None = None) -> None:
        """Forks; `ended` also tells if that failed.

        `work` may only read memory, and write to the file with the descriptor `keeps`, which the child keeps open.
        """
        self._began_s = time.monotonic()
        try:
            child = os.fork()
        except OSError as error:
            self._failure = f"the process for it could not be created: {error.strerror}"
            return
        if child == 0:
            _work_and_exit(work, keeps)
        self._child = child
        self.pause_s = time.monotonic() - self._began_s

    def ended(self) -> Ended | None:
        """How the work ended, returned once. None while it goes on, or if there is none."""
        if self._failure:
            failure, self._failure = self._failure, ""
            return Ended(failure)
        if not self._child:
            return None
        try:
            child, status = os.waitpid(self._child, os.WNOHANG)
        except ChildProcessError:
            self._child = 0
            return Ended("its process ended without writing it, with an unknown exit status", is_known=False)
        if child == 0:
            if time.monotonic() - self._began_s < self._timeout_s:
                return None
            self.close()
            return Ended(f"it took longer than {self._timeout_s:g} s")
        self._child = 0
        code = os.waitstatus_to_exitcode(status)
        if code != 0:
            return Ended(os.strerror(code) if code > 0 else f"its process was killed by signal {-code}")
        return Ended("")

    def close(self) -> None:
        if self._child:
            with suppress(ChildProcessError):  # already reaped: the process id may belong to another process now
                if os.waitpid(self._child, os.WNOHANG) == (0, 0):
                    os.kill(self._child, signal.SIGKILL)
                    os.waitpid(self._child, 0)
            self._child = 0


class ForkedWriter:
    """Writes snapshots."""

    def __init__(self, folder: SnapshotFolder, timeout_s: float = _SNAPSHOT_TIMEOUT_S) -> None:
        self._folder = folder
        self._task = ForkedTask(timeout_s)
        self._block = 0
        self._state_hash = 0

    def begin(self, engine: Engine) -> None:
        self._block, self._state_hash = engine.block_number, engine.state_hash
        self._task.begin(lambda: self._folder.write(engine.block_number, snapshots.encode(engine)))

    def outcome(self) -> Written | None:
        ended = self._task.ended()
        if ended is None:
            return None
        if not ended.is_known and self._is_in_folder():  # a file is complete or does not exist
            return self._written()
        return self._written(ended.failure)

    def close(self) -> None:
        self._task.close()

    def _is_in_folder(self) -> bool:
        try:
            return self._folder.state_hash(self._block) == self._state_hash
        except BadFile:
            return False

    def _written(self, failure: str = "") -> Written:
        size = 0 if failure else self._folder.size_of(self._block) or 0
        return Written(self._block, size, self._task.pause_s, failure)


class ForkedAnswers:
    """Makes answers in memory that the forked process shares with the engine. See `matching.node.costly_answers`."""

    def __init__(self, timeout_s: float = _ANSWER_TIMEOUT_S) -> None:
        """Opens a file in memory for all answers. Raises OSError."""
        self._task = ForkedTask(timeout_s)
        self._file = os.memfd_create("answer")

    def begin(self, make: Callable[[], bytes]) -> None:
        def write() -> None:
            answer = make()
            with os.fdopen(self._file, "wb") as written:
                written.write(answer)
                written.write(_LENGTH.pack(len(answer)))

        os.lseek(self._file, 0, os.SEEK_SET)  # the position is shared with the processes of earlier answers
        self._task.begin(write, keeps=self._file)

    def outcome(self) -> bytes | None:
        ended = self._task.ended()
        if ended is None:
            return None
        # The file is complete if its length stands at the end, also if the exit status is not known.
        answer = b"" if ended.failure and ended.is_known else _complete(self._file)
        if not answer:
            log.warning("engine.answer_failed", reason=ended.failure)
        os.ftruncate(self._file, 0)
        return answer

    def close(self) -> None:
        self._task.close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _complete(file: int) -> bytes:
    """What is in the file before its length; nothing if a part of it is missing."""
    size = os.fstat(file).st_size - _LENGTH.size
    if size < 0:
        return b""
    with mmap.mmap(file, 0, prot=mmap.PROT_READ) as mapped:
        return mapped[:size] if _LENGTH.unpack(mapped[size:]) == (size,) else b""


def _work_and_exit(work: Callable[[], object], keeps: int | None) -> None:
    """Runs in the child, which may only read the parent's memory and must not run the parent's exit handlers.

    The exit code is 0 or the errno of the failure.
    """
    code = errno.ECANCELED
    try:
        os.nice(_LOWER_PRIORITY)
        gc.disable()  # it would run finalizers of sockets, and copy every memory page that it visits
        _release_inherited_resources(keeps)
        work()
        code = 0
    except OSError as error:
        code = error.errno or errno.EIO
    except MemoryError:
        code = errno.ENOMEM
    finally:
        os._exit(code)


def _release_inherited_resources(keeps: int | None) -> None:
    """Signal handlers and open files: otherwise ports and locks stay in use after the parent has died."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    if keeps is None:
        os.closerange(3, most)
    else:
        os.closerange(3, keeps)
        os.closerange(keeps + 1, most)
