"""A process that sends one command that causes much work, for `benchmarks.delays.cascade_bench`.

Run as `python -m benchmarks.delays.large_command DATA_DIR ADDRESS ROLE`, with the command as a line of JSON on standard
input. It prints a line when it is connected, waits for another line, sends the command, and prints how many events came
after how many seconds. It is a process of its own, with a key of its own: so the engine counts it as another sender
than the client that it may delay, and reading the events does not delay that client.
"""

import json
import sys
import time
from pathlib import Path

import django

from matching.client.client import Client
from matching.client.edge import BatchBuilder, Edge
from matching.transport.key_register import KeyRole

TIMEOUT_S = 120.0


def main(data_dir: str, address: str, role: str) -> None:
    django.setup()
    from matching.commandline.own_keys import KeyName, network_in  # needs Django's settings

    make_network = network_in(Path(data_dir), KeyName(KeyRole(role)))
    with Client(address, timeout_s=TIMEOUT_S, make_network=make_network) as client:
        builder = BatchBuilder(Edge(client.registry))
        refusal = builder.add(json.loads(sys.stdin.readline()))
        if refusal is not None:
            raise SystemExit(f"The command was refused: {refusal.reason.name}.")
        print("ready", flush=True)  # noqa: T201
        sys.stdin.readline()
        began_s = time.perf_counter()
        client.connection.send(*builder.take())
        answers = client.connection.receive(TIMEOUT_S)
        seconds = time.perf_counter() - began_s
        events = sum(len(segment.events) for one in answers for segment in one.answer.segments)
        print(json.dumps({"seconds": seconds, "events": events}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
