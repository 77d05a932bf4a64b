"""docs/semantics.md names everything that the engine has, and its worked example is what the engine gives."""

import re
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest

from ledger.api import MAX_LEGS
from matching.client.jsonlines import dumps
from matching.client.replay import replay
from matching.core import layout
from matching.core.codes import (
    TRIGGER_TYPES,
    AccountStatus,
    CommandFlag,
    CommandKind,
    EventFlag,
    EventKind,
    InstrumentStatus,
    InstrumentValue,
    OrderType,
    Reason,
    SelfTradePrevention,
    Side,
    TimeInForce,
    name_of,
)
from matching.core.decimals import plain
from matching.core.reading.event_rows import event_rows
from tests.ledger.row_by_row import BalanceKey, Funds, apply_legs, legs
from tests.settlement.chains import worked_example

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "semantics.md"
SECTIONS = ["Numbers", "Sequences and blocks", "Commands", "Refusals", "Matching", "Funds", "JSON Lines form"]
CODES: tuple[type[IntEnum], ...] = (
    *(CommandKind, CommandFlag, InstrumentValue, EventKind, Side, OrderType, TimeInForce),
    *(SelfTradePrevention, InstrumentStatus, AccountStatus, Reason, EventFlag),
)
RECORDS = {name: getattr(layout, name) for name in ("BLOCK_HEADER", "REQUEST", "COMMAND", "EVENT")}
COMMANDS = {name_of(kind) for kind in CommandKind if kind != CommandKind.OCO_STOP}
"""An oco has two kinds of records."""
CANCELLATIONS = {reason for reason in Reason if reason >= Reason.USER} | {Reason.FOK_NOT_FILLABLE, Reason.NO_LIQUIDITY}
REFUSALS = set(Reason) - CANCELLATIONS - {Reason.NONE}
BOTH = {Reason.INSUFFICIENT_BALANCE, Reason.ACCOUNT_RESTRICTED}
DECIMALS = {"BTC": 8, "USD": 6}


