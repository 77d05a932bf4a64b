"""Log lines on standard error: the same format for our events and for those of libraries."""

import json
import logging
import logging.config
import sys
from collections.abc import Iterator

import pytest
import structlog

from exchange_site import logs


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def lines(log_format: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    logs.configure()
    logging.config.dictConfig(logs.settings(log_format, "INFO"))
    structlog.get_logger("settlement.worker").info("block settled", block_number=7, trades=3)
    logging.getLogger("some.library").warning("slow by %d ms", 12)
    logging.getLogger("some.library").debug("not shown")
    try:
        raise ValueError("what went wrong")
    except ValueError:
        logging.getLogger("some.library").exception("it failed")
    sys.stderr.flush()
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_json_lines_have_one_document_each(capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs, failure = (json.loads(line) for line in lines("json", capsys))

    assert ours.pop("timestamp").endswith("Z")
    assert ours == {
        "event": "block settled",
        "level": "info",
        "logger": "settlement.worker",
        "block_number": 7,
        "trades": 3,
    }
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("slow by 12 ms", "warning", "some.library")
    assert failure["exception"].endswith("ValueError: what went wrong")


def test_key_value_events_are_single_lines(capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs, failure = lines("keyvalue", capsys)

    assert "event='block settled'" in ours
    assert "block_number=7" in ours
    assert "event='slow by 12 ms'" in theirs
    assert "ValueError: what went wrong" in failure


@pytest.mark.parametrize("log_format", logs.FORMATS)
def test_lines_below_warning_are_routine(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    assert [logs.is_routine(line) for line in lines(log_format, capsys)] == [True, False, False]


@pytest.mark.parametrize(
    "line", ["", "Traceback (most recent call last):", "CommandError: No engine answers.", "level='info'", '{"a": 1}']
)
def test_text_that_is_not_a_log_event_is_not_routine(line: str) -> None:
    assert not logs.is_routine(line)
