"""Rows of an array as vectors of the processor, for kernels that compute on several samples at a time.

    a = load(state, row)        # state[row, :], with as many columns as `width` says
    store(state, row, w * a + x * load(state, other))

Vectors add, subtract and multiply with vectors and with numbers of their dtype. Numba's own loops over
the columns of several rows first check, each time, that no two rows overlap, which takes longer than
the arithmetic. This module needs Numba, and its changes are not seen by Numba's cache of the kernels
that use it: delete the cache after one.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

#: Columns of an array by its dtype: 32 bytes, a vector register of most processors.
WIDTHS = {np.dtype(np.float32): 8, np.dtype(np.float64): 4}
#: As for `sqdr.compilation`'s kernels: NaN and infinity stay what they are.
_FLAGS = ("contract", "reassoc", "nsz")


class Lanes(types.Type):
    """The type of a vector of numbers of one dtype."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.width = 256 // dtype.bitwidth
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Lanes) -> None:
        number = manager[kind.dtype].get_value_type()
        super().__init__(manager, kind, ir.VectorType(number, kind.width))


def _define(operation: Any, instruction: str) -> None:
    """An arithmetic operation between vectors, or a vector and a number."""

    @type_callable(operation)
    def type_of(context: Any) -> Callable[..., Any]:  # noqa: ARG001
        def typer(one: Any, other: Any) -> Any:
            kind = one if isinstance(one, Lanes) else other
            is_fitting = isinstance(kind, Lanes) and {one, other} <= {kind, kind.dtype}
            return kind if is_fitting else None

        return typer

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        one, other = (
            value
            if isinstance(kind, Lanes)
            else _spread(context, builder, signature.return_type, value)
            for kind, value in zip(signature.args, values, strict=True)
        )
        return getattr(builder, instruction)(one, other, flags=_FLAGS)

    for kinds in ((Lanes, Lanes), (Lanes, types.Float), (types.Float, Lanes)):
        lower_builtin(operation, *kinds)(lower)


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.iadd, "fadd"),
    (operator.isub, "fsub"),
):
    _define(_operation, _instruction)


@type_callable(operator.neg)
def _type_of_negative(context: Any) -> Callable[..., Any]:  # noqa: ARG001
    return lambda one: one if isinstance(one, Lanes) else None


@lower_builtin(operator.neg, Lanes)
def _negative(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    zero = context.get_constant(signature.return_type.dtype, -0.0)
    return builder.fsub(_spread(context, builder, signature.return_type, zero), values[0], flags=_FLAGS)


@intrinsic
def load(typing_context: Any, array: Any, row: Any) -> Any:  # noqa: ARG001
    """The vector in one row of an array (rows, width), contiguous."""
    kind = Lanes(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        loaded = builder.load(_address(context, builder, signature.args[0], kind, *values))
        loaded.align = kind.dtype.bitwidth // 8
        return loaded

    return kind(array, row), generate


@intrinsic
def store(typing_context: Any, array: Any, row: Any, vector: Any) -> Any:  # noqa: ARG001
    """Write a vector into one row of an array (rows, width), contiguous."""
    kind = Lanes(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place, at, what = values
        stored = builder.store(what, _address(context, builder, signature.args[0], kind, place, at))
        stored.align = kind.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, row, kind), generate


@intrinsic
def spread(typing_context: Any, number: Any) -> Any:  # noqa: ARG001
    """The vector that holds a number everywhere."""
    kind = Lanes(number)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _spread(context, builder, signature.return_type, *values)

    return kind(number), generate


@intrinsic(prefer_literal=True)
def swapped(typing_context: Any, vector: Any, distance: Any) -> Any:  # noqa: ARG001
    """The vector with the numbers exchanged that are so far apart: 1, 2 or 4, written as a number."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ARG001
        places = [place ^ distance.literal_value for place in range(vector.width)]
        mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.width), places)
        return builder.shuffle_vector(values[0], ir.Constant(values[0].type, ir.Undefined), mask)

    return vector(vector, distance), generate


@intrinsic(prefer_literal=True)
def alternating(typing_context: Any, vector: Any, distance: Any) -> Any:  # noqa: ARG001
    """The vector, negated in the latter of each two places that `swapped` exchanges."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ARG001
        signs = [-1.0 if place & distance.literal_value else 1.0 for place in range(vector.width)]
        return builder.fmul(values[0], ir.Constant(values[0].type, signs))

    return vector(vector, distance), generate


@intrinsic
def cosine_and_sine(typing_context: Any, angle: Any) -> Any:  # noqa: ARG001
    """Of a vector of angles in radians.

    In double precision, and where an angle is large, infinite or NaN, they are the C library's.
    Elsewhere they are Taylor's series after subtraction of a multiple of pi, good to 1e-7.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind, (angle,) = signature.args[0], values

        def by_library() -> list[Any]:
            return [_call(builder, f"llvm.{name}", angle) for name in ("cos", "sin")]

        if kind.dtype == types.float64:
            return context.make_tuple(builder, signature.return_type, by_library())
        size = _call(builder, "llvm.fabs", angle)
        bound = ir.Constant(angle.type, [_LARGE] * kind.width)
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


def _spread(context: Any, builder: Any, kind: Lanes, number: Any) -> Any:
    vector_type = context.get_value_type(kind)
    index = ir.IntType(32)
    first = builder.insert_element(ir.Constant(vector_type, ir.Undefined), number, index(0))
    mask = ir.Constant(ir.VectorType(index, kind.width), [0] * kind.width)
    return builder.shuffle_vector(first, ir.Constant(vector_type, ir.Undefined), mask)


def _address(context: Any, builder: Any, array_type: Any, kind: Lanes, array: Any, row: Any) -> Any:
    data = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
    first = builder.gep(data, [builder.mul(row, ir.Constant(row.type, kind.width))])
    return builder.bitcast(first, context.get_value_type(kind).as_pointer())
