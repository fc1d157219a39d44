"""Vectors of numbers for kernels: one value of type `Vector` is one register of the processor.

Numba hopes that a loop over numbers becomes a loop over vectors. Kernels that say which numbers are a
vector need not hope. A vector is what an array holds along its last axis, which must be contiguous and
`N_BYTES` long. Vectors are added, subtracted, multiplied and divided as numbers are,
and a product and a sum may become one operation, rounded once.

Only kernels import this module: it imports Numba.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

#: Bytes of a vector: a register of AVX2. Elsewhere LLVM takes two, or half of one.
N_BYTES = 32


class Vector(types.Type):  # type: ignore[misc]
    """Numba's type of a vector.

    Args:
        dtype (numba type): of the numbers, float32 or float64.
        n_lanes (int): number of them.
    """

    def __init__(self, dtype: Any, n_lanes: int) -> None:
        self.dtype, self.n_lanes = dtype, n_lanes
        super().__init__(name=f"Vector({dtype}, {n_lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, vector: Vector) -> None:
        number = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(number, vector.n_lanes))


def _vector_of(dtype: Any) -> Vector:
    return Vector(dtype, N_BYTES * 8 // dtype.bitwidth)


def _define(function: Callable[..., Any], instruction: str) -> None:
    """Let an operator of Python be an instruction of LLVM for two vectors."""

    @type_callable(function)
    def type_of(_: Any) -> Any:
        return lambda a, b: a if isinstance(a, Vector) and a == b else None

    @lower_builtin(function, Vector, Vector)
    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        return getattr(builder, instruction)(*values, flags=("contract",))


_define(operator.add, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")
_define(operator.truediv, "fdiv")


def _address(context: Any, builder: Any, types_: Any, values: Any) -> Any:
    """Where the vector lies that an array has at an index."""
    array, index = types_
    data = context.make_array(array)(context, builder, values[0])
    indices = [
        context.cast(builder, i, type_, types.intp)
        for i, type_ in zip(cgutils.unpack_tuple(builder, values[1]), index.types, strict=True)
    ]
    indices.append(context.get_constant(types.intp, 0))
    pointer = cgutils.get_item_pointer(context, builder, array, data, indices)
    return builder.bitcast(pointer, context.get_value_type(_vector_of(array.dtype)).as_pointer())


@intrinsic
def load(_: Any, array: Any, index: Any) -> Any:
    """The vector of an array at a tuple of indices, one for each axis but the last."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address = _address(context, builder, signature.args, values)
        return builder.load(address, align=array.dtype.bitwidth // 8)

    return _vector_of(array.dtype)(array, index), generate


@intrinsic
def store(_: Any, array: Any, index: Any, vector: Any) -> Any:
    """Put a vector where `load` finds it."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address = _address(context, builder, signature.args[:2], values[:2])
        builder.store(values[2], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    if vector != _vector_of(array.dtype):
        return None
    return types.void(array, index, vector), generate


def _filled(builder: Any, number: Any, n_lanes: int) -> Any:
    vector = ir.VectorType(number.type, n_lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), n_lanes), None)
    return builder.shuffle_vector(first, undefined, zeros)


@intrinsic
def fill(_: Any, number: Any) -> Any:
    """A number in each lane."""
    vector = _vector_of(number)

    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        return _filled(builder, values[0], vector.n_lanes)

    return vector(number), generate


@intrinsic
def zeros_of(_: Any, array: Any) -> Any:
    """A vector of zeros of the dtype of an array."""
    vector = _vector_of(array.dtype)

    def generate(context: Any, *_: Any) -> Any:
        return ir.Constant(context.get_value_type(vector), None)

    return vector(array), generate


@intrinsic
def fires(_: Any, potential: Any, threshold: Any) -> Any:
    """1 in each lane where a potential has reached the threshold, else 0."""

    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        one = ir.Constant(values[0].type, [1.0] * potential.n_lanes)
        return builder.select(builder.fcmp_ordered(">=", *values), one, ir.Constant(one.type, None))

    return potential(potential, threshold), generate


@intrinsic
def below(_: Any, potential: Any, threshold: Any) -> Any:
    """A potential where it has not reached the threshold, else 0: what is left of it after a reset."""

    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        fired = builder.fcmp_ordered(">=", *values)
        return builder.select(fired, ir.Constant(values[0].type, None), values[0])

    return potential(potential, threshold), generate


@intrinsic
def larger(_: Any, a: Any, b: Any) -> Any:
    """The larger number in each lane."""

    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *values), *values)

    return a(a, b), generate


@intrinsic
def round_down(_: Any, vector: Any) -> Any:
    """The largest integer that is not above, in each lane."""

    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        name = f"llvm.floor.v{vector.n_lanes}f{vector.dtype.bitwidth}"
        kind = ir.FunctionType(values[0].type, [values[0].type])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)

    return vector(vector), generate


@intrinsic
def widen(_: Any, vector: Any) -> Any:
    """The same numbers in double precision."""
    wide = Vector(types.float64, vector.n_lanes)

    def generate(context: Any, builder: Any, __: Any, values: Any) -> Any:
        return values[0] if wide == vector else builder.fpext(values[0], context.get_value_type(wide))

    return wide(vector), generate


@intrinsic
def total(_: Any, vector: Any) -> Any:
    """The sum over the lanes."""

    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        numbers = [
            builder.extract_element(values[0], ir.Constant(ir.IntType(32), lane))
            for lane in range(vector.n_lanes)
        ]
        while len(numbers) > 1:  # in pairs, for the least rounding
            numbers = [builder.fadd(a, b) for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
        return numbers[0]

    return vector.dtype(vector), generate
