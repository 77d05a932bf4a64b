import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from exchange_site.management.commands import engine_status
from exchange_site.operations.free_addresses import free_zmq_address
from tests.matching.histories import MemoryHistory
from tests.matching.small_exchange import Running, follower, plan, until


def promote(*arguments: str) -> str:
    written = StringIO()
    call_command("promote_engine", *arguments, stdout=written)
    return written.getvalue()


def failure(*arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as caught:
        promote(*arguments)
    return caught.value.returncode, str(caught.value)


def test_an_unreachable_engine_is_reported_with_exit_code_2() -> None:
    address = free_zmq_address()
    assert failure("--address", address) == (
        2,
        f"No engine answers at {address}: start it, or name another address.",
    )


def test_a_leader_refuses_with_exit_code_1(running_leader: Running) -> None:
    assert failure("--address", running_leader.commands) == (1, "This engine leads already.")


def test_a_follower_of_a_live_leader_is_promoted_only_by_force(running_leader: Running) -> None:
    with follower(plan(), running_leader.commands, MemoryHistory()) as second:
        until(lambda: running_leader.parts.board.followers, "the follower to announce itself")
        code, sentence = failure("--address", second.commands)
        assert (code, sentence.startswith("The leader is alive, its last message came ")) == (1, True)
        text = engine_status.text(running_leader.parts.board.fields())
        assert f"followers   {second.commands}" in text
        assert promote("--address", second.commands, "--force") == f"{second.commands} leads from block 1, epoch 1\n"
        assert second.parts.board.role == "leader"


def test_the_answer_comes_as_json_too(running_leader: Running) -> None:
    with follower(plan(), running_leader.commands, MemoryHistory()) as second:
        assert json.loads(promote("--address", second.commands, "--force", "--json")) == {
            "ok": True,
            "epoch": 1,
            "block": 1,
        }