def section(number: int) -> str:
    """The text of a section, without its heading."""
    parts = re.split(r"^## .*\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return parts[number]


def table(text: str, heading: str) -> list[list[str]]:
    """The rows of the table in `text` whose first column is called `heading`."""
    _, _, after = text.partition(f"| {heading} |")
    assert after, f"no table begins with {heading}"
    lines = after.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")] for line in lines]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def names(codes: type[IntEnum]) -> set[str]:
    return {name_of(code) for code in codes}


def test_the_sections_keep_their_numbers() -> None:
    headings = re.findall(r"^## (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == [f"{number}. {title}" for number, title in enumerate(SECTIONS, 1)]


@pytest.mark.parametrize("number", range(1, len(SECTIONS) + 1))
def test_a_section_ends_with_the_tests_that_hold_it(number: int) -> None:
    last = section(number).strip().split("\n\n")[-1]
    assert last.startswith("Tests: `tests/"), last
    for path in quoted(last):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("codes", CODES, ids=lambda codes: str(codes.__name__))
def test_every_code_is_on_the_page_with_its_number(codes: type[IntEnum]) -> None:
    (told,) = (row[1] for row in table(section(2), "codes") if row[0] == f"`{codes.__name__}`")
    assert told == ", ".join(f"`{name_of(code)}` {int(code)}" for code in codes)


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_on_the_page_with_its_fields_and_types(name: str) -> None:
    told = [(row[0].strip("`"), row[1].strip("`")) for row in table(section(2), f"`{name}`")]
    record: np.dtype[np.void] = RECORDS[name]
    assert told == [(field, record[field].str.removeprefix("|")) for field in record.names or ()]


def test_sections_that_code_and_tests_cite_are_cited_by_file_and_number() -> None:
    cited = 0
    for package in ROOT.glob("*/__init__.py"):
        for path in package.parent.rglob("*.py"):
            if path == Path(__file__):
                continue
            for line in path.read_text(encoding="utf-8").splitlines():
                for found in re.finditer(r"(\S*)semantics(?:\.md)?,? sections? ([\d, to&and]*\d)", line):
                    cited += 1
                    assert found[1] == "(docs/" or found[1].lstrip('"') == "docs/", f"{path}: {line.strip()}"
                    assert all(1 <= int(one) <= len(SECTIONS) for one in re.findall(r"\d+", found[2])), line
    assert cited > 10


def test_commands_events_and_their_reasons_are_each_explained() -> None:
    assert {name for row in table(section(3), "command") for name in quoted(row[0])} == COMMANDS
    effects = section(3).partition("**What each command does**")[2]
    assert {name for row in table(effects, "command") for name in quoted(row[0])} == COMMANDS
    assert {name for row in table(section(7), "event") for name in quoted(row[0])} == names(EventKind)
    edge, _, engine = section(4).partition("### In the engine")
    told = [row[0].strip("`") for part in (edge, engine) for row in table(part, "reason")]
    assert set(told) == set(map(name_of, REFUSALS))
    cancelled = {row[0].strip("`") for row in table(section(5), "cancelled because")}
    assert cancelled == set(map(name_of, CANCELLATIONS | BOTH))
    for part in (edge, engine):
        assert {name for row in table(part, "command") for name in quoted(row[0])} == COMMANDS


def test_every_choice_of_an_order_is_explained() -> None:
    fields = {row[0]: set(quoted(row[1])) for row in table(section(3), "field")}
    for field, codes in (
        ("side", Side),
        ("order_type", OrderType),
        ("self_trade_prevention", SelfTradePrevention),
        ("status", InstrumentStatus),
        ("status", AccountStatus),
        ("time_in_force, stop_time_in_force", TimeInForce),
    ):
        assert names(codes) <= fields[field], field
    assert {row[0].strip("`") for row in table(section(5), "mode")} == names(SelfTradePrevention)
    assert {row[0].strip("`") for row in table(section(5), "time in force")} == names(TimeInForce)
    assert {row[0].strip("`") for row in table(section(3), "instrument status")} == names(InstrumentStatus)
    assert {quoted(row[0])[0] for row in table(section(3), "account status")} == names(AccountStatus)
    for number, heading, types in ((3, "order_type | price", OrderType), (5, "order_type | buy", TRIGGER_TYPES)):
        shown = {name for row in table(section(number), heading) for name in quoted(row[0])}
        assert shown == set(map(name_of, types))


def test_the_reasons_that_the_engine_gives_a_command_are_all_explained() -> None:
    engine = section(4).partition("### In the engine")[2]
    given = {reason for row in table(engine, "command") for reason in quoted(row[1])}
    assert given == {row[0].strip("`") for row in table(engine, "reason")}


def test_the_worked_example_gives_the_lines_that_stand_there() -> None:
    commands, expected = re.findall(r"```json\n(.*?)```", section(6), re.DOTALL)
    assert [dumps(event) for event in replay(commands.splitlines())] == expected.splitlines()


def test_the_ledger_entries_of_the_worked_example_are_those_that_stand_there() -> None:
    chain = worked_example()
    balances: dict[BalanceKey, Funds] = {}
    found = []
    for block in chain.blocks:
        for event in event_rows(block.events):
            moved = legs(event, chain.engine.registry)
            for place, (leg, after) in enumerate(zip(moved, apply_legs(moved, balances), strict=True)):
                amounts = (plain(amount, DECIMALS[leg.asset]) for amount in (*leg[3:], *after))
                found.append([str(event.sequence), str(place), str(leg.account), leg.asset, f"`{leg.kind}`", *amounts])
    example = section(6).partition("Its ledger entries:")[2]
    assert table(example, "event") == found


def test_the_table_of_legs_has_as_many_rows_as_an_event_can_have_legs() -> None:
    rows = table(section(6).partition("### Ledger entries")[2], "event")
    trade = next(place for place, row in enumerate(rows) if row[0] == "`trade`")
    assert len(rows) - trade == MAX_LEGS
