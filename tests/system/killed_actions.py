"""A program that asks for deposits and carries them out in workers that kill themselves, each at another step.

`python -m tests.system.killed_actions ask NUMBER` only makes an approved request.
`python -m tests.system.killed_actions ask_with_other_keys` makes two that need other keys.
`python -m tests.system.killed_actions kill` makes one for each step, kills a worker before or after that step, and lets
another one finish. It prints a JSON line for each: the step, how the worker ended, the state and the answer.
`python -m tests.system.killed_actions kill_web` asks and approves in processes that kill themselves while they do, and
then sends the same form again. It prints what was there after the kill and after the repetition.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import django

WEB_STEPS = ("ask", "approve")
STEPS = ("claim", "note_sending", "post", "answer", "append", "keep_answer")


def people() -> list[Any]:
    """Who asks and who approves."""
    from django.contrib.auth.models import User

    names = ("fiona", "anna")
    return [User.objects.get_or_create(username=name, is_staff=True, is_superuser=True)[0] for name in names]


def send_form(number: int) -> int:
    """Asks for a deposit of one BTC, always by the same form; returns the number of the request."""
    from back_office.actions import requests
    from back_office.actions.kinds import Kind
    from back_office.actions.requests import Wish

    parameters: dict[str, str | int] = {"account": 1, "asset": "BTC", "amount": "1", "reference": f"wire-{number}"}
    made, _ = requests.ask(Wish(f"form-{number}", Kind.DEPOSIT, parameters, ["Credit."], "Paid."), people()[0])
    return made.pk


def ask_with_other_keys() -> None:
    """Asks for what a worker does with the keys of a gateway and of an operator."""
    from back_office.actions import requests
    from back_office.actions.kinds import Kind
    from back_office.actions.requests import Wish

    for kind, parameters in (
        (Kind.CANCEL_ALL, {"account": 1}),
        (Kind.INSTRUMENT_STATUS, {"symbol": "BTC-USD", "status": "halted"}),
    ):
        requests.ask(Wish(str(kind), kind, {**parameters}, ["It."], "Ticket 12."), people()[0])


def approve(made: int) -> None:
    from back_office.actions import requests

    requests.approve(made, people()[1], "Seen.")


def ask(number: int) -> int:
    """Makes a request that a second person has approved; returns its number."""
    made = send_form(number)
    approve(made)
    return made


def kill_at(step: str, before: bool) -> None:
    """Makes this process kill itself before or after the step."""
    from back_office.actions import carrying_out
    from back_office.actions.engine import ClientSession
    from back_office.audit import records
    from matching.client.connection import Connection

    def wrapped(action: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*arguments: Any, **options: Any) -> Any:
            if before:
                os.kill(os.getpid(), signal.SIGKILL)
            action(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        return acting

    places: dict[str, tuple[Any, str]] = {
        "claim": (carrying_out, "claim"),
        "note_sending": (carrying_out, "note_sending"),
        "post": (Connection, "send"),  # the command is on its way
        "answer": (ClientSession, "send"),  # the engine has answered
        "append": (records, "append"),  # inside the transaction that keeps the answer
        "keep_answer": (carrying_out, "keep_answer"),
    }
    place, name = places[step]
    setattr(place, name, wrapped(getattr(place, name)))


def work() -> None:
    """One turn of a worker, as `run_actions` makes it."""
    from back_office.actions import carrying_out
    from back_office.actions.engine import RealEngine
    from settlement import wiring

    carrying_out.turn(RealEngine(wiring.engines))


def in_another_process(*acts: Callable[[], object]) -> int:
    """How that process ended."""
    from django.db import connections

    connections.close_all()
    pid = os.fork()
    if pid == 0:
        for act in acts:
            act()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill() -> None:
    from back_office.models import ActionRequest, AuditRecord

    for number, (step, before) in enumerate((step, before) for step in STEPS for before in (True, False)):
        made = ask(number)
        killed = in_another_process(lambda step=step, before=before: kill_at(step, before), work)  # type: ignore[misc]
        left = ActionRequest.objects.get(pk=made)
        finished = in_another_process(work)
        found = ActionRequest.objects.get(pk=made)
        told = AuditRecord.objects.filter(action="request.carry_out", target=f"request:{made}").count()
        document = {
            "step": f"{'before' if before else 'after'} {step}",
            "ended": [killed, finished],
            "states": [left.state, found.state],
            "sendings": found.sendings,
            "answer": found.answer,
            "told": told,
        }
        print(json.dumps(document), flush=True)  # noqa: T201


def kill_web() -> None:
    from back_office.actions import requests
    from back_office.models import ActionRequest, AuditRecord

    people()
    for number, (step, before) in enumerate((step, before) for step in WEB_STEPS for before in (True, False)):
        made = send_form(number) if step == "approve" else 0
        act = {"ask": lambda number=number: send_form(number), "approve": lambda made=made: approve(made)}[step]
        killed = in_another_process(lambda before=before: kill_at("append", before), act)  # type: ignore[misc]
        left = list(ActionRequest.objects.filter(form=f"form-{number}").values_list("state", flat=True))
        made = send_form(number)
        if ActionRequest.objects.get(pk=made).state == "waiting":
            approve(made)
        target = requests.target(made)
        document = {
            "step": f"{step}, {'before' if before else 'after'} its record",
            "ended": killed,
            "left": left,
            "found": list(ActionRequest.objects.filter(form=f"form-{number}").values_list("state", flat=True)),
            "told": list(AuditRecord.objects.filter(target=target).order_by("number").values_list("action", flat=True)),
        }
        print(json.dumps(document), flush=True)  # noqa: T201


if __name__ == "__main__":
    django.setup()
    if sys.argv[1] == "ask":
        ask(int(sys.argv[2]))
    elif sys.argv[1] == "ask_with_other_keys":
        ask_with_other_keys()
    elif sys.argv[1] == "kill_web":
        kill_web()
    else:
        kill()
