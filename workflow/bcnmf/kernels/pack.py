"""Short vectors of one row of a factor, held in the processor's registers.

The inner loops of sparse factorisation add multiples of rows of K numbers. LLVM does not vectorise
them by itself (K is short and known only at run time, and rows might overlap), so the rows are
typed: a `Pack` is one or two LLVM vectors whose lengths are those of the tuples in `tag`, known
when the kernel is compiled. One kernel in plain Python serves every K and both precisions, and runs
as fast as one written by hand in C.

A row of 20 numbers is held as 16 and 4: vectors of an odd length are compiled badly, and the two
parts of all rows, stored in arrays of their own, never straddle a cache line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

from bcnmf.kernels.compiled import compiled, intrinsic

# Sums may be reordered and fused; NaN and infinities keep their meaning.
_FAST = ("nsz", "arcp", "contract", "reassoc")
_CACHE_LINE = 64

Tag = tuple[tuple[int, ...], ...]


class Pack(types.Type):  # type: ignore[misc]  # numba has no types
    """Numba type of a row of numbers of one precision, as vectors of the lengths `widths`."""

    def __init__(self, widths: tuple[int, ...], dtype: types.Float) -> None:
        self.widths = widths
        self.dtype = dtype
        super().__init__(name=f"Pack({widths}, {dtype})")


@register_model(Pack)
class _PackModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, pack: Pack) -> None:
        element = manager.lookup(pack.dtype).get_value_type()
        vectors = [ir.VectorType(element, width) for width in pack.widths]
        super().__init__(manager, pack, ir.LiteralStructType(vectors))


@intrinsic
def full(typing: Any, tag: Any, value: Any) -> Any:
    """Return a pack with the lengths of `tag`, all entries `value`, in the precision of `value`."""
    pack = Pack(_widths(tag), value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        struct = context.get_value_type(signature.return_type)
        return _joined(builder, struct, [_splat(builder, args[1], v) for v in struct.elements])

    return pack(tag, value), generate


@intrinsic
def load(typing: Any, tag: Any, array: Any, row: Any) -> Any:
    """Return row `row`, which is not checked, of a factor.

    `array` is one C-contiguous array that has as many columns as the pack, or a tuple of arrays
    with the columns of each part, see `split`.
    """
    pack = Pack(_widths(tag), _element(array))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        struct = context.get_value_type(signature.return_type)
        addresses = _addresses(context, builder, signature.args[1], args[1], args[2], struct)
        align = _alignment(struct)
        return _joined(
            builder, struct, [builder.load(address, align=align) for address in addresses]
        )

    return pack(tag, array, row), generate


@intrinsic
def store(typing: Any, pack: Any, array: Any, row: Any) -> Any:
    """Write a pack to row `row` of a factor, see `load`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        struct = args[0].type
        addresses = _addresses(context, builder, signature.args[1], args[1], args[2], struct)
        for part, address in enumerate(addresses):
            vector = builder.extract_value(args[0], part)
            builder.store(vector, address, align=_alignment(struct))
        return context.get_dummy_value()

    return types.void(pack, array, row), generate


@intrinsic
def add_scaled(typing: Any, pack: Any, factor: Any, other: Any) -> Any:
    """Return ``pack + factor * other`` for a scalar `factor` of the packs' precision."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def part(old: Any, new: Any) -> Any:
            product = builder.fmul(_splat(builder, args[1], old.type), new, flags=_FAST)
            return builder.fadd(old, product, flags=_FAST)

        return _by_part(builder, part, args[0], args[2])

    return pack(pack, factor, other), generate


@intrinsic
def dot(typing: Any, pack: Any, other: Any) -> Any:
    """Return the sum of products of two packs."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total = None
        for part in range(len(args[0].type.elements)):
            one, two = (builder.extract_value(value, part) for value in args)
            summed = _reduced(builder, builder.fmul(one, two, flags=_FAST))
            total = summed if total is None else builder.fadd(total, summed, flags=_FAST)
        return total

    return pack.dtype(pack, other), generate


@compiled(error_model="numpy")
def row_buffer(tag: Any, split: Any) -> np.ndarray:
    """Return zeros for one row, not split, in the precision of the factor `split`."""
    width = 0
    for part in split:
        width += part.shape[1]
    return np.zeros(width, split[0].dtype)


