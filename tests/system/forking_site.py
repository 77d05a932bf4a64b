"""Web server and Celery worker as programs that fork their workers, and a client of the web site."""

import http.cookiejar
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from scripts.services.processes import family
from tests.system.conftest import ROOT

PASSWORD = "only-for-this-test"
STOP_S = 60

# --preload, used to save memory: connections opened before the fork would be shared by the workers.
WEB = "gunicorn --preload --workers 2 --config exchange_site/gunicorn_conf.py exchange_site.asgi"
# The worker of the Procfile, but with processes instead of threads, and a reconciliation every second.
WORKER = """
from exchange_site.celery import app
app.conf.beat_schedule["reconcile"]["schedule"] = 1.0
app.start("--quiet worker --beat --pool prefork --concurrency 2 --without-mingle --without-gossip".split())
"""


class Program:
    """A running program. `lines` is its log."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.lines: list[str] = []
        self.popen = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**environment, "SECRET_KEY": "only for tests, and long enough to be accepted"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.popen.stderr is not None
        self._reader = threading.Thread(target=self.lines.extend, args=(self.popen.stderr,))
        self._reader.start()

    def connected(self, port: int) -> list[bool]:
        """Whether each process is connected to that local port: first the program, then its descendants."""
        return [port in _peers(pid) for pid in family(self.popen.pid)]

    def stop(self) -> None:
        self.popen.send_signal(signal.SIGTERM)
        self.popen.wait(STOP_S)
        self._reader.join()


def web(environment: dict[str, str]) -> Program:
    return Program(["-m", *WEB.split()], environment)


def worker(environment: dict[str, str]) -> Program:
    return Program(["-c", WORKER], environment)


def _peers(pid: int) -> set[int]:
    """Remote ports of a process's TCP connections."""
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    fields = [line.split() for line in lines]
    port_of = {f"socket:[{at[9]}]": int(at[2].rpartition(":")[2], 16) for at in fields if at[3] == "01"}
    opened = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return {port_of[name] for name in opened if name in port_of}


class Visitor:
    """An HTTP client that has logged in as an operator."""

    def __init__(self, address: str) -> None:
        self._site = f"http://{address}"
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies, urllib.request.ProxyHandler({}))
        page = f"{self._site}/admin/login/"
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self._opener.open(page).read().decode())
        assert token
        fields = {"csrfmiddlewaretoken": token[1], "username": "operator", "password": PASSWORD, "next": "/admin/"}
        request = urllib.request.Request(page, urllib.parse.urlencode(fields).encode(), {"Referer": page})
        self._opener.open(request)

    def asks(self, path: str) -> tuple[int, str]:
        """Status and text of a page."""
        try:
            with self._opener.open(f"{self._site}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()
