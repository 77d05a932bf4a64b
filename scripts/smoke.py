#!/usr/bin/env python3
"""Smoke test: starts the exchange as a new user would, waits for settled trades, stops it, checks what is left.

    python -m scripts.smoke   `make run` on free ports with a temporary DATA_DIR

Exit code 0 on success; 1 on failure, with the exchange's last lines of output and one sentence.
"""

import contextlib
import http.cookiejar
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from exchange_site.operations.free_addresses import free_addresses

ROOT = Path(__file__).resolve().parent.parent
READY_S = 240.0  # a first start on two cores compiles the kernel
TRADES_S = 120.0
STOP_S = 60.0
ASK_AGAIN_S = 1.0
SHOWN_LINES = 40
SHOWN_OF_A_FILE = 10
PROGRAMS = ("settlement", "engine", "web", "worker", "demo")


class SmokeError(Exception):
    """The test failed; the text is one sentence."""


class Exchange:
    """`make run` in its own process group, as in a terminal."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.log = folder / "log.txt"
        self.environment = {**os.environ, **free_addresses(), "DATA_DIR": str(self.data_dir)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["make", "run"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def url(self, setting: str, path: str) -> str:
        return f"http://{self.environment[setting]}{path}"

    def terminal(self) -> list[str]:
        """The lines that a person at the terminal sees."""
        return self.log.read_text(errors="replace").splitlines()

    def last_lines(self) -> str:
        """Of the terminal, and of the file of each program."""
        shown = self.terminal()[-SHOWN_LINES:]
        for file in sorted(self.data_dir.glob("logs/*.log")):
            shown += [f"== {file.name}", *file.read_text(errors="replace").splitlines()[-SHOWN_OF_A_FILE:]]
        return "\n".join(shown)

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [".venv/bin/python", "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)

    def processes(self) -> dict[int, str]:
        """Process ids → command lines of all processes with this run's DATA_DIR in their environment."""
        mark = f"DATA_DIR={self.data_dir}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # ended meanwhile, or of another account
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def wait_for(self, what: str, seconds: float, happened: Callable[[], object]) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            if self.process.poll() is not None:
                raise SmokeError(f"make run ended with status {self.process.returncode} before {what}")
            if time.monotonic() > deadline:
                raise SmokeError(f"{what}: timed out after {seconds:.0f} s")
            time.sleep(ASK_AGAIN_S)

    def stop(self) -> int:
        """Sends SIGINT to the process group, as Ctrl-C in a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise SmokeError(f"make run was still running {STOP_S:.0f} s after Ctrl-C") from None

    def clear(self) -> None:
        """Kill remaining processes, so that a failed run does not disturb the next one."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def browser() -> urllib.request.OpenerDirector:
    """An opener with cookies and without proxies."""
    cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    return urllib.request.build_opener(cookies, urllib.request.ProxyHandler({}))


def answers(url: str) -> bool:
    try:
        with browser().open(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def settled_trades(exchange: Exchange) -> int:
    listing = exchange.manage("list_trades", "--from-sequence", "1", "--to-sequence", "100000000", "--json")
    if listing.returncode:
        raise SmokeError(f"list_trades ended with {listing.returncode}: {listing.stderr.strip()}")
    document = json.loads(listing.stdout)
    return len(document if isinstance(document, list) else document["trades"])


def log_in(exchange: Exchange) -> None:
    """Log in to the admin with the printed password; check that the pages' style sheets load."""
    password = (exchange.data_dir / "admin-password").read_text().strip()
    page = exchange.url("WEB_ADDRESS", "/admin/login/")
    visitor = browser()
    form = visitor.open(page, timeout=30).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
    if not token:
        raise SmokeError("the login page has no form")
    fields = {"csrfmiddlewaretoken": token[1], "username": "admin", "password": password}  # as from a bookmark
    request = urllib.request.Request(page, urllib.parse.urlencode(fields).encode(), {"Referer": page})
    inside = visitor.open(request, timeout=30)
    body = inside.read().decode()
    if inside.url != exchange.url("WEB_ADDRESS", "/admin/"):
        raise SmokeError("the admin does not accept the password that it printed")
    for style in re.findall(r'<link[^>]+href="(/static/[^"]+\.css)"', body):
        visitor.open(exchange.url("WEB_ADDRESS", style), timeout=30).close()


def see_quiet_terminal(exchange: Exchange) -> None:
    """What the programs log is in their files, and the terminal has none of it below a warning."""
    missing = [name for name in PROGRAMS if not (exchange.data_dir / "logs" / f"{name}.log").is_file()]
    if missing:
        raise SmokeError(f"no log files of {', '.join(missing)}")
    routine = [line for line in exchange.terminal() if "level='info'" in line]
    if routine:
        raise SmokeError(f"the terminal shows {len(routine)} lines that belong in the files: {routine[0][:200]}")


def run(exchange: Exchange) -> None:
    for setting in ("ENGINE_HTTP_ADDRESS", "SETTLEMENT_HTTP_ADDRESS", "WEB_ADDRESS"):
        ready = exchange.url(setting, "/health/ready")
        exchange.wait_for(f"{setting} was ready", READY_S, lambda ready=ready: answers(ready))  # type: ignore[misc]
    said = "The exchange is running."
    exchange.wait_for("the welcome was printed", READY_S, lambda: said in exchange.log.read_text(errors="replace"))
    for setting in ("ENGINE_HTTP_ADDRESS", "SETTLEMENT_HTTP_ADDRESS", "WEB_ADDRESS"):
        if not answers(exchange.url(setting, "/metrics")):
            raise SmokeError(f"{setting} has no metrics")
    log_in(exchange)
    print("smoke: ready, and the administrator can log in")
    exchange.wait_for("trades were settled", TRADES_S, lambda: settled_trades(exchange))
    see_quiet_terminal(exchange)
    status = exchange.stop()
    left = exchange.processes()
    if left:
        raise SmokeError(f"left after Ctrl-C: {left}")
    print(f"smoke: Ctrl-C ended every process (make's status {status})")
    verified = exchange.manage("verify_settlement", "--json")
    if verified.returncode:
        raise SmokeError(f"verify_settlement ended with {verified.returncode}: {verified.stdout}{verified.stderr}")
    print(f"smoke: {settled_trades(exchange)} trades settled, verify_settlement: {verified.stdout.strip()}")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="exchange-smoke-") as folder:
        exchange = Exchange(Path(folder))
        try:
            run(exchange)
        except (SmokeError, OSError, ValueError) as error:
            print(f"{exchange.last_lines()}\nsmoke: {error}", file=sys.stderr)
            return 1
        finally:
            exchange.clear()
    return 0


if __name__ == "__main__":
    sys.exit(main())
