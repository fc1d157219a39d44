"""A statevector in JAX as its users write it: a scan over the blocks, vectorised and jitted."""

from typing import Any

import jax
import numpy as np
from case import CannotError, Case, Step
from jax import numpy as jnp
from peers.jax_step import jax_step


def create_step(case: Case) -> Step:
    if case.noisy:
        raise CannotError("is a statevector, which has no noise")
    n_wires = case.n_wires
    states = np.arange(2**n_wires)
    bits = states[:, None] >> np.arange(n_wires - 1, -1, -1) & 1
    odd = sum(bits[:, first] & bits[:, second] for first, second in case.pairs) % 2
    signs, observables = jnp.asarray(1 - 2 * odd, case.dtype), jnp.asarray(1 - 2 * bits, case.dtype)
    kind = jnp.complex64 if case.dtype == "float32" else jnp.complex128

    def values(angles: Any, weights: Any) -> Any:
        of_data = rot(angles.reshape(n_wires, 3))

        def block(state: Any, of_block: Any) -> tuple[Any, None]:
            for wire, gate in enumerate(rot(of_block) @ of_data):
                by_wire = state.reshape(2**wire, 2, -1)
                state = jnp.einsum("ij,ajb->aib", gate, by_wire).reshape(-1)
            return state * signs, None  # after the last block too, where no <Z> sees it

        ground = jnp.zeros(2**n_wires, kind).at[0].set(1)
        state, _ = jax.lax.scan(block, ground, weights)
        return (state.real**2 + state.imag**2) @ observables

    return jax_step(case, values)


def rot(angles: Any) -> Any:
    """RZ(omega) RY(theta) RZ(phi): angles (..., 3) -> (..., 2, 2)."""
    phi, theta, omega = angles[..., 0], angles[..., 1], angles[..., 2]
    cosine, sine = jnp.cos(theta / 2), jnp.sin(theta / 2)
    total, difference = jnp.exp(0.5j * (omega + phi)), jnp.exp(0.5j * (omega - phi))
    upper = jnp.stack((cosine / total, -sine / difference), -1)
    return jnp.stack((upper, jnp.stack((sine * difference, cosine * total), -1)), -2)
