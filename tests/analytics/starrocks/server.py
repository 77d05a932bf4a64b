"""A front end and a back end that speak StarRocks' stream load transactions, as its documentation describes them.

It enforces states, labels, redirects and credentials, and answers with the documented errors. It is not StarRocks: what
the documentation does not tell is not here. A fault of a step is done once, to the next request of that step.
"""

import base64
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD, DATABASE = "loader", "secret:of/loader", "exchange"
STEPS = ("state", "begin", "load", "prepare", "commit")
FAULTS = (
    "no answer",  # the connection is closed, and nothing was done
    "lost answer",  # it was done, and the connection is closed
    "time-out",  # nothing was done, and nothing is answered
    "lost time-out",  # it was done, and nothing is answered
    "failed",  # Status FAILED: the transaction is rolled back
    "failed but done",  # as "publish timeout": it was done, and Status is FAILED
    "500",
    "503 but done",
    "no JSON",
)
KEYS = {
    "trades": ("day", "shard", "trade_id"),
    "ledger_events": ("day", "shard", "event_sequence", "leg"),
    "orders": ("order_id",),
    "assets": ("symbol",),
    "instruments": ("symbol",),
}


@dataclass
class Transaction:
    label: str
    table: str
    state: str = "PREPARE"
    rows: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Cluster:
    """What the servers share. `commits` counts how often rows of a label became visible."""

    columns: dict[str, set[str]]
    optional: dict[str, set[str]] = field(default_factory=dict)
    transactions: dict[str, Transaction] = field(default_factory=dict)
    tables: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = field(default_factory=dict)
    commits: Counter[str] = field(default_factory=Counter)
    faults: dict[str, list[str]] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    back_end: str = ""
    redirect_to: str = ""  # instead of the back end
    credentials_at: list[str] = field(default_factory=list)  # "front" or "back", for each request that had them
    filtered: int = 0  # rows that the next load filters
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def state(self, label: str) -> dict[str, Any]:
        found = self.transactions.get(label)
        return {"state": found.state if found else "UNKNOWN", "status": "OK", "msg": "Success"}

    def begin(self, label: str, table: str) -> dict[str, Any]:
        known = self.transactions.get(label)
        if known and known.state != "ABORTED":
            running = {"PREPARE": "RUNNING", "PREPARED": "PREPARED"}.get(known.state, "FINISHED")
            message = f"Label [{label}] has already been used."
            return {"Status": "LABEL_ALREADY_EXISTS", "ExistingJobStatus": running, "Message": message}
        if table not in self.columns:
            return _failed(f"unknown table {table}")
        self.transactions[label] = Transaction(label, table)
        return _ok(label)

    def load(self, label: str, table: str, body: bytes, headers: Any) -> dict[str, Any]:
        found = self.transactions.get(label)
        if found is None:
            return _failed("TXN_NOT_EXISTS")
        if found.state != "PREPARE":
            return _failed("Transcation State Invalid")
        if found.table != table or headers["format"] != "json" or headers["strip_outer_array"] != "true":
            return self._roll_back(found, "the parameters of the loads differ")
        rows = json.loads(body)
        wanted, optional = self.columns[table], self.optional.get(table, set())
        if any(set(row) != wanted for row in rows):
            return self._roll_back(found, "the columns are not those of the table")
        if any(row[name] is None for row in rows for name in wanted - optional):
            return self._roll_back(found, "NULL value in non-nullable column")
        filtered, self.filtered = self.filtered, 0
        found.rows += rows[filtered:]
        return {**_ok(label), "NumberLoadedRows": len(rows) - filtered, "NumberFilteredRows": filtered}

    def prepare(self, label: str) -> dict[str, Any]:
        found = self.transactions.get(label)
        if found is None or found.state != "PREPARE":
            return _failed("Transcation Not Exist")
        found.state = "PREPARED"
        return _ok(label)

    def commit(self, label: str) -> dict[str, Any]:
        found = self.transactions.get(label)
        if found is None or found.state in ("PREPARE", "ABORTED"):
            return _failed("Transcation Not Exist")
        if found.state == "VISIBLE":
            return {**_ok(label), "Message": "Transaction already commited"}
        found.state = "VISIBLE"
        self.commits[label] += 1
        rows = self.tables.setdefault(found.table, {})
        for row in found.rows:
            rows[tuple(row[name] for name in KEYS.get(found.table, sorted(row)))] = row
        return _ok(label)

    def rollback(self, label: str) -> dict[str, Any]:
        found = self.transactions.get(label)
        if found is None or found.state in ("VISIBLE", "ABORTED"):
            return _failed("Transcation Not Exist")
        found.state = "ABORTED"
        return _ok(label)

    def abort(self, label: str) -> None:
        """What an error does to a transaction that is not committed."""
        found = self.transactions.get(label)
        if found and found.state != "VISIBLE":
            found.state = "ABORTED"

    def _roll_back(self, found: Transaction, message: str) -> dict[str, Any]:
        found.state = "ABORTED"
        return _failed(message)


