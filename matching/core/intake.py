"""Validates records from clients before they are sequenced. The kernel does not check them again.

A correct edge never produces a record that fails; a faulty or malicious client may.
"""

import json
from contextlib import suppress
from typing import Any

import numpy as np

from matching.core import kernel
from matching.core.blocks import Records
from matching.core.codes import MAX_CLIENT_ORDER_ID_LENGTH, NONE_ID, CommandFlag, CommandKind, is_definition
from matching.core.errors import BadDefinition, BadMessage
from matching.core.kernel import records
from matching.core.registry import Registry, status_named
from matching.core.texts import SEPARATOR, hashes, text_hash

_WITH_TWO_STRINGS = (int(CommandKind.CANCEL), int(CommandKind.REPLACE), int(CommandKind.OCO))
_ALL_BITS = 0xFFFF_FFFF_FFFF_FFFF

_FAULTS = {
    records.KIND: "a kind that does not exist",
    records.REFERENCE_DATA_NOT_LAST: "a kind that changes reference data, which only the last command may have",
    records.INSTRUMENT: "an instrument or asset that does not exist",
    records.ACCOUNT: "a negative account",
    records.SIDE: "a side that does not exist",
    records.ORDER_TYPE: "an order type that does not exist",
    records.TIME_IN_FORCE: "a time in force that does not exist",
    records.SELF_TRADE_PREVENTION: "a self-trade mode that does not exist",
    records.FLAGS: "a flag that its kind does not have",
    records.POST_ONLY_NOT_GTC: "post_only, and another order type than limit or another time in force than gtc",
    records.MARKET_ORDER: "order type market with a price or another time in force than ioc",
    records.QUOTE_QUANTITY: "a quote_quantity beside a quantity",
    records.ORDER_ID: "a negative order_id",
    records.NO_REFERENCE: "no reference, which a deposit or withdrawal needs",
    records.TEXT_OFFSET: "a string that does not follow the previous one, or does not end with the strings",
    records.TEXT_LENGTH: "a client order id or reference that is too long",
    records.ORDER_LIST: "a leg of a one-cancels-other without the other one, or with terms that it cannot have",
    records.TRIGGER_ORDER: "a stop_loss or take_profit with a price or another time in force than ioc",
    records.VISIBLE_QUANTITY: "a visible_quantity, and another time in force than gtc",
    records.STATUS: "an account status that does not exist, or an instrument beside it",
    records.FEES: "fee rates that are neither from 0 to 999999 nor both removed",
    records.INSTRUMENT_VALUE: "a value that an instrument cannot have, or no value to change",
    records.NEW_NAME_HASH: "the hash of a new client order id, but no such id",
}


class _NotKnown(BadMessage):
    """An unknown asset or instrument: another engine may have it, or this one may get it later."""


def check(commands: Records, texts: bytes, registry: Registry) -> None:
    """Raises BadMessage for COMMAND records and strings that an edge does not produce from valid commands."""
    _check_records(commands, texts, len(registry.assets), len(registry.instruments))
    if _defines(commands):
        check_definition(commands[-1], texts, registry)


def check_form(commands: Records, texts: bytes, registry: Registry) -> None:
    """Like `check`, but accepts unknown names. Raises BadMessage for what is invalid with any registry."""
    _check_records(commands, texts, int(NONE_ID), int(NONE_ID))
    if _defines(commands):
        with suppress(_NotKnown):
            check_definition(commands[-1], texts, registry)


def _defines(commands: Records) -> bool:
    return bool(len(commands)) and is_definition(int(commands["kind"][-1]))


def _check_records(commands: Records, texts: bytes, assets: int, instruments: int) -> None:
    place, fault = kernel.first_fault(commands, assets, instruments, len(texts))
    if fault:
        raise BadMessage(f"Command {place + 1} of the batch has {_FAULTS[fault]}.")
    if not texts.isascii() or not texts.replace(SEPARATOR, b"").decode("ascii").isprintable():
        raise BadMessage("The strings of the batch are not printable ASCII.")
    _check_second_strings(commands, texts)
    if hashes(texts, commands["text_length"].tolist()) != commands["text_hash"].tolist():
        raise BadMessage("A string of the batch does not match its hash.")


def _check_second_strings(commands: Records, texts: bytes) -> None:
    """Raises BadMessage for a separator that does not stand between two strings, or a new name with another hash."""
    kinds = commands["kind"]
    renames = (kinds == CommandKind.REPLACE) & ((commands["flags"] & CommandFlag.NEW_NAME) != 0)
    is_long = (commands["text_length"] > MAX_CLIENT_ORDER_ID_LENGTH) & np.isin(kinds, _WITH_TWO_STRINGS)
    suspects = np.ones(len(commands), bool) if SEPARATOR in texts else renames | is_long
    for place in np.flatnonzero(suspects).tolist():
        command = commands[place]
        start, kind = int(command["text_offset"]), int(command["kind"])
        first, separator, second = texts[start : start + int(command["text_length"])].partition(SEPARATOR)
        takes_two = kind in _WITH_TWO_STRINGS
        is_valid = len(first) <= MAX_CLIENT_ORDER_ID_LENGTH or not takes_two
        if separator:
            is_name = 1 <= len(second) <= MAX_CLIENT_ORDER_ID_LENGTH and SEPARATOR not in second
            is_valid = is_valid and takes_two and is_name
        if kind == CommandKind.REPLACE:
            is_valid = is_valid and bool(separator) == bool(renames[place])
        if not is_valid:
            raise BadMessage(f"Command {place + 1} of the batch has strings that its kind does not have.")
        if renames[place] and text_hash(second) != int(command["amount"]) & _ALL_BITS:
            raise BadMessage(f"Command {place + 1} of the batch has a new name that does not match its hash.")


def check_definition(command: Any, texts: bytes, registry: Registry) -> None:
    """Raises BadMessage for a command on reference data that no edge with that registry produces."""
    start = int(command["text_offset"])
    try:
        definition = json.loads(texts[start : start + int(command["text_length"])])
        if not isinstance(definition, dict):
            raise BadDefinition("A definition is a JSON object.")
        if command["kind"] == CommandKind.ASSET:
            registry.asset_from(definition)
        elif command["kind"] == CommandKind.INSTRUMENT:
            registry.instrument_from(definition)
        else:
            status_named(definition.get("status"))
            registry.instrument_by_symbol[definition["symbol"]]
    except KeyError as error:
        raise _NotKnown(f"The batch has a definition that names {error.args[0]!r}, which does not exist.") from error
    except (ValueError, RecursionError, TypeError, BadDefinition) as error:
        raise BadMessage(f"The batch has an invalid definition: {error}") from error
