"""A step of an engine on JAX, compiled by XLA."""

from collections.abc import Callable
from typing import Any

import jax
from case import Case, Step


def jax_step(case: Case, values_of_sample: Callable[[Any, Any], Any]) -> Step:
    """Vectorised over the batch, differentiated and jitted; it waits for the result.

    Args:
        values_of_sample: angles (3 * n_wires), weights (n_blocks, n_wires, 3) -> <Z> (n_wires).
    """
    jax.config.update("jax_enable_x64", case.dtype == "float64")

    def total(angles: Any, weights: Any) -> Any:
        values = jax.vmap(values_of_sample, in_axes=(0, None))(angles, weights)
        return values.sum(), values

    gradient = jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True))
    angles, weights = jax.numpy.asarray(case.angles), jax.numpy.asarray(case.weights)

    def step() -> tuple[Any, Any, Any]:
        (_, values), (of_angles, of_weights) = jax.block_until_ready(gradient(angles, weights))
        return values, of_angles, of_weights

    return step
