"""Zero-noise extrapolation: circuits whose noise is amplified, and values at none, by mitiq."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sqdr.ansatz import PauliWord
from sqdr.backends.qiskit.devices import Array, Device, Program
from sqdr.errors import MissingPackageError
from sqdr.validation import argument_error

#: Ways to extrapolate, as mitiq's factories.
_FACTORIES = {"linear": "LinearFactory", "richardson": "RichardsonFactory"}
#: How many times the noise of the circuit, unless a factory says otherwise.
_SCALES = (1, 3, 5)


def factory_of(zero_noise: Any) -> Any:
    """The factory of mitiq that an argument names, or that it is.

    Raises:
        ValueError: if it is neither, or its scale factors are not odd integers.
        MissingPackageError: if mitiq is not installed.
    """
    try:
        from mitiq.zne import inference
    except ModuleNotFoundError as error:
        if error.name != "mitiq":
            raise
        raise MissingPackageError("`zero_noise`", extra="mitigation", package="mitiq") from error
    if isinstance(zero_noise, str) and zero_noise in _FACTORIES:
        return getattr(inference, _FACTORIES[zero_noise])(_SCALES)
    if not isinstance(zero_noise, inference.BatchedFactory):
        must = f"be None, {', '.join(_FACTORIES)} or a factory of mitiq"
        raise argument_error("zero_noise", must, f"is {zero_noise!r}")
    for scale in zero_noise.get_scale_factors():
        if scale != int(scale) or int(scale) % 2 == 0 or scale < 1:
            must = "have odd scale factors, to which circuits are folded"
            raise argument_error("zero_noise", must, f"has {scale:g}")
    return zero_noise


def extrapolated(
    factory: Any,
    device: Device,
    programs: Sequence[Program],
    words: tuple[PauliWord, ...],
    shots: int | None,
    seed: int,
) -> list[Array]:
    """As `Device.run`, with values at no noise, from one job with all scales."""
    scales = [int(scale) for scale in factory.get_scale_factors()]
    folded = [
        replace(program, circuit=_folded(program.circuit, scale), scale=scale)
        for scale in scales
        for program in programs
    ]
    found = device.run(folded, words, shots, seed)
    of_scales = [found[place :: len(programs)] for place in range(len(programs))]
    return [_at_zero(factory, scales, np.stack(values)) for values in of_scales]


def _folded(circuit: Any, scale: int) -> Any:
    """U (U^-1 U)^((scale - 1) / 2), with barriers, so that no transpiler takes it for U."""
    folded = circuit.copy()
    for _ in range(scale // 2):
        for part in (circuit.inverse(), circuit):
            folded.barrier()
            folded.compose(part, inplace=True)
    return folded


def _at_zero(factory: Any, scales: Sequence[int], values: Array) -> Array:
    """Values (rows, words) of those at each scale (scales, rows, words)."""
    at_zero = np.empty(values.shape[1:])
    for index in np.ndindex(*at_zero.shape):
        factory.reset()
        for scale, value in zip(scales, values[(slice(None), *index)], strict=True):
            factory.push({"scale_factor": scale}, float(value))
        try:
            at_zero[index] = factory.reduce()
        except Exception as error:  # of mitiq, where a fit does not converge
            but = " ".join(str(error).split())
            raise argument_error("zero_noise", "fit the values", f"does not: {but}") from error
    return at_zero
