"""Whatever happens at whichever step, a batch is committed exactly once."""

import json
from typing import Any

import pytest

from analytics.errors import StarRocksError, StarRocksRefused, StarRocksUnavailable
from analytics.starrocks.http import StarRocksHttp
from analytics.starrocks.transactions import Transactions
from tests.analytics.starrocks.server import FAULTS, STEPS, Cluster

ROWS = [{"symbol": "BTC", "decimals": 8}, {"symbol": "USD", "decimals": 6}]
STORED = {("BTC",): ROWS[0], ("USD",): ROWS[1]}
LABEL = "run_assets_1_9_0"


def load(transactions: Transactions, rows: list[dict[str, Any]] = ROWS, table: str = "assets") -> None:
    transactions.load(LABEL, table, rows)


def test_a_batch_is_loaded_in_four_steps(cluster: Cluster, transactions: Transactions) -> None:
    load(transactions)
    assert cluster.steps == ["state", "begin", "load", "prepare", "commit"]
    assert cluster.tables == {"assets": STORED}
    assert cluster.commits == {LABEL: 1}


def test_a_batch_that_was_loaded_is_not_loaded_again(cluster: Cluster, transactions: Transactions) -> None:
    load(transactions)
    load(transactions)
    assert cluster.steps[5:] == ["state"]
    assert cluster.commits == {LABEL: 1}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("times", [1, 3])
def test_a_fault_at_a_step_leaves_exactly_one_copy(
    cluster: Cluster, transactions: Transactions, step: str, fault: str, times: int
) -> None:
    cluster.faults[step] = [fault] * times
    load(transactions)
    assert cluster.tables == {"assets": STORED}
    assert cluster.commits == {LABEL: 1}
    assert len(cluster.faults[step]) < times  # a step that was done is not repeated


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_every_step_leaves_exactly_one_copy(
    cluster: Cluster, transactions: Transactions, fault: str
) -> None:
    cluster.faults = {step: [fault] for step in STEPS}
    load(transactions)
    assert (cluster.tables, cluster.commits) == ({"assets": STORED}, {LABEL: 1})


class Killed(BaseException):
    """Not an error that the loader handles."""


class DyingHttp(StarRocksHttp):
    """Dies before a request, or after its answer."""

    def __init__(self, http: StarRocksHttp, step: str, *, is_after: bool) -> None:
        super().__init__(http.cluster)
        self._step, self._is_after = step, is_after

    def request(self, method: str, path: str, *rest: Any) -> dict[str, Any]:
        is_mine = path.endswith(self._step)
        if is_mine and not self._is_after:
            raise Killed
        found = super().request(method, path, *rest)
        if is_mine:
            raise Killed
        return found


@pytest.mark.parametrize("step", STEPS[1:])
@pytest.mark.parametrize("is_after", [False, True])
def test_a_run_that_is_killed_is_continued_by_the_next_one(
    cluster: Cluster, http: StarRocksHttp, transactions: Transactions, step: str, is_after: bool
) -> None:
    with pytest.raises(Killed):
        load(Transactions(DyingHttp(http, step, is_after=is_after)))
    load(transactions)
    assert (cluster.tables, cluster.commits) == ({"assets": STORED}, {LABEL: 1})


def test_rows_that_are_refused_are_never_committed(cluster: Cluster, transactions: Transactions) -> None:
    with pytest.raises(StarRocksRefused, match=r"refuses the step load of the label .*: the columns are not those of"):
        load(transactions, [{"symbol": "BTC"}])
    assert not cluster.commits
    assert cluster.transactions[LABEL].state == "ABORTED"


def test_a_table_that_does_not_exist_is_refused(transactions: Transactions) -> None:
    with pytest.raises(StarRocksRefused, match=r"refuses the step begin .*: unknown table nothing"):
        load(transactions, table="nothing")


def test_a_load_that_filters_rows_is_done_again(cluster: Cluster, transactions: Transactions) -> None:
    cluster.filtered = 1
    load(transactions)
    assert (cluster.tables, cluster.commits) == ({"assets": STORED}, {LABEL: 1})
    assert "rollback" in cluster.steps


def test_what_does_not_answer_for_long_is_told_and_may_be_repeated(
    cluster: Cluster, transactions: Transactions
) -> None:
    cluster.faults["commit"] = ["lost answer"]
    cluster.faults["state"] = ["", *["500"] * 5]
    with pytest.raises(StarRocksUnavailable, match="answered with status 500"):
        load(transactions)
    load(transactions)
    assert (cluster.tables, cluster.commits) == ({"assets": STORED}, {LABEL: 1})


def test_retries_are_counted(cluster: Cluster, http: StarRocksHttp) -> None:
    retries: list[int] = []
    cluster.faults["load"] = ["500", "failed"]
    load(Transactions(http, sleep=lambda seconds: None, on_retry=lambda: retries.append(1)))
    assert len(retries) == 2


def test_an_unknown_state_is_not_taken_for_any_other(cluster: Cluster, transactions: Transactions) -> None:
    cluster.transactions[LABEL] = type("Odd", (), {"state": "SHINY"})()
    with pytest.raises(StarRocksError, match="did not tell the state of the label"):
        load(transactions)


def test_rows_are_sent_as_they_are(cluster: Cluster, transactions: Transactions) -> None:
    large = [{"symbol": 'a"\n\\é', "decimals": (1 << 63) - 1}]
    load(transactions, large)
    assert list(cluster.tables["assets"].values()) == json.loads(json.dumps(large))