def pack_widths(k: int) -> tuple[int, ...]:
    """Return the lengths of the vectors in which K topics are held, padded with zeros.

    A power of two, and for what is beyond it a power of two or, up to 16, a multiple of four.
    Where both are alike, they are one.
    """
    first = max(4, 1 << (k.bit_length() - 1))
    rest = k - first
    if rest <= 0:
        return (first,)
    second = -(-rest // 4) * 4 if rest <= 16 else 1 << (rest - 1).bit_length()
    return (2 * first,) if second == first else (first, second)


def make_tag(k: int) -> Tag:
    """Return the tag of K topics, from whose type kernels know the lengths of vectors."""
    return tuple((0,) * width for width in pack_widths(k))


def split_zeros(rows: int, tag: Tag, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    """Return zeros for a factor of `rows` rows, one array for each part of a pack.

    Arrays begin at the start of a cache line, so that rows straddle as few as can be.
    """
    return tuple(_aligned_zeros((rows, len(part)), np.dtype(dtype)) for part in tag)


def split(columns: np.ndarray, tag: Tag) -> tuple[np.ndarray, ...]:
    """Return the columns of a factor (rows, K) as arrays for the parts of a pack."""
    parts = split_zeros(len(columns), tag, columns.dtype)
    start = 0
    for part in parts:
        some = columns[:, start : start + part.shape[1]]
        part[:, : some.shape[1]] = some
        start += part.shape[1]
    return parts


def _aligned_zeros(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    room = np.zeros(shape[0] * shape[1] * dtype.itemsize + _CACHE_LINE, np.uint8)
    first = -room.ctypes.data % _CACHE_LINE
    return room[first : first + room.size - _CACHE_LINE].view(dtype).reshape(shape)


def _widths(tag: Any) -> tuple[int, ...]:
    return tuple(len(part) for part in tag)


def _element(array: Any) -> types.Float:
    return array.dtype if isinstance(array, types.Array) else array[0].dtype


def _joined(builder: Any, struct: ir.LiteralStructType, vectors: list[Any]) -> Any:
    value = ir.Constant(struct, ir.Undefined)
    for part, vector in enumerate(vectors):
        value = builder.insert_value(value, vector, part)
    return value


def _by_part(builder: Any, call: Callable[[Any, Any], Any], pack: Any, other: Any) -> Any:
    parts = range(len(pack.type.elements))
    return _joined(
        builder,
        pack.type,
        [call(*(builder.extract_value(value, part) for value in (pack, other))) for part in parts],
    )


def _reduced(builder: Any, vector: Any) -> Any:
    element, count = vector.type.element, vector.type.count
    suffix = "f32" if element == ir.FloatType() else "f64"
    reduce = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(element, [element, vector.type]),
        f"llvm.vector.reduce.fadd.v{count}{suffix}",
    )
    return builder.call(reduce, [ir.Constant(element, 0.0), vector], fastmath=_FAST)


def _splat(builder: Any, value: Any, vector: ir.VectorType) -> Any:
    empty = ir.Constant(vector, ir.Undefined)
    zero = ir.Constant(ir.IntType(32), 0)
    first = builder.insert_element(empty, value, zero)
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, empty, mask)


def _addresses(
    context: Any, builder: Any, array_type: Any, array: Any, row: Any, struct: Any
) -> list[Any]:
    """Return where the parts of a row are."""
    row = builder.zext(row, ir.IntType(64)) if row.type.width < 64 else row
    widths = [vector.count for vector in struct.elements]
    if isinstance(array_type, types.Array):
        whole = context.make_array(array_type)(context, builder, array).data
        bases, strides = [whole] * len(widths), [sum(widths)] * len(widths)
        shifts = [sum(widths[:part]) for part in range(len(widths))]
    else:
        arrays = cgutils.unpack_tuple(builder, array)
        bases = [
            context.make_array(kind)(context, builder, one).data
            for kind, one in zip(array_type, arrays, strict=True)
        ]
        strides, shifts = widths, [0] * len(widths)
    addresses = []
    for vector, base, stride, shift in zip(struct.elements, bases, strides, shifts, strict=True):
        offset = builder.mul(row, ir.Constant(ir.IntType(64), stride))
        offset = builder.add(offset, ir.Constant(ir.IntType(64), shift))
        address = builder.gep(base, [offset], inbounds=True)
        addresses.append(builder.bitcast(address, vector.as_pointer()))
    return addresses


def _alignment(struct: ir.LiteralStructType) -> int:
    return 4 if struct.elements[0].element == ir.FloatType() else 8
