"""The simulator is deterministic, passes without defects, and reports failures with their seed."""

import json

import pytest
from django.core.management import CommandError, call_command

from simulator.run import simulate


@pytest.mark.parametrize("seed", [3, 8])
def test_a_seed_gives_the_same_run_again(seed: int) -> None:
    assert simulate(seed) == simulate(seed)


def test_seeds_differ() -> None:
    assert simulate(1).digest != simulate(2).digest


def test_runs_with_faults_end_without_differences(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("simulate", "--seeds", "1-24", processes=2, json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["ok"]
    assert told["seeds"] == 24
    assert told["blocks"] > 240
    assert told["answers"] > 240
    assert {"crash", "message dropped", "message duplicated", "link cut", "power loss"} <= set(told["faults"])


@pytest.mark.acceptance("300 seeds of the simulator come right")
@pytest.mark.timeout(1800)
def test_three_hundred_seeds_end_without_differences(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("simulate", "--seeds", "1-300", "--json")
    assert json.loads(capsys.readouterr().out)["seeds"] == 300


def test_a_failure_names_its_seed_and_fails_again_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for _ in range(2):
        with pytest.raises(CommandError, match="1 of 1 seeds failed: 1") as raised:
            call_command("simulate", "--seeds", "1", defect="confirm-before-append")
        assert raised.value.returncode == 1
        told.append(capsys.readouterr().err)
    assert told[0] == told[1]
    assert "seed 1 failed:" in told[0]


@pytest.mark.parametrize("seeds", ["", "x", "5-1", "-3", "1-2-3"])
def test_an_invalid_range_of_seeds_is_refused(seeds: str) -> None:
    with pytest.raises(CommandError, match=r"argument --seeds: '.*' is neither a range A-B with A <= B"):
        call_command("simulate", f"--seeds={seeds}")
