"""Numeric options of all commands: a number is read exactly as written or refused in one sentence."""

import re
from argparse import Action, ArgumentTypeError
from collections.abc import Iterator

import pytest
from django.core.management import CommandError, CommandParser, get_commands, load_command_class

APPS = ("simulator", "benchmarks", "exchange_site", "back_office", "settlement", "ledger", "matching")
DJANGOS = ("help", "verbosity")
ODD = (
    "nan", "inf", "1e400", "1e-400", "1e-9", "0", "-0", "-1", "-inf", "", " ", " 1", "1 ", "+1", "1_0", "٣", "１", "²",
    "0x10", "1e5", "1.5", ".5", "1.", "1,5", "one", "9" * 18, "9" * 19, "9" * 40, "9" * 5000, "3-1", "1-", "-", "1-٣",
)  # fmt: skip
NUMBERS = re.compile(r"[0-9]+(\.[0-9]+)?(e-?[0-9]+)?(-[0-9]+)?", re.ASCII)


def own_commands() -> list[str]:
    return sorted(name for name, app in get_commands().items() if app in APPS)


def parser_of(command: str) -> CommandParser:
    parser: CommandParser = load_command_class(get_commands()[command], command).create_parser("manage.py", command)
    parser.called_from_command_line = False
    return parser


def numeric_options() -> Iterator[tuple[str, str]]:
    for command in own_commands():
        for action in parser_of(command)._actions:
            if action.dest not in DJANGOS and takes_a_number(action):
                yield command, action.dest


def takes_a_number(action: Action) -> bool:
    """Whether the option's type reads a number or a range of numbers."""
    try:
        return callable(action.type) and isinstance(action.type("7"), int | float | range)
    except (TypeError, ValueError, ArgumentTypeError):
        return False


def required(action: Action) -> list[str]:
    """A valid value of a required argument, for tests of another option."""
    if not action.required:
        return []
    return [*action.option_strings[:1], *([*action.choices][:1] if action.choices else ["7"])]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(("command", "dest"), list(numeric_options()))
def test_a_number_is_read_as_written_or_refused_with_the_name_of_the_option(command: str, dest: str, odd: str) -> None:
    parser = parser_of(command)
    (tried,) = (action for action in parser._actions if action.dest == dest)
    words = [f"{tried.option_strings[0]}={odd}"] if tried.option_strings else ["--", odd]
    others = [word for action in parser._actions if action is not tried for word in required(action)]
    try:
        found = getattr(parser.parse_args([*others, *words]), dest)
    except CommandError as error:
        said = str(error)
        assert said.count("\n") == 0
        assert (tried.option_strings[0] if tried.option_strings else str(tried.metavar)) in said
        assert len(said) < 200
        return
    assert NUMBERS.fullmatch(odd)
    if isinstance(found, list):  # an option that may be given several times
        (found,) = found
    if isinstance(found, range):
        assert odd in (f"{found[0]}-{found[-1]}", str(found[0]))
    else:
        assert found == (int(odd) if odd.isdigit() else float(odd))
        assert 0 <= found < 1 << 63


def test_no_command_reads_its_numbers_with_int_or_float() -> None:
    """They take NaN, infinity, underscores and digits of other scripts."""
    found = [
        (command, action.dest)
        for command in own_commands()
        for action in parser_of(command)._actions
        if action.dest not in DJANGOS and action.type in (int, float)
    ]
    assert found == []


def test_every_command_with_numeric_options_is_tested() -> None:
    assert {"submit", "simulate", "reconcile", "bench_engine", "run_engine"} <= set(own_commands())
    assert {("submit", "rate"), ("simulate", "seeds"), ("reconcile", "deadline"), ("get_trade", "trade_id")} <= set(
        numeric_options()
    )
