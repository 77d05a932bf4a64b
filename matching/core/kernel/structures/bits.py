"""Bits of a 64-bit word, as machine instructions when compiled."""

from typing import Any

import numpy as np
from numba import config, types
from numba.extending import intrinsic

ONE = np.uint64(1)

if config.DISABLE_JIT:

    def lowest(word: Any) -> int:
        """Place of the lowest set bit of a word that is not 0."""
        value = int(word)
        return (value & -value).bit_length() - 1

    def highest(word: Any) -> int:
        """Place of the highest set bit of a word that is not 0."""
        return int(word).bit_length() - 1

    def prefetch(array: Any, index: Any) -> None:
        """Asks for array[index] to be in the cache soon; a hint that never faults."""

else:
    from llvmlite import ir
    from numba.core import cgutils

    @intrinsic
    def lowest(typing_context, word):  # type: ignore[no-untyped-def]
        """Place of the lowest set bit of a word that is not 0."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

        return types.int64(types.uint64), generate

    @intrinsic
    def highest(typing_context, word):  # type: ignore[no-untyped-def]
        """Place of the highest set bit of a word that is not 0."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))
            return builder.sub(ir.Constant(ir.IntType(64), 63), zeros)

        return types.int64(types.uint64), generate

    @intrinsic
    def prefetch(typing_context, array, index):  # type: ignore[no-untyped-def]
        """Asks for array[index] to be in the cache soon; a hint that never faults."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            view = context.make_array(signature.args[0])(context, builder, arguments[0])
            byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
            place = cgutils.gep_inbounds(builder, view.data, arguments[1])
            hint = builder.module.declare_intrinsic(
                "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, word, word, word])
            )
            builder.call(hint, [builder.bitcast(place, byte), word(0), word(3), word(1)])
            return context.get_dummy_value()

        return types.void(array, index), generate
