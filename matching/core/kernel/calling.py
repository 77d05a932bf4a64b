"""The entry points from Python to the kernel. They take the `Pools` and pass on where its arrays are."""

from typing import Any

from numba import config

from matching.core.kernel import effects
from matching.core.kernel.commands import apply_all
from matching.core.kernel.funds import get_or_create_balance
from matching.core.kernel.structures import finding, queues

if config.DISABLE_JIT:
    process, open_balance = apply_all, get_or_create_balance
    apply_events = effects.apply_all
    list_slots, list_levels = queues.list_slots, queues.list_levels
    find_account, find_balance = finding.account, finding.balance
    find_trader, find_order = finding.trader, finding.order

else:
    from matching.core.kernel.compiling import entry
    from matching.core.kernel.structures.addresses import addresses_of, pools_at
    from matching.core.kernel.structures.pools import Pools

    @entry
    def process_at(commands: Any, rows: Any, accepted: Any, addresses: Any, budget: Any, first: Any, count: Any) -> Any:
        return apply_all(commands, rows, accepted, pools_at(addresses), budget, first, count)

    @entry
    def apply_events_at(commands: Any, rows: Any, addresses: Any, assets: Any, instruments: Any) -> Any:
        return effects.apply_all(commands, rows, pools_at(addresses), assets, instruments)

    @entry
    def open_balance_at(addresses: Any, account: Any, asset: Any) -> Any:
        return get_or_create_balance(pools_at(addresses), account, asset)

    @entry
    def list_slots_at(addresses: Any, instrument_id: Any, side: Any, slots: Any) -> Any:
        return queues.list_slots(pools_at(addresses), instrument_id, side, slots)

    @entry
    def list_levels_at(addresses: Any, instrument_id: Any, side: Any, rows: Any) -> Any:
        return queues.list_levels(pools_at(addresses), instrument_id, side, rows)

    def process(commands: Any, rows: Any, accepted: Any, pools: Pools, budget: int, first: int, count: int) -> int:
        """`commands.apply_all` for Python callers: returns the number of events in `rows`."""
        return process_at(commands, rows, accepted, addresses_of(pools), budget, first, count)  # type: ignore[no-any-return]

    def apply_events(commands: Any, rows: Any, pools: Pools, assets: int, instruments: int) -> int:
        """`effects.apply_all` for Python callers."""
        return apply_events_at(commands, rows, addresses_of(pools), assets, instruments)  # type: ignore[no-any-return]

    def open_balance(pools: Pools, account: int, asset: int) -> int:
        """`funds.get_or_create_balance` for Python callers, which have reserved the pools for one command."""
        return open_balance_at(addresses_of(pools), account, asset)  # type: ignore[no-any-return]

    def list_slots(pools: Pools, instrument_id: int, side: int, slots: Any) -> int:
        """`queues.list_slots` for Python callers."""
        return list_slots_at(addresses_of(pools), instrument_id, side, slots)  # type: ignore[no-any-return]

    def list_levels(pools: Pools, instrument_id: int, side: int, rows: Any) -> int:
        """`queues.list_levels` for Python callers."""
        return list_levels_at(addresses_of(pools), instrument_id, side, rows)  # type: ignore[no-any-return]

    @entry
    def find_account_at(addresses: Any, account: Any) -> Any:
        return finding.account(pools_at(addresses), account)

    @entry
    def find_balance_at(addresses: Any, account: Any, asset: Any) -> Any:
        return finding.balance(pools_at(addresses), account, asset)

    @entry
    def find_trader_at(addresses: Any, account: Any, instrument_id: Any) -> Any:
        return finding.trader(pools_at(addresses), account, instrument_id)

    @entry
    def find_order_at(addresses: Any, order_id: Any) -> Any:
        return finding.order(pools_at(addresses), order_id)

    def find_account(pools: Pools, account: int) -> int:
        """`finding.account` for Python callers."""
        return find_account_at(addresses_of(pools), account)  # type: ignore[no-any-return]

    def find_balance(pools: Pools, account: int, asset: int) -> int:
        """`finding.balance` for Python callers."""
        return find_balance_at(addresses_of(pools), account, asset)  # type: ignore[no-any-return]

    def find_trader(pools: Pools, account: int, instrument_id: int) -> int:
        """`finding.trader` for Python callers."""
        return find_trader_at(addresses_of(pools), account, instrument_id)  # type: ignore[no-any-return]

    def find_order(pools: Pools, order_id: int) -> int:
        """`finding.order` for Python callers."""
        return find_order_at(addresses_of(pools), order_id)  # type: ignore[no-any-return]
