"""The table of docs/roles.md."""

import re
from pathlib import Path
from typing import NamedTuple

from matching.core.codes import CommandKind, name_of
from matching.transport.key_register import KeyRole
from matching.transport.permissions import ENGINE_VERBS

PAGE = Path(__file__).parents[2] / "docs" / "roles.md"
_ROW = re.compile(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) ?\|$", re.MULTILINE)
_NAME = re.compile(r"`(\w+)`")
_ALL = "all"


class Row(NamedTuple):
    """What one role may do, by the names of messages and commands."""

    verbs: frozenset[str]
    kinds: frozenset[str]
    is_limited_to_accounts: bool


def shown_table() -> dict[KeyRole, Row]:
    """The table as the page shows it."""
    messages = frozenset(verb.decode("ascii") for verb in ENGINE_VERBS)
    commands = frozenset(map(name_of, CommandKind))
    return {
        KeyRole(role): Row(_named(verbs, messages), _kinds(kinds, commands), "of the key's accounts" in kinds)
        for role, verbs, kinds in _ROW.findall(PAGE.read_text(encoding="utf-8"))
    }


def _kinds(cell: str, everything: frozenset[str]) -> frozenset[str]:
    """The page shows commands: an oco becomes two records of different kinds."""
    named = _named(cell, everything)
    return named | {name_of(CommandKind.OCO_STOP)} if name_of(CommandKind.OCO) in named else named


def _named(cell: str, everything: frozenset[str]) -> frozenset[str]:
    return everything if cell.strip() == _ALL else frozenset(_NAME.findall(cell))
