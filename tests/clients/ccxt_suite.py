"""Runs ccxt's own live test suite against a gateway, and judges it by the lines it prints.

The suite is in ccxt's wheel from 4.5.90 on. That version pins pycparser below the one that the exchange runs with, so
pip unpacks the wheel into a folder of its own, and all that it needs comes from the installed packages.

    python -m tests.clients.ccxt_suite --url http://127.0.0.1:8080 --key KEY --secret SECRET

The market BTC/USD has to trade meanwhile, and so has the account, because methods that watch wait for events. The suite
exits with 0 whatever fails, so a line with FAILURE, WARNING or FAILED fails it here, and so does a method of `WANTED`
without DONE.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_WHEEL = "ccxt==4.5.90 --hash=sha256:f5a375e88442851f3fddfd85ba9d165cfa1007aeea259ad1d6fd6223a06e6a7e\n"
_PATIENCE_S = 100
_BAD = ("TEST_FAILURE", "TEST_WARNING", "TESTING FAILED")
_DONE = "TESTING DONE"
_WATCHDOG = "TIMEOUT_CAUSE"
"""What the suite prints when it is slow. A method that hangs is told by having no DONE."""
FLAGS: Mapping[str, Sequence[str]] = {
    "sync": ["--sync"],
    "async": [],
    "ws": ["--ws"],
    "ws-orders": ["watchOrders()", "--ws"],
}
"""The ways in which ccxt speaks to an exchange. watchOrders stands alone, for an account that does not trade: of a fee
ccxt's parser makes a text, and its suite expects a number."""

_REST = frozenset(
    {
        "loadMarkets",
        "fetchTicker",
        "fetchTickers",
        "fetchLastPrices",
        "fetchOHLCV",
        "fetchTrades",
        "fetchOrderBook",
        "fetchBalance",
        "fetchTradingFees",
        "fetchOrders",
        "fetchOpenOrders",
        "fetchClosedOrders",
        "fetchMyTrades",
    }
)
WANTED: Mapping[str, frozenset[str]] = {
    "sync": _REST,
    "async": _REST,
    "ws": frozenset(
        {
            "watchOHLCV",
            "watchOHLCVForSymbols",
            "watchTicker",
            "watchTickers",
            "watchBidsAsks",
            "watchOrderBook",
            "watchOrderBookForSymbols",
            "watchTrades",
            "watchTradesForSymbols",
            "watchBalance",
            "watchMyTrades",
        }
    ),
    "ws-orders": frozenset({"watchOrders"}),
}
"""What must be tested at least."""

SKIPPED: Mapping[str, object] = {
    **dict.fromkeys(("fetchDeposits", "fetchWithdrawals", "fetchTransfers"), "no endpoint of the wallet's history"),
    **dict.fromkeys(("fetchLedger", "fetchLedgerEntry"), "an endpoint of options, which are not traded"),
    **dict.fromkeys(("fetchBorrowInterest", "fetchMarginModes", "fetchLeverageTiers"), "no margin, no futures"),
    **dict.fromkeys(("watchPosition", "watchPositions"), "no futures"),
    "createOrder": "its Python form raises TypeError before it sends an order: tests/gateway/clients places them",
    "orderBook": {"timestamp": "neither Binance's depth nor ours has one"},
}
"""What is not tested because the gateway does not have it, with the reason."""


_APART: Mapping[str, Mapping[str, str]] = {"ws": {"watchOrders": "tested apart"}}


class NoSuite(Exception):
    """pip cannot get the wheel: is there a network?"""


@dataclass(frozen=True)
class Verdict:
    """`done` are the methods that were tested, `bad` the lines that tell of a failure."""

    done: Sequence[str]
    bad: Sequence[str]
    missing: Sequence[str]
    output: str

    def __str__(self) -> str:
        missing = f", not done: {', '.join(self.missing)}" if self.missing else ""
        return "\n".join([f"{len(self.done)} methods done, {len(self.bad)} bad lines{missing}", *self.bad])

    @property
    def is_good(self) -> bool:
        return bool(self.done) and not self.bad and not self.missing


def run(folder: Path, kind: str, *, url: str, key: str, secret: str) -> Verdict:
    """Runs the suite in `folder`, which is empty or has it already. `kind` is one of `FLAGS`. Raises NoSuite."""
    tests = _unpacked(folder)
    (folder / "keys.local.json").write_text(json.dumps({"binance": _settings(url, key, secret)}))
    (folder / "skip-tests.json").write_text(
        json.dumps({"binance": {"skipMethods": {**SKIPPED, **_APART.get(kind, {})}}})
    )
    command = [sys.executable, str(tests / "tests_init.py"), "binance", *FLAGS[kind]]
    with (folder / f"{kind}.txt").open("w+") as output:
        with suppress(subprocess.TimeoutExpired):  # what is missing then is told by the verdict
            subprocess.run(
                [*command, "--private", "--sandbox", "--fundedTests", "--info"],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(tests.parent.parent), "PYTHONUNBUFFERED": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_PATIENCE_S,
                check=False,
            )
        output.seek(0)
        return judged(output.read(), WANTED[kind])


def judged(output: str, wanted: Iterable[str]) -> Verdict:
    lines = output.splitlines()
    done = [line.split("binance", 1)[1].split()[0] for line in lines if _DONE in line]
    bad = [line for line in lines if any(word in line for word in _BAD) and _WATCHDOG not in line]
    return Verdict(done, bad, sorted(set(wanted) - set(done)), output)


def _unpacked(folder: Path) -> Path:
    """The folder of the tests. They refuse to run inside of site-packages, and read their settings three folders up."""
    target = folder / "python"
    if not target.exists():
        (folder / "wheel.txt").write_text(_WHEEL)
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        pinned = ["--no-deps", "--require-hashes", "--target", str(target), "--requirement", str(folder / "wheel.txt")]
        ended = subprocess.run(
            [*install, *pinned], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""}, check=False
        )
        if ended.returncode:
            raise NoSuite(ended.stderr)
        (target / "psutil.py").touch()  # imported for tests of ccxt itself, which are not run
    return target / "ccxt" / "test"


def _settings(url: str, key: str, secret: str) -> Mapping[str, object]:
    streams = url.replace("http", "ws", 1)
    addresses = {
        "public": f"{url}/api/v3",
        "private": f"{url}/api/v3",
        "v1": f"{url}/api/v1",
        "sapi": f"{url}/sapi/v1",
        "ws": {"spot": f"{streams}/stream", "ws-api": {"spot": f"{streams}/ws-api/v3"}},
    }
    return {
        "apiKey": key,
        "secret": secret,
        "urls": {"test": addresses},
        "has": dict.fromkeys(("swap", "future", "option"), False),  # there are spot markets only
        "options": {"fetchMarkets": {"types": ["spot"]}},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs ccxt's own live test suite against a gateway.")
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--key", required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--kinds", default=",".join(FLAGS), help=f"some of {','.join(FLAGS)}")
    options = parser.parse_args()
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds.split(","):
            verdict = run(Path(folder), kind, url=options.url, key=options.key, secret=options.secret)
            is_good &= verdict.is_good
            sys.stdout.write(f"{kind}: {verdict}\n")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
