"""The table of `make acceptance`."""

from typing import Literal

import pytest

from tests.acceptance import PROVES, table

Outcome = Literal["passed", "failed", "skipped"]
When = Literal["setup", "call", "teardown"]


def report(test: str, when: When, outcome: Outcome, seconds: float, proves: str = "") -> pytest.TestReport:
    properties: list[tuple[str, object]] = [(PROVES, proves)] if proves else []
    place = (f"tests/test_x.py::{test}", ("tests/test_x.py", 1, test))
    return pytest.TestReport(*place, {}, outcome, None, when, duration=seconds, user_properties=properties)


def test_the_table_has_a_line_for_each_test_with_its_worst_result_and_all_its_seconds() -> None:
    reports = [
        report("test_long", "setup", "passed", 1.0, "nothing is lost"),
        report("test_long", "call", "failed", 60.25, "nothing is lost"),
        report("test_long", "teardown", "passed", 0.5, "nothing is lost"),
        report("test_other", "setup", "skipped", 0.0, "an hour settles"),
        report("test_usual", "call", "passed", 9.0),
    ]
    assert table(reports) == [
        "test        proves           result   seconds",
        "test_long   nothing is lost  failed   61.8",
        "test_other  an hour settles  skipped  0.0",
    ]


def test_a_run_without_such_tests_has_no_table() -> None:
    assert table([report("test_usual", "call", "passed", 9.0)]) == []
