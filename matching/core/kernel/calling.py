"""Calling the kernel from Python: handing twenty arrays to Numba takes as long as fifty commands, so it gets addresses.

They are collected once for each `Pools`: its arrays never move. Interpreted, the kernel takes the pools themselves.
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
    def _pools_at(typing_context, places):  # type: ignore[no-untyped-def]
        """The `Pools` of arrays whose (address, length) are the rows of `places`."""
        pools = typeof(empty_pools())

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            rows = context.make_array(signature.args[0])(context, builder, arguments[0])
            arrays = []
            for number, kind in enumerate(pools.types):
                row = cgutils.gep(builder, rows.data, 2 * number)
                array = context.make_array(kind)(context, builder)
                item_size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
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

        return pools(places), generate

    @entry
    def process_at(commands: Any, rows: Any, places: Any) -> Any:
        return apply_all(commands, rows, _pools_at(places))

    def _places(pools: Pools) -> npt.NDArray[np.int64]:
        return np.array([(array.ctypes.data, len(array)) for array in pools], np.int64)

    # The pools of the last call and their places. It holds the pools, so that no other ones can pass for them.
    _last = (empty_pools(), np.zeros((len(Pools._fields), 2), np.int64))

    def process(commands: Any, rows: Any, pools: Pools) -> int:
        """`apply_all` for Python."""
        global _last
        known, places = _last
        if known is not pools:
            places = _places(pools)
            _last = pools, places
        return process_at(commands, rows, places)  # type: ignore[no-any-return]
