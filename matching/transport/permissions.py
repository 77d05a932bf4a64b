"""What a key may do: for each role the messages it may send, and the kinds of commands in its batches.

`TABLE` is the only definition, and docs/roles.md shows it. Engines check each message before they sequence commands.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from matching.core.blocks import Records
from matching.core.codes import CommandKind, name_of
from matching.core.errors import BadMessage
from matching.transport import wire
from matching.transport.key_register import KeyRole, RegisteredKey


@dataclass(frozen=True, slots=True)
class Permissions:
    verbs: frozenset[bytes]
    """The messages besides batches. `wire.BLOCKS` includes subscribing to the block socket."""
    commands: frozenset[CommandKind] = frozenset()
    """The kinds of commands in batches."""
    is_limited_to_accounts: bool = False
    """Whether commands must name one of the key's accounts."""


_QUESTIONS = frozenset((wire.REGISTRY, wire.STATUS, wire.DEPTH))
_FOLLOWING = frozenset((wire.STATUS, wire.BLOCKS, wire.SNAPSHOT, wire.FOLLOWING))
_ORDERS = frozenset(
    (
        CommandKind.ORDER,
        CommandKind.OCO,
        CommandKind.OCO_STOP,
        CommandKind.CANCEL,
        CommandKind.CANCEL_ALL,
        CommandKind.REPLACE,
    )
)
_FUNDS = frozenset((CommandKind.DEPOSIT, CommandKind.WITHDRAW))
_REFERENCE = frozenset((CommandKind.ASSET, CommandKind.INSTRUMENT, CommandKind.INSTRUMENT_STATUS))
_TERMS = frozenset((CommandKind.INSTRUMENT_UPDATE, CommandKind.ACCOUNT_STATUS, CommandKind.ACCOUNT_FEES))

ENGINE_VERBS = wire.QUESTIONS | wire.PROMOTIONS | _FOLLOWING | {wire.CONFIRM}
"""All messages to an engine besides batches."""

TABLE: dict[KeyRole, Permissions] = {
    KeyRole.TRADER: Permissions(_QUESTIONS, _ORDERS, is_limited_to_accounts=True),
    KeyRole.TREASURY: Permissions(_QUESTIONS, _FUNDS),
    KeyRole.OPERATOR: Permissions(_QUESTIONS | wire.PROMOTIONS, _REFERENCE | _TERMS),
    KeyRole.GATEWAY: Permissions(_QUESTIONS | {wire.BLOCKS, wire.SNAPSHOT}, _ORDERS),
    KeyRole.SETTLEMENT: Permissions(frozenset((wire.STATUS, wire.STATE, wire.BLOCKS, wire.CONFIRM))),
    KeyRole.ENGINE: Permissions(_FOLLOWING),
    KeyRole.FOLLOWER: Permissions(_FOLLOWING),
    KeyRole.OBSERVER: Permissions(_QUESTIONS | {wire.BLOCKS}),
    KeyRole.LOCAL: Permissions(ENGINE_VERBS, frozenset(CommandKind)),
}

BLOCK_READERS = frozenset(role for role, permissions in TABLE.items() if wire.BLOCKS in permissions.verbs)
"""Roles that may connect to the block socket. It takes no messages, so the role is checked when a key connects."""

RETRANSMISSION_READERS = BLOCK_READERS
"""Roles that may connect to the retransmission socket: those that read blocks."""

_KIND_CODES = 256


def _forbidden_kinds(permissions: Permissions) -> npt.NDArray[np.bool_]:
    """Command kind → whether it is forbidden. Codes of no kind are not forbidden: they are refused as malformed."""
    forbidden = np.zeros(_KIND_CODES, np.bool_)
    forbidden[[int(kind) for kind in CommandKind if kind not in permissions.commands]] = True
    return forbidden


_FORBIDDEN = {role: _forbidden_kinds(permissions) for role, permissions in TABLE.items()}


class NotPermitted(BadMessage):
    """The role of the sender's key does not permit this message: use a key of a role that does."""


def check_message(peer: RegisteredKey | None, verb: bytes) -> None:
    """Raises NotPermitted unless this key may send a message with this verb."""
    key = _active(peer)
    if verb not in TABLE[key.role].verbs:
        needed = _roles([role for role, permissions in TABLE.items() if verb in permissions.verbs])
        raise NotPermitted(f"{_named(key)} may not send the message {verb.decode('ascii')}: that needs {needed}.")


def check_commands(peer: RegisteredKey | None, commands: Records) -> None:
    """Raises NotPermitted unless this key may send each of these commands."""
    key = _active(peer)
    kinds = commands["kind"]
    forbidden = _FORBIDDEN[key.role][kinds]
    if forbidden.any():
        position = int(forbidden.argmax())
        kind = CommandKind(int(kinds[position]))
        needed = _roles([role for role, permissions in TABLE.items() if kind in permissions.commands])
        raise NotPermitted(
            f"{_named(key)} may not send the command {name_of(kind)}{_place(position, commands)}: that needs {needed}."
        )
    if TABLE[key.role].is_limited_to_accounts:
        _check_accounts(key, commands)


def _check_accounts(key: RegisteredKey, commands: Records) -> None:
    accounts = commands["account"]
    foreign = np.isin(accounts, _accounts(key.accounts), invert=True)
    if foreign.any():
        position = int(foreign.argmax())
        raise NotPermitted(
            f"{_named(key)} may not use account {accounts[position]}{_place(position, commands)}: that needs a key "
            "with the role trader for this account, or with the role gateway."
        )


@lru_cache(maxsize=1024)
def _accounts(accounts: tuple[int, ...]) -> npt.NDArray[np.int64]:
    return np.array(accounts, np.int64)


def _active(peer: RegisteredKey | None) -> RegisteredKey:
    """Raises NotPermitted if the key is not registered, or revoked."""
    if peer is None:
        raise NotPermitted("This key is not in the key register: register it with make_keys.")
    if peer.revoked:
        raise NotPermitted(f"{_named(peer)} is revoked: use another key.")
    return peer


def _named(key: RegisteredKey) -> str:
    return f"The {key.role} key {key.name}"


def _roles(roles: list[KeyRole]) -> str:
    """`a key with the role treasury or local`"""
    *others, last = (role.value for role in roles)
    return f"a key with the role {', '.join(others)} or {last}" if others else f"a key with the role {last}"


def _place(position: int, commands: Records) -> str:
    return f" (number {position + 1} of the batch)" if len(commands) > 1 else ""
