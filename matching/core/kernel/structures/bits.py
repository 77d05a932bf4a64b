"""Bit scans of 64-bit words and memory prefetch; single machine instructions when compiled."""

from typing import Any

import numpy as np
from numba import config, types
from numba.extending import intrinsic

ONE = np.uint64(1)

if config.DISABLE_JIT:

    def lowest_bit(word: Any) -> int:
        """Index of the lowest set bit of a non-zero word."""
        value = int(word)
        return (value & -value).bit_length() - 1

    def highest_bit(word: Any) -> int:
        """Index of the highest set bit of a non-zero word."""
        return int(word).bit_length() - 1

    def prefetch(array: Any, index: Any) -> None:
        """Hints the CPU to load array[index] into its cache; never faults."""

else:
    from llvmlite import ir
    from numba.core import cgutils

    @intrinsic
    def lowest_bit(typing_context, word):  # type: ignore[no-untyped-def]
        """Index of the lowest set bit of a non-zero word."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

        return types.int64(types.uint64), generate

    @intrinsic
    def highest_bit(typing_context, word):  # type: ignore[no-untyped-def]
        """Index of the highest set bit of a non-zero word."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))
            return builder.sub(ir.Constant(ir.IntType(64), 63), zeros)

        return types.int64(types.uint64), generate

    @intrinsic
    def prefetch(typing_context, array, index):  # type: ignore[no-untyped-def]
        """Hints the CPU to load array[index] into its cache; never faults."""

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
