"""The pools in the compiled kernel: a pointer to a table with the address and length of each array.

Passing thirty arrays to a function costs as much as fifty commands, and compiling functions that take them takes
minutes. So `pools_at` makes a value out of the table of `addresses_of`, and `pools.orders` reads one row of it. The
arrays of a `Pools` never move. The interpreted kernel (NUMBA_DISABLE_JIT=1) takes the `Pools` itself.
"""

import numpy as np
import numpy.typing as npt
from numba import config

from matching.core.kernel.structures.pools import Pools, empty_pools

Addresses = npt.NDArray[np.int64]

# The pools of the last call and their table. The reference keeps those pools alive, so that the identity check below
# cannot match other pools at the same address.
_last: tuple[Pools | None, Addresses] = (None, np.zeros((len(Pools._fields), 2), np.int64))


def addresses_of(pools: Pools) -> Addresses:
    """(address, length) of each array of the pools; computed once for each `Pools`."""
    global _last
    known, addresses = _last
    if known is not pools:
        addresses = np.array([(array.ctypes.data, len(array)) for array in pools], np.int64)
        _last = pools, addresses
    return addresses


if not config.DISABLE_JIT:
    from llvmlite import ir
    from numba import typeof, types
    from numba.core import cgutils
    from numba.core.imputils import impl_ret_borrowed, lower_getattr_generic
    from numba.core.typing.templates import AttributeTemplate
    from numba.extending import infer_getattr, intrinsic, models, register_model
    from numba.np.arrayobj import populate_array

    _ARRAY_TYPES = {name: typeof(array) for name, array in empty_pools()._asdict().items()}
    _ROWS = {name: row for row, name in enumerate(Pools._fields)}

    class PoolsAt(types.Type):  # type: ignore[misc]
        """The Numba type of `pools` in the compiled kernel."""

        def __init__(self) -> None:
            super().__init__(name="PoolsAt")

    @register_model(PoolsAt)
    class _PoolsAtModel(models.OpaqueModel):  # type: ignore[misc]
        """A pointer."""

    @infer_getattr
    class _PoolsAtAttributes(AttributeTemplate):  # type: ignore[misc]
        key = PoolsAt

        def generic_resolve(self, pools, name):  # type: ignore[no-untyped-def]
            return _ARRAY_TYPES.get(name)

    @lower_getattr_generic(PoolsAt)
    def _array_at(context, builder, pools, value, name):  # type: ignore[no-untyped-def]
        array_type = _ARRAY_TYPES[name]
        table = builder.bitcast(value, ir.IntType(64).as_pointer())
        address = builder.load(cgutils.gep(builder, table, 2 * _ROWS[name]))
        length = builder.load(cgutils.gep(builder, table, 2 * _ROWS[name] + 1))
        for loaded in (address, length):  # nothing writes to the table while the kernel runs
            loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        array = context.make_array(array_type)(context, builder)
        item_size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(array_type.dtype)))
        populate_array(
            array,
            data=builder.inttoptr(address, array.data.type),
            shape=[length],
            strides=[item_size],
            itemsize=item_size,
            meminfo=None,
        )
        return impl_ret_borrowed(context, builder, array_type, array._getvalue())

    @intrinsic
    def pools_at(typing_context, addresses):  # type: ignore[no-untyped-def]
        """The pools whose table `addresses` is."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            table = context.make_array(signature.args[0])(context, builder, arguments[0])
            return builder.bitcast(table.data, cgutils.voidptr_t)

        return PoolsAt()(addresses), generate
