"""The last look at records from outside before they are sequenced: the kernel believes what passes here.

The edge makes no record that fails; a client with a bug or bad intent may. All checks are on whole arrays.
"""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from matching.blocks import Records
from matching.codes import (
    FIRST_REFERENCE_COMMAND,
    NONE_ID,
    CommandKind,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from matching.errors import BadDefinition, BadMessage
from matching.registry import Registry, status_named

MOST_REFERENCE = 64
MOST_CLIENT_ORDER_ID = 36

_KINDS = np.array([kind in set(CommandKind) for kind in range(256)])


def check(commands: Records, texts: bytes, registry: Registry) -> None:
    """Raises BadMessage when COMMAND records and their strings are not what an edge makes of valid commands."""
    kinds = commands["kind"]
    if not _KINDS[kinds].all():
        raise BadMessage(f"Command kind {int(kinds[~_KINDS[kinds]][0])} does not exist.")
    reference_data = kinds >= FIRST_REFERENCE_COMMAND
    if reference_data[:-1].any():
        raise BadMessage("A command on assets or instruments is the last of its batch.")
    trading = commands[:-1] if reference_data[-1:].any() else commands
    _check_fields(trading, registry)
    _check_texts(commands, texts)
    if len(trading) < len(commands):
        _check_definition(commands[-1], texts, registry)


def _check_fields(commands: Records, registry: Registry) -> None:
    kinds, sides, ids = commands["kind"], commands["side"], commands["instrument"]
    funding = (kinds == CommandKind.DEPOSIT) | (kinds == CommandKind.WITHDRAW)
    anywhere = (kinds == CommandKind.CANCEL_ALL) & (ids == NONE_ID)
    known = np.where(funding, len(registry.assets), len(registry.instruments))
    market = commands["order_type"] == OrderType.MARKET
    orders = kinds == CommandKind.ORDER
    by_quote = commands["amount"] != 0
    resting = (commands["time_in_force"] != TimeInForce.IOC) | (commands["post_only"] != 0)
    limit_only = resting | (commands["price"] != 0)
    for wrong, what in (
        ((ids >= known) & ~anywhere, "an instrument or asset that does not exist"),
        (commands["account"] < 0, "a negative account"),
        (sides > max(Side), "a side that does not exist"),
        (commands["order_type"] > max(OrderType), "an order type that does not exist"),
        (commands["time_in_force"] > max(TimeInForce), "a time in force that does not exist"),
        (commands["self_trade_prevention"] > max(SelfTradePrevention), "a self-trade mode that does not exist"),
        (commands["post_only"] > 1, "a post_only that is neither 0 nor 1"),
        (
            (commands["post_only"] != 0) & (commands["time_in_force"] != TimeInForce.GTC),
            "a post-only order that is not gtc",
        ),
        (orders & market & limit_only, "a market order with a price, post_only or another time in force than ioc"),
        (
            orders & by_quote & (~market | (sides != Side.BUY) | (commands["quantity"] != 0)),
            "a quote_quantity that is not alone on a market buy",
        ),
        (commands["order_id"] < 0, "a negative order_id"),
        (funding & (commands["text_hash"] == 0), "a deposit or withdrawal without a reference"),
    ):
        if wrong.any():
            raise BadMessage(f"Command {int(np.flatnonzero(wrong)[0]) + 1} of the batch has {what}.")


def _check_texts(commands: Records, texts: bytes) -> None:
    lengths = commands["text_length"].astype(np.int64)
    offsets = commands["text_offset"].astype(np.int64)
    ends = np.cumsum(lengths)
    if (offsets != ends - lengths).any() or (len(ends) and ends[-1] != len(texts)):
        raise BadMessage("The strings of the batch are not one after the other in the order of its commands.")
    if not texts.isascii() or not texts.decode("ascii", "replace").isprintable():
        raise BadMessage("The strings of the batch are not printable ASCII.")
    funding = (commands["kind"] == CommandKind.DEPOSIT) | (commands["kind"] == CommandKind.WITHDRAW)
    most = np.where(funding, MOST_REFERENCE, MOST_CLIENT_ORDER_ID)
    if (lengths[commands["kind"] < FIRST_REFERENCE_COMMAND] > most[commands["kind"] < FIRST_REFERENCE_COMMAND]).any():
        raise BadMessage("A client order id or reference of the batch is too long.")
    if (hashes(texts, lengths) != commands["text_hash"]).any():
        raise BadMessage("A string of the batch has another hash than the one beside it.")


def hashes(texts: bytes, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """The text_hash of strings that follow one another: xxh3_64, 0 for the empty string."""
    found = np.zeros(len(lengths), np.uint64)
    places = np.flatnonzero(lengths)
    ends = [0, *np.cumsum(lengths[places]).tolist()]
    digest = xxhash.xxh3_64_intdigest
    found[places] = [digest(texts[start:end]) for start, end in pairwise(ends)]
    return found


def text_hash(text: bytes) -> int:
    """xxh3_64 of a string; 0 for the empty one. A string whose hash is 0 counts as none: 1 in 2^64."""
    return xxhash.xxh3_64_intdigest(text) if text else 0


def _check_definition(command: Any, texts: bytes, registry: Registry) -> None:
    start = int(command["text_offset"])
    try:
        definition = json.loads(texts[start:])
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
        raise BadMessage(f"The batch defines something on {error.args[0]!r}, which does not exist.") from error
    except (ValueError, RecursionError, TypeError, BadDefinition) as error:
        raise BadMessage(f"The batch carries a definition that cannot be: {error}") from error
