"""The schedule of background work, which goes on when the clock of its process was set back.

Celery plans from the time of the last run. What ran while the clock was ahead would not run again until the clock has
reached that time, an hour later for a clock that was an hour ahead.
"""

from celery.beat import PersistentScheduler


class ReplanningScheduler(PersistentScheduler):  # type: ignore[misc]  # Celery has no types
    def tick(self) -> float:
        """Sends the next task if it is due; returns the seconds until the next call."""
        for entry in self.schedule.values():
            now = entry.default_now()
            if entry.last_run_at > now:
                entry.last_run_at = now
                self._heap = None  # all entries are planned anew
        seconds: float = super().tick()
        return seconds
