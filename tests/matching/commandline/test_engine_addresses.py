"""At which addresses commands look for an engine, and their message if none answers."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from exchange_site.operations.free_addresses import free_zmq_address
from matching.core.epochs import Epoch
from settlement import wiring

LEADER = "tcp://127.0.0.1:5801"
EPOCH = Epoch(2, 10, 0, "another", LEADER, "tcp://127.0.0.1:5802", "tcp://127.0.0.1:5803", 0)


@pytest.fixture
def promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader in the store is another engine than that of the settings."""
    monkeypatch.setattr(wiring, "newest_epoch", lambda: EPOCH)


def refused(*arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as ended:
        call_command(*arguments)
    return ended.value.returncode, str(ended.value)


def test_if_no_engine_answers_the_leader_in_the_store_is_named(promoted: None, tmp_path: Path) -> None:
    silent = free_zmq_address()
    (tmp_path / "commands.jsonl").write_text('{"kind": "halt_trading", "symbol": "X"}\n')
    said = (
        f"No engine answers at {silent}: start it, or name another address. According to the store the engine at "
        f"{LEADER} leads, in epoch 2: try --address {LEADER}."
    )
    assert refused("engine_status", "--address", silent) == (2, said)
    assert refused("submit", str(tmp_path / "commands.jsonl"), "--timeout", "1", "--address", silent) == (2, said)


def test_a_leader_that_was_asked_is_not_named_again(promoted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = free_zmq_address()
    monkeypatch.setattr(wiring, "newest_epoch", lambda: EPOCH._replace(commands=silent))
    assert refused("engine_status", "--address", silent) == (
        2,
        f"No engine answers at {silent}: start it, or name another address.",
    )
