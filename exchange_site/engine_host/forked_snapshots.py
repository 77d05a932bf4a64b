"""Writes snapshots in a forked process, which sees the engine as it was at the fork while the engine continues."""

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

_TIMEOUT_S = 600.0


class ForkedWriter:
    """The engine only waits for the fork. A child that takes longer than `timeout_s` is killed."""

    def __init__(self, folder: SnapshotFolder, timeout_s: float = _TIMEOUT_S) -> None:
        self._folder = folder
        self._timeout_s = timeout_s
        self._child = 0  # process id; 0: none
        self._block = 0
        self._state_hash = 0
        self._pause_s = 0.0
        self._began_s = 0.0
        self._failure = ""  # reason why the fork failed

    def begin(self, engine: Engine) -> None:
        self._block, self._state_hash = engine.block_number, engine.state_hash
        self._began_s = time.monotonic()
        try:
            child = os.fork()
        except OSError as error:
            self._failure = f"the process for it could not be created: {error.strerror}"
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
            return self._outcome_from_file()
        if child == 0:
            if time.monotonic() - self._began_s < self._timeout_s:
                return None
            self.close()
            return self._failed(f"it took longer than {self._timeout_s:g} s")
        self._child = 0
        code = os.waitstatus_to_exitcode(status)
        if code != 0:
            return self._failed(os.strerror(code) if code > 0 else f"its process was killed by signal {-code}")
        return self._written()

    def close(self) -> None:
        if self._child:
            with suppress(ChildProcessError):  # already reaped: the process id may belong to another process now
                if os.waitpid(self._child, os.WNOHANG) == (0, 0):
                    os.kill(self._child, signal.SIGKILL)
                    os.waitpid(self._child, 0)
            self._child = 0

    def _outcome_from_file(self) -> Written:
        """For a child reaped elsewhere: its exit status is lost, but its file is complete or does not exist."""
        self._child = 0
        try:
            is_written = self._folder.state_hash(self._block) == self._state_hash
        except BadFile:
            is_written = False
        return (
            self._written()
            if is_written
            else self._failed("its process ended without writing it, with an unknown exit status")
        )

    def _written(self) -> Written:
        return Written(self._block, self._folder.size_of(self._block) or 0, self._pause_s)

    def _failed(self, why: str) -> Written:
        return Written(self._block, 0, self._pause_s, why)


def _write_and_exit(engine: Engine, folder: SnapshotFolder) -> None:
    """Runs in the child, which may only read the engine's memory and must not run the parent's exit handlers.

    The exit code is 0 or the errno of the failure.
    """
    code = errno.ECANCELED
    try:
        gc.disable()  # it would run finalizers of sockets, and copy every memory page that it visits
        _release_inherited_resources()
        folder.write(engine.block_number, snapshots.encode(engine))
        code = 0
    except OSError as error:
        code = error.errno or errno.EIO
    except MemoryError:
        code = errno.ENOMEM
    finally:
        os._exit(code)


def _release_inherited_resources() -> None:
    """Signal handlers and open files: otherwise ports and locks stay in use after the parent has died."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.closerange(3, most)
