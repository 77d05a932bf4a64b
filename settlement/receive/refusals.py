"""What it means for settlement that an engine refuses its confirmations."""

from matching.transport import wire
from settlement.errors import ChainConflict, SettlementError, WrongStore


def refusal_error(refusal: wire.Refused, engine: wire.Status | None) -> SettlementError:
    """The error for a refused confirmation. `engine`: the last status of the engine that refuses it."""
    name = f"The engine at {engine.addresses.commands}" if engine else "The engine"
    if refusal.code == wire.WRONG_STORE:
        return WrongStore(
            f"{name} uses another store than this settlement and refuses its confirmations: give both the same "
            "DATABASE_URL and SETTLEMENT_STORE, or give this settlement the addresses of its own engine."
        )
    return ChainConflict(
        f"{name} has another chain than the store of this settlement and refuses its confirmation: {refusal.message} "
        "Keep both and find out which chain is the right one."
    )