def _ok(label: str) -> dict[str, Any]:
    return {"Status": "OK", "Message": "", "Label": label, "TxnId": 9032}


def _failed(message: str) -> dict[str, Any]:
    return {"Status": "FAILED", "Message": message}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: Cluster
    is_front: bool

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle_expect_100(self) -> bool:
        """The front end redirects before it reads a body."""
        return True if self.is_front else super().handle_expect_100()

    def do_GET(self) -> None:
        self._respond("state")

    def do_POST(self) -> None:
        self._respond(urlsplit(self.path).path.rpartition("/")[2])

    do_PUT = do_POST

    def _respond(self, step: str) -> None:
        cluster = self.cluster
        self.close_connection = True
        if self.headers["Authorization"]:
            cluster.credentials_at.append("front" if self.is_front else "back")
        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers["Authorization"] != f"Basic {wanted}":
            self._answer({"status": "FAILED", "msg": "Access denied"}, 401)
            return
        if self.is_front and step != "state":
            self._redirect()
            return
        with cluster.lock:
            cluster.steps.append(step)
            fault = (cluster.faults.get(step) or [""]).pop(0)
        if fault in ("no answer", "time-out", "500", "no JSON", "failed"):
            self._fail(fault)
            return
        with cluster.lock:
            found = self._do(step)
        if fault == "failed but done":
            found = _failed("publish timeout")
        if fault in ("lost answer", "lost time-out", "503 but done"):
            self._fail(fault)
            return
        self._answer(found)

    def _redirect(self) -> None:
        self.send_response(307)
        self.send_header("Location", f"{self.cluster.redirect_to or self.cluster.back_end}{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _do(self, step: str) -> dict[str, Any]:
        label, table = self.headers["label"] or "", self.headers["table"] or ""
        if step == "state":
            return self.cluster.state(parse_qs(urlsplit(self.path).query)["label"][0])
        if self.headers["db"] != DATABASE or self.headers["Expect"] != "100-continue":
            return _failed("There is no 100-continue header")
        if step == "begin":
            return self.cluster.begin(label, table)
        if step == "load":
            body = self.rfile.read(int(self.headers["Content-Length"]))
            return self.cluster.load(label, table, body, self.headers)
        found: dict[str, Any] = getattr(self.cluster, step)(label)
        return found

    def _fail(self, fault: str) -> None:
        if fault == "failed":
            self.cluster.abort(self.headers["label"] or "")
            self._answer(_failed("commit timeout"))
        elif fault in ("500", "503 but done"):
            self._answer({}, int(fault[:3]))
        elif fault == "no JSON":
            self._answer("<html>")
        elif "time-out" in fault:
            self.cluster.released.wait(30)

    def _answer(self, document: object, status: int = 200) -> None:
        text = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def serving(cluster: Cluster) -> Iterator[str]:
    """Yields the URL of the front end, for STARROCKS_URL."""
    servers = [
        ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"cluster": cluster, "is_front": is_front}))
        for is_front in (True, False)
    ]
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    front, back = (server.server_address[1] for server in servers)
    cluster.back_end = f"http://127.0.0.1:{back}"
    try:
        yield f"http://{USER}:secret%3Aof%2Floader@127.0.0.1:{front}/{DATABASE}"
    finally:
        cluster.released.set()
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
