"""Vectors of numbers for kernels: one value of type `Vector` is one register of the processor.

    a = load(state, row)
    store(state, row, w * a + x * load(state, other))

Numba's own loops over numbers first check, each time, that no two arrays overlap, and may not become
loops over vectors at all. Kernels that say which numbers are a vector need not hope. A vector is what
an array holds along its last axis, which must be contiguous and `n_lanes` long. Vectors are added,
subtracted, multiplied and divided as numbers are, also with numbers of their dtype.

Only kernels import this module: it imports Numba.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

#: Bytes of a vector: a register of AVX2. Elsewhere LLVM takes two, or half of one.
_N_BYTES = 32
#: A product and a sum may become one operation, rounded once.
_FLAGS = ("contract",)


def n_lanes(dtype: Any) -> int:
    """How many numbers of a dtype, NumPy's or PyTorch's, are a vector."""
    return int(_N_BYTES // dtype.itemsize)


class Vector(types.Type):
    """Numba's type of a vector.

    Args:
        dtype (numba type): of the numbers, float32 or float64.
        n_lanes (int): number of them.
    """

    def __init__(self, dtype: Any, n_lanes: int) -> None:
        self.dtype, self.n_lanes = dtype, n_lanes
        super().__init__(name=f"Vector({dtype}, {n_lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        number = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(number, vector.n_lanes))


def _vector_of(dtype: Any) -> Vector:
    return Vector(dtype, _N_BYTES * 8 // dtype.bitwidth)


def _define(operation: Callable[..., Any], instruction: str) -> None:
    """Let an operator of Python be an instruction of LLVM for two vectors, or a vector and a number."""

    @type_callable(operation)
    def type_of(_: Any) -> Any:
        def typer(one: Any, other: Any) -> Any:
            vector = one if isinstance(one, Vector) else other
            is_fitting = isinstance(vector, Vector) and {one, other} <= {vector, vector.dtype}
            return vector if is_fitting else None

        return typer

    def generate(_: Any, builder: Any, signature: Any, values: Any) -> Any:
        one, other = (
            value
            if isinstance(type_, Vector)
            else _spread(builder, value, signature.return_type.n_lanes)
            for type_, value in zip(signature.args, values, strict=True)
        )
        return getattr(builder, instruction)(one, other, flags=_FLAGS)

    for types_ in ((Vector, Vector), (Vector, types.Float), (types.Float, Vector)):
        lower_builtin(operation, *types_)(generate)


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
    (operator.iadd, "fadd"),
    (operator.isub, "fsub"),
):
    _define(_operation, _instruction)


@type_callable(operator.neg)
def _type_of_negative(_: Any) -> Any:
    return lambda one: one if isinstance(one, Vector) else None


@lower_builtin(operator.neg, Vector)
def _negative(_: Any, builder: Any, __: Any, values: Any) -> Any:
    return builder.fneg(values[0])


def _address(context: Any, builder: Any, types_: Any, values: Any) -> Any:
    """Where the vector lies that an array has at an index."""
    array, index = types_
    vector = _vector_of(array.dtype)
    data = context.make_array(array)(context, builder, values[0])
    if isinstance(index, types.Integer):
        row = context.cast(builder, values[1], index, types.intp)
        pointer = builder.gep(data.data, [builder.mul(row, row.type(vector.n_lanes))])
    else:
        indices = [
            context.cast(builder, i, type_, types.intp)
            for i, type_ in zip(cgutils.unpack_tuple(builder, values[1]), index.types, strict=True)
        ]
        indices.append(context.get_constant(types.intp, 0))
        pointer = cgutils.get_item_pointer(context, builder, array, data, indices)
    return builder.bitcast(pointer, context.get_value_type(vector).as_pointer())


def _can_be_indexed(array: Any, index: Any) -> bool:
    if isinstance(index, types.Integer):
        return bool(array.layout == "C")
    return bool(len(index) == array.ndim - 1)


@intrinsic
def load(_: Any, array: Any, index: Any) -> Any:
    """The vector of an array at an index.

    That is a tuple of indices, one for each axis but the last, or, if the whole array is contiguous,
    the number of a vector in it.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address = _address(context, builder, signature.args, values)
        return builder.load(address, align=array.dtype.bitwidth // 8)

    return (_vector_of(array.dtype)(array, index), generate) if _can_be_indexed(array, index) else None


@intrinsic
def store(_: Any, array: Any, index: Any, vector: Any) -> Any:
    """Put a vector where `load` finds it."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address = _address(context, builder, signature.args[:2], values[:2])
        builder.store(values[2], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    if vector != _vector_of(array.dtype) or not _can_be_indexed(array, index):
        return None
    return types.void(array, index, vector), generate


def _spread(builder: Any, number: Any, n_lanes: int) -> Any:
    vector = ir.VectorType(number.type, n_lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), n_lanes), None)
    return builder.shuffle_vector(first, undefined, zeros)


@intrinsic
def spread(_: Any, number: Any) -> Any:
    """A number in each lane."""
    vector = _vector_of(number)

    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        return _spread(builder, values[0], vector.n_lanes)

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
        return _call(builder, "llvm.floor", values[0])

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


@intrinsic(prefer_literal=True)
def swapped(_: Any, vector: Any, distance: Any) -> Any:
    """The vector with the numbers exchanged that are so far apart: 1, 2 or 4, written as a number."""

    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        places = [place ^ distance.literal_value for place in range(vector.n_lanes)]
        mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.n_lanes), places)
        return builder.shuffle_vector(values[0], ir.Constant(values[0].type, ir.Undefined), mask)

    return vector(vector, distance), generate


@intrinsic(prefer_literal=True)
def alternating(_: Any, vector: Any, distance: Any) -> Any:
    """The vector, negated in the latter of each two places that `swapped` exchanges."""

    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        signs = [-1.0 if place & distance.literal_value else 1.0 for place in range(vector.n_lanes)]
        return builder.fmul(values[0], ir.Constant(values[0].type, signs))

    return vector(vector, distance), generate


@intrinsic
def cosine_and_sine(_: Any, angle: Any) -> Any:
    """Of a vector of angles in radians.

    In double precision, and where an angle is large, infinite or NaN, they are the C library's.
    Elsewhere they are Taylor's series after subtraction of a multiple of pi, good to 1e-7.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        vector, (angle,) = signature.args[0], values

        def by_library() -> list[Any]:
            return [_call(builder, f"llvm.{name}", angle) for name in ("cos", "sin")]

        if vector.dtype == types.float64:
            return context.make_tuple(builder, signature.return_type, by_library())
        size = _call(builder, "llvm.fabs", angle)
        bound = ir.Constant(angle.type, [_LARGE] * vector.n_lanes)
        is_small = _call(
            builder, "llvm.vector.reduce.and", builder.fcmp_ordered("<", size, bound), of=ir.IntType(1)
        )
        results = [cgutils.alloca_once(builder, angle.type) for _ in range(2)]
        with builder.if_else(is_small, likely=True) as (then, otherwise):
            with then:
                for place, result in zip(results, _by_series(builder, angle), strict=True):
                    builder.store(result, place)
            with otherwise:
                for place, result in zip(results, by_library(), strict=True):
                    builder.store(result, place)
        loaded = [builder.load(place) for place in results]
        return context.make_tuple(builder, signature.return_type, loaded)

    return types.UniTuple(angle, 2)(angle), generate


#: Beyond it, multiples of pi are not exact enough in double precision.
_LARGE = 1e7
#: Of cosine and sine; up to pi / 2 the next term is below 1e-9.
_COSINE = [(-1) ** k / math.factorial(2 * k) for k in range(8)]
_SINE = [(-1) ** k / math.factorial(2 * k + 1) for k in range(7)]


def _by_series(builder: Any, angle: Any) -> tuple[Any, Any]:
    width, single = angle.type.count, angle.type
    double = ir.VectorType(ir.DoubleType(), width)

    def all_of(kind: Any, number: float) -> Any:
        return ir.Constant(kind, [number] * width)

    exact = builder.fpext(angle, double)
    turns = _call(builder, "llvm.rint", builder.fmul(exact, all_of(double, 1 / math.pi)))
    rest = builder.fptrunc(builder.fsub(exact, builder.fmul(turns, all_of(double, math.pi))), single)
    pairs = builder.fmul(turns, all_of(double, 0.5))
    odd = builder.fsub(pairs, _call(builder, "llvm.floor", pairs))  # 0 or 1/2
    sign = builder.fsub(all_of(double, 1.0), builder.fmul(odd, all_of(double, 4.0)))
    sign, square = builder.fptrunc(sign, single), builder.fmul(rest, rest)

    def series(coefficients: list[float]) -> Any:
        *lower, total = (all_of(single, float(np.float32(number))) for number in coefficients)
        for coefficient in reversed(lower):
            product = builder.fmul(total, square, flags=("contract",))
            total = builder.fadd(product, coefficient, flags=("contract",))
        return total

    cosine = builder.fmul(sign, series(_COSINE))
    return cosine, builder.fmul(builder.fmul(sign, rest), series(_SINE))


def _call(builder: Any, name: str, vector: Any, of: Any = None) -> Any:
    """Call LLVM's function of a vector, which returns another or a number of type `of`."""
    number = {"float": "f32", "double": "f64", "i1": "i1"}[str(vector.type.element)]
    signature = ir.FunctionType(of or vector.type, [vector.type])
    name = f"{name}.v{vector.type.count}{number}"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), [vector])
