"""Scheduler with simulated time.

Tasks are greenlets; one runs at a time, until it waits. The order is deterministic.
"""

import heapq
from collections.abc import Callable
from itertools import count

from greenlet import getcurrent, greenlet


class Crashed(BaseException):
    """Unwinds a simulated process that was killed. Like kill -9, it must not be caught: so it is a BaseException."""


class Task:
    """A greenlet that runs until it waits."""

    def __init__(self, name: str, body: Callable[[], None], hub: greenlet) -> None:
        self.name = name
        self.dead = False
        self.wait_number = 0  # number of the wait it is in, 0: running
        self.greenlet = greenlet(body, hub)


class Scheduler:
    """Must be created and run by the same greenlet. Times are simulated seconds since the start."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._hub = getcurrent()
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count(1)
        self._tasks: dict[greenlet, Task] = {}

    def at(self, when_s: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._agenda, (max(when_s, self.now_s), next(self._order), action))

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        self.at(self.now_s + seconds, action)

    def spawn(self, name: str, body: Callable[[], None]) -> Task:
        """Starts a task when the running one waits. An exception of `body` other than Crashed ends the run."""

        def run() -> None:
            try:
                body()
            except Crashed:
                pass
            finally:
                task.dead = True
                del self._tasks[task.greenlet]

        task = Task(name, run, self._hub)
        self._tasks[task.greenlet] = task
        self.after(0, lambda: task.dead or task.greenlet.switch())
        return task

    def running(self) -> Task | None:
        """The running task, None if it is the scheduler."""
        return self._tasks.get(getcurrent())

    def park(self, until_s: float) -> None:
        """The running task waits until it is woken or until `until_s`. Raises Crashed if it was killed."""
        task = self.running()
        assert task is not None, "only a task may wait"
        if task.dead:
            raise Crashed
        wait_number = task.wait_number = next(self._order)
        self.at(until_s, lambda: self._resume(task, wait_number))
        self._hub.switch()
        task.wait_number = 0
        if task.dead:
            raise Crashed

    def sleep(self, seconds: float) -> None:
        self.park(self.now_s + seconds)

    def wake(self, task: Task) -> None:
        """Resumes a waiting task."""
        wait_number = task.wait_number
        if wait_number:
            self.after(0, lambda: self._resume(task, wait_number))

    def kill(self, task: Task) -> None:
        """Ends the task at its current wait. What it does while unwinding must have no effect."""
        if task.dead:
            return
        task.dead = True
        if getcurrent() is task.greenlet:
            raise Crashed
        self.after(0, lambda: self._unwind(task))

    def run(self, is_done: Callable[[], bool], deadline_s: float) -> bool:
        """Runs until `is_done()` or `deadline_s`. Returns whether it is done."""
        while not is_done():
            if not self._agenda or self._agenda[0][0] > deadline_s:
                self.now_s = deadline_s
                return is_done()
            self.now_s, _, action = heapq.heappop(self._agenda)
            action()
        return True

    def end(self) -> None:
        """Kills all remaining tasks."""
        for task in list(self._tasks.values()):
            task.dead = True
            self._unwind(task)

    def _resume(self, task: Task, wait_number: int) -> None:
        if task.wait_number == wait_number and not task.dead:
            task.greenlet.switch()

    def _unwind(self, task: Task) -> None:
        if task.greenlet:  # started and not ended; a task that has not started needs no unwinding
            task.greenlet.throw(Crashed)
        self._tasks.pop(task.greenlet, None)
