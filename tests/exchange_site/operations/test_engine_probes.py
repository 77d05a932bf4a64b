"""Readiness of engines: a leader takes commands, a follower hears its leader."""

import json
from contextlib import ExitStack

from django.core.management import call_command

from exchange_site.engine_host import wiring
from exchange_site.operations import health
from matching.node.process import Parts
from tests.matching.small_exchange import follower, leader, plan, until


def checks(parts: Parts) -> tuple[int, dict[str, bool]]:
    status, body = health.answer(wiring.probes(parts))
    return status, {name: check["ok"] for name, check in json.loads(body)["checks"].items()}


def test_a_follower_is_ready_while_its_leader_is_alive_and_takes_commands_after_promotion() -> None:
    with ExitStack() as first:
        one = first.enter_context(leader(plan()))
        assert checks(one.parts) == (200, {"loop": True, "taking_input": True})
        with follower(plan(), one.commands) as second:
            assert checks(second.parts) == (200, {"loop": True, "following": True})
            first.close()
            until(
                lambda: checks(second.parts) == (503, {"loop": True, "following": False}),
                "the silence of the leader to be reported",
            )

            call_command("promote_engine", "--address", second.commands)
            until(lambda: checks(second.parts) == (200, {"loop": True, "taking_input": True}), "it to take commands")


def test_iterated_probes_are_of_the_same_moment() -> None:
    roles = iter([{"following": health.timed(lambda: True)}, {"taking_input": health.timed(lambda: True)}])
    changing = health.CurrentProbes(lambda: next(roles))

    assert [(name, probe().ok) for name, probe in changing.items()] == [("following", True)]
    assert [(name, probe().ok) for name, probe in changing.items()] == [("taking_input", True)]
