"""Simulated time. Tasks are greenlets: one runs at a time, until it waits; the same seed gives the same order."""

import heapq
from collections.abc import Callable
from itertools import count

from greenlet import getcurrent, greenlet


class Crashed(BaseException):
    """Goes through a process that dies at this point: nothing may stop it, as nothing stops a kill -9."""


class Task:
    """Something that runs until it waits."""

    def __init__(self, name: str, body: Callable[[], None], hub: greenlet) -> None:
        self.name = name
        self.dead = False
        self.parked = 0  # which of its waits it is in, 0: none
        self.greenlet = greenlet(body, hub)


class Scheduler:
    """To be made and run by the same greenlet. Times in simulated seconds since the start."""

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
        """Starts a task as soon as whoever runs now waits. What `body` raises, but for Crashed, ends the run."""

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
        """The task that runs now, None where it is the scheduler itself."""
        return self._tasks.get(getcurrent())

    def park(self, until_s: float) -> None:
        """The running task waits until it is woken, or until that time. Raises Crashed where it was killed."""
        task = self.running()
        assert task is not None, "only a task waits"
        if task.dead:
            raise Crashed
        parked = task.parked = next(self._order)
        self.at(until_s, lambda: self._resume(task, parked))
        self._hub.switch()
        task.parked = 0
        if task.dead:
            raise Crashed

    def sleep(self, seconds: float) -> None:
        self.park(self.now_s + seconds)

    def wake(self, task: Task) -> None:
        """What it waits for has come."""
        parked = task.parked
        if parked:
            self.after(0, lambda: self._resume(task, parked))

    def kill(self, task: Task) -> None:
        """The task ends where it stands; what it does on its way out must have no effect any more."""
        if task.dead:
            return
        task.dead = True
        if getcurrent() is task.greenlet:
            raise Crashed
        self.after(0, lambda: self._bury(task))

    def run(self, is_done: Callable[[], bool], deadline_s: float) -> bool:
        """Until `is_done()`, or that time; says whether it is done."""
        while not is_done():
            if not self._agenda or self._agenda[0][0] > deadline_s:
                self.now_s = deadline_s
                return is_done()
            self.now_s, _, action = heapq.heappop(self._agenda)
            action()
        return True

    def end(self) -> None:
        """Kills what is left."""
        for task in list(self._tasks.values()):
            task.dead = True
            self._bury(task)

    def _resume(self, task: Task, parked: int) -> None:
        if task.parked == parked and not task.dead:
            task.greenlet.switch()

    def _bury(self, task: Task) -> None:
        if task.greenlet:  # it has begun and not ended; where it had not begun there is nothing to unwind
            task.greenlet.throw(Crashed)
        self._tasks.pop(task.greenlet, None)
