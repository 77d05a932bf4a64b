"""The entry point from Python to the kernel.

Passing twenty arrays to a Numba function costs as much as fifty commands. So the kernel is given one array with the
address and length of each of them, computed once for each `Pools`: the arrays of a `Pools` never move. The interpreted
kernel (NUMBA_DISABLE_JIT=1) takes the `Pools` itself.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import config

from matching.core.kernel.commands import apply_all
from matching.core.kernel.structures.pools import Pools, empty_pools

if config.DISABLE_JIT:
    process = apply_all

else:
    from numba import typeof, types
    from numba.core import cgutils
    from numba.extending import intrinsic
    from numba.np.arrayobj import populate_array

    from matching.core.kernel.compiling import entry

    @intrinsic
    def _pools_at(typing_context, addresses):  # type: ignore[no-untyped-def]
        """The `Pools` whose arrays are given by the rows (address, length) of `addresses`."""
        pools = typeof(empty_pools())

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            rows = context.make_array(signature.args[0])(context, builder, arguments[0])
            arrays = []
            for index, array_type in enumerate(pools.types):
                row = cgutils.gep(builder, rows.data, 2 * index)
                array = context.make_array(array_type)(context, builder)
                item_size = context.get_constant(
                    types.intp, context.get_abi_sizeof(context.get_data_type(array_type.dtype))
                )
                populate_array(
                    array,
                    data=builder.inttoptr(builder.load(row), array.data.type),
                    shape=[builder.load(cgutils.gep(builder, row, 1))],
                    strides=[item_size],
                    itemsize=item_size,
                    meminfo=None,
                )
                arrays.append(array._getvalue())
            return context.make_tuple(builder, pools, arrays)

        return pools(addresses), generate

    @entry
    def process_at(commands: Any, rows: Any, accepted: Any, addresses: Any, budget: Any, first: Any, count: Any) -> Any:
        return apply_all(commands, rows, accepted, _pools_at(addresses), budget, first, count)

    def _addresses(pools: Pools) -> npt.NDArray[np.int64]:
        return np.array([(array.ctypes.data, len(array)) for array in pools], np.int64)

    # The pools of the last call and the addresses of their arrays. The reference keeps those pools alive, so that the
    # identity check below cannot match other pools at the same address.
    _last = (empty_pools(), np.zeros((len(Pools._fields), 2), np.int64))

    def process(commands: Any, rows: Any, accepted: Any, pools: Pools, budget: int, first: int, count: int) -> int:
        """`commands.apply_all` for Python callers: returns the number of events in `rows`."""
        global _last
        known, addresses = _last
        if known is not pools:
            addresses = _addresses(pools)
            _last = pools, addresses
        return process_at(commands, rows, accepted, addresses, budget, first, count)  # type: ignore[no-any-return]
