"""Times of pages: each is asked for several times, in turn, by Django's test client in this process.

A time is that of the whole request without the network: middleware, permissions, queries and the template. Of a
download it is the time to the first bytes.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.http.response import HttpResponseBase, StreamingHttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks.pages.addresses import Address
from settlement.errors import CannotRun

SLOW_MS = 150.0


@dataclass(frozen=True, slots=True)
class PageTime:
    page: str
    url: str
    status: int
    median_ms: float
    worst_ms: float
    cpu_ms: float  # median of this process: what the page takes, however busy the machine is
    queries: int  # in Django's database

    @property
    def is_slow(self) -> bool:
        return self.median_ms > SLOW_MS


def measure(addresses: Iterable[Address], *, rounds: int, progress: Callable[[], object]) -> list[PageTime]:
    """Raises CannotRun without a superuser, as whom the pages are asked for; logging in and out is in the audit log."""
    user = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if user is None:
        raise CannotRun("There is no superuser to log in: run prepare_run first.")
    client = Client(SERVER_NAME=settings.ALLOWED_HOSTS[0])
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    try:
        return [_measured(client, address, rounds, progress) for address in addresses]
    finally:
        client.logout()


def _measured(client: Client, address: Address, rounds: int, progress: Callable[[], object]) -> PageTime:
    with CaptureQueriesContext(connection) as queries:
        status = _open(client, address.url)  # not measured: it also fills the caches of the process
        count = len(queries)
    times, cpu_times = [], []
    for _ in range(rounds):
        began_s, cpu_began_s = time.perf_counter(), time.process_time()
        _open(client, address.url)
        times.append((time.perf_counter() - began_s) * 1000)
        cpu_times.append((time.process_time() - cpu_began_s) * 1000)
        progress()
    return PageTime(
        page=address.page,
        url=address.url,
        status=status,
        median_ms=round(median(times), 1),
        worst_ms=round(max(times), 1),
        cpu_ms=round(median(cpu_times), 1),
        queries=count,
    )


def _open(client: Client, url: str) -> int:
    """Returns the status. Raises CannotRun for a page that fails."""
    answer: HttpResponseBase = client.get(url, secure=True)
    if isinstance(answer, StreamingHttpResponse):
        next(iter(answer), b"")
    answer.close()
    if answer.status_code >= 400:
        raise CannotRun(f"{url} answers with status {answer.status_code}.")
    return answer.status_code


def text(found: Sequence[PageTime]) -> str:
    """Markdown: a row for each address, then the slow ones."""
    lines = ["| page | median ms | worst ms | CPU ms | queries |", "|---|---:|---:|---:|---:|"]
    lines += [f"| `{one.url}` | {one.median_ms} | {one.worst_ms} | {one.cpu_ms} | {one.queries} |" for one in found]
    slow = [f"{one.url} ({one.median_ms:g} ms)" for one in found if one.is_slow]
    limit = f"a median over {SLOW_MS:g} ms"
    lines += ["", f"{len(slow)} of {len(found)} have {limit}: {', '.join(slow)}" if slow else f"None has {limit}."]
    return "\n".join(lines)
