"""Writes snapshots from a forked process, which sees the engine as it was at the fork while the engine goes on."""

import errno
import gc
import os
import resource
import signal
import time
from contextlib import suppress

from matching.core import snapshots
from matching.core.engine import Engine
from matching.core.errors import BadFile
from matching.storage.snapshot_files import SnapshotFolder, Written

_LONGEST_S = 600.0


class ForkedWriter:
    """The engine waits only for the fork. A child that takes longer than `longest_s` is ended."""

    def __init__(self, folder: SnapshotFolder, longest_s: float = _LONGEST_S) -> None:
        self._folder = folder
        self._longest_s = longest_s
        self._child = 0  # process id; 0: none
        self._block = 0
        self._state_hash = 0
        self._pause_s = 0.0
        self._began_s = 0.0
        self._failure = ""  # of a fork that did not happen

    def begin(self, engine: Engine) -> None:
        self._block, self._state_hash = engine.block_number, engine.state_hash
        self._began_s = time.monotonic()
        try:
            child = os.fork()
        except OSError as error:
            self._failure = f"no process could be made for it: {error.strerror}"
            return
        if child == 0:
            _write_and_exit(engine, self._folder)
        self._child = child
        self._pause_s = time.monotonic() - self._began_s

    def outcome(self) -> Written | None:
        if self._failure:
            failure, self._failure = self._failure, ""
            return self._failed(failure)
        if not self._child:
            return None
        try:
            child, status = os.waitpid(self._child, os.WNOHANG)
        except ChildProcessError:
            return self._as_its_file_says()
        if child == 0:
            if time.monotonic() - self._began_s < self._longest_s:
                return None
            self.close()
            return self._failed(f"it took longer than {self._longest_s:g} s")
        self._child = 0
        code = os.waitstatus_to_exitcode(status)
        if code != 0:
            return self._failed(os.strerror(code) if code > 0 else f"its process was ended by signal {-code}")
        return self._written()

    def close(self) -> None:
        if self._child:
            with suppress(ChildProcessError):  # gone, and its number may be another process's by now
                if os.waitpid(self._child, os.WNOHANG) == (0, 0):
                    os.kill(self._child, signal.SIGKILL)
                    os.waitpid(self._child, 0)
            self._child = 0

    def _as_its_file_says(self) -> Written:
        """The child is gone, and somebody else has taken note of how it ended: a file is there whole or not at all."""
        self._child = 0
        try:
            is_written = self._folder.state_hash(self._block) == self._state_hash
        except BadFile:
            is_written = False
        return self._written() if is_written else self._failed("its process has ended without it, nobody knows why")

    def _written(self) -> Written:
        return Written(self._block, self._folder.size_of(self._block) or 0, self._pause_s)

    def _failed(self, why: str) -> Written:
        return Written(self._block, 0, self._pause_s, why)


def _write_and_exit(engine: Engine, folder: SnapshotFolder) -> None:
    """In the child: nothing but the engine's memory may be touched, and nothing of the parent's may be run at the end.

    The exit code is the error number of what failed, 0 when nothing did.
    """
    code = errno.ECANCELED
    try:
        gc.disable()  # it would run what ends sockets, and copy every page that it looks at
        _leave_everything_behind()
        folder.write(engine.block_number, snapshots.encode(engine))
        code = 0
    except OSError as error:
        code = error.errno or errno.EIO
    except MemoryError:
        code = errno.ENOMEM
    finally:
        os._exit(code)


def _leave_everything_behind() -> None:
    """Signals and open files: were the parent to die, its ports and locks would stay taken."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.closerange(3, most)
