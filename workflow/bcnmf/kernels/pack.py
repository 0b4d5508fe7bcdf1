"""Short vectors of one row of a factor, held in the processor's registers.

The inner loops of sparse factorisation add multiples of rows of K numbers. LLVM does not vectorise
them by itself (K is short and known only at run time, and rows might overlap), so the rows are
typed: a `Pack` is an LLVM vector whose length is that of the tuple `tag`, known when the kernel is
compiled. One kernel in plain Python serves every K and both precisions, and runs as fast as one
written by hand in C.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

# Sums may be reordered and fused; NaN and infinities keep their meaning.
_FAST = ("nsz", "arcp", "contract", "reassoc")


class Pack(types.Type):
    """Numba type of `width` numbers of one precision."""

    def __init__(self, width: int, dtype: types.Float) -> None:
        self.width = width
        self.dtype = dtype
        super().__init__(name=f"Pack({width}, {dtype})")


@register_model(Pack)
class _PackModel(models.PrimitiveModel):
    def __init__(self, manager: Any, pack: Pack) -> None:
        element = manager.lookup(pack.dtype).get_value_type()
        super().__init__(manager, pack, ir.VectorType(element, pack.width))


@intrinsic
def full(typing: Any, tag: Any, value: Any) -> Any:
    """Return a pack of ``len(tag)`` times `value`, in the precision of `value`."""
    pack = Pack(len(tag), value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _splat(builder, args[1], context.get_value_type(signature.return_type))

    return pack(tag, value), generate


@intrinsic
def load(typing: Any, tag: Any, array: Any, row: Any) -> Any:
    """Return row `row` of a C-contiguous array with ``len(tag)`` columns; `row` is not checked."""
    pack = Pack(len(tag), array.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = context.get_value_type(signature.return_type)
        place = _place(context, builder, signature.args[1], args[1], args[2], vector)
        return builder.load(place, align=_alignment(vector))

    return pack(tag, array, row), generate


@intrinsic
def store(typing: Any, pack: Any, array: Any, row: Any) -> Any:
    """Write a pack to row `row` of a C-contiguous array of as many columns."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = args[0].type
        place = _place(context, builder, signature.args[1], args[1], args[2], vector)
        builder.store(args[0], place, align=_alignment(vector))
        return context.get_dummy_value()

    return types.void(pack, array, row), generate


@intrinsic
def add_scaled(typing: Any, pack: Any, factor: Any, other: Any) -> Any:
    """Return ``pack + factor * other`` for a scalar `factor` of the packs' precision."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        spread = _splat(builder, args[1], args[0].type)
        product = builder.fmul(spread, args[2], flags=_FAST)
        return builder.fadd(args[0], product, flags=_FAST)

    return pack(pack, factor, other), generate


@intrinsic
def dot(typing: Any, pack: Any, other: Any) -> Any:
    """Return the sum of products of two packs."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = args[0].type
        product = builder.fmul(args[0], args[1], flags=_FAST)
        suffix = "f32" if vector.element == ir.FloatType() else "f64"
        reduce = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector.element, [vector.element, vector]),
            f"llvm.vector.reduce.fadd.v{vector.count}{suffix}",
        )
        return builder.call(reduce, [ir.Constant(vector.element, 0.0), product], fastmath=_FAST)

    return pack.dtype(pack, other), generate


def pack_width(k: int) -> int:
    """Return the number of columns to which K topics are padded with zeros for the kernels.

    Vectors of four suit every processor; beyond 32, LLVM splits lengths that are no multiple of 32
    badly.
    """
    step = 4 if k <= 32 else 32
    return -(-k // step) * step


def _splat(builder: Any, value: Any, vector: ir.VectorType) -> Any:
    empty = ir.Constant(vector, ir.Undefined)
    zero = ir.Constant(ir.IntType(32), 0)
    first = builder.insert_element(empty, value, zero)
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, empty, mask)


def _place(
    context: Any, builder: Any, array_type: Any, array: Any, row: Any, vector: ir.VectorType
) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    wide = builder.zext if row.type.width < 64 else lambda value, _: value
    offset = builder.mul(wide(row, ir.IntType(64)), ir.Constant(ir.IntType(64), vector.count))
    return builder.bitcast(builder.gep(data, [offset], inbounds=True), vector.as_pointer())


def _alignment(vector: ir.VectorType) -> int:
    return 4 if vector.element == ir.FloatType() else 8
