"""A client continues with the follower that was promoted."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from matching.client.client import Client
from matching.client.connection import Connection
from matching.transport import wire
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.histories import MemoryHistory
from tests.matching.small_exchange import (
    Running,
    deposit,
    follower_with,
    leader_with,
    plan,
    services,
    trading,
    until,
)


@contextmanager
def leader_and_follower(history: MemoryHistory) -> Iterator[tuple[ExitStack, Running, Running]]:
    """The leader ends with the stack. Settlement would keep blocks in `history`."""
    with ExitStack() as leading:
        first = leading.enter_context(leader_with(plan(), services(history, engine="first")))
        with follower_with(plan(), services(history, engine="second"), first.commands) as second:
            until(lambda: first.parts.board.followers, "the follower to announce itself")
            yield leading, first, second


def promoted(address: str) -> dict[str, Any]:
    """What the follower at `address` answers in the end, asked until its leader is silent for long enough."""
    with closing(Connection(address, failover=False, timeout_s=60)) as connection:
        answers: list[dict[str, Any]] = []

        def is_granted() -> bool:
            answers.append(connection.ask(wire.PROMOTE))
            return bool(answers[-1]["ok"])

        until(is_granted, "the promotion")
        return answers[-1]


def learn_of(follower: Running, client: Client) -> None:
    def is_known() -> bool:
        client.status()
        return follower.commands in client.connection.directory.addresses

    until(is_known, "the client to learn of the follower")


def test_a_client_switches_to_the_promoted_follower() -> None:
    with (
        leader_and_follower(MemoryHistory()) as (leading, first, second),
        Client(first.commands, timeout_s=60) as client,
    ):
        client.call([*DEFINITIONS, *trading(10)])
        until(lambda: second.parts.ring.last == first.parts.ring.last, "the follower to catch up")
        learn_of(second, client)
        leading.close()
        answers: list[dict[str, Any]] = []
        promoting = threading.Thread(target=lambda: answers.append(promoted(second.commands)))
        promoting.start()
        results = client.call([deposit(3, "after"), *trading(10)[2:]])
        promoting.join()
        assert [result.rejected for result in results] == [None] * 11
        assert [result.command_sequence for result in results] == list(range(16, 27))
        assert client.connection.address == second.commands
        assert answers == [{"ok": True, "epoch": 2, "block": results[0].block_number}]
        assert client.status()["epoch"] == 2


def test_a_request_applied_by_the_old_leader_is_answered_by_the_new_one_and_not_applied_again() -> None:
    with leader_and_follower(MemoryHistory()) as (leading, first, second):
        with Client(first.commands, client_id=77) as client:
            done = client.call([*DEFINITIONS, deposit(1, "a", amount="2")])
        until(lambda: second.parts.ring.last == first.parts.ring.last, "the follower to catch up")
        leading.close()
        promoted(second.commands)
        with Client([first.commands, second.commands], client_id=77) as client:
            assert client.call([*DEFINITIONS, deposit(1, "a", amount="2")]) == done
