"""The programs in docs/api-clients.md, each run as it stands there but for host, key and secret."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from django.conf import settings

from tests.gateway.clients.market_maker import market
from tests.gateway.running_gateway import RunningGateway
from tests.gateway.small_gateway import funds

DOCUMENT = (settings.BASE_DIR / "docs" / "api-clients.md").read_text()
PROGRAMS = [
    (heading, language, program)
    for heading, part in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    for language, program in re.findall(r"^```(python|sh)\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
]
HOST = "127.0.0.1:8080"
TOOLS = {"python": (sys.executable,), "sh": ("sh", "curl", "openssl")}
"""What runs a program, and what it calls."""
BUYER = 5


@pytest.fixture(scope="module", autouse=True)
def moving(running: RunningGateway) -> Iterator[None]:
    running.call(*funds(BUYER))
    with market(running, 3):
        yield


@pytest.mark.parametrize(
    ("client", "language", "program"), PROGRAMS, ids=[f"{name}-{at}" for at, (name, *_) in enumerate(PROGRAMS)]
)
def test_a_documented_program_runs(running: RunningGateway, client: str, language: str, program: str) -> None:
    key, secret = running.keys.add(BUYER)
    for text, real in ((HOST, f"127.0.0.1:{running.port}"), ("KEY", key), ("SECRET", secret)):
        program = re.sub(rf"(?<![\w-]){re.escape(text)}(?![\w-])", real, program)
    missing = [tool for tool in TOOLS[language] if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # the clients are only in tests
    ended = subprocess.run(
        [TOOLS[language][0], "-c", program], env=own, capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == 0, f"{client}: {ended.stderr}"
    assert ended.stdout.strip(), f"{client} printed nothing"


def test_every_client_has_a_program() -> None:
    assert {name for name, *_ in PROGRAMS} == {"curl", "ccxt", "python-binance", "The official SDK"}
