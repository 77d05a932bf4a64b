"""What health checks read from the worker's newest status."""

from settlement.worker_status import Newest, WorkerStatus


def test_before_the_first_report_only_the_engine_is_missing() -> None:
    newest = Newest()
    assert (newest.store_answers(), newest.spill_has_room(), newest.engine_responds()) == (True, True, False)


def test_the_newest_status_counts() -> None:
    newest = Newest()
    newest(WorkerStatus(store_down_for_s=1.0, spill_full=True, engine_silent_for_s=5.0))
    assert (newest.store_answers(), newest.spill_has_room(), newest.engine_responds()) == (False, False, False)
    newest(WorkerStatus(store_down_for_s=0.9, engine_silent_for_s=4.9))
    assert (newest.store_answers(), newest.spill_has_room(), newest.engine_responds()) == (True, True, True)
